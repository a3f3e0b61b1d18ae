package conformance

import (
	"context"
	"encoding/base64"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"strings"
	"sync"
	"testing"

	"github.com/stretchr/testify/require"
)

// traces are the forms in which a text shows that it holds the mark. Letters are not escaped in URLs, JSON, Go strings,
// HTML or XML, so that the mark stands for all those; the rest is what fmt does to bytes, and base64 at each offset.
var traces = sync.OnceValue(func() []string {
	list := []string{mark, hex.EncodeToString([]byte(mark)), strings.ToUpper(hex.EncodeToString([]byte(mark)))}
	list = append(list, strings.Trim(fmt.Sprintf("%d", []byte(mark)), "[]"))
	goSyntax := fmt.Sprintf("%#v", []byte(mark))
	list = append(list, goSyntax[strings.IndexByte(goSyntax, '{')+1:len(goSyntax)-1])
	for offset := range 3 {
		padding := strings.Repeat("x", offset)
		encoded := base64.RawStdEncoding.EncodeToString([]byte(padding + mark))
		list = append(list, encoded[offset+1:len(encoded)-3])
	}
	return list
})

// leak is the trace of a secret in text, or nothing.
func leak(text string) string {
	for _, trace := range traces() {
		if at := strings.Index(text, trace); at >= 0 {
			return text[max(0, at-60):min(len(text), at+len(trace)+20)]
		}
	}
	return ""
}

// printed is v in every way that programs print, log and encode.
func printed(v any) map[string]string {
	all := map[string]string{}
	for _, verb := range []string{"%v", "%+v", "%#v", "%s", "%q", "%x", "%d", "%T"} {
		all[verb] = fmt.Sprintf(verb, v)
		all[verb+" in a slice"] = fmt.Sprintf(verb, []any{v})
		all[verb+" in a struct"] = fmt.Sprintf(verb, struct{ Field any }{v})
	}
	for name, handler := range map[string]func(*strings.Builder) slog.Handler{
		"slog text": func(b *strings.Builder) slog.Handler { return slog.NewTextHandler(b, nil) },
		"slog JSON": func(b *strings.Builder) slog.Handler { return slog.NewJSONHandler(b, nil) },
	} {
		var b strings.Builder
		slog.New(handler(&b)).InfoContext(context.Background(), "x", slog.Any("v", v), slog.Group("g", slog.Any("v", []any{v})))
		all[name] = b.String()
	}
	data, err := json.Marshal(v)
	all["JSON"] = string(data) + fmt.Sprint(err)
	data, err = json.Marshal(map[string]any{"v": v})
	all["JSON in a map"] = string(data) + fmt.Sprint(err)
	err, isError := v.(error)
	if !isError {
		err = fmt.Errorf("context: %v", v)
	}
	all["wrapped"] = fmt.Errorf("context: %w", err).Error()
	all["joined"] = fmt.Sprintf("%+v", errors.Join(errors.New("other"), err))
	return all
}

// requireNoSecret looks for the mark in every printed form of v and, where v is an error, of what it wraps.
func requireNoSecret(t *testing.T, v any) {
	t.Helper()
	for way, text := range printed(v) {
		if found := leak(text); found != "" {
			require.Fail(t, "a secret shows", "%T with %s: …%s…", v, way, found)
		}
	}
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

// The search finds each spelling, or it would prove nothing.
func TestSecretsAreFound(t *testing.T) {
	quoted, err := json.Marshal(keySecret)
	require.NoError(t, err)
	for _, text := range []string{
		keySecret, fmt.Sprintf("%q", keySecret), string(quoted), fmt.Sprintf("%x", keySecret), fmt.Sprintf("%X", keySecret),
		fmt.Sprintf("%d", []byte(keySecret)), fmt.Sprintf("%#v", []byte(keySecret)),
		base64.StdEncoding.EncodeToString([]byte(keyID + ":" + keySecret)),
		base64.URLEncoding.EncodeToString([]byte("a" + keySecret)), base64.StdEncoding.EncodeToString([]byte("ab" + keySecret)),
		base64.StdEncoding.EncodeToString([]byte(keySecret)),
	} {
		require.NotEmpty(t, leak("before "+text+" after"), text)
	}
	require.Empty(t, leak("nothing of the kind"))
}
