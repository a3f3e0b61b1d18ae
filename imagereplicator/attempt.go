package imagereplicator

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
	// Retry reports whether the call is sent again, after RetryIn.
	Retry   bool
	RetryIn time.Duration
}

// CaptureAttempt returns a context for one call, which stores its last attempt in
// last: of a call that succeeded the status, request id and rate limits of the
// response, and the number of attempts; of one that failed what there was.
//
// Of a call that makes several requests, such as
// [JobsService.Wait] or [JobsService.CopyToTenants],
// last is the attempt that ended last, and its Op says which that is. Requests
// for tokens do not count. last stays as it is if there was no attempt. Read it
// when the call has returned. A context may capture for several. nil captures
// nothing.
func CaptureAttempt(ctx context.Context, last *Attempt) context.Context {
	if last == nil {
		return ctx
	}
	return transport.Capture(ctx, pkg, func(a transport.Attempt) { *last = Attempt(a) })
}
