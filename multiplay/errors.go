package multiplay

import (
	"cmp"
	"encoding/json"
	"fmt"
	"regexp"
	"strconv"
	"strings"
	"time"

	"github.com/imagejobs/imagejobs-go/internal/lenient"
	"github.com/imagejobs/imagejobs-go/internal/transport"
)

// Errors that errors.Is finds in what the calls of this package return.
var (
	// ErrBadRequest is status 400.
	ErrBadRequest = transport.ErrBadRequest
	// ErrUnauthorized is status 401.
	ErrUnauthorized = transport.ErrUnauthorized
	// ErrForbidden is status 403, or the message "Forbidden" in a 200: wrong
	// keys, or no access to the account service or the thing asked for.
	ErrForbidden = transport.ErrForbidden
	// ErrNotFound is status 404.
	ErrNotFound = transport.ErrNotFound
	// ErrConflict is status 409.
	ErrConflict = transport.ErrConflict
	// ErrTooManyRequests is status 429.
	ErrTooManyRequests = transport.ErrTooManyRequests
	// ErrServer is any status from 500 on.
	ErrServer = transport.ErrServer
	// ErrAmbiguous is a call that changes something and may have been carried
	// out although no good answer came. It is never repeated by itself: look
	// first. Images.Options tells which update or diff holds an image.
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
// The service refuses with a status of its own or with a 200 whose body says
// so ("success": false or "error": true); both are an *Error.
//
// No field holds a secret: keys, and the source URL of an image update, are
// replaced by REDACTED where a service repeats them.
type Error struct {
	// Operation is the call, as in "multiplay.ImageUpdates.Status".
	Operation string
	// Method and URL are what was sent; of the query only harmless values.
	Method string
	URL    string
	// StatusCode is the answer's HTTP status, 0 when none arrived. It is 200
	// where the refusal stands in the body.
	StatusCode int
	// Code and Message are error_code and error_message of the answer; both
	// may be empty. Of the codes only 1 is known, for a locked image. A body
	// that is not JSON gives a message all the same.
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
func (e *Error) Is(target error) bool {
	if target == ErrForbidden && e.refusedIn200() && strings.EqualFold(e.Message, "Forbidden") {
		return true
	}
	return (*transport.Error)(e).Is(target)
}

func (e *Error) refusedIn200() bool { return e.StatusCode >= 200 && e.StatusCode < 300 && e.Err == nil }

// ImageLockedError is an image that an outstanding diff keeps from being
// updated or compared: make a version of the diff, or reject it with
// ImageDiffs.Reject, and try again.
type ImageLockedError struct {
	// DiffID is the diff that locks the image.
	DiffID int64
	// Err is the call that was refused.
	Err *Error
}

// Error says what Err does.
func (e *ImageLockedError) Error() string { return e.Err.Error() }

// Unwrap gives Err.
func (e *ImageLockedError) Unwrap() error { return e.Err }

// StateError is a job that did not complete: it failed, or it was squashed,
// which is neither success nor failure (a newer job took its place).
type StateError struct {
	// Resource is the kind of job: "image update", "image diff" or "image version".
	Resource string
	ID       int64
	// State is JobFailed or JobSquashed.
	State JobState
	// Reason is the service's joberror; may be empty.
	Reason string
}

// Error says kind, id, state and reason.
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

func wrapError(e *transport.Error) error {
	e.Message, e.Body = withoutSources(e.Message), withoutSources(e.Body)
	err := (*Error)(e)
	found := lockedBy.FindStringSubmatch(e.Message)
	if found == nil {
		// Documented without its text.
		if e.Operation == pkg+".ImageVersions.Create" && !e.Ambiguous && strings.Contains(strings.ToLower(e.Message), "allocation") {
			err.Hint = "wait until no server is allocated, or set Force"
		}
		return err
	}
	id, parseErr := strconv.ParseInt(found[1], 10, 64)
	if parseErr != nil {
		return err
	}
	err.Hint = fmt.Sprintf("make a version of diff %d, or reject it, then try again", id)
	return &ImageLockedError{DiffID: id, Err: err}
}

// envelope is what stands around the fields of an answer, or instead of them.
// Nothing in it fails to decode: a message of an unforeseen form must not make
// a refusal look like a success, nor a success like a bad answer.
type envelope struct {
	Success      verdict `json:"success"`
	Error        verdict `json:"error"`
	ErrorCode    loose   `json:"error_code"`
	ErrorMessage loose   `json:"error_message"`
	Messages     texts   `json:"messages"`
}

// checkEnvelope finds the refusal in a 2xx answer. What is not JSON is left to
// the decoder, which describes it.
func checkEnvelope(r *transport.Response) error {
	var e envelope
	if json.Unmarshal(r.Body, &e) != nil {
		return nil //nolint:nilerr // a list, or nothing that could be decoded
	}
	return e.refusal()
}

// checkStatus is checkEnvelope for the status of a job, which has its envelope
// in it: programs ask for it again and again.
func checkStatus(r *transport.Response) error {
	if status, ok := r.Value.(interface{ refusal() error }); ok {
		return status.refusal()
	}
	return checkEnvelope(r)
}

// checkCreated is checkEnvelope for a new job, whose id must be there: without
// it the caller could not go on.
func checkCreated(idField string) func(*transport.Response) error {
	return func(r *transport.Response) error {
		if err := checkEnvelope(r); err != nil {
			return err
		}
		var fields map[string]json.RawMessage
		if err := json.Unmarshal(r.Body, &fields); err != nil {
			return transport.BadAnswer(r, err)
		}
		var id lenient.Int
		if json.Unmarshal(fields[idField], &id) != nil || id <= 0 {
			return transport.BadAnswer(r, fmt.Errorf("no %s", idField))
		}
		return nil
	}
}

// refusal is nil unless the answer says that the request failed. Not all
// answers have success, so that its absence says nothing.
func (e *envelope) refusal() error {
	if !e.failed() && e.Success != no {
		return nil
	}
	var message string
	if e.Error != no && e.Error != yes {
		message = string(e.Error)
	}
	return &transport.RefusalError{
		Code:    string(e.ErrorCode),
		Message: cmp.Or(string(e.ErrorMessage), message, string(e.Messages), "the service refused without a message"),
	}
}

func (e *envelope) failed() bool { return e.Error != "" && e.Error != no }

// verdict is a boolean as far as is known, perhaps a text; "" for none, and
// for what has another form.
type verdict string

const (
	no  verdict = "false"
	yes verdict = "true"
)

// UnmarshalJSON implements json.Unmarshaler.
func (v *verdict) UnmarshalJSON(data []byte) error {
	if string(data) == "null" {
		return nil
	}
	var flag lenient.Bool
	if flag.UnmarshalJSON(data) == nil {
		if *v = no; flag {
			*v = yes
		}
		return nil
	}
	var text string
	if json.Unmarshal(data, &text) == nil {
		*v = verdict(text)
	}
	return nil
}

// texts is a list of texts in one, or what stands in its place.
type texts string

// UnmarshalJSON implements json.Unmarshaler.
func (t *texts) UnmarshalJSON(data []byte) error {
	var list []loose
	if json.Unmarshal(data, &list) != nil {
		var one loose
		_ = one.UnmarshalJSON(data) // never fails
		list = []loose{one}
	}
	var all []string
	for _, text := range list {
		if text != "" {
			all = append(all, string(text))
		}
	}
	*t = texts(strings.Join(all, "; "))
	return nil
}

// loose is a string where nothing says what the service sends: the text of a
// scalar, the JSON of anything else. It never fails to decode.
type loose string

// UnmarshalJSON implements json.Unmarshaler.
func (l *loose) UnmarshalJSON(data []byte) error {
	var text lenient.String
	if text.UnmarshalJSON(data) != nil {
		text = lenient.String(data)
	}
	*l = loose(text)
	return nil
}
