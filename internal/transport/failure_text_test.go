package transport

import (
	"net/http"
	"strings"
	"testing"
	"unicode"
	"unicode/utf8"

	"github.com/stretchr/testify/require"

	"github.com/imagejobs/imagejobs-go/internal/redact"
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

func TestErrorText(t *testing.T) {
	for name, tt := range map[string]struct {
		contentType string
		body        string
		code        string
		message     string
	}{
		// NTT: Keystone, Glance, Nova and the gateway.
		"NTT sample":             {"text/plain; charset=UTF-8", "401 Unauthorized\r\n\r\nAuthentication required.", "", "401 Unauthorized Authentication required."},
		"keystonemiddleware old": {"text/html", "Authentication required", "", "Authentication required"},
		"keystonemiddleware": {
			"application/json", `{"error": {"code": 401, "title": "Unauthorized", "message": "The request you have made requires authentication."}}`,
			"401", "The request you have made requires authentication.",
		},
		"webob text": {"text/plain; charset=UTF-8", "404 Not Found\n\nNo image found with ID 42\n\n   ", "", "404 Not Found No image found with ID 42"},
		"webob html": {"text/html; charset=UTF-8", glancePage, "", "404 Not Found No image found with ID 42"},
		"webob json": {
			"application/json", `{"message": "No image found with ID 42<br /><br />\n\n\n", "code": "404 Not Found", "title": "Not Found"}`,
			"404 Not Found", "No image found with ID 42",
		},
		"nova":           {"application/json", `{"badRequest": {"message": "Invalid imageRef", "code": 400}}`, "400", "Invalid imageRef"},
		"gateway fault":  {"application/json", `{"fault": {"faultstring": "Rate limit quota violation", "detail": {"errorcode": "policies.ratelimit.QuotaViolation"}}}`, "policies.ratelimit.QuotaViolation", "Rate limit quota violation"},
		"IAM denial":     {"application/json", `{"errorMessage": "denied by policy", "x": 1}`, "", "denied by policy"},
		"other services": {"application/json", `{"message": "no such tenant"}`, "", "no such tenant"},

		// Oracle: its own form is not documented.
		"provisioning error": {
			"application/json", `{"type":"about:blank","title":"Internal","status":"null","detail":"could not attach","instance":"","errorCode":"InternalError","errorPath":"/x","id":5,"errorMessage":"launch failed"}`,
			"InternalError", "launch failed",
		},
		"problem details": {"application/problem+json", `{"type":"about:blank","title":"Bad Request","detail":"chunk 3 is missing","status":400}`, "", "chunk 3 is missing"},
		"title alone":     {"application/json", `{"title":"Entity Not Found","status":404}`, "", "Entity Not Found"},
		"XML":             {"application/xml", `<?xml version="1.0"?><error><code>400</code><message>Invalid &amp; wrong</message></error>`, "", "400 Invalid & wrong"},
		"HTML":            {"text/html", nginxPage, "", "502 Bad Gateway nginx"},
		"text":            {"text/plain", "System Error", "", "System Error"},
		"OAuth":           {"application/json", `{"error":"invalid_client","error_description":"Client authentication failed."}`, "invalid_client", "Client authentication failed."},
		"OAuth, short":    {"application/json", `{"error":"invalid_client"}`, "", "invalid_client"},

		// Multiplay.
		"locked": {
			"application/json", `{"messages":[],"error_code":1,"error_message":"image locked by diffid: 218595","_debug":[],"success":false,"error":true}`,
			"1", "image locked by diffid: 218595",
		},
		"forbidden": {"text/html; charset=UTF-8", "Forbidden", "", "Forbidden"},

		"empty":                {"", "", "", ""},
		"blank":                {"text/plain", " \r\n\t ", "", ""},
		"empty object":         {"application/json", "{}", "", ""},
		"null members":         {"application/json", `{"message":null,"code":null,"error":null}`, "", ""},
		"JSON as text":         {"text/plain", `{"message":"labeled wrong"}`, "", "labeled wrong"},
		"no content type":      {"", `{"message":"unlabeled"}`, "", "unlabeled"},
		"bad content type":     {";;;", `plain`, "", "plain"},
		"byte order mark":      {"application/json", "\ufeff{\"message\":\"marked\"}", "", "marked"},
		"cut JSON":             {"application/json", `{"message":"cut o`, "", `{"message":"cut o`},
		"list":                 {"application/json", `["a","b"]`, "", `["a","b"]`},
		"JSON string":          {"application/json", `"just text"`, "", `"just text"`},
		"large code":           {"application/json", `{"code":218595000001,"message":"m"}`, "218595000001", "m"},
		"boolean code":         {"application/json", `{"code":true,"message":"m"}`, "", "m"},
		"error with code":      {"application/json", `{"error":"denied","code":7}`, "7", "denied"},
		"deep":                 {"application/json", strings.Repeat(`{"error":`, 9) + `{"message":"too deep"}` + strings.Repeat("}", 9), "", ""},
		"as deep as it may be": {"application/json", strings.Repeat(`{"error":`, 4) + `{"message":"deep"}` + strings.Repeat("}", 4), "", "deep"},
		"a level deeper":       {"application/json", strings.Repeat(`{"error":`, 5) + `{"message":"deep"}` + strings.Repeat("}", 5), "", ""},
		"comparison":           {"text/plain", "size must be < 5 and > 3", "", "size must be < 5 and > 3"},
		"comparison in JSON":   {"application/json", `{"message":"size must be < 5 and > 3"}`, "", "size must be < 5 and > 3"},
		"script":               {"text/html", "<script>if (a < b) { x() }</script><p>Sorry</p><style>p > a {}</style><!-- <b>no</b> -->", "", "Sorry"},
		"only a title":         {"text/html", "<html><head><title>503 Busy</title></head><body></body></html>", "", "503 Busy"},
		"entities":             {"text/html", "<p>a &lt; b &amp;&nbsp;c &#39;d&#39;</p>", "", "a < b & c 'd'"},
		"control characters":   {"text/plain", "bad\x1b[31m red\x00\x07 end", "", "bad [31m red end"},
		"controls in JSON":     {"application/json", `{"message":"bad\u001b[2J\u0000\u0085\u202eend","code":"\u001bc"}`, "c", "bad [2J end"},
		"invalid UTF-8":        {"text/plain", "caf\xe9 is closed", "", "caf\ufffd is closed"},
		"UTF-8":                {"text/plain", "イメージが見つかりません", "", "イメージが見つかりません"},
		"very long":            {"text/plain", strings.Repeat("é", 400), "", strings.Repeat("é", 250) + "…"},
		"very long, odd":       {"text/plain", "x" + strings.Repeat("é", 400), "", "x" + strings.Repeat("é", 249) + "…"},
		"very long, in JSON":   {"application/json", `{"message":"` + strings.Repeat("m", 501) + `","code":"` + strings.Repeat("c", 501) + `"}`, strings.Repeat("c", 500) + "…", strings.Repeat("m", 500) + "…"},
		"as long as it may be": {"text/plain", strings.Repeat("m", 500), "", strings.Repeat("m", 500)},
	} {
		t.Run(name, func(t *testing.T) {
			code, message := textOf(tt.contentType, tt.body)
			require.Equal(t, tt.message, message)
			require.Equal(t, tt.code, code)
		})
	}
}

// textOf is errorText where there are no secrets.
func textOf(contentType, body string) (code, message string) {
	code, message, _ = errorText(&Response{Header: http.Header{"Content-Type": {contentType}}, Body: []byte(body)}, body, nil)
	return code, message
}

// What a response says is known to who parses it, and shown only where it repeats
// no secret itself.
func TestErrorTextWithSecrets(t *testing.T) {
	const secret, hidden = "s3cret-of-the-call", "(not shown: it repeats a secret)"
	for body, want := range map[string][3]string{
		`{"message":"locked","code":"E1","you":"` + secret + `"}`:  {"E1", "locked", "locked"},
		`{"message":"locked by ` + secret + `","code":"E1"}`:       {"E1", hidden, "locked by " + secret},
		`{"message":"locked","code":"` + secret + `"}`:             {hidden, "locked", "locked"},
		`{"error":{"message":"locked by %73%33cret-of-the-call"}}`: {"", hidden, "locked by %73%33cret-of-the-call"},
		`locked by ` + secret: {"", hidden, "locked by " + secret},
	} {
		set := redact.New(secret)
		r := &Response{Header: http.Header{}, Body: []byte(body)}
		code, message, said := errorText(r, set.Body(r.Body, false), set)
		require.Equal(t, want, [3]string{code, message, said}, body)
	}
}

func FuzzErrorText(f *testing.F) {
	for _, body := range []string{
		"401 Unauthorized\r\n\r\nAuthentication required.",
		`{"error": {"code": 401, "title": "Unauthorized", "message": "The request you have made requires authentication."}}`,
		`{"message": "a<br /><br />\n", "code": "404 Not Found"}`,
		`{"badRequest": {"message": "m", "code": 400}}`,
		`{"fault": {"faultstring": "s", "detail": {"errorcode": "c"}}}`,
		`{"messages":[],"error_code":1,"error_message":"image locked by diffid: 218595","success":false,"error":true}`,
		`{"error":"invalid_client","error_description":"d"}`,
		`{"error":{"error":{"error":{"error":{"error":{}}}}}}`,
		glancePage, nginxPage, "<!--", "<script>", "<title></title", "&#0;&#x110000;", "\xff\xfe{", "\ufeff{}", "{\"message\":\"\\ud800\"}",
		strings.Repeat("<", 600), strings.Repeat("é", 300),
	} {
		f.Add("application/json", []byte(body))
		f.Add("text/html; charset=utf-8", []byte(body))
	}
	f.Fuzz(func(t *testing.T, contentType string, body []byte) {
		code, message := textOf(contentType, string(body))
		for _, text := range []string{code, message} {
			require.LessOrEqual(t, len(text), 500+len("…"))
			require.True(t, utf8.ValidString(text), "%q", text)
			require.Equal(t, strings.TrimSpace(text), text)
			require.False(t, strings.ContainsFunc(text, func(r rune) bool {
				return unicode.IsControl(r) || unicode.Is(unicode.Cf, r) && unicode.Is(unicode.Bidi_Control, r)
			}), "%q", text)
			require.NotContains(t, text, "  ")
		}
	})
}
