package oraclemarket

import (
	"fmt"
	"net/http"
	"time"

	"github.com/imagejobs/imagejobs-go/internal/transport"
	"github.com/imagejobs/imagejobs-go/internal/wire"
)

// Sentinel errors, for use with [errors.Is].
var (
	// ErrBadRequest matches status 400, Invalid Parameter Value.
	ErrBadRequest = transport.ErrBadRequest
	// ErrUnauthorized matches status 401: credentials that are missing, expired or
	// wrong even after a new token was requested.
	ErrUnauthorized = transport.ErrUnauthorized
	// ErrForbidden matches status 403.
	ErrForbidden = transport.ErrForbidden
	// ErrNotFound matches status 404, Entity Not Found.
	ErrNotFound = transport.ErrNotFound
	// ErrConflict matches status 409.
	ErrConflict = transport.ErrConflict
	// ErrTooManyRequests matches status 429.
	ErrTooManyRequests = transport.ErrTooManyRequests
	// ErrServer matches any 5xx response.
	ErrServer = transport.ErrServer
	// ErrAmbiguous matches a [MachineImagesService.Create],
	// [MachineImagesService.Initiate] or [StorageImagesService.Copy] whose outcome
	// is unknown, and an Upload that cannot identify its own upload request. Check
	// [MachineImagesService.List] before repeating it.
	ErrAmbiguous = transport.ErrAmbiguous
	// ErrTransient matches what [IsTransient] reports. A [TokenSource] may wrap
	// it to have its own failures ridden out.
	ErrTransient = transport.ErrTransient
	// ErrStalled matches an upload that made no progress for the time of
	// [WithStallTimeout].
	ErrStalled = wire.ErrStalled
	// ErrResponseTooLarge matches a response of more than 8 MiB.
	ErrResponseTooLarge = transport.ErrResponseTooLarge
	// ErrInvalidArgument matches every [*ArgumentError].
	ErrInvalidArgument = transport.ErrInvalidArgument
)

// IsTransient reports whether the call that returned err may succeed if it is
// repeated later: after a lost connection, a timeout, a status such as 429 or
// 503, or a malformed response. Errors of the caller's own [TokenSource] or
// http.RoundTripper are transient if they wrap [ErrTransient] or have a method
// Temporary that returns true. An error that matches [ErrAmbiguous] is not
// transient: find out first what happened.
func IsTransient(err error) bool { return transport.IsTransient(err) }

// ArgumentError reports a wrong argument or option, found before any request
// was sent. It matches [ErrInvalidArgument].
type ArgumentError struct {
	// Field is the Go name of what is wrong, such as "ImageUpload.FileName".
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
	// Op is the failed operation, such as "oraclemarket.MachineImages.Get".
	Op string
	// Method and URL are those of the request.
	Method string
	URL    string
	// StatusCode is the status of the response, 0 if there was none.
	StatusCode int
	// Code and Message are the service's own; either may be empty. The form of its
	// error responses is not documented, so JSON, XML, HTML and text are
	// understood.
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
	if e.StatusCode == http.StatusRequestEntityTooLarge {
		e.Hint = "the service, or a proxy in front of it, limits the size of a request: set a smaller ImageUpload.ChunkSize, or use Upload in place of Create"
	}
	return (*Error)(e)
}

// StateError reports an upload request that ended badly: Failed, Rejected,
// Deleted or Deletion Failed.
type StateError struct {
	// UploadRequestID is the id of the upload request.
	UploadRequestID int64
	// Status is the state that it ended in.
	Status Status
	// Reason lists the data centers whose status is not Completed, empty if none.
	Reason string
}

// Error implements error.
func (e *StateError) Error() string {
	text := fmt.Sprintf("oraclemarket: upload request %d ended with status %q", e.UploadRequestID, e.Status)
	if e.Reason != "" {
		text += ": " + e.Reason
	}
	return text
}
