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

var testReference = regexp.MustCompile("`([\\w/-]+)` (Test\\w+(?:, Test\\w+)*)")

// Each line of the table of promises names tests that exist.
func TestPromisesHaveTests(t *testing.T) {
	text, err := os.ReadFile("README.md")
	require.NoError(t, err)
	promises := 0
	for line := range strings.Lines(string(text)) {
		cells := strings.Split(line, "|")
		if len(cells) != 4 || strings.Contains(line, "| --- |") || strings.Contains(line, "| promise |") {
			continue
		}
		promises++
		for reference := range strings.SplitSeq(cells[2], ";") {
			found := testReference.FindStringSubmatch(reference)
			require.NotNil(t, found, "a promise without a test: %s", line)
			require.Equal(t, strings.TrimSpace(reference), found[0], line)
			require.Subset(t, testsIn(t, found[1]), strings.Split(found[2], ", "), "%s has no such test", found[1])
		}
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
