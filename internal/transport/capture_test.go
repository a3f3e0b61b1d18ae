package transport

import (
	"context"
	"net/http"
	"sync"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/imagejobs/imagejobs-go/internal/rawhttp"
)

// capture returns a context that stores the attempts of calls of newClient.
func capture(t *testing.T, last *Attempt) context.Context {
	t.Helper()
	return Capture(t.Context(), "jobs", func(a Attempt) { *last = a })
}

func TestCaptureStoresTheLastAttempt(t *testing.T) {
	s := serveTCP(t, sequence(
		rawhttp.Respond(rawhttp.Response("503 Service Unavailable", "X-Request-Id: r-1\r\n", "down")),
		rawhttp.Respond(rawhttp.Response("200 OK", "X-Request-Id: r-2\r\nX-Ratelimit-Remaining: 7\r\n", `{}`))))
	c := newClient(t, Config{BaseURL: s.URL(), Retry: noWait(3)})
	var last Attempt
	_, _, err := do(capture(t, &last), c, get(Safe))
	require.NoError(t, err)
	require.Equal(t, 200, last.StatusCode)
	require.Equal(t, 2, last.Number)
	require.Equal(t, "r-2", last.RequestID)
	require.Equal(t, "jobs.Jobs.Get", last.Op)
	require.Equal(t, "7", last.RateLimit.Get("X-Ratelimit-Remaining"))
	require.NoError(t, last.Err)
	require.False(t, last.Retry)
}

func TestCaptureOfAFailure(t *testing.T) {
	s := serveTCP(t, rawhttp.Respond(rawhttp.Response("404 Not Found", "X-Request-Id: r-1\r\n", "no such job")))
	c := newClient(t, Config{BaseURL: s.URL(), Retry: noWait(3)})
	var last Attempt
	_, _, err := do(capture(t, &last), c, get(Safe))
	require.ErrorIs(t, err, ErrNotFound)
	require.Equal(t, 404, last.StatusCode)
	require.Equal(t, "r-1", last.RequestID)
}

// A context may be used for clients of several packages.
func TestCaptureOfAnotherPackage(t *testing.T) {
	s := serveTCP(t, rawhttp.Respond(okJSON(`{}`)))
	c := newClient(t, Config{BaseURL: s.URL()})
	ours, theirs := Attempt{}, Attempt{}
	ctx := Capture(capture(t, &ours), "others", func(a Attempt) { theirs = a })
	_, _, err := do(ctx, c, get(Safe))
	require.NoError(t, err)
	require.Equal(t, 200, ours.StatusCode)
	require.Zero(t, theirs)
}

// A context may be captured more than once.
func TestNestedCaptures(t *testing.T) {
	s := serveTCP(t, rawhttp.Respond(okJSON(`{}`)))
	c := newClient(t, Config{BaseURL: s.URL()})
	var outer, inner Attempt
	_, _, err := do(Capture(capture(t, &outer), c.config.Package, func(a Attempt) { inner = a }), c, get(Safe))
	require.NoError(t, err)
	require.Equal(t, 200, inner.StatusCode)
	require.Equal(t, inner, outer)
}

// The request for a token continues for other calls when the one that began it
// has returned: its outcome would be stored under the caller's hands.
func TestCaptureLeavesOutTokens(t *testing.T) {
	s := serveTCP(t, rawhttp.Respond(okJSON(`{}`)))
	c := newClient(t, Config{BaseURL: s.URL()})
	var last Attempt
	call := get(Safe)
	call.Secret, call.Login = true, true
	_, _, err := do(capture(t, &last), c, call)
	require.NoError(t, err)
	require.Zero(t, last)
	call.Login = false // secrets in a response are no reason
	_, _, err = do(capture(t, &last), c, call)
	require.NoError(t, err)
	require.Equal(t, 200, last.StatusCode)
}

func TestCaptureOfCallsSideBySide(t *testing.T) {
	s := serveTCP(t, rawhttp.Respond(okJSON(`{}`)))
	c := newClient(t, Config{BaseURL: s.URL()})
	stored := 0
	ctx := Capture(t.Context(), "jobs", func(Attempt) { stored++ })
	var group sync.WaitGroup
	for range 8 {
		group.Go(func() {
			_, _, err := do(ctx, c, get(Safe))
			require.NoError(t, err)
		})
	}
	group.Wait()
	require.Equal(t, 8, stored)
}

// Rate limits are passed on, credentials and what repeats them are not.
func TestRateLimitHeaders(t *testing.T) {
	const token = "token-of-the-test"
	s := serveTCP(t, rawhttp.Respond(rawhttp.Response("200 OK", "Set-Cookie: session="+token+"\r\nAuthorization: Bearer "+token+"\r\n"+
		"X-Auth-Token: "+token+"\r\nX-Ratelimit-Client: "+token+"\r\nRetry-After: 3\r\nRateLimit: \"default\";r=7\r\n"+
		"RateLimit-Policy: 10;w=1\r\nRateLimit-Policy: 50;w=60\r\nX-Rate-Limit-Reset: 9\r\nRatelimits: no\r\n", `{}`)))
	var seen Attempt
	c := newClient(t, Config{
		BaseURL: s.URL(), Credentials: bearer(token), Observe: func(_ context.Context, a Attempt) { seen = a },
	})
	_, _, err := do(t.Context(), c, get(Safe))
	require.NoError(t, err)
	require.NotContains(t, seen.RateLimit.Get("X-Ratelimit-Client"), token)
	seen.RateLimit.Del("X-Ratelimit-Client")
	require.Equal(t, http.Header{
		"Retry-After":        {"3"},
		"Ratelimit":          {`"default";r=7`},
		"Ratelimit-Policy":   {"10;w=1", "50;w=60"},
		"X-Rate-Limit-Reset": {"9"},
	}, seen.RateLimit)
}

func TestNoRateLimitHeaders(t *testing.T) {
	s := serveTCP(t, rawhttp.Respond(okJSON(`{}`)))
	var last Attempt
	_, _, err := do(capture(t, &last), newClient(t, Config{BaseURL: s.URL()}), get(Safe))
	require.NoError(t, err)
	require.Nil(t, last.RateLimit)
}

// A caller with a loop of its own says how many attempts it made. Observers
// count on, the error of a call is of that call.
func TestAttemptsMadeBefore(t *testing.T) {
	s := serveTCP(t, rawhttp.Respond(rawhttp.Response("503 Service Unavailable", "", "down")))
	c := newClient(t, Config{BaseURL: s.URL(), Retry: noWait(3)}).SingleAttempts()
	var last Attempt
	call := get(Safe)
	call.Attempts = 4
	_, _, err := do(capture(t, &last), c, call)
	require.Equal(t, 1, failure(t, err).Attempts)
	require.Equal(t, 5, last.Number)
}
