// Package transport sends the calls of the client packages. It knows none of
// the services.
//
// A call goes down through one file after the other: [Do] in client.go, the
// retry loop in retry.go, one attempt in attempt.go, then the RoundTripper.
// What is known of the call travels in a callState. failure.go makes the error
// of a call that failed.
package transport

import (
	"cmp"
	"context"
	"fmt"
	"log/slog"
	"net/http"
	"runtime/debug"
	"strings"
	"sync"
	"time"

	"github.com/imagejobs/imagejobs-go/internal/wire"
)

// Client sends calls to one service. It is safe for concurrent use.
type Client struct {
	config  Config
	baseURL baseURL
	retry   retrier
}

// New validates the configuration; its errors name the option that is wrong.
func New(config Config) (*Client, error) {
	invalid := func(field, format string, args ...any) (*Client, error) {
		return nil, config.Invalid(field, fmt.Sprintf(format, args...))
	}
	base, problem := parseBaseURL(config.BaseURL, config.InsecureHTTP, cmp.Or(config.InsecureName, "WithInsecureHTTP()"))
	if problem != "" {
		return invalid(cmp.Or(config.BaseURLName, "WithBaseURL"), "%s", problem)
	}
	limits := Retry{DefaultMaxAttempts, DefaultMinWait, DefaultMaxWait}
	if config.Retry != nil {
		limits = *config.Retry
	}
	switch {
	case limits.MaxAttempts < 1:
		return invalid("WithRetry", "maxAttempts must be at least 1, not %d", limits.MaxAttempts)
	case limits.MinWait < 0:
		return invalid("WithRetry", "minWait must not be negative")
	case limits.MaxWait < limits.MinWait:
		return invalid("WithRetry", "maxWait must not be below minWait")
	case config.AttemptTimeout < 0:
		return invalid("WithAttemptTimeout", "must not be negative")
	case config.StallTimeout < 0:
		return invalid("WithStallTimeout", "must not be negative")
	}
	if problem := HeaderProblem(config.UserAgent); problem != "" {
		return invalid("WithUserAgent", "%s", problem)
	}
	config.AttemptTimeout = cmp.Or(config.AttemptTimeout, DefaultAttemptTimeout)
	config.StallTimeout = cmp.Or(config.StallTimeout, DefaultStallTimeout)
	config.UserAgent = strings.TrimSpace(config.UserAgent + " imagejobs-go/" + moduleVersion())

	config.captureKey = captureKey(config.Package)
	extra := base
	if config.HeaderURL != "" {
		// One that is wrong is for the client whose base URL it is to refuse.
		extra, _ = parseBaseURL(config.HeaderURL, config.InsecureHTTP, "")
	}
	attempts := attempter{config: &config, base: base, extra: extra, slots: make(chan struct{}, maxInFlight)}
	if given := config.HTTPClient; given != nil {
		attempts.next, attempts.jar = given.Transport, given.Jar
		// A caller's Timeout would cut long uploads: it bounds small calls only.
		if t := given.Timeout; t > 0 {
			config.AttemptTimeout = min(config.AttemptTimeout, t)
		}
	}
	if attempts.next == nil {
		attempts.next = wire.NewTransport(maxInFlight)
		if _, ok := http.DefaultTransport.(*http.Transport); !ok && config.HTTPClient != nil { //nolint:forbidigo // it is what the caller's client uses
			attempts.next = http.DefaultTransport //nolint:forbidigo // somebody instrumented it
		}
	}
	attempts.once = fresh(attempts.next)
	return &Client{
		config:  config,
		baseURL: base,
		retry:   retrier{limits: limits, budget: budget{tokens: budgetSize}, next: attempts},
	}, nil
}

// fresh returns a round tripper like next that opens a connection for each
// request, where next is a transport of net/http. A proxy that is reloaded, or
// whose keep-alive timeout ends, closes idle connections; a request that is on
// its way then gets no response, which leaves a call of class Once ambiguous.
func fresh(next http.RoundTripper) http.RoundTripper {
	t, ok := next.(*http.Transport)
	if !ok {
		return next
	}
	t = t.Clone()
	t.DisableKeepAlives = true
	return t
}

// SingleAttempts returns a client for callers that have a loop of their own. It
// is the same but sends no call again.
func (c *Client) SingleAttempts() *Client {
	return &Client{
		config:  c.config,
		baseURL: c.baseURL,
		retry:   retrier{limits: c.retry.limits, next: c.retry.next, single: true},
	}
}

// BaseURL returns where calls go, without a slash at the end.
func (c *Client) BaseURL() string { return c.baseURL.String() }

// Logger returns the caller's logger, or one that discards.
func (c *Client) Logger() *slog.Logger {
	if c.config.Logger == nil {
		return slog.New(slog.DiscardHandler)
	}
	return c.config.Logger
}

// AttemptTimeout returns how long an attempt of a small call may take.
func (c *Client) AttemptTimeout() time.Duration { return c.config.AttemptTimeout }

// Do sends the call. decode makes a T of a 2xx response, or returns why it is
// not a response of this operation: a *RefusalError if the service refused, the
// error of [Response.Malformed] otherwise. The response is nil if nothing was
// sent.
func Do[T any](ctx context.Context, c *Client, call *Call, decode func(*Response) (T, error)) (T, *Response, error) {
	var value, zero T
	x := &callState{Call: call, accept: func(r *Response) (err error) {
		value, err = decode(r)
		return err
	}}
	x.response.decoder, x.attempts = c.config.Decoder, call.Attempts
	if problem := x.resolve(&c.baseURL); problem != "" {
		return zero, nil, c.config.Invalid(call.Operation, problem)
	}
	if c.retry.run(ctx, x) {
		return value, &x.response, nil
	}
	return zero, &x.response, c.config.WrapError(x.failure(&c.config))
}

// moduleVersion is the version the program was built with.
var moduleVersion = sync.OnceValue(func() string {
	const path = "github.com/imagejobs/imagejobs-go"
	info, ok := debug.ReadBuildInfo()
	if !ok {
		return "devel"
	}
	for _, dep := range append(info.Deps, &info.Main) {
		if dep.Path == path && dep.Version != "" && dep.Version != "(devel)" {
			return strings.TrimPrefix(dep.Version, "v")
		}
	}
	return "devel"
})
