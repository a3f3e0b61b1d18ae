package transport

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"regexp"
	"strconv"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/imagejobs/imagejobs-go/internal/auth"
	"github.com/imagejobs/imagejobs-go/internal/rawhttp"
	"github.com/imagejobs/imagejobs-go/internal/redact"
)

// printed is all that a caller may come to print of a failed call.
func printed(t *testing.T, err error, log *records) string {
	t.Helper()
	e := failure(t, err)
	data, jsonErr := json.Marshal(e)
	require.NoError(t, jsonErr)
	return fmt.Sprintf("%v\n%+v\n%#v\n%s\n%+v\n%#v\n%s\n%s", err, err, err, e.Body, *e, e.Err, data, log)
}

// phpJSON is v as PHP writes it, with escaped slashes.
func phpJSON(t *testing.T, v string) string {
	t.Helper()
	data, err := json.Marshal(v)
	require.NoError(t, err)
	return strings.ReplaceAll(string(data), "/", `\/`)
}

// plainJSON is v without the escapes that encoding/json adds for HTML.
func plainJSON(t *testing.T, v string) string {
	t.Helper()
	var b bytes.Buffer
	enc := json.NewEncoder(&b)
	enc.SetEscapeHTML(false)
	require.NoError(t, enc.Encode(v))
	return strings.TrimSpace(b.String())
}

// Services and proxies repeat what they were sent, in the spelling of the
// format at hand and cut anywhere.
func TestSecretsAreNotShown(t *testing.T) {
	const (
		token    = "tok/en+Value=.x"
		password = `p"w\d&<é>/'s+ecr3t`
		link     = "https://bucket.example/build.zip?sig=A%2FB&key=K/1+2&note=a'c"
	)
	pad := strings.Repeat("x", 60)
	basic := auth.Basic("user", password)
	grant, err := basic.Grant(t.Context())
	require.NoError(t, err)
	for name, tt := range map[string]struct {
		credentials auth.Credentials
		secret      string
	}{
		"token":    {bearer(token), token},
		"link":     {bearer(token), link},
		"password": {basic, password},
		"Basic":    {basic, strings.TrimPrefix(grant.Value, "Basic ")},
	} {
		t.Run(name, func(t *testing.T) {
			secret := tt.secret
			spellings := map[string]string{
				"plain":      secret,
				"query":      url.QueryEscape(secret),
				"query low":  regexp.MustCompile(`%..`).ReplaceAllStringFunc(url.QueryEscape(secret), strings.ToLower),
				"path":       url.PathEscape(secret),
				"json":       jsonText(t, secret),
				"php json":   phpJSON(t, secret),
				"plain json": plainJSON(t, secret),
				"html":       htmlEscape(secret),
				"go":         fmt.Sprintf("%q", secret),
			}
			for spelling, text := range spellings {
				for where, answered := range map[string]string{
					"text":              rawhttp.Response("400 Bad Request", "Content-Type: text/plain\r\n", "no such thing: "+text),
					"json":              rawhttp.Response("400 Bad Request", "Content-Type: application/json\r\n", `{"message":`+jsonText(t, "bad: "+text)+`,"code":`+jsonText(t, text)+`}`),
					"raw json":          rawhttp.Response("400 Bad Request", "Content-Type: application/json\r\n", `{"message":"bad `+strings.Trim(text, `"`)+`"}`),
					"html":              rawhttp.Response("502 Bad Gateway", "Content-Type: text/html\r\n", "<html><body>"+text+"</body></html>"),
					"cut message":       rawhttp.Response("400 Bad Request", "Content-Type: text/plain\r\n", strings.Repeat(pad+" ", 8)+text),
					"cut body":          rawhttp.Response("400 Bad Request", "Content-Type: text/plain\r\n", strings.Repeat("y", maxErrorBody-8)+text),
					"not JSON":          rawhttp.Response("200 OK", "Content-Type: text/plain\r\n", text),
					"cut and not JSON":  rawhttp.Response("200 OK", "Content-Type: text/plain\r\n", pad+text),
					"request id":        rawhttp.Response("400 Bad Request", "X-Request-Id: "+oneLine(text)+"\r\n", ""),
					"redirect":          rawhttp.Response("302 Found", "Location: /at/"+url.PathEscape(secret)+"\r\n", ""),
					"broken status":     "HTTP/1.1 " + oneLine(text) + "\r\n\r\n",
					"broken header":     "HTTP/1.1 200 OK\r\n" + oneLine(text) + "\r\n\r\n",
					"odd content type":  rawhttp.Response("200 OK", "Content-Type: "+oneLine(text)+"\r\n", "x"),
					"field of a struct": rawhttp.Response("200 OK", "Content-Type: application/json\r\n", `{"list":{`+jsonText(t, text)+`:1}}`),
				} {
					if spelling != "plain" && where != "text" && where != "raw json" && where != "cut and not JSON" {
						continue // one spelling is enough for the other places
					}
					log := &records{}
					c, _ := pipeClient(t, Config{Credentials: tt.credentials, Logger: log.logger(), Retry: noWait(1)}, last(answered))
					call := get(Once)
					call.Secrets = []string{"key=K/1", link} // the first stands in the second
					_, _, err := do(t.Context(), c, call)
					out := printed(t, err, log)
					// Parts of a secret are secret, too.
					for _, part := range []string{"tok/", "tok%2", "Value", "K/1", "K%2F1", "sig=", "sig%3D", "ecr3t", "cGxh"} {
						require.NotContains(t, out, part, "in %s as %s", where, spelling)
					}
					require.NotContains(t, out, strings.TrimPrefix(text, `"`)[:7], "in %s as %s", where, spelling)
				}
			}
		})
	}
}

func jsonText(t *testing.T, v string) string {
	t.Helper()
	data, err := json.Marshal(v)
	require.NoError(t, err)
	return string(data)
}

func htmlEscape(s string) string {
	return strings.NewReplacer("&", "&amp;", "<", "&lt;", ">", "&gt;", `"`, "&#34;", "'", "&#x27;", "/", "&#x2F;").Replace(s)
}

// oneLine is text as the value of a header.
func oneLine(text string) string { return strings.NewReplacer("\r", "", "\n", "").Replace(text) }

// A message is checked in its decoded form, too.
func TestDecodedMessage(t *testing.T) {
	s := serveTCP(t, rawhttp.Respond(rawhttp.Response("400 Bad Request", "", `{"message":"\u0068ush-hush","code":"\u0068ush-hush"}`)))
	c := newClient(t, Config{BaseURL: s.URL()})
	call := get(Safe)
	call.Secrets = []string{"hush-hush"}
	_, _, err := do(t.Context(), c, call)
	require.Equal(t, redact.Hidden, failure(t, err).Message)
	require.Equal(t, redact.Hidden, failure(t, err).Code)
}

// A secret is not found once its end was cut off, so nothing is cut before all
// that could reach the text that is shown was cleaned.
func TestSecretsAtACut(t *testing.T) {
	long := strings.Repeat("s3cr3t0K", 1100) // of a token with all of its claims
	short := strings.Repeat("s3cr3t0K", 400)
	for name, tt := range map[string]struct{ secret, status, body string }{
		"longer than an error shows":       {long, "200 OK", "debug: " + long},
		"often in a response":              {short, "200 OK", strings.Repeat(short+" ", 3)},
		"cut off by the limit of a body":   {short, "400 Bad Request", strings.Repeat(short+" ", 30)},
		"and as long as it may be in that": {long, "400 Bad Request", strings.Repeat(long+" ", 30)},
	} {
		t.Run(name, func(t *testing.T) {
			log := &records{}
			mock := roundTrip(func(*http.Request) (*http.Response, error) {
				code, _ := strconv.Atoi(tt.status[:3])
				return &http.Response{
					StatusCode: code, Header: http.Header{"Content-Type": {"text/plain"}}, ContentLength: -1,
					Body: io.NopCloser(strings.NewReader(tt.body)),
				}, nil
			})
			c := newClient(t, Config{
				BaseURL: "https://h.example", HTTPClient: &http.Client{Transport: mock}, Credentials: bearer(tt.secret),
				Retry: noWait(1), Logger: log.logger(),
			})
			_, _, err := do(t.Context(), c, get(Safe))
			require.Contains(t, err.Error()+failure(t, err).Body, redact.Hidden)
			require.NotContains(t, printed(t, err, log), "s3cr3t0")
		})
	}
}

// An error names who refused, as far as headers say.
func TestWhoRefused(t *testing.T) {
	const page = "<html><body><h1>Sorry</h1></body></html>"
	for name, tt := range map[string]struct{ status, header, body, want string }{
		"the service":              {"503 Service Unavailable", "", `{"message":"busy"}`, "busy"},
		"through a proxy":          {"503 Service Unavailable", "Server: nginx\r\nVia: 1.1 edge\r\n", `{"message":"busy"}`, "busy"},
		"nginx":                    {"502 Bad Gateway", "Server: nginx/1.22.1\r\n", page, "Sorry (from nginx/1.22.1, a proxy in front of the service)"},
		"by Via":                   {"504 Gateway Timeout", "Via: 1.1 edge (squid/5.7)\r\n", "", "(from 1.1 edge (squid/5.7), a proxy in front of the service)"},
		"the forward proxy":        {"407 Proxy Authentication Required", "Server: squid/5.7\r\n", page, "Sorry (from the forward proxy squid/5.7)"},
		"a server of its own name": {"500 Internal Server Error", "Server: Jetty\r\n", page, "Sorry"},
		"a header with a secret":   {"502 Bad Gateway", "Server: nginx/hush-hush\r\n", page, "Sorry (from " + redact.Hidden + ")"},
	} {
		t.Run(name, func(t *testing.T) {
			s := serveTCP(t, rawhttp.Respond(rawhttp.Response(tt.status, tt.header, tt.body)))
			c := newClient(t, Config{BaseURL: s.URL()})
			call := post(Once, nil)
			call.Secrets = []string{"hush-hush"}
			_, _, err := do(t.Context(), c, call)
			require.Equal(t, tt.want, failure(t, err).Message)
		})
	}
}

// A call with a loop of its own gets one attempt. The Retry-After of a refused
// token is the call's.
func TestSingleAttempts(t *testing.T) {
	s := serveTCP(t, rawhttp.Respond(rawhttp.Response("503 Service Unavailable", "Retry-After: 7\r\n", "")))
	logIn := newClient(t, Config{BaseURL: s.URL(), Retry: noWait(5)})
	c := logIn.SingleAttempts()
	_, resp, err := do(t.Context(), c, get(Safe))
	require.Equal(t, 1, failure(t, err).Attempts)
	require.Equal(t, 7*time.Second, resp.RetryAfter())
	require.True(t, IsTransient(err))
	require.EqualValues(t, 1, s.Requests.Load())

	c = newClient(t, Config{
		BaseURL: s.URL(), Retry: noWait(5), RetryAfter: func(err error) time.Duration { return failure(t, err).RetryAfter },
		Credentials: auth.Token(func(ctx context.Context) (string, time.Time, error) {
			_, _, err := do(ctx, logIn.SingleAttempts(), get(Safe))
			return "", time.Time{}, err
		}, "Authorization", "Bearer "),
	}).SingleAttempts()
	_, resp, err = do(t.Context(), c, get(Safe))
	require.Equal(t, 0, failure(t, err).Attempts)
	require.Equal(t, 7*time.Second, resp.RetryAfter())
	require.True(t, IsTransient(err))
	require.EqualValues(t, 2, s.Requests.Load())
}

// A request for a token that has a time limit of its own and takes too long is
// transient: the call's context has not ended.
func TestTokenTakesTooLong(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c := newClient(t, Config{
			BaseURL: "https://service.example",
			Credentials: auth.Token(func(ctx context.Context) (string, time.Time, error) {
				ctx, cancel := context.WithTimeout(ctx, time.Minute)
				defer cancel()
				<-ctx.Done()
				return "", time.Time{}, ctx.Err()
			}, "Authorization", "Bearer "),
		})
		_, _, err := do(t.Context(), c, get(Safe))
		require.True(t, IsTransient(err), "%v", err)
		require.NotErrorIs(t, err, context.DeadlineExceeded)

		ctx, cancel := context.WithTimeout(t.Context(), time.Second)
		defer cancel()
		_, _, err = do(ctx, c, get(Safe))
		require.False(t, IsTransient(err))
		require.ErrorIs(t, err, context.DeadlineExceeded)
		<-time.After(time.Hour) // for the request that others may wait for
	})
}
