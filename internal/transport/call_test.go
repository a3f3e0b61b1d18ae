package transport

import (
	"context"
	"encoding/json"
	"errors"
	"net"
	"net/http"
	"net/url"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/imagejobs/imagejobs-go/internal/rawhttp"
)

func TestURL(t *testing.T) {
	type options struct {
		Limit  int      `url:"limit,omitempty"`
		Filter []string `url:"filter,omitempty"`
	}
	for name, tt := range map[string]struct {
		base  string
		path  []string
		query any
		want  string
	}{
		"no path":            {"https://h.example", nil, nil, "https://h.example"},
		"segments":           {"https://h.example", []string{"v1", "jobs", "7"}, nil, "https://h.example/v1/jobs/7"},
		"prefix":             {"https://h.example/pre/fix/", []string{"jobs"}, nil, "https://h.example/pre/fix/jobs"},
		"escaped prefix":     {"https://h.example/a%2Fb", []string{"jobs"}, nil, "https://h.example/a%2Fb/jobs"},
		"space":              {"https://h.example", []string{"a b"}, nil, "https://h.example/a%20b"},
		"percent":            {"https://h.example", []string{"50%", "%2e%2e", "%2F"}, nil, "https://h.example/50%25/%252e%252e/%252F"},
		"query in a segment": {"https://h.example", []string{"a?b=c#d"}, nil, "https://h.example/a%3Fb=c%23d"},
		"another host":       {"https://h.example", []string{"@evil.test:80"}, nil, "https://h.example/@evil.test:80"},
		"scheme":             {"https://h.example", []string{"http:evil"}, nil, "https://h.example/http:evil"},
		"semicolon":          {"https://h.example", []string{"a;b,c"}, nil, "https://h.example/a%3Bb%2Cc"},
		"dots":               {"https://h.example", []string{"...", "a..", "..b"}, nil, "https://h.example/.../a../..b"},
		"unicode":            {"https://h.example", []string{"ü", "画像"}, nil, "https://h.example/%C3%BC/%E7%94%BB%E5%83%8F"},
		"values":             {"https://h.example", []string{"j"}, url.Values{"b": {"2&3"}, "a": {"1", "x y"}}, "https://h.example/j?a=1&a=x+y&b=2%263"},
		"struct":             {"https://h.example", []string{"j"}, options{Limit: 5, Filter: []string{"a", "b"}}, "https://h.example/j?filter=a&filter=b&limit=5"},
		"struct pointer":     {"https://h.example", []string{"j"}, &options{Limit: 5}, "https://h.example/j?limit=5"},
		"zero struct":        {"https://h.example", []string{"j"}, options{}, "https://h.example/j"},
		"nil pointer":        {"https://h.example", []string{"j"}, (*options)(nil), "https://h.example/j"},
	} {
		t.Run(name, func(t *testing.T) {
			c := newClient(t, Config{BaseURL: tt.base})
			x := &callState{Call: &Call{Path: tt.path, Query: tt.query}}
			require.Empty(t, x.resolve(&c.baseURL))
			require.Equal(t, tt.want, x.url.String())
		})
	}
}

func TestURLRefused(t *testing.T) {
	c := newClient(t, Config{BaseURL: "https://h.example/pre"})
	for name, tt := range map[string]struct {
		segment string
		want    string
	}{
		"empty":         {"", "must not be empty"},
		"dot":           {".", "must not be a dot segment"},
		"dots":          {"..", "must not be a dot segment"},
		"slash":         {"a/b", "must not contain a slash"},
		"only a slash":  {"/", "must not contain a slash"},
		"climbing":      {"../../x", "must not contain a slash"},
		"backslash":     {`..\x`, "must not contain a slash"},
		"line end":      {"a\r\nb", "must not contain control characters"},
		"NUL":           {"a\x00", "must not contain control characters"},
		"delete":        {"a\x7f", "must not contain control characters"},
		"C1":            {"a\u0085", "must not contain control characters"},
		"invalid UTF-8": {"a\xff", "must be valid UTF-8"},
	} {
		t.Run(name, func(t *testing.T) {
			_, _, err := do(t.Context(), c, &Call{Operation: "Jobs.Get", Method: http.MethodGet, Path: []string{"jobs", tt.segment}})
			require.ErrorIs(t, err, ErrInvalidArgument)
			require.ErrorContains(t, err, ": Jobs.Get: path segment")
			require.ErrorContains(t, err, tt.want)

			require.Equal(t, tt.want, IDProblem(tt.segment))
		})
	}
	require.Empty(t, IDProblem("0a-b.c"))

	_, _, err := do(t.Context(), c, &Call{Operation: "Jobs.List", Query: 7})
	require.ErrorIs(t, err, ErrInvalidArgument)
	require.ErrorContains(t, err, ": Jobs.List: encode query")
}

// Whatever the ids, a request goes to the base URL's origin and below its path.
func FuzzURL(f *testing.F) {
	for _, id := range []string{
		"7", "a b", "..", ".", "%2e%2e", "%2F..%2F", "a/../b", `..\..`, "//evil.test", "@evil.test", ":80", "?a=b", "#x", "\r\n", "ü",
		"\xff", "a\u2028b", "..;", ";/..", "https://evil.test", "[::1]", "\u2024\u2024", "．．", "%00", "", "+", "&",
	} {
		f.Add(id, "x", "v")
		f.Add("jobs", id, id)
	}
	base, problem := parseBaseURL("https://h.example:8443/pre/fix", false, "")
	require.Empty(f, problem)
	f.Fuzz(func(t *testing.T, first, second, value string) {
		x := &callState{Call: &Call{Path: []string{first, second}, Query: url.Values{"q": {value}}}}
		if x.resolve(&base) != "" {
			return
		}
		u := x.url
		// As it goes over the wire, and as a server may read it.
		req, err := http.NewRequestWithContext(t.Context(), http.MethodGet, u.String(), http.NoBody)
		require.NoError(t, err)
		require.True(t, base.sameOrigin(req.URL))
		require.Nil(t, req.URL.User)
		require.Empty(t, req.URL.Fragment)
		require.Equal(t, "h.example:8443", req.URL.Host)
		segments := strings.Split(req.URL.EscapedPath(), "/")
		require.Len(t, segments, 5)
		require.Equal(t, []string{"", "pre", "fix"}, segments[:3])
		require.Equal(t, req.URL.Path, req.URL.JoinPath().Path, "nothing to clean")
		for i, want := range []string{first, second} {
			got, err := url.PathUnescape(segments[3+i])
			require.NoError(t, err)
			require.Equal(t, want, got)
		}
		require.Equal(t, value, req.URL.Query().Get("q"))
		require.NotContains(t, publicURL(req.URL, nil), "?")
	})
}

func TestPublicURL(t *testing.T) {
	u, err := url.Parse("https://user:pw12@h.example/a%2Fb?url=s3cret&limit=5&tag=a&tag=b%20c&Limit=7#part")
	require.NoError(t, err)
	require.Equal(t, "https://h.example/a%2Fb?limit=5&tag=a&tag=b+c", publicURL(u, []string{"limit", "absent", "tag"}))
	require.Equal(t, "https://h.example/a%2Fb", publicURL(u, nil))
}

func TestSameOrigin(t *testing.T) {
	for base, targets := range map[string]map[string]bool{
		"https://h.example/pre": {
			"https://h.example/":          true,
			"https://H.EXAMPLE/other":     true,
			"https://h.example:443/x":     true,
			"http://h.example/":           false,
			"http://h.example:443/":       false,
			"https://h.example:8443/":     false,
			"https://sub.h.example/":      false,
			"https://h.example.evil.test": false,
			"https://h.example./":         false,
			"https://example/":            false,
			"https://evil.test/h.example": false,
			"wss://h.example/":            false,
		},
		"http://127.0.0.1:8080": {
			"http://127.0.0.1:8080/x": true,
			"http://127.0.0.1/x":      false,
			"http://127.0.0.2:8080/x": false,
			"http://localhost:8080/x": false,
		},
		"https://[2001:db8::1]": {
			"https://[2001:DB8::1]:443/": true,
			"https://[2001:db8::2]/":     false,
		},
	} {
		c := newClient(t, Config{BaseURL: base})
		for target, want := range targets {
			u, err := url.Parse(target)
			require.NoError(t, err)
			require.Equal(t, want, c.baseURL.sameOrigin(u), "%s for %s", target, base)
		}
	}
}

func TestHeaderRefused(t *testing.T) {
	s := serveTCP(t, rawhttp.Respond(okJSON(`{}`)))
	c := newClient(t, Config{BaseURL: s.URL()})
	for _, value := range []string{"a\rb", "a\nb", "a\r\nX-Evil: 1", "a\x00b", "\x1b[0m", "a\x7f"} {
		call := get(Safe)
		call.Header = http.Header{"X-File-Name": {"good", value}}
		_, _, err := do(t.Context(), c, call)
		require.ErrorIs(t, err, ErrInvalidArgument)
		require.ErrorContains(t, err, "Jobs.Get: header X-File-Name must not contain control characters")
		require.Contains(t, HeaderProblem(value), "must not contain control characters")
		require.NotContains(t, err.Error(), value)
	}
	require.Zero(t, s.Requests.Load())
	for _, value := range []string{"", "plain", "tab\there", "caf\u00e9", "100%"} {
		require.Empty(t, HeaderProblem(value))
	}
}

func TestHeaders(t *testing.T) {
	var got http.Header
	s := serveTCP(t, func(c net.Conn, r *http.Request) bool {
		got = r.Header
		return rawhttp.Respond(okJSON(`{}`))(c, r)
	})
	c := newClient(t, Config{BaseURL: s.URL(), UserAgent: "studio/1.2"})
	call := get(Safe)
	call.Header = http.Header{"x-file-name": {"a"}, "X-Two": {"1", "2"}}
	_, _, err := do(t.Context(), c, call)
	require.NoError(t, err)
	require.Equal(t, http.Header{
		"Accept":          {"application/json"},
		"Accept-Encoding": {"gzip"},
		"Cache-Control":   {"no-cache, no-store"},
		"Pragma":          {"no-cache"},
		"User-Agent":      {"studio/1.2 imagejobs-go/" + moduleVersion()},
		"X-File-Name":     {"a"},
		"X-Two":           {"1", "2"},
	}, got)

	c = newClient(t, Config{BaseURL: s.URL()})
	body, err := JSONBody(result{Name: "x"})
	require.NoError(t, err)
	call = post(Once, body)
	call.Header = http.Header{"accept": {"text/plain"}}
	_, _, err = do(t.Context(), c, call)
	require.NoError(t, err)
	require.Equal(t, http.Header{
		"Accept":          {"text/plain"},
		"Accept-Encoding": {"gzip"},
		"Cache-Control":   {"no-cache, no-store"},
		"Pragma":          {"no-cache"},
		"Connection":      {"close"}, // as it is for calls of class Once
		"Content-Length":  {"12"},
		"Content-Type":    {"application/json"},
		"User-Agent":      {"imagejobs-go/" + moduleVersion()},
	}, got)
	require.Equal(t, http.Header{"accept": {"text/plain"}}, call.Header, "the caller's stays as it was")
}

func TestJSONBody(t *testing.T) {
	_, err := JSONBody(make(chan int))
	require.ErrorContains(t, err, "encode request")
}

func TestDo(t *testing.T) {
	s := serveTCP(t, rawhttp.Respond(rawhttp.Response("201 Created", "Location: /jobs/7\r\n", `{"name":"x","more":[1]}`)))
	c := newClient(t, Config{BaseURL: s.URL()})
	got, resp, err := do(t.Context(), c, get(Safe))
	require.NoError(t, err)
	require.Equal(t, result{Name: "x"}, got)
	require.Equal(t, http.StatusCreated, resp.StatusCode)
	require.Equal(t, "/jobs/7", resp.Header.Get("Location"))
	require.JSONEq(t, `{"name":"x","more":[1]}`, string(resp.Body))
}

func TestDoEmpty(t *testing.T) {
	s := serveTCP(t, func(c net.Conn, r *http.Request) bool {
		if r.Method == http.MethodHead {
			return rawhttp.Respond("HTTP/1.1 200 OK\r\nContent-Length: 4096\r\nX-Status: done\r\n\r\n")(c, r)
		}
		return rawhttp.Respond("HTTP/1.1 204 No Content\r\n\r\n")(c, r)
	})
	c := newClient(t, Config{BaseURL: s.URL()})
	resp, err := doEmpty(t.Context(), c, &Call{Operation: "Jobs.Head", Method: http.MethodHead, Repeat: Safe})
	require.NoError(t, err)
	require.Equal(t, "done", resp.Header.Get("X-Status"))
	require.Empty(t, resp.Body)
	resp, err = doEmpty(t.Context(), c, &Call{Operation: "Jobs.Cancel", Method: http.MethodDelete, Repeat: Repeatable})
	require.NoError(t, err)
	require.Equal(t, http.StatusNoContent, resp.StatusCode)
	require.EqualValues(t, 1, s.Accepted.Load(), "both over one connection")
}

// A response that breaks off in the middle leaves nothing behind in the next.
func TestDecodesIntoANewValue(t *testing.T) {
	type item struct {
		Other string `json:"other"`
		Name  string `json:"name"`
		List  []int  `json:"list"`
	}
	s := serveTCP(t, sequence(rawhttp.Respond(okJSON(`{"other":"stale","list":{"a":1}}`)), rawhttp.Respond(okJSON(`{"name":"fresh"}`))))
	c := newClient(t, Config{BaseURL: s.URL(), Retry: noWait(2)})
	got, _, err := Do(t.Context(), c, get(Safe), func(r *Response) (v item, err error) {
		err = r.JSON(&v)
		return v, err
	})
	require.NoError(t, err)
	require.Equal(t, item{Name: "fresh"}, got)
}

func TestMalformedJSON(t *testing.T) {
	for _, body := range []string{"", " null\n", `{"name":"x"} more`, `{"name":"x"`, "\u00a0{}", "[]", `"x"`} {
		s := serveTCP(t, rawhttp.Respond(okJSON(body)))
		c := newClient(t, Config{BaseURL: s.URL(), Retry: noWait(1)})
		got, _, err := do(t.Context(), c, get(Once))
		require.ErrorIs(t, err, ErrAmbiguous, body)
		require.ErrorContains(t, err, "the response is not the JSON expected: ", body)
		require.Zero(t, got)
	}
}

func TestSecretAnswer(t *testing.T) {
	const token = "the-access-token"
	log := &records{}
	s := serveTCP(t, sequence(
		rawhttp.Respond(okJSON(`{"name":"`+token)),
		rawhttp.Respond(rawhttp.Response("200 OK", "Content-Type: text/html\r\n", token)),
		rawhttp.Respond(rawhttp.Response("400 Bad Request", "", `{"error":"invalid_client"}`)),
		rawhttp.Respond(rawhttp.Response("300 Multiple Choices", "", "two addresses"))))
	c := newClient(t, Config{BaseURL: s.URL(), Retry: noWait(1), Logger: log.logger()})
	call := get(Once)
	call.Secret = true
	for range 2 {
		_, _, err := do(t.Context(), c, call)
		require.ErrorContains(t, err, "the response is not ")
		require.NotContains(t, printed(t, err, log), token)
	}
	for _, body := range []string{`{"error":"invalid_client"}`, "two addresses"} {
		_, _, err := do(t.Context(), c, call)
		require.Equal(t, body, failure(t, err).Body, "an error response holds no token")
	}
}

// The service's own refusal in a 2xx is final: neither repeated nor ambiguous.
func TestRefusal(t *testing.T) {
	for _, class := range []Repeat{Once, Repeatable, Safe} {
		s := serveTCP(t, rawhttp.Respond(okJSON(`{"success":false,"error_code":1}`)))
		c := newClient(t, Config{BaseURL: s.URL(), Retry: noWait(3)})
		_, _, err := Do(t.Context(), c, get(class), func(r *Response) (result, error) {
			require.True(t, json.Valid(r.Body))
			return result{Name: "x"}, &RefusalError{Code: "1", Message: "image locked by diffid: 7"}
		})
		e := failure(t, err)
		require.Equal(t, &Error{
			Op: "jobs.Jobs.Get", Method: http.MethodGet, URL: s.URL() + "/jobs/7", StatusCode: http.StatusOK,
			Code: "1", Message: "image locked by diffid: 7", Attempts: 1, Body: `{"success":false,"error_code":1}`,
		}, e)
		require.ErrorIs(t, err, ErrRefused)
		require.False(t, IsTransient(err))
		require.EqualValues(t, 1, s.Requests.Load())
	}
}

// A 2xx that is no response of the operation is transient, and ambiguous where
// the call must not be sent twice.
func TestMalformed(t *testing.T) {
	for class, requests := range map[Repeat]int64{Once: 1, Repeatable: 3, Safe: 3} {
		s := serveTCP(t, rawhttp.Respond(okJSON(`{}`)))
		c := newClient(t, Config{BaseURL: s.URL(), Retry: noWait(3)})
		_, _, err := Do(t.Context(), c, get(class), func(r *Response) (result, error) {
			return result{Name: "x"}, r.Malformed("it has no name")
		})
		require.ErrorContains(t, err, "it has no name")
		require.Equal(t, class == Once, errors.Is(err, ErrAmbiguous))
		require.Equal(t, class != Once, IsTransient(err))
		require.NotErrorIs(t, err, ErrRefused)
		require.Equal(t, requests, s.Requests.Load())
	}
}

func TestEndedContext(t *testing.T) {
	s := serveTCP(t, rawhttp.Respond(okJSON(`{}`)))
	c := newClient(t, Config{BaseURL: s.URL()})
	ctx, cancel := context.WithCancelCause(t.Context())
	cancel(errMaintenance)
	for _, class := range []Repeat{Once, Repeatable, Safe} {
		_, _, err := do(ctx, c, get(class))
		require.ErrorIs(t, err, context.Canceled)
		require.ErrorIs(t, err, errMaintenance)
		require.NotErrorIs(t, err, ErrAmbiguous)
		require.Zero(t, failure(t, err).Attempts)
	}
	require.Zero(t, s.Requests.Load())
}
