package imagereplicator

import (
	"errors"
	"fmt"
	"net/http"
	"time"

	"github.com/imagejobs/imagejobs-go/internal/transport"
)

// Sentinel errors, for use with [errors.Is].
var (
	// ErrBadRequest matches status 400: parameters that fail the service's
	// validation.
	ErrBadRequest = transport.ErrBadRequest
	// ErrUnauthorized matches status 401: a token that is missing, expired or
	// wrong even after a new one was requested. On [JobsService.Create] it can
	// also mean that the service refuses the destination tenant.
	ErrUnauthorized = transport.ErrUnauthorized
	// ErrForbidden matches status 403: the gateway in front of the service refuses
	// what a user's IAM role does not allow.
	ErrForbidden = transport.ErrForbidden
	// ErrNotFound matches status 404: no such job; on [JobsService.Create] an
	// image or tenant that does not exist, or an image type that the destination
	// region does not support.
	ErrNotFound = transport.ErrNotFound
	// ErrConflict matches status 409. On [JobsService.Create] the image storage
	// of the destination region is down, the source image is not active, or the
	// destination region does not support it. On [JobsService.Cancel] the job is
	// neither replicate_requested nor replicating.
	ErrConflict = transport.ErrConflict
	// ErrTooManyRequests matches status 429.
	ErrTooManyRequests = transport.ErrTooManyRequests
	// ErrServer matches any 5xx response.
	ErrServer = transport.ErrServer
	// ErrAmbiguous matches a [JobsService.Create] whose outcome is unknown even
	// after a search in List: the job may exist. Check [JobsService.List] before
	// creating another.
	ErrAmbiguous = transport.ErrAmbiguous
	// ErrTransient matches what [IsTransient] reports. A [TokenSource] may wrap
	// it to have its own failures ridden out.
	ErrTransient = transport.ErrTransient
	// ErrResponseTooLarge matches a response of more than 8 MiB.
	ErrResponseTooLarge = transport.ErrResponseTooLarge
	// ErrInvalidArgument matches every [*ArgumentError].
	ErrInvalidArgument = transport.ErrInvalidArgument
)

// IsTransient reports whether the call that returned err may succeed if it is
// repeated later: after a lost connection, a timeout, a status such as 429 or
// 503, or a malformed response. Errors of the caller's own [TokenSource] or
// [http.RoundTripper] are transient if they wrap [ErrTransient] or have a
// method Temporary that returns true. An error that matches [ErrAmbiguous] is
// not transient: find out first what happened.
func IsTransient(err error) bool { return transport.IsTransient(err) }

// ArgumentError reports a wrong argument or option, found before any request
// was sent. It matches [ErrInvalidArgument].
type ArgumentError struct {
	// Field is the Go name of what is wrong, such as "CreateJobRequest.ImageID".
	Field string
	// Problem says what is wrong with it, such as "must not be empty".
	Problem string
}

// Error implements error.
func (e *ArgumentError) Error() string { return pkg + ": " + e.Field + ": " + e.Problem }

// Is reports whether target is [ErrInvalidArgument].
func (e *ArgumentError) Is(target error) bool { return target == ErrInvalidArgument }

func invalid(field, format string, args ...any) error {
	return &ArgumentError{Field: field, Problem: fmt.Sprintf(format, args...)}
}

// Error reports a failed call: an error response, or no response. Compare it
// with the sentinels of this package, or use [errors.As] to read its fields. No
// field holds a secret: a text that contains one is hidden as a whole.
type Error struct {
	// Op is the failed operation, such as "imagereplicator.Jobs.Get".
	Op string
	// Method and URL are those of the request.
	Method string
	URL    string
	// StatusCode is the status of the response, 0 if there was none.
	StatusCode int
	// Code and Message are the service's own; either may be empty.
	Code    string
	Message string
	// RequestID is the id that the service or a gateway gave the request, empty if
	// none.
	RequestID string
	// Attempts is the number of requests that were sent for this call.
	Attempts int
	// RetryAfter is the wait that the service asked for, 0 if none.
	RetryAfter time.Duration
	// Ambiguous reports whether the service may have carried out the call; see
	// [ErrAmbiguous].
	Ambiguous bool
	// Hint suggests what to do next, in words for people.
	Hint string
	// Body is the start of the response's body, up to 8 KiB.
	Body string
	// Err is the underlying error, such as a failed connection, a done context or
	// a malformed response. It is nil if the status says it all.
	Err error
}

// Error implements error.
func (e *Error) Error() string { return (*transport.Error)(e).Error() }

// Unwrap returns e.Err.
func (e *Error) Unwrap() error { return e.Err }

// Is reports whether target is a sentinel of this package that matches e.
func (e *Error) Is(target error) bool { return (*transport.Error)(e).Is(target) }

func wrapError(e *transport.Error, _ string) error {
	if hint := hint(e); hint != "" {
		e.Hint = hint
	}
	return (*Error)(e)
}

// hint returns what the service's pages say that a status can mean: its
// responses do not say it themselves.
func hint(e *transport.Error) string {
	switch e.Op {
	case pkg + "." + opCreate:
		switch {
		case e.Ambiguous:
			return "the job may exist: search Jobs.List for its source image and destination tenant before creating another"
		case e.StatusCode == http.StatusUnauthorized:
			return "check the token and the destination tenant: either may be refused this way"
		case e.StatusCode == http.StatusNotFound:
			return "check that the image and the destination tenant exist, and that the destination region supports the image's license and template type"
		case e.StatusCode == http.StatusConflict:
			return "the image storage of the destination region is down (try again later), the source image is not active, or the destination region does not support it"
		}
	case pkg + "." + opCancel:
		if e.StatusCode == http.StatusConflict {
			return "only a job that is replicate_requested or replicating can be canceled: this one has ended or is being canceled"
		}
	}
	return ""
}

// StateError reports a job that ended without a copy: canceled, or in error.
// The service gives no reason.
type StateError struct {
	// JobID is the job's id.
	JobID string
	// Status is the state that it ended in.
	Status Status
}

// Error implements error.
func (e *StateError) Error() string {
	return fmt.Sprintf("imagereplicator: job %s ended with status %q", e.JobID, e.Status)
}

// repeatedConflict reports whether err is a 409 to a call that was sent more
// than once.
func repeatedConflict(err error) bool {
	e, ok := errors.AsType[*Error](err)
	return ok && e.StatusCode == http.StatusConflict && e.Attempts > 1
}

// retryAfter returns how long the service asks to wait.
func retryAfter(err error) time.Duration {
	if e, ok := errors.AsType[*Error](err); ok {
		return e.RetryAfter
	}
	return 0
}
