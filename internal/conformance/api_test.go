package conformance

import (
	"bytes"
	"flag"
	"go/importer"
	"go/token"
	"go/types"
	"io"
	"maps"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
)

var update = flag.Bool("update", false, "rewrite testdata/api from the source")

// A change of the exported API is deliberate: it shows in testdata/api, one
// line for each identifier, field and method.
func TestAPI(t *testing.T) {
	dir := filepath.Join("testdata", "api")
	now := map[string][]string{}
	for _, pkg := range publicPackages(t) {
		now[pkg.Name()+".txt"] = exportedAPI(pkg)
	}
	if *update {
		require.NoError(t, os.RemoveAll(dir))
		require.NoError(t, os.MkdirAll(dir, 0o755))
		for name, lines := range now {
			text := strings.Join(lines, "\n") + "\n"
			require.NoError(t, os.WriteFile(filepath.Join(dir, name), []byte(text), 0o644))
		}
	}

	files, err := filepath.Glob(filepath.Join(dir, "*.txt"))
	require.NoError(t, err)
	baseline := map[string][]string{}
	for _, file := range files {
		text, err := os.ReadFile(file)
		require.NoError(t, err)
		baseline[filepath.Base(file)] = strings.Split(strings.TrimSpace(string(text)), "\n")
	}
	var diff []string
	for _, name := range slices.Sorted(maps.Keys(now)) {
		diff = append(diff, added(name+": -", now[name], baseline[name])...)
		diff = append(diff, added(name+": +", baseline[name], now[name])...)
	}
	for name := range baseline {
		require.Contains(t, now, name, "no package has this baseline")
	}
	if len(diff) > 0 {
		t.Fatalf("the exported API changed:\n%s\nIf it should, run\n\tgo test ./internal/conformance -run TestAPI -update\n"+
			"and commit testdata/api with the change, so that its diff shows it.", strings.Join(diff, "\n"))
	}
}

// added returns the lines that before lacks, each after a prefix.
func added(prefix string, before, after []string) []string {
	var lines []string
	for _, line := range after {
		if !slices.Contains(before, line) {
			lines = append(lines, prefix+line)
		}
	}
	return lines
}

// The clients copy their options, errors and waiting, so that each package's
// page is whole. The copies have the same names and signatures.
func TestClientsAgree(t *testing.T) {
	// Options, errors and predicates that not every client needs.
	partial := []string{
		"ErrAlreadyMerged", "ErrCheckpointInvalid", "ErrCheckpointLocked", "ErrSourceChanged", "ErrStalled", "WithStallTimeout", // uploads
		"WithFirstChunkNumber", "WithAccountServiceID", "WithStartLimit",
		"WithCancelOnFailure", "WithCopyProgress", "WithCopyWait",
	}
	// What belongs to one service, though another has something of that name.
	apart := []string{"Client", "Job", "New", "StateError", "Status"}

	clients := map[string]map[string][]string{}
	all := map[string][]string{}
	for _, pkg := range publicPackages(t) {
		if name := pkg.Name(); name == "oraclemarket" || name == "imagereplicator" || name == "multiplay" {
			clients[name] = map[string][]string{}
			for _, object := range exportedObjects(pkg) {
				if _, isConst := object.(*types.Const); !isConst && !slices.Contains(apart, object.Name()) {
					clients[name][object.Name()] = objectAPI(pkg, object)
				}
			}
			maps.Copy(all, clients[name])
		}
	}
	require.Len(t, clients, 3)
	for _, name := range slices.Sorted(maps.Keys(all)) {
		copied := strings.HasPrefix(name, "With") || strings.HasPrefix(name, "Capture") || strings.HasPrefix(name, "Err") || strings.HasPrefix(name, "Is")
		for client, has := range clients {
			if lines, ok := has[name]; ok {
				require.Equal(t, all[name], lines, "%s.%s is not what another client has", client, name)
			} else if copied {
				require.Contains(t, partial, name, "%s lacks what another client has", client)
			}
		}
	}
}

// publicPackages returns the packages that other modules can import, as the
// compiler exported them.
func publicPackages(t *testing.T) []*types.Package {
	t.Helper()
	var stderr bytes.Buffer
	list := exec.CommandContext(t.Context(), "go", "list", "-export", "-deps",
		"-f", "{{.ImportPath}}\t{{.Export}}\t{{with .Module}}{{if .Main}}{{$.Dir}}{{end}}{{end}}",
		"./oraclemarket/...", "./imagereplicator/...", "./multiplay/...")
	list.Dir = filepath.Join("..", "..")
	list.Stderr = &stderr
	out, err := list.Output()
	require.NoError(t, err, stderr.String())

	exports := map[string]string{}
	var public []string
	for line := range strings.Lines(string(out)) {
		fields := strings.Split(strings.TrimSuffix(line, "\n"), "\t")
		require.Len(t, fields, 3)
		path, export, dir := fields[0], fields[1], fields[2]
		exports[path] = export
		if dir == "" { // of another module
			continue
		}
		if !strings.Contains(path, "/internal/") {
			public = append(public, path)
		}
		// A cached result counts until a folder changes that the test itself
		// has read.
		_, err := os.ReadDir(dir)
		require.NoError(t, err)
	}
	load := importer.ForCompiler(token.NewFileSet(), "gc", func(path string) (io.ReadCloser, error) {
		return os.Open(exports[path])
	})
	var packages []*types.Package
	for _, path := range public {
		pkg, err := load.Import(path)
		require.NoError(t, err)
		packages = append(packages, pkg)
	}
	return packages
}

// exportedAPI returns a line for each exported identifier, field and method,
// sorted.
func exportedAPI(pkg *types.Package) []string {
	var lines []string
	for _, object := range exportedObjects(pkg) {
		lines = append(lines, objectAPI(pkg, object)...)
	}
	slices.Sort(lines)
	return slices.Compact(lines)
}

func exportedObjects(pkg *types.Package) []types.Object {
	var objects []types.Object
	for _, name := range pkg.Scope().Names() {
		if object := pkg.Scope().Lookup(name); object.Exported() {
			objects = append(objects, object)
		}
	}
	return objects
}

func objectAPI(pkg *types.Package, object types.Object) []string {
	switch o := object.(type) {
	case *types.TypeName:
		return typeAPI(pkg, o)
	case *types.Const:
		kind := " " + typeText(pkg, o.Type())
		if basic, ok := o.Type().(*types.Basic); ok && basic.Info()&types.IsUntyped != 0 {
			kind = ""
		}
		return []string{"const " + o.Name() + kind + " = " + o.Val().ExactString()}
	default:
		return []string{types.ObjectString(o, shortNames(pkg))}
	}
}

// typeAPI returns the lines of a type. What an alias of an internal type shows
// is the API of this package, as nobody else can name it.
func typeAPI(pkg *types.Package, name *types.TypeName) []string {
	head := "type " + name.Name()
	target := types.Unalias(name.Type())
	var lines []string
	if name.IsAlias() {
		lines = []string{head + " = " + typeText(pkg, target)}
		if named, ok := target.(*types.Named); !ok || !strings.Contains(named.Obj().Pkg().Path(), "/internal/") {
			return lines
		}
	}
	switch under := target.Underlying().(type) {
	case *types.Struct:
		lines = append(lines, head+" struct")
		lines = append(lines, fieldsAPI(pkg, head+" struct, ", under)...)
	case *types.Interface:
		lines = append(lines, head+" interface")
		for m := range under.Methods() {
			if m.Exported() {
				lines = append(lines, head+" interface, "+methodText(pkg, m))
			} else {
				lines = append(lines, head+" interface, unexported methods")
			}
		}
		return lines
	default:
		lines = append(lines, head+" "+typeText(pkg, under))
	}
	byValue := types.NewMethodSet(target)
	for m := range types.NewMethodSet(types.NewPointer(target)).Methods() {
		if !m.Obj().Exported() {
			continue
		}
		receiver := "*" + name.Name()
		if byValue.Lookup(nil, m.Obj().Name()) != nil {
			receiver = name.Name()
		}
		lines = append(lines, "func ("+receiver+") "+methodText(pkg, m.Obj()))
	}
	return lines
}

// fieldsAPI returns the exported fields, those of embedded unexported structs
// among them.
func fieldsAPI(pkg *types.Package, prefix string, of *types.Struct) []string {
	var lines []string
	for i := range of.NumFields() {
		f := of.Field(i)
		inner, isStruct := f.Type().Underlying().(*types.Struct)
		switch {
		case f.Exported():
			line := prefix + f.Name() + " " + typeText(pkg, f.Type())
			if f.Embedded() {
				line = prefix + "embedded " + typeText(pkg, f.Type())
			}
			if tag := of.Tag(i); tag != "" {
				line += " `" + tag + "`"
			}
			lines = append(lines, line)
		case f.Embedded() && isStruct:
			lines = append(lines, fieldsAPI(pkg, prefix, inner)...)
		}
	}
	return lines
}

func methodText(pkg *types.Package, method types.Object) string {
	return method.Name() + strings.TrimPrefix(typeText(pkg, method.Type()), "func")
}

func typeText(pkg *types.Package, of types.Type) string {
	return types.TypeString(of, shortNames(pkg))
}

// shortNames qualifies identifiers as the source of pkg does.
func shortNames(pkg *types.Package) types.Qualifier {
	return func(other *types.Package) string {
		if other.Path() == pkg.Path() {
			return ""
		}
		return other.Name()
	}
}
