package imagereplicator

import (
	"fmt"
	"net/http"
	"time"

	"github.com/imagejobs/imagejobs-go/internal/transport"
)

// Errors that errors.Is finds in what the calls of this package return.
var (
	// ErrBadRequest is status 400: parameters that fail the service's validation.
	ErrBadRequest = transport.ErrBadRequest
	// ErrUnauthorized is status 401: a token that is missing, expired or wrong,
	// after it was asked for anew. On Jobs.Create it can also mean a destination
	// tenant that the service refuses.
	ErrUnauthorized = transport.ErrUnauthorized
	// ErrForbidden is status 403. No page of this API lists it; the gateway
	// before it refuses what a user's IAM role does not allow.
	ErrForbidden = transport.ErrForbidden
	// ErrNotFound is status 404: no such job; on Jobs.Create an image or tenant
	// that does not exist, or an image type that the destination region does
	// not support.
	ErrNotFound = transport.ErrNotFound
	// ErrConflict is status 409. On Jobs.Create the image storage of the
	// destination region is down, the source image is not active, or the
	// destination region does not support it; on Jobs.Cancel the job is neither
	// replicate_requested nor replicating.
	ErrConflict = transport.ErrConflict
	// ErrTooManyRequests is status 429.
	ErrTooManyRequests = transport.ErrTooManyRequests
	// ErrServer is any status from 500 on.
	ErrServer = transport.ErrServer
	// ErrAmbiguous is a create that may have been carried out although no good
	// answer came. It is never repeated by itself: look for the job with
	// Jobs.List before doing so.
	ErrAmbiguous = transport.ErrAmbiguous
	// ErrStalled is an upload that was cut; no call of this package uploads.
	ErrStalled = transport.ErrStalled
	// ErrResponseTooLarge is an answer of more than 8 MiB.
	ErrResponseTooLarge = transport.ErrResponseTooLarge
	// ErrInvalidArgument is bad input, found before any request was sent.
	ErrInvalidArgument = transport.ErrInvalidArgument
)

// Error is a call that failed: refused by the service, or not answered. Get it
// with errors.As (or errors.AsType), or compare with errors.Is and the
// sentinels of this package.
//
// No field holds a secret: tokens are replaced by REDACTED where a service
// repeats them.
type Error struct {
	// Operation is the call, as in "imagereplicator.Jobs.Get".
	Operation string
	// Method and URL are what was sent.
	Method string
	URL    string
	// StatusCode is the answer's HTTP status, 0 when none arrived.
	StatusCode int
	// Code and Message are what the service says; both may be empty. Only the
	// text of a 401 is documented, so JSON of the shapes that Keystone, Glance
	// and gateways send, HTML and text are understood.
	Code    string
	Message string
	// RequestID is the service's or a gateway's id of the request, if it sent one.
	RequestID string
	// Attempts is how many requests were sent for this call.
	Attempts int
	// RetryAfter is how long the service asks to wait, 0 when it does not.
	RetryAfter time.Duration
	// Ambiguous tells that the service may have carried out the call; see
	// ErrAmbiguous.
	Ambiguous bool
	// Hint says what to do next, for people.
	Hint string
	// Body is the start of the answer's body, up to 8 KiB.
	Body string
	// Err is the cause where there is one beside the status: a failed
	// connection, an ended context, an unreadable answer.
	Err error
}

// Error says operation, target, status, message, tries and what to do next.
func (e *Error) Error() string { return (*transport.Error)(e).Error() }

// Unwrap gives Err.
func (e *Error) Unwrap() error { return e.Err }

// Is matches the sentinels of this package.
func (e *Error) Is(target error) bool { return (*transport.Error)(e).Is(target) }

func wrapError(e *transport.Error) error {
	if hint := hint(e); hint != "" {
		e.Hint = hint
	}
	return (*Error)(e)
}

// hint is what the service's pages say that a status can mean: its answers do
// not say it themselves.
func hint(e *transport.Error) string {
	switch e.Operation {
	case pkg + "." + opCreate:
		switch {
		case e.Ambiguous:
			return "the job may exist: look for it with Jobs.List, by source image and destination tenant, before repeating this"
		case e.StatusCode == http.StatusUnauthorized:
			return "check the token and the destination tenant: the service answers so for either"
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

// StateError is a job that ended without a copy: canceled, or in error. The
// service gives no reason.
type StateError struct {
	JobID  string
	Status Status
}

// Error says id and status.
func (e *StateError) Error() string {
	return fmt.Sprintf("imagereplicator: job %s ended with status %q", e.JobID, e.Status)
}
