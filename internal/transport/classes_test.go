package transport

import (
	"compress/gzip"
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/imagejobs/imagejobs-go/internal/emulator"
	"github.com/imagejobs/imagejobs-go/internal/rawhttp"
	"github.com/imagejobs/imagejobs-go/internal/wire"
)

// The calls of each class. A GET of class Once stands beside a POST, because
// net/http treats the two differently.
func classCalls() map[string]*Call {
	body := BytesBody("text/plain", []byte("the body of the request"))
	upload := post(Once, body)
	upload.Upload = true
	chunk := post(Repeatable, body)
	chunk.Upload = true
	return map[string]*Call{
		"once, GET":           get(Once),
		"once, POST":          post(Once, body),
		"once, upload":        upload,
		"repeatable, POST":    post(Repeatable, body),
		"repeatable, chunk":   chunk,
		"repeatable, no body": post(Repeatable, nil),
		"safe, GET":           get(Safe),
	}
}

const maxAttempts = 3

type failing struct {
	// How it fails: in dialing, or by what a server does that speaks http or TLS.
	dial    func(context.Context, string, string) (net.Conn, error)
	scheme  string
	handle  rawhttp.Handler
	tlsCert *tls.Certificate

	once, others int // attempts
	requests     bool
	ambiguous    bool // for class Once
	is           []error
	says         []string
	check        func(t *testing.T, e *Error)
	slow         bool          // each attempt takes as long as it may
	only         string        // too much work for each class
	waits        time.Duration // at least, between two
}

func drop(_ net.Conn, r *http.Request) bool {
	_, _ = io.Copy(io.Discard, r.Body)
	return false
}

// cut sends text and closes the connection.
func cut(text string) rawhttp.Handler { return last(text) }

// stall sends text and then nothing, until the client goes away.
func stall(text string) rawhttp.Handler {
	return func(c net.Conn, r *http.Request) bool {
		rawhttp.Respond(text)(c, r)
		_, _ = io.Copy(io.Discard, c)
		return false
	}
}

// drip sends text and then a byte each second.
func drip(text, more string) rawhttp.Handler {
	return func(c net.Conn, r *http.Request) bool {
		rawhttp.Respond(text)(c, r)
		for {
			<-time.After(time.Second)
			if _, err := io.WriteString(c, more); err != nil {
				return false
			}
		}
	}
}

func status(status, header string) rawhttp.Handler {
	return rawhttp.Respond(rawhttp.Response(status, header, `{"message":"no"}`))
}

// bomb is a small response that becomes 20 MiB.
func bomb(status string) rawhttp.Handler {
	return func(c net.Conn, r *http.Request) bool {
		var packed strings.Builder
		z, _ := gzip.NewWriterLevel(&packed, gzip.BestSpeed)
		_, _ = io.Copy(z, io.LimitReader(zeros{}, 20<<20))
		_ = z.Close()
		return rawhttp.Respond(rawhttp.Response(status, "Content-Encoding: gzip\r\n", packed.String()))(c, r)
	}
}

type zeros struct{}

func (zeros) Read(p []byte) (int, error) {
	clear(p)
	return len(p), nil
}

// large is 20 MiB of text.
func large(head string) rawhttp.Handler {
	return func(c net.Conn, r *http.Request) bool {
		rawhttp.Respond(head)(c, r)
		_, _ = io.Copy(c, io.LimitReader(zeros{}, 20<<20))
		return false
	}
}

func failures(t *testing.T) map[string]failing {
	t.Helper()
	refused := func(context.Context, string, string) (net.Conn, error) {
		return nil, &net.OpError{Op: "dial", Net: "tcp", Err: errRefused}
	}
	unknown := func(context.Context, string, string) (net.Conn, error) {
		return nil, &net.OpError{Op: "dial", Net: "tcp", Err: &net.DNSError{Err: "no such host", Name: "h.example", IsNotFound: true}}
	}
	noAnswer := func(context.Context, string, string) (net.Conn, error) {
		return nil, &net.OpError{Op: "dial", Net: "tcp", Err: &net.DNSError{Err: "server misbehaving", Name: "h.example", IsTemporary: true}}
	}
	hang := func(ctx context.Context, _, _ string) (net.Conn, error) {
		<-ctx.Done()
		return nil, ctx.Err()
	}
	list := map[string]failing{
		"dial refused":    {dial: refused, once: maxAttempts, others: maxAttempts, is: []error{errRefused}},
		"unknown host":    {dial: unknown, once: 1, others: 1, says: []string{"no such host"}},
		"resolver failed": {dial: noAnswer, once: maxAttempts, others: maxAttempts, says: []string{"server misbehaving"}},
		"dialing hangs":   {dial: hang, once: maxAttempts, others: maxAttempts, slow: true},

		"TLS handshake failed": {scheme: "https", handle: drop, once: maxAttempts, others: maxAttempts},
		"untrusted certificate": {
			scheme: "https", tlsCert: testCertificate(), handle: rawhttp.Respond(okJSON("{}")), once: 1, others: 1,
			check: func(t *testing.T, e *Error) {
				t.Helper()
				_, ok := errors.AsType[x509.UnknownAuthorityError](e)
				require.True(t, ok, "%v", e)
			},
		},

		"dropped before the response": {handle: drop, once: 1, others: maxAttempts, requests: true, ambiguous: true, is: []error{io.EOF}},
		"dropped in the status line":  {handle: cut("HTTP/1."), once: 1, others: maxAttempts, requests: true, ambiguous: true},
		"dropped in the header":       {handle: cut("HTTP/1.1 200 OK\r\nContent-Ty"), once: 1, others: maxAttempts, requests: true, ambiguous: true},
		"dropped in the body": {
			handle: cut("HTTP/1.1 200 OK\r\nContent-Length: 50\r\n\r\n{\"name\":"), once: 1, others: maxAttempts, requests: true, ambiguous: true,
			is: []error{io.ErrUnexpectedEOF}, says: []string{"200 OK", "read the response"},
		},
		"dropped before the body": {
			handle: cut("HTTP/1.1 200 OK\r\nContent-Length: 50\r\n\r\n"), once: 1, others: maxAttempts, requests: true, ambiguous: true,
			is: []error{io.ErrUnexpectedEOF},
		},
		"dropped in a chunk": {
			handle: cut("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n9\r\n{\"na"), once: 1, others: maxAttempts, requests: true, ambiguous: true,
			is: []error{io.ErrUnexpectedEOF},
		},
		"no HTTP": {handle: cut("SSH-2.0-OpenSSH_9.6\r\n"), once: 1, others: maxAttempts, requests: true, ambiguous: true, says: []string{"malformed HTTP"}},

		"400": {handle: status("400 Bad Request", ""), once: 1, others: 1, requests: true, is: []error{ErrBadRequest}},
		"401": {handle: status("401 Unauthorized", ""), once: 1, others: 1, requests: true, is: []error{ErrUnauthorized}, says: []string{"check the credentials"}},
		"403": {handle: status("403 Forbidden", ""), once: 1, others: 1, requests: true, is: []error{ErrForbidden}, says: []string{"check what these credentials may do"}},
		"404": {handle: status("404 Not Found", ""), once: 1, others: 1, requests: true, is: []error{ErrNotFound}},
		"409": {handle: status("409 Conflict", ""), once: 1, others: 1, requests: true, is: []error{ErrConflict}},
		"418": {handle: status("418 I'm a teapot", ""), once: 1, others: 1, requests: true},
		"408": {handle: status("408 Request Timeout", ""), once: 1, others: maxAttempts, requests: true, ambiguous: true},
		"429": {handle: status("429 Too Many Requests", ""), once: maxAttempts, others: maxAttempts, requests: true, is: []error{ErrTooManyRequests}, says: []string{"try again later"}},
		"500": {handle: status("500 Internal Server Error", ""), once: 1, others: maxAttempts, requests: true, ambiguous: true, is: []error{ErrServer}},
		"501": {handle: status("501 Not Implemented", ""), once: 1, others: 1, requests: true, ambiguous: true, is: []error{ErrServer}},
		"502": {handle: status("502 Bad Gateway", ""), once: 1, others: maxAttempts, requests: true, ambiguous: true, is: []error{ErrServer}},
		"503": {handle: status("503 Service Unavailable", ""), once: 1, others: maxAttempts, requests: true, ambiguous: true, is: []error{ErrServer}},
		"504": {handle: status("504 Gateway Timeout", ""), once: 1, others: maxAttempts, requests: true, ambiguous: true, is: []error{ErrServer}},
		"599": {handle: status("599 Odd", ""), once: 1, others: maxAttempts, requests: true, ambiguous: true, is: []error{ErrServer}},
		"600": {handle: status("600 Odder", ""), once: 1, others: 1, requests: true, ambiguous: true},
		"101": { // whose body is the connection, which no context ends
			handle: stall("HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: x\r\n\r\n"), once: 1, others: 1, requests: true, ambiguous: true,
			says: []string{"101 Switching Protocols"},
		},
		"302": {handle: status("302 Found", "Location: https://login.example/\r\n"), once: 1, others: 1, requests: true, says: []string{"redirects to https://login.example/"}},

		"503, Retry-After in seconds": {
			handle: status("503 Service Unavailable", "Retry-After: 7\r\n"), once: 1, others: maxAttempts, requests: true, ambiguous: true, waits: 7 * time.Second,
			check: func(t *testing.T, e *Error) { t.Helper(); require.Equal(t, 7*time.Second, e.RetryAfter) },
		},
		"429, Retry-After at the limit": {handle: status("429 Too Many Requests", "Retry-After: 120\r\n"), once: maxAttempts, others: maxAttempts, requests: true, waits: 2 * time.Minute},
		"503, Retry-After past the limit": {
			handle: status("503 Service Unavailable", "Retry-After: 121\r\n"), once: 1, others: 1, requests: true, ambiguous: true,
			check: func(t *testing.T, e *Error) { t.Helper(); require.Equal(t, 121*time.Second, e.RetryAfter) },
		},
		"503, Retry-After as a date": {
			handle: func(c net.Conn, r *http.Request) bool {
				at := time.Now().Add(41 * time.Second).UTC().Format(http.TimeFormat)
				return status("503 Service Unavailable", "Retry-After: "+at+"\r\n")(c, r)
			},
			once: 1, others: maxAttempts, requests: true, ambiguous: true, waits: 40 * time.Second,
		},
		"429, Retry-After far away": {
			handle: status("429 Too Many Requests", "Retry-After: 3600\r\n"), once: 1, others: 1, requests: true,
			says: []string{"the service asks to wait"},
		},
		"429, Retry-After absurd": {
			handle: status("429 Too Many Requests", "Retry-After: Fri, 31 Dec 9999 23:59:59 GMT\r\n"), once: maxAttempts, others: maxAttempts, requests: true,
		},
		"503, Retry-After of nonsense": {handle: status("503 Service Unavailable", "Retry-After: soon\r\n"), once: 1, others: maxAttempts, requests: true, ambiguous: true},

		"truncated JSON": {handle: rawhttp.Respond(okJSON(`{"name":"x`)), once: 1, others: maxAttempts, requests: true, ambiguous: true, says: []string{`starts "{\"name\":\"x"`}},
		"HTML with status 200": {
			handle: rawhttp.Respond(rawhttp.Response("200 OK", "Content-Type: text/html; charset=utf-8\r\n", "<html><h1>Sign in</h1></html>")), once: 1, others: maxAttempts, requests: true, ambiguous: true,
			says: []string{"the response is not JSON", "text/html", `starts "<html>`},
		},
		"no body in a 200":  {handle: rawhttp.Respond(rawhttp.Response("200 OK", "", "")), once: 1, others: maxAttempts, requests: true, ambiguous: true},
		"gzip bomb":         {handle: bomb("200 OK"), only: "once, GET", once: 1, others: 1, requests: true, ambiguous: true, is: []error{ErrResponseTooLarge}, says: []string{"8 MiB"}},
		"20 MiB":            {handle: large("HTTP/1.1 200 OK\r\nContent-Length: 20971520\r\n\r\n"), only: "safe", once: 1, others: 1, requests: true, ambiguous: true, is: []error{ErrResponseTooLarge}},
		"20 MiB, no length": {handle: large("HTTP/1.1 200 OK\r\n\r\n"), only: "once, GET", once: 1, others: 1, requests: true, ambiguous: true, is: []error{ErrResponseTooLarge}},
		"400 and 20 MiB": {
			handle: large("HTTP/1.1 400 Bad Request\r\nContent-Length: 20971520\r\n\r\n"), only: "safe", once: 1, others: 1, requests: true, is: []error{ErrBadRequest},
			check: func(t *testing.T, e *Error) { t.Helper(); require.Len(t, e.Body, maxShownBody) },
		},
		"400 and a gzip bomb": {handle: bomb("400 Bad Request"), only: "safe", once: 1, others: 1, requests: true, is: []error{ErrBadRequest}},
		"broken gzip": {
			handle: rawhttp.Respond(rawhttp.Response("200 OK", "Content-Encoding: gzip\r\n", "this is no gzip")), once: 1, others: maxAttempts, requests: true, ambiguous: true,
		},
		"400, cut": {
			handle: cut("HTTP/1.1 400 Bad Request\r\nContent-Length: 50\r\n\r\nno"), once: 1, others: 1, requests: true,
			is: []error{ErrBadRequest, io.ErrUnexpectedEOF}, says: []string{"400 Bad Request: no: read the response: unexpected EOF"},
		},

		"stalled before the response": {handle: stall(""), once: 1, others: maxAttempts, requests: true, ambiguous: true, slow: true},
		"stalled in the header":       {handle: stall("HTTP/1.1 200 OK\r\n"), once: 1, others: maxAttempts, requests: true, ambiguous: true, slow: true},
		"stalled in the body":         {handle: stall("HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\n{"), once: 1, others: maxAttempts, requests: true, ambiguous: true, slow: true},
		"dripping header":             {handle: drip("HTTP/1.1 200 OK\r\n", "X-Pad: 1\r\n"), once: 1, others: maxAttempts, requests: true, ambiguous: true, slow: true},
		"dripping body":               {handle: drip("HTTP/1.1 200 OK\r\nContent-Length: 900\r\n\r\n", " "), once: 1, others: maxAttempts, requests: true, ambiguous: true, slow: true},
	}
	return list
}

// testCertificate is one that nobody trusts.
func testCertificate() *tls.Certificate {
	s := httptest.NewUnstartedServer(nil)
	s.StartTLS()
	defer s.Close()
	return &s.TLS.Certificates[0]
}

// The dialing that the table above replaces: nobody listens there any more.
func TestDialRefused(t *testing.T) {
	// No port of a listener that was closed: another may get it at once.
	c := newClient(t, Config{BaseURL: "http://127.0.0.1:1", Retry: noWait(3)})
	_, _, err := do(t.Context(), c, get(Once))
	require.ErrorContains(t, err, "dial tcp")
	require.NotErrorIs(t, err, ErrAmbiguous)
	require.Equal(t, 3, failure(t, err).Attempts)
	require.Equal(t, "check the address and the network", failure(t, err).Hint)
}

// Every kind of failure in every class: how often it reaches the server, what
// the error is, how long it takes at most.
func TestClassesAndFailures(t *testing.T) {
	for name, f := range failures(t) {
		for class, call := range classCalls() {
			if !strings.HasPrefix(class, f.only) {
				continue
			}
			t.Run(name+"/"+class, func(t *testing.T) {
				synctest.Test(t, func(t *testing.T) { testFailure(t, f, call) })
			})
		}
	}
}

func testFailure(t *testing.T, f failing, call *Call) {
	t.Helper()
	l := emulator.NewPipeListener()
	served := net.Listener(l)
	if f.tlsCert != nil {
		served = tls.NewListener(l, &tls.Config{MinVersion: tls.VersionTLS12, Certificates: []tls.Certificate{*f.tlsCert}})
	}
	s := serve(t, served, f.handle)
	if f.dial == nil {
		f.dial = l.DialContext
	}
	if f.scheme == "" {
		f.scheme = "http"
	}
	c := dialingClient(t, Config{
		BaseURL: f.scheme + "://127.0.0.1",
		Retry:   &Retry{MaxAttempts: maxAttempts, MinWait: 500 * time.Millisecond, MaxWait: 30 * time.Second},
	}, f.dial)

	start := time.Now()
	_, _, err := do(t.Context(), c, call)
	took := time.Since(start)

	e := failure(t, err)
	want := f.others
	if call.Repeat == Once {
		want = f.once
	}
	require.Equal(t, want, e.Attempts, "%v", err)
	requests := 0
	if f.requests {
		requests = want
	}
	require.EqualValues(t, requests, s.Requests.Load(), "%v", err)
	require.Equal(t, f.ambiguous && call.Repeat == Once, errors.Is(err, ErrAmbiguous), "%v", err)
	require.Equal(t, f.ambiguous && call.Repeat == Once, strings.Contains(err.Error(), "check before repeating it"), "%v", err)
	for _, is := range f.is {
		require.ErrorIs(t, err, is)
	}
	if !e.Ambiguous || f.waits > 0 { // else the hint is another
		for _, says := range f.says {
			require.ErrorContains(t, err, says)
		}
	}
	if f.check != nil {
		f.check(t, e)
	}
	require.True(t, strings.HasPrefix(err.Error(), "jobs."+call.Operation+": "+call.Method+" "+f.scheme+"://127.0.0.1/jobs"), "%v", err)
	if want > 1 {
		require.ErrorContains(t, err, "(3 attempts)")
	}
	// The back-off of three attempts takes at most 1 s and 2 s, on top of what the
	// service asks for.
	least, most := time.Duration(want-1)*500*time.Millisecond, 3*time.Second
	switch {
	case f.waits > 0:
		least = time.Duration(want-1) * f.waits
		most += least
	case f.slow && call.Upload:
		require.ErrorIs(t, err, wire.ErrStalled)
		least += time.Duration(want) * 30 * time.Second // a stalled response
		most += time.Duration(want) * time.Minute
	case f.slow:
		require.ErrorContains(t, err, "no complete response within the time limit of an attempt")
		least += time.Duration(want) * 30 * time.Second
		most += time.Duration(want) * 30 * time.Second
	}
	require.GreaterOrEqual(t, took, least)
	require.LessOrEqual(t, took, most)
}
