package redact

import (
	"strings"
	"testing"
	"unicode"
	"unicode/utf8"

	"github.com/stretchr/testify/require"
)

const glancePage = `<html>
 <head>
  <title>404 Not Found</title>
 </head>
 <body>
  <h1>404 Not Found</h1>
  No image found with ID 42<br /><br />


 </body>
</html>`

const nginxPage = "<html>\r\n<head><title>502 Bad Gateway</title></head>\r\n<body>\r\n<center><h1>502 Bad Gateway</h1></center>\r\n<hr><center>nginx</center>\r\n</body>\r\n</html>\r\n"

func TestPageText(t *testing.T) {
	for name, tt := range map[string]struct{ page, want string }{
		"empty":            {"", ""},
		"glance":           {glancePage, "404 Not Found No image found with ID 42"},
		"nginx":            {nginxPage, "502 Bad Gateway nginx"},
		"text":             {"no  page &amp; no\ntags", "no  page &amp; no\ntags"},
		"break":            {"No image found with ID 42<br /><br />\n\n\n", "No image found with ID 42"},
		"XML":              {`<?xml version="1.0"?><error><code>400</code><message>Invalid &amp; wrong</message></error>`, "400 Invalid & wrong"},
		"CDATA":            {`<Error><Message><![CDATA[a < b & c]]></Message></Error>`, "a < b & c"},
		"XML title":        {`<problem><title>Bad Request</title><status>400</status></problem>`, "400"},
		"empty XML title":  {`<problem><title/><detail>chunk 3 is missing</detail></problem>`, "chunk 3 is missing"},
		"script":           {"<script>if (a < b) { x('<b>') }</script><p>Sorry</p><style>p > a {}</style><!-- <b>no</b> -->", "Sorry"},
		"external script":  {`<script src="x" /><p>Sorry</p>`, "Sorry"},
		"capitals":         {"<SCRIPT>x</SCRIPT><P>Sorry</P><STYLE>y</STYLE>", "Sorry"},
		"endless script":   {"<p>Sorry<script>alert(1)", "Sorry"},
		"endless comment":  {"<p>Sorry<!-- x", "Sorry"},
		"endless title":    {"<title>503 Busy", "503 Busy"},
		"without scripts":  {"<noscript><p>Switch it on</p></noscript><p>Sorry</p>", "Sorry"},
		"only a title":     {"<html><head><title>503\n Busy</title></head><body></body></html>", "503 Busy"},
		"only a script":    {"<script>x</script>", ""},
		"no head end":      {"<head><title>t</title><body>Sorry", "Sorry"},
		"head attributes":  {"<head profile='x'><style>y</style></head><header>Sorry</header>", "Sorry"},
		"entities":         {"<p>a &lt; b &amp;&nbsp;c &#39;d&#39;</p>", "a < b & c 'd'"},
		"comparison":       {"size must be < 5 and > 3", "size must be < 5 and > 3"},
		"endless tag":      {"value must be <unset", "value must be <unset"},
		"only endless tag": {"<unset", "<unset"},
		"less than":        {"<", "<"},
		"invalid UTF-8":    {"<p>caf\xe9</p>", "caf\xe9"},
	} {
		t.Run(name, func(t *testing.T) {
			require.Equal(t, tt.want, PageText(tt.page))
		})
	}
}

func TestLine(t *testing.T) {
	for name, tt := range map[string]struct{ text, want string }{
		"empty":          {"", ""},
		"blank":          {" \r\n\t\u00a0\u2028 ", ""},
		"one line":       {" 404 Not Found\r\n\r\n\tNo image\u00a0found ", "404 Not Found No image found"},
		"controls":       {"bad\x1b[31m red\x00\x07\u0085 end\u202e", "bad [31m red end"},
		"invalid UTF-8":  {"caf\xe9 is closed", "caf\ufffd is closed"},
		"UTF-8":          {"イメージが見つかりません", "イメージが見つかりません"},
		"long enough":    {strings.Repeat("m", 500), strings.Repeat("m", 500)},
		"very long":      {strings.Repeat("é", 400), strings.Repeat("é", 250) + "…"},
		"very long, odd": {"x" + strings.Repeat("é", 400), "x" + strings.Repeat("é", 249) + "…"},
	} {
		t.Run(name, func(t *testing.T) {
			require.Equal(t, tt.want, Line(tt.text))
		})
	}
}

func FuzzPageText(f *testing.F) {
	for _, text := range []string{
		glancePage, nginxPage, "<!--", "<script>", "<title></title", "<![CDATA[", "&#0;&#x110000;", "\xff\xfe<",
		strings.Repeat("<", 600), strings.Repeat("<script<!----", 100), strings.Repeat("é", 300), "<plaintext>a",
	} {
		f.Add(text)
	}
	f.Fuzz(func(t *testing.T, text string) {
		line := Line(PageText(text))
		require.LessOrEqual(t, len(line), 500+len("…"))
		require.True(t, utf8.ValidString(line), "%q", line)
		require.Equal(t, strings.TrimSpace(line), line)
		require.False(t, strings.ContainsFunc(line, func(r rune) bool {
			return unicode.IsControl(r) || unicode.Is(unicode.Bidi_Control, r)
		}), "%q", line)
		require.NotContains(t, line, "  ")
	})
}
