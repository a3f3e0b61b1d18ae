package transport

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"net/http/httptrace"
	"net/url"
	"slices"
	"sync/atomic"
	"time"

	"github.com/imagejobs/imagejobs-go/internal/auth"
)

// tries is the round tripper below the retry loop: each request it is given is
// one try. It reads the answer whole, so that the loop sees a cut or unreadable
// answer like any other failure.
type tries struct {
	client *Client
	next   http.RoundTripper
	jar    http.CookieJar // nil for none
}

// RoundTrip makes one try, or two when the token was refused and there is a
// newer one. What came of it stands in the exchange; the response it returns
// has no body left.
func (t *tries) RoundTrip(req *http.Request) (*http.Response, error) {
	x := exchangeOf(req.Context())
	resp, used := t.try(x, req, req.Body)
	if x.last.status == http.StatusUnauthorized && t.client.config.Credentials != nil && !x.renewed {
		x.renewed = true
		newer, err := t.client.config.Credentials.Renew(req.Context(), used)
		switch {
		case err != nil:
			x.last.err = fmt.Errorf("getting another token failed: %w", ended(req.Context(), err))
		case newer:
			var body io.ReadCloser
			if req.Body != nil {
				body = x.call.reopen()
			}
			resp, _ = t.try(x, req, body)
		}
	}
	if resp == nil {
		return nil, x.last.err
	}
	return resp, nil
}

// try sends the request once and logs it. The outcome stands in x.last; the
// response is nil when no header arrived.
func (t *tries) try(x *exchange, req *http.Request, body io.ReadCloser) (*http.Response, auth.Grant) {
	start := time.Now()
	x.last = try{}
	var sent *guardedBody
	if body != nil {
		sent = &guardedBody{body: body, size: req.ContentLength}
	}
	resp, used := t.send(x, req, sent)
	t.client.log(req.Context(), x, sent, time.Since(start))
	return resp, used
}

func (t *tries) send(x *exchange, req *http.Request, sent *guardedBody) (*http.Response, auth.Grant) {
	c, parent, out := t.client, req.Context(), &x.last
	// Before the clock starts: nothing can move while others have all places.
	select {
	case c.places <- struct{}{}:
		defer func() { <-c.places }()
	case <-parent.Done():
		out.local = true
		out.err = ContextErr(parent)
		return nil, auth.Grant{}
	}
	target := *req.URL // a caller's transport may change it
	var used auth.Grant
	own := c.sameOrigin(&target)
	if own && c.config.Credentials != nil {
		var err error
		if used, err = c.config.Credentials.Grant(parent); err != nil {
			out.local = true
			out.err = fmt.Errorf("%w: %w", errNoCredentials, ended(parent, err))
			return nil, used
		}
		out.grant = used
	}

	ctx, cancel := context.WithCancelCause(parent)
	defer cancel(nil)
	var moving *stallClock // of an upload
	if x.call.Upload {
		moving = newStallClock(c.config.StallTimeout, cancel)
		defer moving.stop()
	} else {
		clock := time.AfterFunc(c.config.TryTimeout, func() { cancel(errTryTimeout) })
		defer clock.Stop()
	}

	sending := ctx
	var seen *progress
	if x.call.Repeat == Once { // for the others it makes no difference what was sent
		seen = &progress{}
		sending = httptrace.WithClientTrace(sending, seen.trace())
	}
	if moving != nil {
		sending = httptrace.WithClientTrace(sending, &moving.trace)
	}
	r := req.WithContext(sending)
	r.URL = &target
	r.Header = c.header(&x.call, own, &used)
	if t.jar != nil {
		for _, cookie := range t.jar.Cookies(r.URL) {
			r.AddCookie(cookie)
		}
	}
	r.Body = nil
	if sent != nil {
		sent.clock = moving
		r.Body = sent
		// From here on nothing reads the caller's source any more, even where
		// net/http has not noticed the end of the request yet.
		defer sent.detach()
	}

	x.tries++
	resp, err := t.next.RoundTrip(r)
	switch {
	case err == nil && resp == nil:
		err = fmt.Errorf("the HTTP client's transport (%T) gave neither an answer nor an error", t.next)
	case err == nil && resp.Body == nil:
		resp.Body = http.NoBody
	}
	out.maybeSent = seen.maybeSent()
	if err != nil {
		if source := sent.sourceErr(); source != nil {
			out.local = true
			out.err = fmt.Errorf("read the request body: %w", ended(parent, source))
		} else {
			out.err = reason(parent, ctx, err)
		}
		return nil, used
	}
	defer resp.Body.Close()
	if t.jar != nil {
		if cookies := resp.Cookies(); len(cookies) > 0 {
			t.jar.SetCookies(r.URL, cookies)
		}
	}
	if moving != nil {
		moving.answered(c.config.TryTimeout)
	}
	out.status, out.header = resp.StatusCode, resp.Header
	out.body, err = x.readAnswer(resp)
	resp.Body = http.NoBody
	switch {
	case err != nil:
		out.err = fmt.Errorf("read the answer: %w", reason(parent, ctx, err))
	case out.status < 200 || out.status > 299:
		out.err = errStatus
	default:
		out.err = x.accept(x.response())
	}
	return resp, used
}

var errNoCredentials = errors.New("no credentials to send")

// errStatus stands for a status that says it all.
var errStatus = errors.New("bad status")

var (
	errTryTimeout error = timeoutError("no complete answer within the time limit of one try")
	errHandshake  error = timeoutError("no end of the TLS handshake within its time limit")
)

type timeoutError string

func (e timeoutError) Error() string { return string(e) }
func (timeoutError) Timeout() bool   { return true }
func (timeoutError) Temporary() bool { return true } // so that it is a net.Error

// reason is the cause of a failure below us, without what may hold secrets:
// *url.Error repeats the whole URL.
func reason(parent, ctx context.Context, err error) error {
	if parent.Err() != nil {
		return ContextErr(parent)
	}
	if ctx.Err() != nil {
		return context.Cause(ctx)
	}
	if wrapped, ok := errors.AsType[*url.Error](err); ok {
		return wrapped.Err
	}
	return err
}

// ended is err, or why ctx ended where that is the reason.
func ended(ctx context.Context, err error) error {
	if ctx.Err() != nil {
		return ContextErr(ctx)
	}
	return err
}

// ContextErr is why ctx ended: the standard error, with the caller's own cause.
func ContextErr(ctx context.Context) error {
	err, cause := ctx.Err(), context.Cause(ctx)
	if errors.Is(cause, err) {
		return cause
	}
	return fmt.Errorf("%w: %w", err, cause)
}

// header is what a request carries; own tells that it goes to the service.
func (c *Client) header(call *Call, own bool, grant *auth.Grant) http.Header {
	h := make(http.Header, len(call.Header)+len(c.config.Header)+4)
	values := make([]string, 0, len(c.config.Header)+4) // of all single ones
	set := func(name, value string) {
		values = append(values, value)
		h[name] = values[len(values)-1 : len(values) : len(values)]
	}
	set("Accept", "application/json")
	set("User-Agent", c.userAgent)
	if own {
		for name, value := range c.config.Header {
			set(http.CanonicalHeaderKey(name), value)
		}
	}
	if grant.Header != "" {
		set(grant.Header, grant.Value)
	}
	if call.Body != nil {
		set("Content-Type", call.Body.ContentType)
	}
	for name, values := range call.Header {
		h[http.CanonicalHeaderKey(name)] = slices.Clone(values)
	}
	return h
}

// progress is how far one try came, as net/http tells it.
type progress struct {
	asked, wrote atomic.Bool
}

func (p *progress) trace() *httptrace.ClientTrace {
	return &httptrace.ClientTrace{
		GetConn:          func(string) { p.asked.Store(true) },
		WroteHeaderField: func(string, []string) { p.wrote.Store(true) },
	}
}

// maybeSent is false only where net/http asked for a connection and never
// wrote to one. A transport that tells nothing may have sent everything.
func (p *progress) maybeSent() bool { return p == nil || p.wrote.Load() || !p.asked.Load() }

// readAnswer reads up to the limit, counted after decompression.
func (x *exchange) readAnswer(resp *http.Response) ([]byte, error) {
	if x.call.Method == http.MethodHead {
		return nil, nil // it may announce the length of what it leaves out
	}
	limit := maxAnswer
	if resp.StatusCode < 200 || resp.StatusCode > 299 {
		limit = maxErrorAnswer
	}
	var buf bytes.Buffer
	// No more than a hint: a caller's round tripper may not keep to it.
	buf.Grow(int(min(max(resp.ContentLength, 0), int64(limit))) + bytes.MinRead)
	x.answerLimit = io.LimitedReader{R: resp.Body, N: int64(limit) + 1}
	_, err := buf.ReadFrom(&x.answerLimit)
	body := buf.Bytes()
	if len(body) <= limit {
		return body, err
	}
	if limit == maxErrorAnswer {
		return body[:limit], nil // the status says enough, and there is text to show
	}
	return body[:limit], fmt.Errorf("%w of %d MiB", ErrResponseTooLarge, maxAnswer>>20)
}

// log writes one record for a try. No header, no body, and of the query only
// what the service's allow-list names.
func (c *Client) log(ctx context.Context, x *exchange, sent *guardedBody, took time.Duration) {
	if c.config.Logger == nil || !c.config.Logger.Enabled(ctx, slog.LevelDebug) {
		return
	}
	attrs := []slog.Attr{
		slog.String("operation", c.config.Package+"."+x.call.Operation),
		slog.String("method", x.call.Method),
		slog.String("host", x.url.Host),
		slog.String("path", x.url.EscapedPath()),
		slog.Int("status", x.last.status),
		slog.Duration("duration", took),
		slog.Int("try", x.tries),
		slog.Int64("bytes_sent", sent.count()),
		slog.Int("bytes_received", len(x.last.body)),
	}
	if q := c.publicQuery(&x.url); q != "" {
		attrs = append(attrs, slog.String("query", q))
	}
	if err := x.last.err; err != nil && !errors.Is(err, errStatus) {
		attrs = append(attrs, slog.String("error", x.redactor()(err.Error())))
	}
	c.config.Logger.LogAttrs(ctx, slog.LevelDebug, "request", attrs...)
}
