package transport

import (
	"context"
	"fmt"
	"log/slog"
	"net"
	"net/http"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/imagejobs/imagejobs-go/internal/auth"
	"github.com/imagejobs/imagejobs-go/internal/rawhttp"
)

// headers keeps those of the requests that arrive, and has handle respond.
type headers struct {
	mu  sync.Mutex
	all []http.Header
}

func (h *headers) keep(handle rawhttp.Handler) rawhttp.Handler {
	return func(c net.Conn, r *http.Request) bool {
		h.mu.Lock()
		h.all = append(h.all, r.Header)
		h.mu.Unlock()
		return handle(c, r)
	}
}

func (h *headers) get(name string) []string {
	h.mu.Lock()
	defer h.mu.Unlock()
	var values []string
	for _, header := range h.all {
		values = append(values, header.Get(name))
	}
	return values
}

type spanKey struct{}

// A tracer sees each attempt before and after, in one context, and
// a request that takes the place of one with a rejected token is an attempt.
func TestStartOfAttempts(t *testing.T) {
	var arrived headers
	s := serveTCP(t, arrived.keep(sequence(
		rawhttp.Respond(rawhttp.Response("503 Service Unavailable", "", "down")),
		rawhttp.Respond(rawhttp.Response("401 Unauthorized", "", "expired")),
		rawhttp.Respond(okJSON(`{}`)))))
	var started []Attempt
	var statuses, logged []int
	tokens := 0
	c := newClient(t, Config{
		BaseURL: s.URL(), Retry: noWait(3),
		Credentials: auth.Token(func(context.Context) (string, time.Time, error) {
			tokens++
			return fmt.Sprintf("token-%d", tokens), time.Time{}, nil
		}, "Authorization", "Bearer "),
		Logger: slog.New(contextHandler{slog.DiscardHandler, func(ctx context.Context) {
			logged = append(logged, ctx.Value(spanKey{}).(int)) //nolint:errcheck // a panic is as good
		}}),
		Start: func(ctx context.Context, a Attempt, h http.Header) context.Context {
			require.Len(t, statuses, len(started))
			require.Empty(t, h)
			h.Set("Traceparent", fmt.Sprint("span-", a.Number))
			started = append(started, a)
			return context.WithValue(ctx, spanKey{}, a.Number)
		},
		Observe: func(ctx context.Context, a Attempt) {
			require.Equal(t, a.Number, ctx.Value(spanKey{}))
			statuses = append(statuses, a.StatusCode)
		},
	})
	_, _, err := do(t.Context(), c, get(Safe))
	require.NoError(t, err)
	require.Equal(t, []int{503, 401, 200}, statuses)
	require.Equal(t, []int{1, 2, 3}, logged)
	require.Equal(t, []string{"span-1", "span-2", "span-3"}, arrived.get("Traceparent"))
	require.Len(t, started, 3)
	for i, a := range started {
		require.Equal(t, Attempt{Op: "jobs.Jobs.Get", Method: http.MethodGet, Scheme: "http", Host: a.Host, Path: "/jobs/7", Number: i + 1}, a)
		require.Equal(t, s.URL(), "http://"+a.Host)
	}
}

// An attempt for which there is no token is reported nevertheless.
func TestStartWithoutCredentials(t *testing.T) {
	started, observed := 0, 0
	c := newClient(t, Config{
		BaseURL: "http://127.0.0.1:1",
		Credentials: auth.Token(func(ctx context.Context) (string, time.Time, error) {
			require.Equal(t, 1, ctx.Value(spanKey{})) // its requests are a part of the attempt
			return "", time.Time{}, nil
		}, "Authorization", "Bearer "),
		Start: func(ctx context.Context, a Attempt, _ http.Header) context.Context {
			started = a.Number
			return context.WithValue(ctx, spanKey{}, 1)
		},
		Observe: func(ctx context.Context, a Attempt) {
			require.Equal(t, 1, ctx.Value(spanKey{}))
			require.Zero(t, a.Number)
			observed++
		},
	})
	_, _, err := do(t.Context(), c, get(Safe))
	require.ErrorContains(t, err, "getting a token failed")
	require.Equal(t, 1, started)
	require.Equal(t, 1, observed)
}

func TestStartReplacesNoHeader(t *testing.T) {
	var arrived headers
	s := serveTCP(t, arrived.keep(rawhttp.Respond(okJSON(`{}`))))
	c := newClient(t, Config{
		BaseURL: s.URL(), Credentials: bearer("token"), Header: map[string]string{"X-User": "user"},
		Start: func(ctx context.Context, _ Attempt, h http.Header) context.Context {
			require.Equal(t, http.Header{"X-Note": {"note"}}, h)
			h["authorization"], h["x-user"], h["x-note"] = []string{"other"}, []string{"other"}, []string{"other"}
			h.Set("Traceparent", "span")
			h.Set("X-Note", "other")
			return ctx
		},
	})
	call := get(Safe)
	call.Header = http.Header{"X-Note": {"note"}}
	_, _, err := do(t.Context(), c, call)
	require.NoError(t, err)
	require.Equal(t, []string{"Bearer token"}, arrived.get("Authorization"))
	require.Equal(t, []string{"user"}, arrived.get("X-User"))
	require.Equal(t, []string{"note"}, arrived.get("X-Note"))
	require.Equal(t, []string{"span"}, arrived.get("Traceparent"))
}

// What is secret about a login may be in its header.
func TestStartSeesNoHeaderOfLogins(t *testing.T) {
	s := serveTCP(t, rawhttp.Respond(okJSON(`{}`)))
	c := newClient(t, Config{BaseURL: s.URL(), Start: func(ctx context.Context, _ Attempt, h http.Header) context.Context {
		require.Empty(t, h)
		return ctx
	}})
	call := get(Safe)
	call.Header, call.Login = http.Header{"X-Auth-Token": {"token"}}, true
	_, _, err := do(t.Context(), c, call)
	require.NoError(t, err)
}

// A client for tokens sends what Start adds only where the service is.
func TestStartHeaderStaysWithTheOrigin(t *testing.T) {
	for _, test := range []struct {
		name, origin string
		sent         bool
	}{
		{"its own", "", true},
		{"the same", "http://HOST/path", true},
		{"another port", "http://127.0.0.1:1", false},
		{"another host", "https://service.example", false},
		{"another scheme", "https://HOST", false},
		{"none", "not a URL", false},
	} {
		t.Run(test.name, func(t *testing.T) {
			var arrived headers
			s := serveTCP(t, arrived.keep(rawhttp.Respond(okJSON(`{}`))))
			origin := strings.ReplaceAll(test.origin, "HOST", s.Listener.Addr().String())
			c := newClient(t, Config{
				BaseURL: s.URL(), HeaderURL: origin,
				Start: func(ctx context.Context, _ Attempt, h http.Header) context.Context {
					h.Set("Traceparent", "span")
					return ctx
				},
			})
			_, _, err := do(t.Context(), c, get(Safe))
			require.NoError(t, err)
			want := ""
			if test.sent {
				want = "span"
			}
			require.Equal(t, []string{want}, arrived.get("Traceparent"))
		})
	}
}

// What Start derives ends with the call, and its own end ends the attempt.
func TestStartWithoutAContext(t *testing.T) {
	s := serveTCP(t, rawhttp.Respond(okJSON(`{}`)))
	c := newClient(t, Config{
		BaseURL: s.URL(),
		Start:   func(context.Context, Attempt, http.Header) context.Context { return nil },
	})
	_, _, err := do(t.Context(), c, get(Safe))
	require.NoError(t, err)
}

func TestStartContextEndsTheAttempt(t *testing.T) {
	s := serveTCP(t, rawhttp.Respond(okJSON(`{}`)))
	c := newClient(t, Config{
		BaseURL: s.URL(), Retry: noWait(1),
		Start: func(ctx context.Context, _ Attempt, _ http.Header) context.Context {
			ctx, cancel := context.WithCancel(ctx)
			cancel()
			return ctx
		},
	})
	_, _, err := do(t.Context(), c, get(Safe))
	require.ErrorIs(t, err, context.Canceled)
	require.Zero(t, s.Requests.Load())
}
