package conformance

import (
	"go/ast"
	"go/parser"
	"go/token"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
)

// packages are the folders whose exported names these tests know.
func packages() map[string]string {
	return map[string]string{
		"oraclemarket":    "../../oraclemarket",
		"imagereplicator": "../../imagereplicator",
		"keystone":        "../../imagereplicator/keystone",
		"multiplay":       "../../multiplay",
	}
}

// testPackages are those of the test servers.
func testPackages() map[string]string {
	return map[string]string{
		"oraclemarkettest":    "../../oraclemarket/oraclemarkettest",
		"imagereplicatortest": "../../imagereplicator/imagereplicatortest",
		"multiplaytest":       "../../multiplay/multiplaytest",
	}
}

// declarations returns those of the package's files that are not tests.
func declarations(t *testing.T, dir string) []ast.Decl {
	t.Helper()
	names, err := filepath.Glob(filepath.Join(dir, "*.go"))
	require.NoError(t, err)
	var list []ast.Decl
	for _, name := range names {
		if strings.HasSuffix(name, "_test.go") {
			continue
		}
		file, err := parser.ParseFile(token.NewFileSet(), name, nil, parser.SkipObjectResolution)
		require.NoError(t, err)
		list = append(list, file.Decls...)
	}
	require.NotEmpty(t, list)
	return list
}

// Every exported function or method that takes a context, or makes a
// TokenSource, is an operation of the table, but for those that send no request
// of their own.
func TestEveryOperationIsInTheTable(t *testing.T) {
	sendsNothing := []string{
		"oraclemarket.StaticToken", "oraclemarket.TokenSourceFunc.Token",
		"imagereplicator.StaticToken", "imagereplicator.TokenSourceFunc.Token",
		"multiplay.StaticToken", "multiplay.TokenSourceFunc.Token",
		"oraclemarket.FileCheckpointStore.Delete", "oraclemarket.FileCheckpointStore.Load",
		"oraclemarket.FileCheckpointStore.Lock", "oraclemarket.FileCheckpointStore.Save",
		"imagereplicator.ProviderTokens", // asks a client of another library
		"oraclemarket.CaptureAttempt", "imagereplicator.CaptureAttempt", "multiplay.CaptureAttempt",
	}
	var listed, found []string
	for _, o := range operations() {
		listed = append(listed, o.pkg+"."+o.name)
	}
	slices.Sort(listed)
	listed = slices.Compact(listed)
	for pkg, dir := range packages() {
		for _, d := range declarations(t, dir) {
			f, ok := d.(*ast.FuncDecl)
			if !ok || !f.Name.IsExported() || !sends(f) {
				continue
			}
			name := f.Name.Name
			if receiver := receiver(f); receiver != "" {
				if !ast.IsExported(receiver) {
					continue
				}
				name = strings.TrimSuffix(receiver, "Service") + "." + name
			}
			name = pkg + "." + strings.TrimPrefix(name, "Client.")
			if !slices.Contains(sendsNothing, name) {
				found = append(found, name)
			}
		}
	}
	slices.Sort(found)
	require.Equal(t, found, listed)
}

func receiver(f *ast.FuncDecl) string {
	if f.Recv == nil {
		return ""
	}
	of := f.Recv.List[0].Type
	if star, ok := of.(*ast.StarExpr); ok {
		of = star.X
	}
	if name, ok := of.(*ast.Ident); ok {
		return name.Name
	}
	return ""
}

func sends(f *ast.FuncDecl) bool {
	if p := f.Type.Params.List; len(p) > 0 {
		if s, ok := p[0].Type.(*ast.SelectorExpr); ok && s.Sel.Name == "Context" {
			return true
		}
	}
	if f.Type.Results == nil {
		return false
	}
	return slices.ContainsFunc(f.Type.Results.List, func(r *ast.Field) bool {
		name, ok := r.Type.(*ast.Ident)
		return ok && name.Name == "TokenSource"
	})
}
