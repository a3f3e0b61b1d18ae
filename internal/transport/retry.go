package transport

import (
	"cmp"
	"context"
	"crypto/tls"
	"errors"
	"io"
	"math/rand/v2"
	"net"
	"net/http"
	"net/url"
	"strconv"
	"strings"
	"sync"
	"time"

	"github.com/hashicorp/go-retryablehttp"

	"github.com/imagejobs/imagejobs-go/internal/auth"
)

// exchange is one call under way: what the retry loop and its tries know of it.
// It is the context of the request, because that is the one thing all hooks of
// the loop get to see. One goroutine at a time touches it.
type exchange struct {
	context.Context // the caller's

	call   Call
	url    url.URL
	into   any // what to decode the answer into, nil for nothing
	answer Response
	// answerLimit is kept here to save an allocation.
	answerLimit io.LimitedReader
	tries       int   // sent so far
	paid        bool  // a retry took from the budget
	renewed     bool  // a refused token was replaced, which is done once a call
	last        try   // the newest try
	ended       error // why there was no other try although one was due, nil if none was
	stop        string
}

// try is the outcome of one try.
type try struct {
	status    int // 0 when no header arrived
	header    http.Header
	body      []byte
	err       error // nil for a 2xx that was accepted
	maybeSent bool  // a byte of the request may have reached the service
	local     bool  // failed on our side: credentials or the source of the body
	grant     auth.Grant
}

type exchangeKey struct{}

// Value implements context.Context.
func (x *exchange) Value(key any) any {
	if key == (exchangeKey{}) {
		return x
	}
	return x.Context.Value(key)
}

func exchangeOf(ctx context.Context) *exchange {
	x, _ := ctx.Value(exchangeKey{}).(*exchange)
	return x
}

// do runs the retry loop over one call.
func (c *Client) do(ctx context.Context, call *Call, into any) (*Response, error) {
	x := &exchange{Context: ctx, call: *call, into: into}
	if err := c.url(&x.url, call); err != nil {
		return nil, err
	}
	for name, values := range call.Header {
		for _, v := range values {
			if err := CheckHeader(c.config.Package, call.Operation+": header "+name, v); err != nil {
				return nil, err
			}
		}
	}
	if ctx.Err() != nil {
		x.last.err = ContextErr(ctx)
		return nil, c.fail(x)
	}
	plain := &http.Request{
		Method: call.Method, URL: &x.url, Host: x.url.Host, Header: noHeader,
		Proto: "HTTP/1.1", ProtoMajor: 1, ProtoMinor: 1,
	}
	req := &retryablehttp.Request{Request: plain.WithContext(x)} //nolint:contextcheck // x is ctx
	if err := req.SetBody(bodyFunc(&x.call)); err != nil {
		return nil, Invalid(c.config.Package, call.Operation, "cannot be made into a request")
	}
	if call.hasBody() {
		req.ContentLength = call.Body.Size
	}
	// net/http sends a request again by itself when a reused connection dies
	// and the request looks repeatable to it. Without GetBody it never does;
	// for the classes that may be repeated, the loop above it is enough.
	req.GetBody = nil

	resp, err := c.loop.Do(req)
	if resp != nil {
		defer resp.Body.Close() // read already
	}
	switch {
	case x.last.err == nil && err != nil:
		x.last.err = reason(ctx, ctx, err)
	case x.last.err != nil && ctx.Err() != nil && x.mayRepeat() && !errors.Is(x.last.err, ctx.Err()):
		// The context ended while the loop waited to try again.
		x.ended = ContextErr(ctx)
	}
	if x.last.err != nil {
		return x.response(), c.fail(x)
	}
	c.budget.refund(x.paid)
	return &x.answer, nil
}

// noHeader stays empty: each try has a header of its own.
var noHeader = http.Header{}

func (x *exchange) response() *Response {
	x.answer = Response{StatusCode: x.last.status, Header: x.last.header, Body: x.last.body, exchange: x}
	return &x.answer
}

// bodyFunc gives the loop a new body for each try. A call without one that
// must not be repeated still gets a body, an empty one: net/http takes a GET
// without a body for repeatable. A body of no bytes is none, because net/http
// would take its length for unknown and send it chunked.
func bodyFunc(call *Call) any {
	switch {
	case call.hasBody():
		return retryablehttp.ReaderFunc(func() (io.Reader, error) { return call.Body.Open(), nil })
	case call.Repeat == Once && call.Method == http.MethodGet:
		return retryablehttp.ReaderFunc(func() (io.Reader, error) { return emptyBody{}, nil })
	default:
		return nil
	}
}

// emptyBody is no http.NoBody, which net/http would recognise.
type emptyBody struct{}

func (emptyBody) Read([]byte) (int, error) { return 0, io.EOF }

// checkRetry decides after each try, from the call's class alone.
func (c *Client) checkRetry(ctx context.Context, _ *http.Response, _ error) (bool, error) {
	x := exchangeOf(ctx)
	if x.last.err == nil || ctx.Err() != nil || !x.mayRepeat() {
		return false, nil //nolint:nilerr // the answer is no, which is no error
	}
	if wait, ok := x.last.retryAfter(); ok && wait > maxRetryAfter {
		return false, nil
	}
	if x.tries > c.loop.RetryMax {
		return false, nil
	}
	if !c.budget.take() {
		x.stop = "the client's retry budget is used up"
		return false, nil
	}
	x.paid = true
	return true, nil
}

// mayRepeat tells whether the failed try was of a passing kind and the call's
// class allows another.
func (x *exchange) mayRepeat() bool {
	t := &x.last
	if t.local || isPermanent(t.err) {
		return false
	}
	if x.call.Repeat == Once {
		return t.status == http.StatusTooManyRequests || t.status == 0 && !t.maybeSent
	}
	return t.status == 0 || passingStatus(t.status) || t.unreadable()
}

func passingStatus(status int) bool {
	switch status {
	case http.StatusRequestTimeout, http.StatusTooManyRequests, http.StatusInternalServerError,
		http.StatusBadGateway, http.StatusServiceUnavailable, http.StatusGatewayTimeout:
		return true
	default:
		return false
	}
}

// ambiguous tells whether the service may have carried out a call that must
// not be carried out twice.
func (x *exchange) ambiguous() bool {
	t := &x.last
	if x.call.Repeat != Once || t.err == nil || t.local {
		return false
	}
	if _, refused := errors.AsType[*RefusalError](t.err); refused {
		return false
	}
	return t.status == 0 && t.maybeSent || t.unreadable() ||
		t.status == http.StatusRequestTimeout || t.status >= 500
}

// unreadable is a 2xx whose content did not arrive whole or makes no sense.
func (t *try) unreadable() bool {
	if _, refused := errors.AsType[*RefusalError](t.err); refused {
		return false
	}
	return t.status >= 200 && t.status < 300 && t.err != nil
}

// isPermanent is a failure that another try would meet again.
func isPermanent(err error) bool {
	if errors.Is(err, ErrResponseTooLarge) {
		return true
	}
	if _, ok := errors.AsType[*tls.CertificateVerificationError](err); ok {
		return true
	}
	if dns, ok := errors.AsType[*net.DNSError](err); ok && dns.IsNotFound {
		return true
	}
	return false
}

// backoff is full jitter between the bounds, growing with the tries, on top of
// what the service asks for.
func backoff(minWait, maxWait time.Duration, attempt int, resp *http.Response) time.Duration {
	if resp != nil {
		if wait, ok := parseRetryAfter(resp.Header, time.Now()); ok && wait > 0 {
			return wait + jitter(minWait)
		}
	}
	upper, base := maxWait, cmp.Or(minWait, DefaultMinWait) // 0 would never grow
	if grown := base << (attempt + 1); grown>>(attempt+1) == base && grown < maxWait {
		upper = grown
	}
	return minWait + jitter(upper-minWait)
}

func jitter(most time.Duration) time.Duration {
	if most <= 0 {
		return 0
	}
	return rand.N(most)
}

func (t *try) retryAfter() (time.Duration, bool) {
	return parseRetryAfter(t.header, time.Now())
}

// RetryAfter is how long the answer asks to wait, in seconds or up to a date. 0
// when it does not, or there is none.
func (r *Response) RetryAfter() time.Duration {
	if r == nil {
		return 0
	}
	wait, _ := parseRetryAfter(r.Header, time.Now())
	return wait
}

func parseRetryAfter(h http.Header, now time.Time) (time.Duration, bool) {
	text := strings.TrimSpace(h.Get("Retry-After"))
	if text == "" {
		return 0, false
	}
	if seconds, err := strconv.ParseInt(text, 10, 64); err == nil {
		const most = int64(1<<63-1) / int64(time.Second)
		return time.Duration(min(max(seconds, 0), most)) * time.Second, true
	}
	date, err := http.ParseTime(text)
	if err != nil {
		return 0, false
	}
	if sent, err := http.ParseTime(h.Get("Date")); err == nil {
		now = sent // by the clock that the other date is of
	}
	return max(date.Sub(now), 0), true
}

// A retry costs tokens and a success earns some, so that a client whose calls
// all fail soon stops multiplying the load on a service that is down.
const (
	budgetSize  = 500
	retryCost   = 5
	successGain = 1
)

type budget struct {
	mu     sync.Mutex
	tokens int
}

func (b *budget) take() bool {
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.tokens < retryCost {
		return false
	}
	b.tokens -= retryCost
	return true
}

func (b *budget) refund(retried bool) {
	gain := successGain
	if retried {
		gain = retryCost
	}
	b.mu.Lock()
	defer b.mu.Unlock()
	b.tokens = min(b.tokens+gain, budgetSize)
}
