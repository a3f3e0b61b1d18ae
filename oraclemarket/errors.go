package oraclemarket

import (
	"fmt"
	"time"

	"github.com/imagejobs/imagejobs-go/internal/transport"
)

// Errors that errors.Is finds in what the calls of this package return.
var (
	// ErrBadRequest is status 400, Invalid Parameter Value.
	ErrBadRequest = transport.ErrBadRequest
	// ErrUnauthorized is status 401, Not Authorized: credentials that are
	// missing, expired or wrong, after the token was asked for anew.
	ErrUnauthorized = transport.ErrUnauthorized
	// ErrForbidden is status 403.
	ErrForbidden = transport.ErrForbidden
	// ErrNotFound is status 404, Entity Not Found.
	ErrNotFound = transport.ErrNotFound
	// ErrConflict is status 409.
	ErrConflict = transport.ErrConflict
	// ErrTooManyRequests is status 429.
	ErrTooManyRequests = transport.ErrTooManyRequests
	// ErrServer is any status from 500 on.
	ErrServer = transport.ErrServer
	// ErrAmbiguous is a create or initiate that may have been carried out
	// although no good answer came. It is never repeated by itself: look with
	// List before doing so.
	ErrAmbiguous = transport.ErrAmbiguous
	// ErrStalled is an upload that was cut because no byte moved for the stall
	// limit; see WithTimeouts.
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
// No field holds a secret: tokens and keys are replaced by REDACTED where a
// service repeats them.
type Error struct {
	// Operation is the call, as in "oraclemarket.MachineImages.Get".
	Operation string
	// Method and URL are what was sent; of the query only harmless values.
	Method string
	URL    string
	// StatusCode is the answer's HTTP status, 0 when none arrived.
	StatusCode int
	// Code and Message are what the service says; both may be empty. The form
	// of the service's error bodies is not documented: JSON, XML, HTML and text
	// are understood.
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

// StateError is an upload request that ended badly: Failed, Rejected, Deleted
// or Deletion Failed.
type StateError struct {
	UploadRequestID int64
	Status          Status
	// Reason says which data centers report what, where the service does.
	Reason string
}

// Error says id, status and reason.
func (e *StateError) Error() string {
	text := fmt.Sprintf("oraclemarket: upload request %d ended with status %q", e.UploadRequestID, e.Status)
	if e.Reason != "" {
		text += ": " + e.Reason
	}
	return text
}
