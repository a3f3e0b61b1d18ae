package conformance

import (
	"go/ast"
	"go/parser"
	"go/token"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
)

var testReference = regexp.MustCompile("^`([\\w/-]+)` (Test\\w+(?:, Test\\w+)*)$")

// testsOf are the tests of the module, by folder, as far as they were asked for.
type testsOf map[string][]string

// require requires that a cell of a table names tests, and that they exist.
func (known testsOf) require(t *testing.T, cell, line string) {
	t.Helper()
	for reference := range strings.SplitSeq(cell, ";") {
		found := testReference.FindStringSubmatch(strings.TrimSpace(reference))
		require.NotNil(t, found, "no test: %s", line)
		dir := found[1]
		if known[dir] == nil {
			known[dir] = testsIn(t, dir)
		}
		require.Subset(t, known[dir], strings.Split(found[2], ", "), "%s has no such test", dir)
	}
}

// Each line of the table of promises names tests that exist.
func TestPromisesHaveTests(t *testing.T) {
	text, err := os.ReadFile("README.md")
	require.NoError(t, err)
	promises, known := 0, testsOf{}
	for line := range strings.Lines(string(text)) {
		cells := strings.Split(line, "|")
		if len(cells) != 4 || strings.Contains(line, "| --- |") || strings.Contains(line, "| promise |") {
			continue
		}
		promises++
		known.require(t, cells[2], line)
	}
	require.Greater(t, promises, 40, "the table is not found")
}

// testsIn returns the names of the tests in a folder of the module.
func testsIn(t *testing.T, dir string) []string {
	t.Helper()
	files, err := filepath.Glob(filepath.Join("..", "..", dir, "*_test.go"))
	require.NoError(t, err)
	var names []string
	for _, name := range files {
		file, err := parser.ParseFile(token.NewFileSet(), name, nil, parser.SkipObjectResolution)
		require.NoError(t, err)
		for _, d := range file.Decls {
			if f, ok := d.(*ast.FuncDecl); ok && f.Recv == nil {
				names = append(names, f.Name.Name)
			}
		}
	}
	return names
}
