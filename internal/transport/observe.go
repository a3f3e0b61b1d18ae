package transport

import (
	"context"
	"errors"
	"log/slog"
	"time"
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
	if c.Observe == nil && !logs {
		return
	}
	a := Attempt{
		Op:            c.Package + "." + x.Operation,
		Method:        x.Method,
		Host:          x.url.Host,
		Path:          x.url.EscapedPath(),
		Query:         publicQuery(&x.url, c.PublicQuery),
		Number:        x.attempts,
		StatusCode:    x.response.StatusCode,
		Duration:      x.last.took,
		BytesSent:     x.last.sent,
		BytesReceived: int64(len(x.response.Body)),
		RequestID:     x.requestID(),
		Retry:         again,
	}
	if again {
		a.RetryIn = pause
	}
	if err := x.last.err; err != nil && !errors.Is(err, errStatus) {
		a.Err = shown(err, x.secrets())
	}
	if c.Observe != nil {
		c.Observe(ctx, a)
	}
	if logs {
		c.Logger.LogAttrs(ctx, level, "request", a.attrs()...)
	}
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
