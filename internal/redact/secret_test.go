package redact

import (
	"bytes"
	"encoding/gob"
	"encoding/json"
	"encoding/xml"
	"fmt"
	"log/slog"
	"reflect"
	"strings"
	"testing"
	"text/template"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

const hush = "hush-hush"

// holder is a struct of a user, with a Secret wherever one can be.
type holder struct {
	Value   Secret
	Pointer *Secret
	Any     any `xml:"-"`
	List    []Secret
	Map     map[string]Secret `xml:"-"`
	value   Secret
	pointer *Secret
	inner   *holder
}

func newHolder() holder {
	s := NewSecret(hush)
	h := holder{s, &s, s, []Secret{s}, map[string]Secret{"k": s}, s, &s, nil}
	h.inner = &holder{value: s, pointer: &s, Any: &s}
	return h
}

func TestSecretIsNotPrinted(t *testing.T) {
	s, h := NewSecret(hush), newHolder()
	for _, v := range []any{s, &s, h, &h, []any{s, &s, h, &h}, map[string]any{"k": s, "p": &s}, struct{ s Secret }{s}} {
		for _, verb := range []string{"%v", "%+v", "%#v", "%q", "%s", "%x", "%X", "% x", "%d", "%t", "%p", "%T", "%w", "%20s", "%-20.3q"} {
			requireHushed(t, fmt.Sprintf(verb, v))
		}
		data, err := json.Marshal(v)
		require.NoError(t, err)
		requireHushed(t, string(data))

		data, _ = xml.Marshal(v) // not of maps
		requireHushed(t, string(data))

		var b bytes.Buffer
		_ = gob.NewEncoder(&b).Encode(v)
		requireHushed(t, b.String())

		b.Reset()
		for _, handler := range []slog.Handler{slog.NewTextHandler(&b, nil), slog.NewJSONHandler(&b, nil)} {
			slog.New(handler).InfoContext(t.Context(), "message", "key", v)
		}
		requireHushed(t, b.String())

		b.Reset()
		require.NoError(t, template.Must(template.New("").Parse("{{.}}")).Execute(&b, v))
		requireHushed(t, b.String())

		// What a failed test prints calls no methods and follows pointers.
		failed := &recorder{}
		assert.Equal(failed, "something else", v)
		require.NotEmpty(t, failed.text)
		requireHushed(t, failed.text)

		requireUnreachable(t, reflect.ValueOf(v), 0)
	}
}

func requireHushed(t *testing.T, text string) {
	t.Helper()
	require.NotContains(t, text, "hush")
	require.NotContains(t, strings.ToLower(text), fmt.Sprintf("%x", "hush"))
}

// requireUnreachable walks all that v reaches, unexported fields included, as
// debuggers and packages that compare or dump values do.
func requireUnreachable(t *testing.T, v reflect.Value, depth int) {
	t.Helper()
	if depth > 20 {
		return
	}
	switch v.Kind() {
	case reflect.Pointer, reflect.Interface:
		if !v.IsNil() {
			requireUnreachable(t, v.Elem(), depth+1)
		}
	case reflect.Struct:
		for _, field := range v.Fields() {
			requireUnreachable(t, field, depth+1)
		}
	case reflect.Slice, reflect.Array:
		for i := range v.Len() {
			requireUnreachable(t, v.Index(i), depth+1)
		}
	case reflect.Map:
		for _, key := range v.MapKeys() {
			requireUnreachable(t, v.MapIndex(key), depth+1)
		}
	case reflect.String:
		requireHushed(t, v.String())
	default:
	}
}

type recorder struct{ text string }

func (r *recorder) Errorf(format string, args ...any) { r.text += fmt.Sprintf(format, args...) }

func TestSecret(t *testing.T) {
	s := NewSecret(hush)
	require.Equal(t, hush, s.Reveal())
	require.False(t, s.IsZero())
	require.True(t, s.Equal(NewSecret(hush)))
	require.False(t, s.Equal(NewSecret("other")))
	require.False(t, s.Equal(Secret{}))
	require.Equal(t, "REDACTED REDACTED REDACTED", fmt.Sprintf("%v %#v %x", s, s, &s))

	data, err := json.Marshal(struct {
		Set    Secret
		Unset  Secret
		Absent Secret `json:",omitzero"`
	}{Set: s})
	require.NoError(t, err)
	require.JSONEq(t, `{"Set":"REDACTED","Unset":""}`, string(data))

	data, err = xml.Marshal(struct {
		XMLName   xml.Name `xml:"e"`
		Attribute Secret   `xml:"a,attr"`
		Element   Secret   `xml:"b"`
	}{Attribute: s, Element: s})
	require.NoError(t, err)
	require.Equal(t, `<e a="REDACTED"><b>REDACTED</b></e>`, string(data))

	require.ErrorContains(t, gob.NewEncoder(&bytes.Buffer{}).Encode(holder{Value: s}), "no exported fields")

	for _, empty := range []Secret{{}, NewSecret("")} {
		require.True(t, empty.IsZero())
		require.Empty(t, empty.Reveal())
		require.Empty(t, fmt.Sprintf("%v%+v%#v%q", empty, empty, empty, empty))
		require.True(t, empty.Equal(Secret{}))
	}
}
