package transport

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/imagejobs/imagejobs-go/internal/rawhttp"
	"github.com/imagejobs/imagejobs-go/internal/wire"
)

func TestErrorString(t *testing.T) {
	for want, e := range map[string]*Error{
		"jobs.Jobs.Get: GET https://h.example/jobs/7: 404 Not Found": {
			Op: "jobs.Jobs.Get", Method: http.MethodGet, URL: "https://h.example/jobs/7", StatusCode: 404, Attempts: 1,
		},
		"jobs.Jobs.Get: GET https://h.example/jobs/7: 503 Service Unavailable: down for repairs [E7] (5 attempts, request id req-1); try again later": {
			Op: "jobs.Jobs.Get", Method: http.MethodGet, URL: "https://h.example/jobs/7", StatusCode: 503, Code: "E7", Message: "down for repairs",
			Attempts: 5, RequestID: "req-1", Hint: "try again later",
		},
		"jobs.Jobs.Get: GET https://h.example/jobs/7: EOF; the call may have taken effect: check before repeating it": {
			Op: "jobs.Jobs.Get", Method: http.MethodGet, URL: "https://h.example/jobs/7", Attempts: 1, Err: io.EOF,
			Hint: "the call may have taken effect: check before repeating it",
		},
		"jobs.Jobs.Get: 404 Not Found: gone (request id req-1)": {
			Op: "jobs.Jobs.Get", StatusCode: 404, Code: "404 Not Found", Message: "gone", RequestID: "req-1",
		},
		"jobs.Jobs.Get: 400 Bad Request: no [4001]": {Op: "jobs.Jobs.Get", StatusCode: 400, Code: "4001", Message: "no"},
		"jobs.Jobs.Get: 400 Bad Request: gone":      {Op: "jobs.Jobs.Get", StatusCode: 400, Code: "400", Message: "gone"},
		"jobs.Jobs.Get: 599: odd [7]":               {Op: "jobs.Jobs.Get", StatusCode: 599, Code: "7", Message: "odd"},
		"jobs.Jobs.Get: 200 OK: no: EOF":            {Op: "jobs.Jobs.Get", StatusCode: 200, Message: "no", Err: io.EOF},
	} {
		require.EqualError(t, e, want)
	}
}

func TestErrorIs(t *testing.T) {
	sentinels := map[error]func(status int) bool{
		ErrBadRequest:      func(s int) bool { return s == 400 },
		ErrUnauthorized:    func(s int) bool { return s == 401 },
		ErrForbidden:       func(s int) bool { return s == 403 },
		ErrNotFound:        func(s int) bool { return s == 404 },
		ErrConflict:        func(s int) bool { return s == 409 },
		ErrTooManyRequests: func(s int) bool { return s == 429 },
		ErrServer:          func(s int) bool { return s >= 500 },
	}
	for status := range 700 {
		e := &Error{StatusCode: status}
		for sentinel, want := range sentinels {
			require.Equal(t, want(status), errors.Is(e, sentinel), "%d %v", status, sentinel)
		}
		require.NotErrorIs(t, e, ErrAmbiguous)
		require.NotErrorIs(t, e, wire.ErrStalled)
		require.NotErrorIs(t, e, ErrResponseTooLarge)
		require.NotErrorIs(t, e, ErrInvalidArgument)
	}
	require.ErrorIs(t, &Error{Ambiguous: true}, ErrAmbiguous)
	require.ErrorIs(t, &Error{Err: wire.ErrStalled}, wire.ErrStalled)
	require.Equal(t, io.EOF, errors.Unwrap(&Error{Err: io.EOF}))
	require.NoError(t, errors.Unwrap(&Error{}))
}

func TestHints(t *testing.T) {
	for want, e := range map[string]*Error{
		"the call may have taken effect: check before repeating it": {Ambiguous: true, StatusCode: 503, RetryAfter: time.Hour},
		"the service asks to wait 1h0m0s: try again then":           {StatusCode: 503, RetryAfter: time.Hour},
		"check the credentials":                                     {StatusCode: 401},
		"check what these credentials may do":                       {StatusCode: 403},
		"try again later":                                           {StatusCode: 429, RetryAfter: time.Minute},
		"":                                                          {StatusCode: 404},
	} {
		require.Equal(t, want, e.nextStep())
	}
	require.Equal(t, "try again later", (&Error{StatusCode: 500}).nextStep())
	require.Empty(t, (&Error{}).nextStep())
}

// All that an error says about a response.
func TestErrorOfAnAnswer(t *testing.T) {
	body := `{"error":{"code":"E7","message":"not yet"}}`
	for _, name := range requestIDHeaders {
		s := serveTCP(t, rawhttp.Respond(rawhttp.Response("409 Conflict", name+": req-1\r\nRetry-After: 30\r\nContent-Type: application/json\r\n", body)))
		c := newClient(t, Config{BaseURL: s.URL()})
		_, resp, err := do(t.Context(), c, get(Safe))
		require.Equal(t, 30*time.Second, resp.RetryAfter())
		require.Equal(t, &Error{
			Op: "jobs.Jobs.Get", Method: http.MethodGet, URL: s.URL() + "/jobs/7", StatusCode: http.StatusConflict,
			Code: "E7", Message: "not yet", RequestID: "req-1", Attempts: 1, RetryAfter: 30 * time.Second, Body: body,
		}, failure(t, err))
	}
}

// The client packages make errors of their own.
func TestWrapError(t *testing.T) {
	errOwn := errors.New("own")
	s := serveTCP(t, rawhttp.Respond(rawhttp.Response("404 Not Found", "", "")))
	c := newClient(t, Config{BaseURL: s.URL(), WrapError: func(e *Error, _ string) error {
		require.Equal(t, http.StatusNotFound, e.StatusCode)
		return errOwn
	}})
	_, err := doEmpty(t.Context(), c, get(Safe))
	require.Equal(t, errOwn, err)
}

// What may well succeed some time later, as one who waits wants to know.
func TestTransient(t *testing.T) {
	login := func(status int) error {
		return &localError{"no credentials", &Error{StatusCode: status}}
	}
	for name, tt := range map[string]struct {
		e    Error
		want bool
	}{
		"400":                          {Error{StatusCode: 400}, false},
		"401":                          {Error{StatusCode: 401}, false},
		"404":                          {Error{StatusCode: 404}, false},
		"408":                          {Error{StatusCode: 408}, true},
		"429":                          {Error{StatusCode: 429}, true},
		"500":                          {Error{StatusCode: 500}, true},
		"501":                          {Error{StatusCode: 501}, false},
		"503":                          {Error{StatusCode: 503}, true},
		"503 for long":                 {Error{StatusCode: 503, RetryAfter: maxRetryAfter + 1}, true},
		"504":                          {Error{StatusCode: 504}, true},
		"519":                          {Error{StatusCode: 519}, false},
		"520":                          {Error{StatusCode: 520}, true},
		"530":                          {Error{StatusCode: 530}, true},
		"531":                          {Error{StatusCode: 531}, false},
		"redirect":                     {Error{StatusCode: 302}, false},
		"no response":                  {Error{Err: io.EOF}, true},
		"a response without sense":     {Error{StatusCode: 200, Err: io.ErrUnexpectedEOF}, true},
		"a refusal in a response":      {Error{StatusCode: 200, Message: "no"}, false},
		"a response that is too large": {Error{StatusCode: 200, Err: ErrResponseTooLarge}, false},
		"an untrusted certificate":     {Error{Err: &tls.CertificateVerificationError{Err: io.EOF}}, false},
		"a name that does not exist":   {Error{Err: &net.DNSError{IsNotFound: true}}, false},
		"a login that is refused":      {Error{Err: login(401)}, false},
		"a login that is not served":   {Error{Err: login(503)}, true},
		"a login after a 401":          {Error{StatusCode: 401, Err: login(503)}, true},
		"a login after a 401 refused":  {Error{StatusCode: 401, Err: login(403)}, false},
		"a source of tokens":           {Error{Err: &localError{"no credentials", io.EOF}}, false},
	} {
		require.Equal(t, tt.want, errors.Is(&tt.e, ErrTransient), name)
	}
}

// What a login's status says of its own target is not said of the call's.
func TestErrorsOfCredentials(t *testing.T) {
	for status, own := range map[int]error{
		400: ErrBadRequest, 403: ErrForbidden, 404: ErrNotFound, 409: ErrConflict, 200: ErrRefused,
	} {
		login := &Error{StatusCode: status}
		for _, call := range []*Error{
			{Err: &localError{"no credentials", login}},
			{StatusCode: 401, Err: &localError{"no other credentials", login}},
		} {
			require.NotErrorIs(t, call, own)
			require.ErrorIs(t, call, login)
			inner, ok := errors.AsType[*Error](call.Err)
			require.True(t, ok)
			require.Same(t, login, inner)
		}
	}
	for status, both := range map[int]error{401: ErrUnauthorized, 429: ErrTooManyRequests, 503: ErrServer} {
		require.ErrorIs(t, &Error{Err: &localError{"no credentials", &Error{StatusCode: status}}}, both)
	}
}

// A caller's own errors are transient if they say so, or are a connection that
// was refused.
func TestIsTransient(t *testing.T) {
	for name, tt := range map[string]struct {
		err  error
		want bool
	}{
		"none":                  {nil, false},
		"any":                   {io.EOF, false},
		"temporary":             {fmt.Errorf("vault: %w", timeoutError("sealed")), true},
		"wraps the sentinel":    {fmt.Errorf("vault is sealed: %w", ErrTransient), true},
		"refused":               {fmt.Errorf("vault: %w", &net.OpError{Op: "dial", Err: errRefused}), true},
		"dial":                  {&net.OpError{Op: "dial", Err: io.EOF}, true},
		"unknown host":          {&net.OpError{Op: "dial", Err: &net.DNSError{IsNotFound: true}}, false},
		"canceled":              {fmt.Errorf("%w: %w", context.Canceled, ErrTransient), false},
		"deadline":              {context.DeadlineExceeded, false},
		"an attempt's timeout":  {&Error{Err: errAttemptTimeout}, true},
		"ambiguous":             {&Error{Err: io.EOF, Ambiguous: true}, false},
		"a failed call, in one": {fmt.Errorf("wait: %w", &Error{StatusCode: 522}), true},
	} {
		require.Equal(t, tt.want, IsTransient(tt.err), name)
	}
}
