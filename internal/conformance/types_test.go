package conformance

import (
	"go/ast"
	"go/token"
	"maps"
	"net/http"
	"reflect"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/gophercloud/gophercloud/v2"
	"github.com/stretchr/testify/require"

	"github.com/imagejobs/imagejobs-go/imagereplicator"
	"github.com/imagejobs/imagejobs-go/imagereplicator/keystone"
	"github.com/imagejobs/imagejobs-go/multiplay"
	"github.com/imagejobs/imagejobs-go/oraclemarket"
)

// Every exported type, printed in every way: no secret shows.
func TestExportedTypesHideSecrets(t *testing.T) {
	all := samples(t)
	require.Equal(t, exportedTypes(t), slices.Sorted(maps.Keys(all)), "each exported type has a sample")
	for name, s := range all {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			require.NotEmpty(t, s.values)
			for _, v := range s.values {
				requireHidden(t, v)
			}
			if s.plain {
				require.Empty(t, suspicious(reflect.TypeOf(s.values[0]), nil))
			}
		})
	}
}

// exportedTypes returns the names of all exported types, sorted.
func exportedTypes(t *testing.T) []string {
	t.Helper()
	var found []string
	all := packages()
	maps.Copy(all, testPackages())
	for pkg, dir := range all {
		for _, d := range declarations(t, dir) {
			g, ok := d.(*ast.GenDecl)
			if !ok || g.Tok != token.TYPE {
				continue
			}
			for _, spec := range g.Specs {
				if s, ok := spec.(*ast.TypeSpec); ok && s.Name.IsExported() {
					found = append(found, pkg+"."+s.Name.Name)
				}
			}
		}
	}
	slices.Sort(found)
	return slices.Compact(found) // of several systems
}

// sample is an exported type as it is searched for secrets.
type sample struct {
	values []any
	plain  bool // it holds secrets only in fields whose types hide them
}

// table has samples by the names of their types.
type table map[string]sample

// plain adds a type of which a value is made, with a secret wherever one fits.
func plain[T any](all table) {
	var v T
	fill(reflect.ValueOf(&v).Elem(), 0)
	all[reflect.TypeFor[T]().String()] = sample{values: []any{v}, plain: true}
}

// given adds a type with values that hold secrets.
func given[T any](all table, values ...any) {
	all[reflect.TypeFor[T]().String()] = sample{values: values}
}

// fill sets all that can be set: a secret where one fits, something harmless
// elsewhere.
func fill(v reflect.Value, depth int) {
	const deepest = 5
	if secret, ok := secretOf(v.Type()); ok {
		v.Set(reflect.ValueOf(secret))
		return
	}
	if depth > deepest || v.Type() == reflect.TypeFor[*http.Client]() {
		return
	}
	switch v.Kind() {
	case reflect.String:
		v.SetString("text")
	case reflect.Bool:
		v.SetBool(true)
	case reflect.Int, reflect.Int64:
		v.SetInt(1)
	case reflect.Float64:
		v.SetFloat(1)
	case reflect.Struct:
		for _, f := range v.Fields() {
			if f.CanSet() {
				fill(f, depth+1)
			}
		}
	case reflect.Pointer:
		v.Set(reflect.New(v.Type().Elem()))
		fill(v.Elem(), depth+1)
	case reflect.Slice:
		if v.Type().Elem().Kind() != reflect.Uint8 {
			v.Set(reflect.MakeSlice(v.Type(), 1, 1))
			fill(v.Index(0), depth+1)
		}
	case reflect.Map:
		key, value := reflect.New(v.Type().Key()).Elem(), reflect.New(v.Type().Elem()).Elem()
		fill(key, depth+1)
		fill(value, depth+1)
		v.Set(reflect.MakeMap(v.Type()))
		v.SetMapIndex(key, value)
	default:
	}
}

// secretOf returns a secret of that type, if it is one of those made for them.
func secretOf(of reflect.Type) (any, bool) {
	for _, v := range []any{
		multiplay.NewSecret(s3Key), sourceURL(), multiplay.AccessKey(1, keyID, keySecret), keystone.APIKey(keyID, keySecret),
		oraclemarket.NewToken(tokenValue, noTime), imagereplicator.NewToken(tokenValue, noTime), multiplay.NewToken(tokenValue, noTime),
	} {
		if reflect.TypeOf(v) == of {
			return v, true
		}
	}
	switch of {
	case reflect.TypeFor[multiplay.Source]():
		return source(), true
	case reflect.TypeFor[oraclemarket.TokenSource]():
		return oraclemarket.StaticToken(tokenValue), true
	case reflect.TypeFor[imagereplicator.TokenSource]():
		return imagereplicator.StaticToken(tokenValue), true
	case reflect.TypeFor[multiplay.TokenSource]():
		return multiplay.StaticToken(tokenValue), true
	default:
		return nil, false
	}
}

var secretName = regexp.MustCompile(`(?i)secret|token|passw|credential|auth|key$|url$`)

// harmless are fields that match and hold no secret.
var harmless = []string{"CheckpointKey", "AuthURL"}

// suspicious returns a field that by its name may hold a secret, but whose type
// hides none.
func suspicious(of reflect.Type, seen []reflect.Type) string {
	if _, ok := secretOf(of); ok || slices.Contains(seen, of) {
		return ""
	}
	seen = append(seen, of)
	switch of.Kind() {
	case reflect.Pointer, reflect.Slice, reflect.Map, reflect.Array:
		return suspicious(of.Elem(), seen)
	case reflect.Struct:
		if !strings.Contains(of.PkgPath(), ".") { // the standard library's
			return ""
		}
		for f := range of.Fields() {
			if _, ok := secretOf(f.Type); !ok && secretName.MatchString(f.Name) && !slices.Contains(harmless, f.Name) {
				return of.String() + "." + f.Name
			}
			if found := suspicious(f.Type, seen); found != "" {
				return of.String() + "." + f.Name + ": " + found
			}
		}
	default:
	}
	return ""
}

// A field that may hold a secret is found, or the table would prove nothing.
func TestSuspiciousFields(t *testing.T) {
	for _, v := range []any{careless{}, []*careless{}, map[string]careless{}, holdsCareless{}, holdsForeign{}} {
		require.NotEmpty(t, suspicious(reflect.TypeOf(v), nil), "%T", v)
	}
	require.Empty(t, suspicious(reflect.TypeFor[multiplay.S3Source](), nil))
}

type (
	holdsCareless struct{ X *careless }
	holdsForeign  struct{ X *gophercloud.AuthOptions }
)
