package transport

import (
	"context"
	"errors"
	"log/slog"
	"net/http"
	"strings"
	"sync"
	"time"

	"github.com/imagejobs/imagejobs-go/internal/redact"
)

// report passes an attempt to observer and log, before the pause that follows:
// no header, no body, and of the query only what the service's allow-list
// names.
func (c *Config) report(ctx context.Context, x *callState, again bool, pause time.Duration) {
	level := slog.LevelDebug
	if again || x.single && x.repeatable() {
		level = slog.LevelWarn
	}
	logs := c.Logger != nil && c.Logger.Enabled(ctx, level)
	store, captures := ctx.Value(c.captureKey).(func(Attempt))
	captures = captures && !x.Login // the caller may have its result by now
	if c.Observe == nil && !logs && !captures {
		return
	}
	a := c.describe(x)
	a.Number = x.attempts
	a.StatusCode = x.response.StatusCode
	a.Duration = x.last.took
	a.BytesSent, a.BytesReceived = x.last.sent, int64(len(x.response.Body))
	a.RequestID, a.RateLimit = x.requestID(), x.rateLimit()
	if a.Retry = again; again {
		a.RetryIn = pause
	}
	if err := x.last.err; err != nil && !errors.Is(err, errStatus) {
		a.Err = shown(err, x.secrets())
	}
	if captures {
		store(a)
	}
	if c.Observe != nil {
		c.Observe(ctx, a)
	}
	if logs {
		c.Logger.LogAttrs(ctx, level, "request", a.attrs()...)
	}
}

// start tells Config.Start of an attempt to come, with the header that is the
// operation's own. It returns the attempt's context, and the header with what goes
// to the service.
func (c *Config) start(ctx context.Context, x *callState) (context.Context, http.Header) {
	if c.Start == nil {
		return ctx, nil
	}
	a := c.describe(x)
	a.Number = x.attempts + 1
	h := x.Header.Clone()
	if h == nil || x.Login {
		h = http.Header{}
	}
	if given := c.Start(ctx, a, h); given != nil {
		ctx = given
	}
	return ctx, h
}

// describe returns what is known of an attempt before it is made.
func (c *Config) describe(x *callState) Attempt {
	return Attempt{
		Op:     c.Package + "." + x.Operation,
		Method: x.Method,
		Scheme: x.url.Scheme,
		Host:   x.url.Host,
		Path:   x.url.EscapedPath(),
		Query:  publicQuery(&x.url, c.PublicQuery),
	}
}

// rateLimit returns the headers of the response that say when and how often to
// call.
func (x *callState) rateLimit() http.Header {
	var kept http.Header
	for name, values := range x.response.Header {
		if name != "Retry-After" && name != "Ratelimit" && !strings.HasPrefix(name, "Ratelimit-") &&
			!strings.HasPrefix(name, "X-Ratelimit-") && !strings.HasPrefix(name, "X-Rate-Limit-") {
			continue
		}
		if kept == nil {
			kept = http.Header{}
		}
		for _, v := range values {
			kept.Add(name, redact.Line(x.secrets().Text(v)))
		}
	}
	return kept
}

type captureKey string

// Capture returns a context whose calls by clients of the package pkg pass their
// attempts to store, one at a time, and to those of a Capture around it. All have
// done so when the call returns.
func Capture(ctx context.Context, pkg string, store func(Attempt)) context.Context {
	var mu sync.Mutex
	key := any(captureKey(pkg))
	outer, _ := ctx.Value(key).(func(Attempt))
	return context.WithValue(ctx, key, func(a Attempt) {
		mu.Lock()
		defer mu.Unlock()
		store(a)
		if outer != nil {
			outer(a)
		}
	})
}

func (a *Attempt) attrs() []slog.Attr {
	attrs := []slog.Attr{
		slog.String("operation", a.Op),
		slog.String("method", a.Method),
		slog.String("host", a.Host),
		slog.String("path", a.Path),
		slog.Int("status", a.StatusCode),
		slog.Duration("duration", a.Duration),
		slog.Int("attempt", a.Number),
		slog.Int64("bytes_sent", a.BytesSent),
		slog.Int64("bytes_received", a.BytesReceived),
	}
	if a.Query != "" {
		attrs = append(attrs, slog.String("query", a.Query))
	}
	if a.RequestID != "" {
		attrs = append(attrs, slog.String("request_id", a.RequestID))
	}
	if a.Err != nil {
		attrs = append(attrs, slog.String("error", a.Err.Error()))
	}
	if a.Retry {
		attrs = append(attrs, slog.Duration("retry_in", a.RetryIn))
	}
	return attrs
}
