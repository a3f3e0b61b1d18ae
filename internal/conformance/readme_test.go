package conformance

import (
	"bytes"
	"errors"
	"fmt"
	"go/ast"
	"go/format"
	"go/importer"
	"go/parser"
	"go/token"
	"go/types"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
	"unicode/utf8"

	"github.com/stretchr/testify/require"
)

// readmeGiven declares what the README's snippets leave to their reader.
const readmeGiven = `
var (
	ctx               context.Context
	imageID, tenantID string
	key, secret       string
)

func publish(context.Context, *oraclemarket.Client) error { return nil }
`

const modulePath = "github.com/imagejobs/imagejobs-go"

// readmeImports are the packages that snippets may use, by name.
var readmeImports = map[string]string{
	"context": "context", "errors": "errors", "fmt": "fmt",
	"imagereplicator":  modulePath + "/imagereplicator",
	"keystone":         modulePath + "/imagereplicator/keystone",
	"multiplay":        modulePath + "/multiplay",
	"oraclemarket":     modulePath + "/oraclemarket",
	"oraclemarkettest": modulePath + "/oraclemarket/oraclemarkettest",
}

func TestReadmeCompiles(t *testing.T) {
	snippets := fencedBlocks(readReadme(t), "go")
	require.Len(t, snippets, 4, "a snippet is missing, or this test does not find it")
	check := snippetChecker(t)
	for _, snippet := range snippets {
		require.NoError(t, check(snippet))
		for line := range strings.Lines(snippet.text) {
			columns := utf8.RuneCountInString(strings.ReplaceAll(strings.TrimSuffix(line, "\n"), "\t", "    "))
			require.LessOrEqual(t, columns, 100, "too wide for pkg.go.dev: %s", line)
		}
	}
}

func TestReadmeCheckFindsMistakes(t *testing.T) {
	check := snippetChecker(t)
	for code, problem := range map[string]string{
		"image := 1\n":                         "README.md:7: declared and not used: image",
		"fmt.Println(1)\nfmt.Println(image)\n": "README.md:8: undefined: image",
		"var client *oraclemarket.Client\nclient.MachineImages.Ship(ctx)\n": "MachineImages.Ship undefined",
		"client, err := oraclemarket.New(\"user\")\n":                       "not enough arguments",
		"return 1\n":   "cannot use 1",
		"if true {\n":  "expected '}'",
		"x :=1\n_=x\n": "not formatted",
	} {
		require.ErrorContains(t, check(block{line: 7, text: code}), problem)
	}
	require.NoError(t, check(block{line: 7, text: "fmt.Println(ctx)\n"}))
}

// The commands of the README install a checkout in a module that imports one
// of its packages.
func TestReadmeInstall(t *testing.T) {
	var commands []string
	for _, shell := range fencedBlocks(readReadme(t), "sh") {
		for line := range strings.Lines(shell.text) {
			if strings.HasPrefix(line, "go mod ") {
				commands = append(commands, strings.TrimSpace(line))
			}
		}
	}
	require.Len(t, commands, 2)

	root, err := filepath.Abs(filepath.Join("..", ".."))
	require.NoError(t, err)
	app := t.TempDir()
	main := "package main\n\nimport _ \"" + modulePath + "/oraclemarket\"\n\nfunc main() {}\n"
	require.NoError(t, os.WriteFile(filepath.Join(app, "main.go"), []byte(main), 0o644))
	for _, command := range append([]string{"go mod init example.com/app"}, append(commands, "go vet .")...) {
		args := strings.Fields(command)
		for i := range args {
			args[i] = strings.ReplaceAll(args[i], "../imagejobs-go", root)
		}
		cmd := exec.CommandContext(t.Context(), args[0], args[1:]...)
		cmd.Dir = app
		cmd.Env = append(os.Environ(), "GOFLAGS=", "GOWORK=off", "GOSUMDB=off")
		out, err := cmd.CombinedOutput()
		if err != nil && (bytes.Contains(out, []byte("dial tcp")) || bytes.Contains(out, []byte("GOPROXY=off"))) {
			t.Skipf("needs a module proxy: %s", out) // for what no build of this module has cached
		}
		require.NoError(t, err, "%s: %s", command, out)
	}
	mod, err := os.ReadFile(filepath.Join(app, "go.mod"))
	require.NoError(t, err)
	require.Contains(t, string(mod), modulePath+" v0.0.0")
}

var (
	markdownLink = regexp.MustCompile(`\]\(([^)#:]+)\)`)
	runCommand   = regexp.MustCompile(`go run \./([\w/-]+)`)
)

func TestReadmeNamesWhatIsThere(t *testing.T) {
	text := readReadme(t)
	for i, line := range strings.Split(text, "\n") {
		require.LessOrEqual(t, utf8.RuneCountInString(line), 120, "README.md:%d is too long", i+1)
	}
	names := append(markdownLink.FindAllStringSubmatch(text, -1), runCommand.FindAllStringSubmatch(text, -1)...)
	require.NotEmpty(t, names)
	for _, name := range names {
		_, err := os.Stat(filepath.Join("..", "..", name[1]))
		require.NoError(t, err)
	}
}

func readReadme(t *testing.T) string {
	t.Helper()
	text, err := os.ReadFile(filepath.Join("..", "..", "README.md"))
	require.NoError(t, err)
	return string(text)
}

// block is what stands between two fences, and the line that it begins on.
type block struct {
	line int
	text string
}

func fencedBlocks(markdown, language string) []block {
	var blocks []block
	inside := false
	for i, line := range strings.SplitAfter(markdown, "\n") {
		switch {
		case strings.TrimSpace(line) == "```"+language:
			inside = true
			blocks = append(blocks, block{line: i + 2})
		case strings.HasPrefix(line, "```"):
			inside = false
		case inside:
			blocks[len(blocks)-1].text += line
		}
	}
	return blocks
}

// snippetChecker returns a function that type-checks a snippet: the statements
// of a function.
func snippetChecker(t *testing.T) func(block) error {
	t.Helper()
	args := []string{"list", "-export", "-deps", "-f", "{{.ImportPath}}\t{{.Export}}"}
	for _, path := range readmeImports {
		args = append(args, path)
	}
	out, err := exec.CommandContext(t.Context(), "go", args...).Output()
	require.NoError(t, err)
	exports := map[string]string{}
	for line := range strings.Lines(string(out)) {
		path, export, _ := strings.Cut(strings.TrimSpace(line), "\t")
		exports[path] = export
	}
	fset := token.NewFileSet()
	config := types.Config{Importer: importer.ForCompiler(fset, "gc", func(path string) (io.ReadCloser, error) {
		return os.Open(exports[path])
	})}
	return func(snippet block) error {
		formatted, err := format.Source([]byte(snippet.text))
		if err == nil && string(formatted) != snippet.text {
			return fmt.Errorf("README.md:%d: not formatted", snippet.line)
		}
		file, err := parser.ParseFile(fset, "snippet.go", snippetSource(snippet), parser.SkipObjectResolution)
		if err != nil {
			return err
		}
		_, checkErr := config.Check("snippet", fset, []*ast.File{file}, nil)
		if typeErr, ok := errors.AsType[types.Error](checkErr); ok {
			return fmt.Errorf("%s: %s", typeErr.Fset.Position(typeErr.Pos), typeErr.Msg)
		}
		return checkErr
	}
}

func snippetSource(snippet block) string {
	body := fmt.Sprintf("func snippet() error {\n//line README.md:%d\n%s\n//line snippet.go:1\nreturn nil\n}\n", snippet.line, snippet.text)
	var source strings.Builder
	source.WriteString("package snippet\n")
	for name, path := range readmeImports {
		if strings.Contains(readmeGiven+body, name+".") {
			fmt.Fprintf(&source, "import %q\n", path)
		}
	}
	return source.String() + readmeGiven + body
}
