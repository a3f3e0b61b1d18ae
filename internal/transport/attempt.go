package transport

import (
	"context"
	"fmt"
	"net/http"
	"net/http/httptrace"
	"net/url"
	"slices"
	"strings"
	"sync/atomic"
	"time"

	"github.com/imagejobs/imagejobs-go/internal/wire"
)

// attempter sends a call once and reads the response whole.
type attempter struct {
	config *Config
	base   baseURL
	extra  baseURL // the origin that gets what Config.Start adds
	next   http.RoundTripper
	once   http.RoundTripper // for calls of class Once, see fresh
	jar    http.CookieJar    // nil for none
	slots  chan struct{}     // one for each request in flight
}

// attempt sends the call, and once more if the token was rejected and there is a
// newer one. The outcome is in x. It returns the context of the attempt, for
// observers.
func (a *attempter) attempt(ctx context.Context, x *callState) context.Context {
	attemptCtx, added := a.config.start(ctx, x)
	a.send(attemptCtx, x, added)
	if x.response.StatusCode != http.StatusUnauthorized || a.config.Credentials == nil || x.renewed {
		return attemptCtx
	}
	newer, err := a.config.Credentials.Renew(attemptCtx, x.last.grant)
	switch {
	case err != nil:
		x.noToken("getting another token failed", tokenErr(attemptCtx, err), a.config)
		return attemptCtx
	case newer:
		a.config.report(attemptCtx, x, true, 0)
		attemptCtx, added = a.config.start(ctx, x)
		a.send(attemptCtx, x, added)
	}
	x.renewed = true
	return attemptCtx
}

// noToken makes the attempt fail because there is no token. The next one waits for
// as long as the response to the request for a token asks. Such a request has no
// retries of its own: those are the call's.
func (x *callState) noToken(what string, err error, config *Config) {
	x.last.noToken, x.last.err = true, &localError{what, err}
	if config.RetryAfter != nil {
		x.response.asked = config.RetryAfter(err)
	}
}

// send sends the call once, with what is added to its header, and reads the
// response.
func (a *attempter) send(parent context.Context, x *callState, added http.Header) {
	x.last = outcome{}
	x.response = Response{decoder: x.response.decoder, secret: x.Secret}
	var body *wire.Body
	start := time.Now()
	defer func() { x.last.took, x.last.sent = time.Since(start), body.Sent() }()

	target := x.url // a caller's transport may change it
	own := a.base.sameOrigin(&target)
	if !a.admit(parent, x, own) {
		return
	}
	defer func() { <-a.slots }()
	req := a.request(x, &target, own, added)

	ctx, cancel := context.WithCancelCause(parent)
	defer cancel(nil)
	traced, limit := a.limit(ctx, x, cancel)
	defer limit.stop()
	next, seen := a.next, (*writeTrace)(nil)
	if x.Repeat == Once { // for the others it makes no difference what was sent
		next, seen = a.once, &writeTrace{}
		defer func() { x.last.resent = seen.resent.Load() }()
		traced = httptrace.WithClientTrace(traced, seen.trace())
	}
	standard, _ := next.(*http.Transport)
	req = req.WithContext(traced)
	if body = x.open(limit.guard, cancel); body != nil {
		req.Body, req.ContentLength = body, x.size()
		// From here on nothing reads the caller's source any more, even where
		// net/http has not noticed the end of the request yet.
		defer body.Detach()
	}

	x.attempts++
	if a.config.Sent != nil && !x.Upload {
		a.config.Sent()
	}
	resp, err := next.RoundTrip(req)
	if err == nil && resp == nil {
		err = fmt.Errorf("the HTTP client's transport (%T) returned neither a response nor an error", next)
	}
	switch source := body.SourceErr(); {
	case err == nil:
		a.receive(parent, ctx, x, resp, body, limit.guard)
	case source != nil:
		x.last.local, x.last.err = true, &localError{"read the request body", orContextErr(parent, source)}
	default:
		if standard != nil {
			err = wire.AsProxyError(standard, req, err)
		}
		x.last.unsent = seen.unsent(err, standard != nil)
		if size := x.size(); size > 0 && body.Sent() > size {
			err = fmt.Errorf("the request body is longer than %d bytes: %w", size, err) // err may only say that the connection ended
		}
		x.last.err = reason(parent, ctx, err)
	}
}

// admit waits for a token and then for a slot, and reports whether the call has
// both. The slot is one of a.slots, to be given back.
func (a *attempter) admit(ctx context.Context, x *callState, own bool) bool {
	if ctx.Err() != nil {
		x.last.local, x.last.err = true, ContextErr(ctx)
		return false
	}
	if own && a.config.Credentials != nil {
		var err error
		// Before there is a slot: all who wait for a token wait for the same one.
		if x.last.grant, err = a.config.Credentials.Grant(ctx); err != nil {
			x.last.local = true
			x.tokenless++
			x.noToken("getting a token failed", tokenErr(ctx, err), a.config)
			return false
		}
	}
	// Before the clock starts: nothing can move while others have all slots.
	select {
	case a.slots <- struct{}{}:
		return true
	case <-ctx.Done():
		x.last.local, x.last.err = true, ContextErr(ctx)
		return false
	}
}

// limit is what ends an attempt that takes too long.
type limit struct {
	guard *wire.StallGuard // of an upload
	clock *time.Timer      // of any other call
}

// limit starts the limit of an attempt, which cancels it. The request is to have
// the context that it returns.
func (a *attempter) limit(ctx context.Context, x *callState, cancel context.CancelCauseFunc) (context.Context, limit) {
	if x.Upload {
		guard := wire.NewStallGuard(a.config.StallTimeout, cancel)
		return httptrace.WithClientTrace(ctx, guard.Trace()), limit{guard: guard}
	}
	d := a.config.AttemptTimeout
	if x.Timeout > 0 {
		d = x.Timeout
	}
	return ctx, limit{clock: time.AfterFunc(d, func() { cancel(errAttemptTimeout) })}
}

func (l limit) stop() {
	if l.guard != nil {
		l.guard.Stop()
	}
	if l.clock != nil {
		l.clock.Stop()
	}
}

// receive reads the response and has the operation accept it.
func (a *attempter) receive(parent, ctx context.Context, x *callState, resp *http.Response, body *wire.Body, guard *wire.StallGuard) {
	if resp.Body == nil {
		resp.Body = http.NoBody
	}
	defer resp.Body.Close()
	if a.jar != nil {
		a.jar.SetCookies(&x.url, resp.Cookies())
	}
	if guard != nil {
		guard.ResponseStarted(a.config.AttemptTimeout)
	}
	x.response.StatusCode, x.response.Header = resp.StatusCode, resp.Header
	err := x.read(resp)
	switch {
	case err != nil:
		x.last.err = fmt.Errorf("read the response: %w", reason(parent, ctx, err))
	case !x.response.ok():
		x.last.err = errStatus
	case (body.Started() || guard.Connected()) && !body.Complete(): // a test's fake need not read it
		x.last.err = fmt.Errorf("the response came before the request body was sent (%d of %d bytes)", body.Sent(), x.size())
	default:
		x.last.err = x.accept(&x.response)
	}
}

// writeTrace records what a round tripper wrote. One that is not of net/http may
// send a request on a connection that no trace shows, so a trace without an event
// proves nothing there.
type writeTrace struct {
	asked, wrote atomic.Bool
	resent       atomic.Bool // a connection was asked for after something was written
}

func (t *writeTrace) trace() *httptrace.ClientTrace {
	return &httptrace.ClientTrace{
		GetConn: func(string) {
			t.asked.Store(true)
			t.resent.Store(t.wrote.Load())
		},
		WroteHeaderField: func(string, []string) { t.wrote.Store(true) },
	}
}

// unsent reports whether the service certainly did not process what ended with
// err. standard means that it was sent by net/http.
func (t *writeTrace) unsent(err error, standard bool) bool {
	switch {
	case t == nil:
		return false
	case t.wrote.Load():
		return !t.resent.Load() && neverProcessed(err, true)
	default:
		return standard && t.asked.Load() || neverProcessed(err, false)
	}
}

// open returns the body from its start, nil for none. net/http itself sends a
// request again when a reused connection died and the request looks repeatable:
// one with a body but without GetBody never does. So a GET that must not be
// repeated gets an empty body. Otherwise a body of no bytes is none, because
// net/http would take its length for unknown and send it chunked.
func (x *callState) open(guard *wire.StallGuard, cancel context.CancelCauseFunc) *wire.Body {
	switch {
	case x.size() > 0:
		return wire.NewBody(x.Body.Open(), x.Body.Size, guard, cancel)
	case x.Repeat == Once && x.Method == http.MethodGet:
		return wire.NewBody(strings.NewReader(""), 0, nil, cancel) // not http.NoBody, which net/http recognizes
	default:
		return nil
	}
}

func (x *callState) size() int64 {
	if x.Body == nil {
		return 0
	}
	return x.Body.Size
}

// read reads the body up to the limit, counted after decompression.
func (x *callState) read(resp *http.Response) error {
	if x.Method == http.MethodHead || resp.StatusCode < 200 {
		return nil // a HEAD may announce the length of what it leaves out; the body of a 101 is the connection
	}
	return x.response.read(resp, &x.limited)
}

// request returns the request of an attempt; own means that it goes to the
// service. added goes only there.
func (a *attempter) request(x *callState, target *url.URL, own bool, added http.Header) *http.Request {
	req := &http.Request{
		Method: x.Method, URL: target, Host: target.Host,
		Proto: "HTTP/1.1", ProtoMajor: 1, ProtoMinor: 1,
		Header: a.header(x, own),
	}
	if a.jar != nil {
		for _, cookie := range a.jar.Cookies(target) {
			req.AddCookie(cookie)
		}
	}
	if len(added) > 0 && a.extra.sameOrigin(target) {
		addHeader(req.Header, added)
	}
	return req
}

// addHeader adds what h lacks.
func addHeader(h, added http.Header) {
	for name, values := range added {
		name = http.CanonicalHeaderKey(name)
		if _, ok := h[name]; !ok {
			h[name] = slices.Clone(values)
		}
	}
}

func (a *attempter) header(x *callState, own bool) http.Header {
	h := make(http.Header, len(x.Header)+len(a.config.Header)+6)
	all := make([]string, 0, len(a.config.Header)+6) // of all single values
	set := func(name, value string) {
		all = append(all, value)
		h[name] = all[len(all)-1 : len(all) : len(all)]
	}
	set("Accept", "application/json")
	set("User-Agent", a.config.UserAgent)
	// No cache on the way may respond for the service.
	set("Cache-Control", "no-cache, no-store")
	set("Pragma", "no-cache")
	if own {
		for name, value := range a.config.Header {
			set(http.CanonicalHeaderKey(name), value)
		}
	}
	if grant := x.last.grant; grant.Header != "" {
		set(grant.Header, grant.Value)
	}
	if x.Body != nil {
		set("Content-Type", x.Body.ContentType)
	}
	for name, values := range x.Header {
		h[http.CanonicalHeaderKey(name)] = slices.Clone(values)
	}
	return h
}
