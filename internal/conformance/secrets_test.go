package conformance

import (
	"bytes"
	"context"
	"encoding/base64"
	"encoding/gob"
	"encoding/hex"
	"encoding/json"
	"encoding/xml"
	"errors"
	"fmt"
	"log/slog"
	"reflect"
	"strings"
	"sync"
	"testing"

	"github.com/stretchr/testify/require"
)

// traces are the forms in which a text shows that it holds the mark. Letters
// are not escaped in URLs, JSON, Go strings, HTML or XML, so that the mark
// stands for all those; the rest is what fmt and encoders do to bytes, and
// base64 at each offset.
var traces = sync.OnceValue(func() []string {
	list := []string{mark, hex.EncodeToString([]byte(mark)), strings.ToUpper(hex.EncodeToString([]byte(mark)))}
	list = append(list, fmt.Sprintf("% x", mark))
	list = append(list, strings.Trim(fmt.Sprintf("%d", []byte(mark)), "[]"), strings.ReplaceAll(strings.Trim(fmt.Sprintf("%d", []byte(mark)), "[]"), " ", ","))
	goSyntax := fmt.Sprintf("%#v", []byte(mark))
	list = append(list, goSyntax[strings.IndexByte(goSyntax, '{')+1:len(goSyntax)-1])
	for offset := range 3 {
		padding := strings.Repeat("x", offset)
		encoded := base64.RawStdEncoding.EncodeToString([]byte(padding + mark))
		list = append(list, encoded[offset+1:len(encoded)-3])
	}
	return list
})

// leak returns the trace of a secret in text, or nothing.
func leak(text string) string {
	for _, trace := range traces() {
		if at := strings.Index(text, trace); at >= 0 {
			return text[max(0, at-60):min(len(text), at+len(trace)+20)]
		}
	}
	return ""
}

// printed returns v in every way that programs print, log and encode.
func printed(v any) map[string]string {
	all := map[string]string{}
	for _, verb := range []string{"%v", "%+v", "%#v", "%s", "%q", "%x", "%d", "%T"} {
		all[verb] = fmt.Sprintf(verb, v)
	}
	for name, handler := range map[string]func(*strings.Builder) slog.Handler{
		"slog text": func(b *strings.Builder) slog.Handler { return slog.NewTextHandler(b, nil) },
		"slog JSON": func(b *strings.Builder) slog.Handler { return slog.NewJSONHandler(b, nil) },
	} {
		var b strings.Builder
		slog.New(handler(&b)).InfoContext(context.Background(), "x", slog.Any("v", v), slog.Group("g", slog.Any("v", []any{v})))
		all[name] = b.String()
	}
	for name, encode := range map[string]func(*bytes.Buffer) error{
		"JSON": func(b *bytes.Buffer) error { return json.NewEncoder(b).Encode(v) },
		"XML":  func(b *bytes.Buffer) error { return xml.NewEncoder(b).Encode(v) },
		"gob":  func(b *bytes.Buffer) error { return gob.NewEncoder(b).Encode(v) },
	} {
		var b bytes.Buffer
		err := encode(&b)
		all[name] = b.String() + fmt.Sprint(err)
	}
	return all
}

// requireNoSecret looks for the mark in every printed form of v and, where v is
// an error, of what it wraps.
func requireNoSecret(t *testing.T, v any) {
	t.Helper()
	requireNotPrinted(t, v, v)
	err, ok := v.(error)
	if !ok {
		return
	}
	requireNotPrinted(t, v, fmt.Errorf("context: %w", err))
	requireNotPrinted(t, v, errors.Join(errors.New("other"), err))
	switch wrapper := v.(type) {
	case interface{ Unwrap() error }:
		if inner := wrapper.Unwrap(); inner != nil {
			requireNoSecret(t, inner)
		}
	case interface{ Unwrap() []error }:
		for _, inner := range wrapper.Unwrap() {
			requireNoSecret(t, inner)
		}
	}
}

func requireNotPrinted(t *testing.T, of, v any) {
	t.Helper()
	for way, text := range printed(v) {
		if found := leak(text); found != "" {
			require.Fail(t, "a secret shows", "%T in %T with %s: …%s…", of, v, way, found)
		}
	}
}

type (
	// holder is a user's own struct: fmt and others call no methods on
	// unexported fields.
	holder struct {
		Shown  any
		hidden any
	}
	deep struct{ inner holder }
)

// requireHidden is requireNoSecret for v, for a pointer to it, and for either
// inside of something else.
func requireHidden(t *testing.T, v any) {
	t.Helper()
	pointer := reflect.New(reflect.TypeOf(v))
	pointer.Elem().Set(reflect.ValueOf(v))
	for _, v := range []any{v, pointer.Interface()} {
		requireNoSecret(t, v)
		for _, outer := range []any{
			[]any{v}, map[string]any{"x": v}, struct{ Field any }{v}, holder{v, v}, &holder{v, v}, deep{holder{v, v}}, &deep{holder{v, v}},
		} {
			requireNotPrinted(t, v, outer)
		}
		requireNotPrinted(t, v, inField(reflect.ValueOf(v)))
	}
}

// inField returns a struct that has v in a field of v's own type, as a field of
// type any is another case to encoders.
func inField(v reflect.Value) any {
	outer := reflect.New(reflect.StructOf([]reflect.StructField{{Name: "Field", Type: v.Type()}})).Elem()
	outer.Field(0).Set(v)
	return outer.Interface()
}

// The search finds each spelling, or it would prove nothing.
func TestSecretsAreFound(t *testing.T) {
	quoted, err := json.Marshal(keySecret)
	require.NoError(t, err)
	for _, text := range []string{
		keySecret, fmt.Sprintf("%q", keySecret), string(quoted), fmt.Sprintf("%x", keySecret), fmt.Sprintf("%X", keySecret), fmt.Sprintf("% x", keySecret),
		fmt.Sprintf("%d", []byte(keySecret)), fmt.Sprintf("%#v", []byte(keySecret)),
		base64.StdEncoding.EncodeToString([]byte(keyID + ":" + keySecret)),
		base64.URLEncoding.EncodeToString([]byte("a" + keySecret)), base64.StdEncoding.EncodeToString([]byte("ab" + keySecret)),
		base64.StdEncoding.EncodeToString([]byte(keySecret)),
	} {
		require.NotEmpty(t, leak("before "+text+" after"), text)
	}
	require.Empty(t, leak("nothing of the kind"))
	// A type that hides its secret from some ways only is found by the others.
	for _, v := range []any{careless{keySecret}, &careless{keySecret}, holder{hidden: careless{keySecret}}} {
		found := false
		for _, text := range printed(v) {
			found = found || leak(text) != ""
		}
		require.True(t, found, "%T", v)
	}
}

// careless has the methods that most types have, and no more.
type careless struct{ Secret string }

func (careless) String() string               { return "REDACTED" }
func (careless) GoString() string             { return "REDACTED" }
func (careless) Format(f fmt.State, _ rune)   { _, _ = f.Write([]byte("REDACTED")) }
func (careless) MarshalJSON() ([]byte, error) { return []byte(`"REDACTED"`), nil }
func (careless) LogValue() slog.Value         { return slog.StringValue("REDACTED") }
