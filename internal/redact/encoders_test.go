package redact

import (
	"bytes"
	"encoding/base64"
	"encoding/json"
	"fmt"
	"html"
	"net/url"
	"strings"
	"testing"
	"unicode"
	"unicode/utf16"

	"go.uber.org/goleak"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// encoder is a way in which services and proxies spell what they were sent.
type encoder struct {
	name   string
	encode func(text string) string
}

var encoders = []encoder{
	{"plain", func(text string) string { return text }},
	{"query", url.QueryEscape},
	{"path", url.PathEscape},
	{"lower percent", func(text string) string { return eachByte("%%%02x", text) }},
	{"json", func(text string) string { return jsonString(text, true) }},
	{"plain json", func(text string) string { return jsonString(text, false) }},
	{"php json", func(text string) string { return strings.ReplaceAll(jsonString(text, false), "/", `\/`) }},
	{"utf-16 json", utf16Escapes},
	{"go", func(text string) string { return fmt.Sprintf("%q", text) }},
	{"ascii go", func(text string) string { return fmt.Sprintf("%+q", text) }},
	{"html", html.EscapeString},
	{"decimal html", func(text string) string { return entities("&#%d;", text) }},
	{"hex html", func(text string) string { return entities("&#x%X;", text) }},
	{"named html", namedEntities.Replace},
	{"base64", func(text string) string { return base64.StdEncoding.EncodeToString([]byte(text)) }},
	{"url base64", func(text string) string { return base64.RawURLEncoding.EncodeToString([]byte(text)) }},
	{"mime base64", mimeBase64},
}

var namedEntities = strings.NewReplacer("&", "&amp;", "<", "&lt;", ">", "&gt;", `"`, "&quot;", "'", "&apos;",
	"/", "&sol;", "+", "&plus;", "=", "&equals;", `\`, "&bsol;", "%", "&percnt;", "é", "&eacute;", "\n", "&NewLine;")

func eachByte(format, text string) string {
	var b strings.Builder
	for _, c := range []byte(text) {
		fmt.Fprintf(&b, format, c)
	}
	return b.String()
}

func jsonString(text string, escapeHTML bool) string {
	var b bytes.Buffer
	enc := json.NewEncoder(&b)
	enc.SetEscapeHTML(escapeHTML)
	if err := enc.Encode(text); err != nil {
		panic(err)
	}
	return strings.TrimSpace(b.String())
}

func utf16Escapes(text string) string {
	var b strings.Builder
	for _, unit := range utf16.Encode([]rune(text)) {
		fmt.Fprintf(&b, `\u%04X`, unit)
	}
	return b.String()
}

// entities leaves control characters alone, which HTML cannot spell.
func entities(format, text string) string {
	var b strings.Builder
	for _, r := range text {
		if unicode.IsControl(r) {
			b.WriteRune(r)
		} else {
			fmt.Fprintf(&b, format, r)
		}
	}
	return b.String()
}

func mimeBase64(text string) string {
	const columns = 76
	var b strings.Builder
	digits := base64.StdEncoding.EncodeToString([]byte(text))
	for ; len(digits) > columns; digits = digits[columns:] {
		b.WriteString(digits[:columns] + "\r\n")
	}
	return b.String() + digits
}
