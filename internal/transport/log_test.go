package transport

import (
	"context"
	"encoding/json"
	"errors"
	"log/slog"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/imagejobs/imagejobs-go/internal/auth"
	"github.com/imagejobs/imagejobs-go/internal/rawhttp"
)

// jsonLog returns what was logged, record by record.
func jsonLog(t *testing.T, r *records) []map[string]any {
	t.Helper()
	var list []map[string]any
	for line := range strings.Lines(r.String()) {
		record := map[string]any{}
		require.NoError(t, json.Unmarshal([]byte(line), &record))
		list = append(list, record)
	}
	return list
}

func TestLogRecord(t *testing.T) {
	log := &records{}
	logger := slog.New(slog.NewJSONHandler(log, &slog.HandlerOptions{Level: slog.LevelDebug}))
	const token = "token-of-the-test"
	s := serveTCP(t, sequence(
		rawhttp.Respond(rawhttp.Response("503 Service Unavailable", "X-Secret: header-value\r\n", "body-of-the-response "+token)),
		drop,
		rawhttp.Respond(okJSON(`{"name":"x"}`))))
	c := newClient(t, Config{
		BaseURL: s.URL() + "/base/", Logger: logger, Credentials: bearer(token), Retry: noWait(4),
		PublicQuery: []string{"limit", "absent"},
	})
	call := post(Repeatable, BytesBody("text/plain", []byte("body-of-the-request")))
	call.Query = url.Values{"limit": {"20"}, "url": {"https://bucket.example/?sig=query-value"}}
	call.Header = http.Header{"X-Note": {"header-of-the-request"}}
	_, _, err := do(t.Context(), c, call)
	require.NoError(t, err)

	list := jsonLog(t, log)
	require.Len(t, list, 3)
	for i, record := range list {
		require.Equal(t, []string{"WARN", "WARN", "DEBUG"}[i], record["level"])
		require.Equal(t, i < 2, record["retry_in"] != nil)
		require.Equal(t, "request", record["msg"])
		require.Equal(t, "jobs.Jobs.Create", record["operation"])
		require.Equal(t, http.MethodPost, record["method"])
		require.Equal(t, strings.TrimPrefix(s.URL(), "http://"), record["host"])
		require.Equal(t, "/base/jobs", record["path"])
		require.EqualValues(t, i+1, record["attempt"])
		require.EqualValues(t, len("body-of-the-request"), record["bytes_sent"])
		require.Equal(t, "limit=20", record["query"])
		require.Positive(t, record["duration"])
		for name := range record {
			require.True(t, slices.Contains([]string{
				"time", "level", "msg", "operation", "method", "host", "path", "status",
				"duration", "attempt", "bytes_sent", "bytes_received", "query", "error", "retry_in",
			}, name), name)
		}
	}
	require.EqualValues(t, 503, list[0]["status"])
	require.EqualValues(t, len("body-of-the-response "+token), list[0]["bytes_received"])
	require.NotContains(t, list[0], "error")
	require.EqualValues(t, 0, list[1]["status"])
	require.Equal(t, "EOF", list[1]["error"])
	require.EqualValues(t, 200, list[2]["status"])
	for _, secret := range []string{token, "header-value", "body-of", "query-value", "header-of", "bucket.example"} {
		require.NotContains(t, log.String(), secret)
	}
}

// Handlers find trace ids in the context.
func TestLogGetsTheContext(t *testing.T) {
	type key struct{}
	var got any
	logger := slog.New(contextHandler{slog.DiscardHandler, func(ctx context.Context) { got = ctx.Value(key{}) }})
	s := serveTCP(t, rawhttp.Respond(okJSON(`{}`)))
	c := newClient(t, Config{BaseURL: s.URL(), Logger: logger})
	_, _, err := do(context.WithValue(t.Context(), key{}, "trace 7"), c, get(Safe))
	require.NoError(t, err)
	require.Equal(t, "trace 7", got)
}

type contextHandler struct {
	slog.Handler
	seen func(context.Context)
}

func (contextHandler) Enabled(context.Context, slog.Level) bool { return true }

func (h contextHandler) Handle(ctx context.Context, _ slog.Record) error {
	h.seen(ctx)
	return nil
}

func TestLogOnlyWhereDebugIsOn(t *testing.T) {
	log := &records{}
	s := serveTCP(t, rawhttp.Respond(okJSON(`{}`)))
	c := newClient(t, Config{BaseURL: s.URL(), Logger: slog.New(slog.NewTextHandler(log, nil))})
	_, _, err := do(t.Context(), c, get(Safe))
	require.NoError(t, err)
	require.Empty(t, log.String())
}

// Attempts counts what was sent.
func TestNothingSentIsNoAttempt(t *testing.T) {
	errSource := errors.New("no token today")
	asked := 0
	log := &records{}
	s := serveTCP(t, rawhttp.Respond(okJSON(`{}`)))
	c := newClient(t, Config{BaseURL: s.URL(), Logger: log.logger(), Credentials: auth.Token(
		func(context.Context) (string, time.Time, error) {
			asked++
			return "", time.Time{}, errSource
		},
		"Authorization", "Bearer ")})
	for i, class := range []Repeat{Once, Repeatable, Safe} {
		_, _, err := do(t.Context(), c, get(class))
		e := failure(t, err)
		require.ErrorIs(t, err, errSource)
		require.Zero(t, e.Attempts)
		require.NotErrorIs(t, err, ErrAmbiguous)
		require.Equal(t, i+1, asked, "the source has a retry loop of its own")
	}
	require.Zero(t, s.Requests.Load())
	require.Contains(t, log.String(), "no token today")
}

// An observer learns of each attempt before the pause that follows it, of the
// one with a rejected token, too.
func TestObserver(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var asked atomic.Int64
		var seen []Attempt
		var at []time.Time
		c, s := pipeClient(t, Config{
			Credentials: counted(&asked, numbered), Retry: &Retry{5, time.Second, time.Second},
			Observe: func(_ context.Context, a Attempt) {
				seen, at = append(seen, a), append(at, time.Now())
			},
		}, sequence(
			rawhttp.Respond(rawhttp.Response("401 Unauthorized", "", "")),
			rawhttp.Respond(rawhttp.Response("503 Service Unavailable", "X-Request-Id: r-1\r\nRetry-After: 7\r\n", "busy")),
			rawhttp.Respond(rawhttp.Response("200 OK", "", "{")),
			rawhttp.Respond(okJSON(`{"name":"x"}`))))
		start := time.Now()
		_, _, err := do(t.Context(), c, get(Safe))
		require.NoError(t, err)
		require.EqualValues(t, 4, s.Requests.Load())
		require.Len(t, seen, 4)
		for i, want := range []Attempt{
			{Number: 1, StatusCode: 401, Retry: true},
			{
				Number: 2, StatusCode: 503, RequestID: "r-1", Retry: true, RetryIn: 8 * time.Second, BytesReceived: 4,
				RateLimit: http.Header{"Retry-After": {"7"}},
			},
			{Number: 3, StatusCode: 200, Retry: true, RetryIn: time.Second, BytesReceived: 1},
			{Number: 4, StatusCode: 200, BytesReceived: 12},
		} {
			want.Op, want.Method, want.Path = "jobs.Jobs.Get", http.MethodGet, "/jobs/7"
			want.Scheme, want.Host = "http", "127.0.0.1"
			got := seen[i]
			require.Equal(t, i == 2, got.Err != nil)
			require.LessOrEqual(t, got.RetryIn, want.RetryIn)
			require.GreaterOrEqual(t, got.RetryIn, want.RetryIn-time.Second)
			got.Err, got.RetryIn, want.RetryIn = nil, 0, 0
			require.Equal(t, want, got)
		}
		require.Equal(t, start, at[1], "before the pause")
		require.Equal(t, seen[1].RetryIn, at[2].Sub(at[1]))
	})
}
