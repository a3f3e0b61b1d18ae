package redact

import (
	"fmt"
	"strings"
	"testing"
	"unicode/utf8"

	"github.com/stretchr/testify/require"
)

// pemKey returns a PEM key with lines of random digits, separated by newline.
func pemKey(newline string) string {
	return "-----BEGIN RSA PRIVATE KEY-----" + newline +
		"MIIEpAIBAAKCAQEAwk3m1Zr8TzqQ0dHt+Vt1nP7/9cXoYJ0bq5c4R6hXo2mG8dUf" + newline +
		"Qz5uSg0m4nE+5k1tVYyCjw2b0ZJm3K/7b1sYxqkU8lqf3iJrH9v6TzF0aLwWc2Nd" + newline +
		"Zk9yQ2hhbmdlTWVOb3cK7w==" + newline +
		"-----END RSA PRIVATE KEY-----" + newline
}

// secrets and a part of each that must not be shown.
var secrets = map[string]string{
	"password":    `p"w\d&<é>/'s+e=c%41 ret`,
	"token":       "0123456789abcdefGHIJKLMNOPqrstuv",
	"basic":       "user:correct-horse-battery-staple",
	"unicode":     "пароль\U0001F511鍵は秘密",
	"short":       "a/b+c&d",
	"pem":         pemKey("\n"),
	"pem in json": pemKey(`\n`),
	"pem on Windows": strings.ReplaceAll(
		pemKey("\n"), "\n", "\r\n"),
	"long": strings.Repeat("eyJhbGciOi.", 40) + "signature",
	"url":  "https://bucket.example/build.zip?sig=A%2FB&key=K/1+2&note=a'c",
}

func TestContainsAnyNestingOfTwo(t *testing.T) {
	for name, secret := range secrets {
		t.Run(name, func(t *testing.T) {
			set := New("other-secret", secret, "")
			for _, inner := range encoders {
				for _, outer := range encoders {
					encoded := outer.encode(`{"q":"` + inner.encode(secret) + `"}`)
					for where, text := range map[string]string{
						"alone":  outer.encode(inner.encode(secret)),
						"start":  encoded + " is wrong",
						"end":    "invalid: " + encoded,
						"within": "<p>invalid&nbsp;%20\n[" + encoded + "]</p>",
					} {
						require.True(t, set.Contains(text), "%s in %s, %s: %s", inner.name, outer.name, where, text)
					}
				}
			}
			require.Equal(t, Hidden, set.Text("invalid: "+secret))
			require.Equal(t, "invalid", set.Text("invalid"))
		})
	}
}

func TestContains(t *testing.T) {
	long := strings.Repeat("0123456789", 20)
	for name, tt := range map[string]struct {
		secrets []string
		text    string
		want    bool
	}{
		"no secrets":                 {nil, "text", false},
		"no text":                    {[]string{"abcd"}, "", false},
		"too short":                  {[]string{"abc", "", "  abc\n"}, "abc abc", false},
		"shortest":                   {[]string{"abcd"}, "the abcd.", true},
		"trimmed":                    {[]string{" \tabcdefgh\r\n"}, "xabcdefghx", true},
		"letter case":                {[]string{"abcdefgh"}, "ABCDEFGH", false},
		"short, all":                 {[]string{"abcd"}, "abcd", true},
		"short in a word":            {[]string{"port"}, "report ports portal reporting", false},
		"short and a digit":          {[]string{"port"}, "port8080", false},
		"short and a letter":         {[]string{"port"}, "éport", false},
		"short in signs":             {[]string{"port"}, "my-port_1", true},
		"short, encoded":             {[]string{"port"}, "%2Fport", true},
		"short with signs":           {[]string{"/+&="}, "a/+&=b", true},
		"seven":                      {[]string{"1234567"}, "x1234567", false},
		"eight":                      {[]string{"12345678"}, "x12345678", true},
		"no pattern":                 {[]string{"a.*z"}, "abcz", false},
		"made by tags":               {[]string{"correct horse"}, "<p>not <b>correct</b> horse", true},
		"made by tags, in JSON":      {[]string{"correct horse"}, `{"message":"<b>correct\u003c/b\u003ehorse"}`, true},
		"made by control characters": {[]string{"correct horse"}, "correct\x00 \x07horse", true},
		"made by a no-break space":   {[]string{"correct horse"}, "<pre>correct&nbsp;horse", true},
		"space as plus":              {[]string{"a b c d"}, "q=a+b+c+d", true},
		"plus kept in a path":        {[]string{"a+b+c/d"}, "/a+b+c%2Fd", true},
		"invalid UTF-8":              {[]string{"key\xff\xfeyek"}, "the key\xff\xfeyek", true},
		"invalid UTF-8 in Go":        {[]string{"key\xff\xfeyek"}, `"key\xff\xfeyek"`, true},
		"invalid UTF-8 in a URL":     {[]string{"key\xff\xfeyek"}, `key%ff%FEyek`, true},
		"invalid text":               {[]string{"abcdefgh"}, "\xff\xc3%\\&#abcdefgh\xe2\x82", true},
		"named entities":             {[]string{`<"'&>`}, "&LT;&QUOT;&apos;&amp&GT;", true},
		"leading zeros":              {[]string{`<"'&>`}, "&#060;&#034;&#x0027;&#038;&#0000062;", true},
		"three layers":               {[]string{`a"b/c&d.`}, `/?q=%7B%22y%22%3A%22%7B%5C%22z%5C%22%3A%5C%22a%5C%5C%5C%22b/c%5C%5Cu0026d.`, true},
		"four layers":                {[]string{"a/b+c&d."}, "a%2525252Fb%2525252bc%25252526d.", true},
		"JSON in JSON in HTML":       {[]string{`a"b/c&d.`}, `<p>{&quot;x&quot;:&quot;{\&quot;y\&quot;:\&quot;a\\\&quot;b\\/c\\u0026d.\&quot;}`, true},
		"Basic":                      {[]string{"correct horse"}, "Authorization: Basic dXNlcjpjb3JyZWN0IGhvcnNl", true},
		"Basic, lines":               {[]string{"correct horse"}, "Basic dXNlcjpj\r\nb3JyZWN0IGhv\r\ncnNl", true},
		"Basic behind 2 digits":      {[]string{"correct horse"}, "auth:a/dXNlcjpjb3JyZWN0IGhvcnNl/1", true},
		"Basic behind 3 digits":      {[]string{"correct horse"}, "auth:ab/dXNlcjpjb3JyZWN0IGhvcnNl/1", true},
		"Basic behind a slash":       {[]string{"correct horse"}, "/auth/dXNlcjpjb3JyZWN0IGhvcnNl/1", true},
		"Basic in a URL":             {[]string{"c>rrect ?orse"}, "?auth=dXNlcjpjPnJyZWN0ID9vcnNl%0A", true},
		"Basic in a form":            {[]string{"0000"}, "0d2+MDAwMA+0", true},
		"base64 of something else":   {[]string{"correct horse"}, "Basic dXNlcjpjb3JyZWN0IGhvcnMK", false},
		"line of a key":              {[]string{pemKey("\n")}, "bad line Qz5uSg0m4nE+5k1tVYyCjw2b0ZJm3K/7b1sYxqkU8lqf3iJrH9v6TzF0aLwWc2Nd", true},
		"last line of a key":         {[]string{pemKey("\n")}, "bad line Zk9yQ2hhbmdlTWVOb3cK7w==", true},
		"frame of a key":             {[]string{pemKey("\n")}, "expected -----BEGIN RSA PRIVATE KEY----- here", false},
		"key without line breaks":    {[]string{pemKey("\n")}, pemKey(""), true},
		"key in other lines":         {[]string{pemKey("\n")}, strings.Join(strings.SplitAfter(pemKey(""), "u"), "\n"), true},
		"key of one line":            {[]string{pemKey("")}, pemKey("\n")[40:120], true},
		"its frame":                  {[]string{pemKey("")}, "expected -----BEGIN RSA PRIVATE KEY----- here", false},
		"key in the environment":     {[]string{pemKey(`\n`)}, pemKey("\r\n"), true},
		"Windows key":                {[]string{pemKey(`\r\n`)}, pemKey("\n"), true},
		"key with old line breaks":   {[]string{pemKey("\r")}, pemKey("\r\n"), true},
		"short lines":                {[]string{"one\ntwo\nthree"}, `"one\ntwo\nthree"`, true},
		"short line":                 {[]string{"one\ntwo\nthree"}, "three", false},
		"backslash in a password":    {[]string{`DOMAIN\name`}, `"DOMAIN\\name"`, true},
		"part of a long secret":      {[]string{long}, long[50:150], true},
		"smallest part that counts":  {[]string{randomSecret(200)}, randomSecret(200)[1:64], true},
		"small part of it":           {[]string{long}, long[50:70], false},
		"blanks within a secret":     {[]string{"one" + strings.Repeat(" ", 90) + "two"}, "code:" + strings.Repeat(" ", 80) + "return", false},
		"host of a URL":              {[]string{"https://bucket.example/folder/build.zip?" + long}, "https://bucket.example/folder/build.zip is missing", false},
		"URL":                        {[]string{"https://bucket.example/folder/build.zip?" + long}, "at https://bucket.example/folder/build.zip?" + long, true},
		"percent sign in the secret": {[]string{"100%41&<;"}, "100%41&amp;&lt;;", true},
	} {
		t.Run(name, func(t *testing.T) {
			require.Equal(t, tt.want, New(tt.secrets...).Contains(tt.text))
		})
	}
}

func TestOrdinaryTextIsShown(t *testing.T) {
	set := New("user", "port", "test", "name", "prod", "abcd", "s3cr3t-Pa55", pemKey("\n"), "admin:admin", "000000", "1234")
	for _, text := range []string{
		"404 Not Found: no image found with ID 42",
		"<html>\n <head>\n  <title>404 Not Found</title>\n </head>\n <body>\n  <h1>404 Not Found</h1>\n  No image found&nbsp;<br />\n </body>\n</html>",
		`{"error":{"code":401,"title":"Unauthorized","message":"The request you have made requires authentication."}}`,
		`{"messages":[],"error_code":1,"error_message":"image locked by diffid: 218595","success":false,"error":true}`,
		"usernames are reported by the portal; testing products, filenames 12345 and 1000000",
		"https://bucket.example/imports/support/latest?userid=1234567",
		"Bearer error=\"invalid_token\", trace 00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01",
		"dial tcp 10.0.0.1:443: connect: connection refused",
		Hidden, Redacted,
	} {
		require.Equal(t, text, set.Text(text))
		require.Equal(t, text, set.Body([]byte(text), false))
	}
}

func TestNoSecrets(t *testing.T) {
	var none *Set
	for _, set := range []*Set{none, {}, New(), New("", "abc")} {
		require.False(t, set.Contains("abc"))
		require.Equal(t, "abc", set.Text("abc"))
		require.Equal(t, "abc", set.Body([]byte("abc"), true))
		require.NoError(t, set.Err(nil))
	}
}

func TestSetKeepsItsSecrets(t *testing.T) {
	secrets := []string{"hush-hush"}
	set := New(secrets...)
	secrets[0] = "other"
	require.True(t, set.Contains("hush-hush"))
}

func TestSetPrintsNoSecret(t *testing.T) {
	set := New("hush-hush")
	require.True(t, set.Contains("hush-hush"))
	type holder struct{ set *Set }
	for _, verb := range []string{"%v", "%+v", "%#v", "%q", "%s", "%x"} {
		require.NotContains(t, fmt.Sprintf(verb+verb+verb, set, *set, holder{set}), "hush")
	}
}

// Wherever a body is cut, less is left of a secret than its first character.
func TestBodyIsCut(t *testing.T) {
	const lead = `HTTP 400 (%2f, \/, &lt;): `
	for name, secret := range secrets {
		t.Run(name, func(t *testing.T) {
			set := New("other-secret", secret)
			_, secret, _ := strings.Cut(secret, "KEY-----") // which may be shown
			secret = strings.TrimLeft(secret, `\rn`+"\r\n")
			if secret == "" {
				secret = secrets[name]
			}
			first, _ := utf8.DecodeRuneInString(secret)
			for _, inner := range encoders {
				for _, outer := range encoders {
					shown := lead + outer.encode("[")
					encoded := outer.encode("[" + inner.encode(secret))
					character := len(outer.encode(inner.encode(string(first))))
					for n := 0; n <= len(encoded); n += 1 + n/10 {
						body := set.Body([]byte(lead+encoded[:n]), true)
						if body == Hidden { // and so is a longer one
							break
						}
						require.GreaterOrEqual(t, len(body), len(lead)/2, "%s in %s, cut after %s: %s", inner.name, outer.name, encoded[:n], body)
						require.LessOrEqual(t, len(body)-len(commonPrefix(body, shown)), character,
							"%s in %s, cut after %s: %s", inner.name, outer.name, encoded[:n], body)
					}
				}
			}
		})
	}
}

func commonPrefix(a, b string) string {
	n := 0
	for n < min(len(a), len(b)) && a[n] == b[n] {
		n++
	}
	return a[:n]
}

func TestBody(t *testing.T) {
	for name, tt := range map[string]struct {
		body, want string
	}{
		"no secret":         {"nothing to hide", "nothing to hide"},
		"whole secret":      {"it is hush-hush now", Hidden},
		"beginning":         {"it is hush-h", "it is "},
		"first byte":        {"it is h", "it is "},
		"all":               {"hush-h", ""},
		"beginning, then":   {"it is hush-h.", "it is hush-h."},
		"within an escape":  {"it is hush%2", "it is "},
		"JSON":              {`{"a":"\u0068\u0075\u00`, `{"a":"`},
		"HTML":              {"<p>it is hush&#4", "<p>it is "},
		"HTML in a URL":     {"q=it+is+hush%26%234", "q=it+is+"},
		"base64":            {"Basic dXNlcjpodXNoLWh1c", "Basic dXNlcj"},
		"base64 and more":   {"Basic dXNlcjpodXNoLWh1c, realm", "Basic dXNlcjpodXNoLWh1c, realm"},
		"base64 and others": {"Basic dXNlcjp1c2VyOnVz ab", "Basic dXNlcjp1c2VyOnVz ab"},
		"path":              {`C:\Users`, `C:\Users`},
		"invalid UTF-8":     {"it\xff\xc3", "it\xff\xc3"},
	} {
		t.Run(name, func(t *testing.T) {
			set := New("hush-hush")
			require.Equal(t, tt.want, set.Body([]byte(tt.body), true))
			if tt.want != Hidden {
				require.Equal(t, tt.body, set.Body([]byte(tt.body), false))
			}
		})
	}
}

func FuzzContains(f *testing.F) {
	for i := range encoders {
		f.Add(`p"w\d&<é>/'s+ecret`, "text %", "&# more", uint8(i), uint8(len(encoders)-i))
		f.Add(pemKey("\n"), `\`, "=", uint8(i), uint8(2*i))
	}
	f.Fuzz(func(t *testing.T, secret, before, after string, inner, outer uint8) {
		secret = strings.TrimSpace(secret)
		if len(secret) < shortest || !utf8.ValidString(secret) {
			return // not searched for, or lost in JSON
		}
		first, second := encoders[int(inner)%len(encoders)], encoders[int(outer)%len(encoders)]
		text := before + " " + second.encode(before+" "+first.encode(secret)+" "+after) + " " + after
		set := New(secret)
		require.True(t, set.Contains(text), "%s in %s: %q", first.name, second.name, text)
		require.Equal(t, Hidden, set.Body([]byte(text), true))
		set.Body([]byte(text[:len(text)/2]), true) // must not panic
	})
}
