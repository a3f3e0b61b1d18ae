package multiplay

import (
	"errors"
	"fmt"
	"regexp"
	"strconv"
	"strings"
	"time"

	"github.com/imagejobs/imagejobs-go/internal/transport"
)

// Sentinel errors, for use with [errors.Is].
var (
	// ErrBadRequest matches status 400.
	ErrBadRequest = transport.ErrBadRequest
	// ErrUnauthorized matches status 401: wrong keys, or a token that is expired
	// or wrong even after a new one was requested.
	ErrUnauthorized = transport.ErrUnauthorized
	// ErrForbidden matches status 403, and the message "Forbidden" in a 200: wrong
	// keys, or no access to the account service or to what was requested.
	ErrForbidden = transport.ErrForbidden
	// ErrNotFound matches status 404.
	ErrNotFound = transport.ErrNotFound
	// ErrConflict matches status 409.
	ErrConflict = transport.ErrConflict
	// ErrTooManyRequests matches status 429.
	ErrTooManyRequests = transport.ErrTooManyRequests
	// ErrServer matches any 5xx response.
	ErrServer = transport.ErrServer
	// ErrAmbiguous matches a call that changes something and whose outcome is
	// unknown: it may have taken effect. [Error.Hint] names what to check before
	// repeating it.
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
	// Field is the Go name of what is wrong, such as "ReleaseRequest.ImageID".
	Field string
	// Problem says what is wrong with it, such as "must be positive".
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
//
// The service refuses a call with an error status, or with a 200 whose body
// says so. Both are an Error.
type Error struct {
	// Op is the failed operation, such as "multiplay.ImageUpdates.Status".
	Op string
	// Method and URL are those of the request. The query shows only values that
	// are known to be harmless.
	Method string
	URL    string
	// StatusCode is the status of the response, 0 if there was none. It is 200 if
	// the service refused in the body.
	StatusCode int
	// Code and Message are error_code and error_message of the response; either
	// may be empty. Of the codes only 1 is known, for a locked image. A body that
	// is not JSON has a message as well.
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
func (e *Error) Is(target error) bool {
	inner := (*transport.Error)(e)
	if target == ErrForbidden && inner.Is(transport.ErrRefused) && strings.EqualFold(e.Message, "Forbidden") {
		return true
	}
	return inner.Is(target)
}

// ImageLockedError reports that an outstanding diff keeps an image from being
// updated or compared: make a version of the diff, or reject it with
// [ImageDiffsService.Reject], and try again.
type ImageLockedError struct {
	// DiffID is the diff that locks the image.
	DiffID int64
	// Err reports the call that was refused.
	Err *Error
}

// Error implements error.
func (e *ImageLockedError) Error() string { return e.Err.Error() }

// Unwrap returns e.Err.
func (e *ImageLockedError) Unwrap() error { return e.Err }

// StateError reports a job that did not complete: it failed, or it was squashed,
// which is neither a success nor a failure.
type StateError struct {
	// Resource is the kind of job: "image update", "image diff" or "image version".
	Resource string
	// ID is the id of that update, diff or version.
	ID int64
	// State is JobFailed or JobSquashed.
	State JobState
	// Reason is the service's joberror; it may be empty.
	Reason string
}

// Error implements error.
func (e *StateError) Error() string {
	text := fmt.Sprintf("multiplay: %s %d ended with state %q", e.Resource, e.ID, e.State)
	if e.Reason != "" {
		text += ": " + e.Reason
	}
	return text
}

// lockedBy is the only message of the service whose text is known: seen as
// "image locked by diffid: 218595", documented as "Image locked by diffid".
var lockedBy = regexp.MustCompile(`(?i)image (?:is )?locked by diff\s?id:?\s*(\d+)`)

func wrapError(e *transport.Error, said string) error {
	e.Message, e.Body = withoutSources(e.Message), withoutSources(e.Body)
	if hint := hint(e, said); hint != "" {
		e.Hint = hint
	}
	found := lockedBy.FindStringSubmatch(said)
	if found == nil {
		return (*Error)(e)
	}
	id, err := strconv.ParseInt(found[1], 10, 64)
	if err != nil {
		return (*Error)(e)
	}
	e.Hint = fmt.Sprintf("make a version of diff %d, or reject it, then try again", id)
	return &ImageLockedError{DiffID: id, Err: (*Error)(e)}
}

// Operations, as errors and the log name them.
const (
	opUpdateCreate  = "ImageUpdates.Create"
	opUpdateStatus  = "ImageUpdates.Status"
	opUpdateRetry   = "ImageUpdates.Retry"
	opDiffCreate    = "ImageDiffs.Create"
	opDiffStatus    = "ImageDiffs.Status"
	opDiffRetry     = "ImageDiffs.Retry"
	opDiffReject    = "ImageDiffs.Reject"
	opVersionCreate = "ImageVersions.Create"
	opVersionStatus = "ImageVersions.Status"
	opInstallList   = "ImageInstalls.List"
	opInstallQueue  = "ImageInstalls.Queue"
	opImageOptions  = "Images.Options"
	opSetActive     = "Images.SetActive"
	opRolloutStatus = "Images.RolloutStatus"
)

// hint returns what the service's pages say about a failure: its responses do
// not say it themselves.
func hint(e *transport.Error, said string) string {
	if !e.Ambiguous {
		// Documented without its text.
		if e.Op == pkg+"."+opVersionCreate && strings.Contains(strings.ToLower(said), "allocation") {
			return "wait until no server is allocated, or set Force"
		}
		return ""
	}
	return map[string]string{
		opUpdateCreate:  "the update may exist: Images.Options shows it while it locks the image",
		opUpdateRetry:   "ImageUpdates.Status shows whether the update runs",
		opDiffCreate:    "the diff may exist: Images.Options shows it while it locks the image",
		opDiffRetry:     "ImageDiffs.Status shows whether the diff runs",
		opDiffReject:    "Images.Options shows whether the diff still locks the image",
		opVersionCreate: "the version may exist: Images.Options shows whether the diff still locks the image, ImageInstalls.List shows the version's installs",
		opInstallQueue:  "ImageInstalls.List shows whether the install is queued",
		opSetActive:     "repeating it is harmless",
	}[strings.TrimPrefix(e.Op, pkg+".")]
}

// retryAfter returns how long the service asks to wait.
func retryAfter(err error) time.Duration {
	if e, ok := errors.AsType[*Error](err); ok {
		return e.RetryAfter
	}
	return 0
}
