package multiplay

import (
	"context"
	"net/http"
	"time"

	"github.com/imagejobs/imagejobs-go/internal/transport"
)

// Attempt is one attempt of a request, as [WithObserver] and [CaptureAttempt]
// report it. No field holds a secret.
type Attempt struct {
	// Op is the operation, as in [Error].
	Op string
	// Method, Scheme, Host and Path are those of the request. Query has the
	// parameters that are safe to show, encoded.
	Method string
	Scheme string
	Host   string
	Path   string
	Query  string
	// Number counts the attempts of the call, from 1. It leaves out an attempt that
	// sent no request, for want of credentials.
	Number int
	// StatusCode is the status of the response, 0 if there was none.
	StatusCode int
	// Duration is the time from the request for credentials and a connection to
	// the end of the response.
	Duration time.Duration
	// BytesSent and BytesReceived count the bodies.
	BytesSent     int64
	BytesReceived int64
	// RequestID is the id that the service or a gateway gave the request, empty if
	// none.
	RequestID string
	// RateLimit has the headers of the response that say when and how often to
	// call: Retry-After, RateLimit, and those whose names begin with RateLimit-,
	// X-RateLimit- or X-Rate-Limit-. It is nil if there are none.
	RateLimit http.Header
	// Err is the underlying error of a failure, nil if the status says it all.
	Err error
	// Retry reports whether the call is sent again. RetryIn is the pause before
	// that.
	Retry   bool
	RetryIn time.Duration
}

// CaptureAttempt returns a context for one call, whose last attempt it stores in
// last: the status, request id and rate limits of the response, and the number
// of attempts, whether the call succeeded or not.
//
// If the call makes several requests, as [Client.Release] and
// [ImageUpdatesService.Wait] do,
// last is the attempt that ended last, and last.Op names its operation. Requests
// for tokens do not count. Without any attempt, last is not changed. Read it
// when the call has returned. A context may capture for several. nil captures
// nothing.
func CaptureAttempt(ctx context.Context, last *Attempt) context.Context {
	if last == nil {
		return ctx
	}
	return transport.Capture(ctx, pkg, func(a transport.Attempt) { *last = Attempt(a) })
}
