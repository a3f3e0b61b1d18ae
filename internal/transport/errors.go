package transport

import (
	"errors"
	"fmt"
	"net"
	"net/http"
	"strconv"
	"strings"
	"time"
)

// Sentinels that errors.Is finds in what Do returns. The client packages
// re-export them.
var (
	ErrBadRequest       = errors.New("bad request")
	ErrUnauthorized     = errors.New("unauthorized")
	ErrForbidden        = errors.New("forbidden")
	ErrNotFound         = errors.New("not found")
	ErrConflict         = errors.New("conflict")
	ErrTooManyRequests  = errors.New("too many requests")
	ErrServer           = errors.New("server error")
	ErrAmbiguous        = errors.New("the service may have carried out the request")
	ErrStalled          = errors.New("no byte moved within the stall limit")
	ErrResponseTooLarge = errors.New("the answer is larger than the limit")
	ErrInvalidArgument  = errors.New("invalid argument")
)

// ErrPassing matches a call that was tried in vain, and may well succeed some
// time later. The client packages keep it to themselves.
var ErrPassing = errors.New("passing failure")

// Error is a call that failed after it was found valid. The client packages
// have types with the same fields, so that *Error converts to theirs.
type Error struct {
	Operation  string
	Method     string
	URL        string
	StatusCode int
	Code       string
	Message    string
	RequestID  string
	Attempts   int
	RetryAfter time.Duration
	Ambiguous  bool
	Hint       string
	Body       string
	Err        error
}

// Error says operation, target, status, message, tries and what to do next.
func (e *Error) Error() string {
	var b strings.Builder
	b.WriteString(e.Operation)
	if e.Method != "" {
		fmt.Fprintf(&b, ": %s %s", e.Method, e.URL)
	}
	if e.StatusCode != 0 {
		fmt.Fprintf(&b, ": %d", e.StatusCode)
		if text := http.StatusText(e.StatusCode); text != "" {
			b.WriteString(" " + text)
		}
	}
	if e.Message != "" {
		b.WriteString(": " + e.Message)
	}
	if first, _, _ := strings.Cut(e.Code, " "); e.Code != "" && first != strconv.Itoa(e.StatusCode) { // not "404 Not Found" twice
		fmt.Fprintf(&b, " [%s]", e.Code)
	}
	if e.Err != nil {
		b.WriteString(": " + e.Err.Error())
	}
	var notes []string
	if e.Attempts > 1 {
		notes = append(notes, fmt.Sprintf("%d attempts", e.Attempts))
	}
	if e.RequestID != "" {
		notes = append(notes, "request id "+e.RequestID)
	}
	if len(notes) > 0 {
		fmt.Fprintf(&b, " (%s)", strings.Join(notes, ", "))
	}
	if e.Hint != "" {
		b.WriteString("; " + e.Hint)
	}
	return b.String()
}

// Unwrap gives the cause, where there is one beside the status.
func (e *Error) Unwrap() error { return e.Err }

// Is matches the sentinels by status code and ambiguity.
func (e *Error) Is(target error) bool {
	switch target {
	case ErrAmbiguous:
		return e.Ambiguous
	case ErrBadRequest:
		return e.StatusCode == http.StatusBadRequest
	case ErrUnauthorized:
		return e.StatusCode == http.StatusUnauthorized
	case ErrForbidden:
		return e.StatusCode == http.StatusForbidden
	case ErrNotFound:
		return e.StatusCode == http.StatusNotFound
	case ErrConflict:
		return e.StatusCode == http.StatusConflict
	case ErrTooManyRequests:
		return e.StatusCode == http.StatusTooManyRequests
	case ErrServer:
		return e.StatusCode >= 500
	case ErrPassing:
		return e.passing()
	default:
		return false
	}
}

func (e *Error) passing() bool {
	switch {
	case e.RetryAfter > maxRetryAfter, isPermanent(e.Err):
		return false
	case errors.Is(e.Err, errNoCredentials):
		return errors.Is(e.Err, ErrPassing) // the call for them
	case e.StatusCode == 0, e.StatusCode >= 200 && e.StatusCode < 300:
		return e.Err != nil // no answer, or one that makes no sense
	default:
		return passingStatus(e.StatusCode)
	}
}

// hint says what to do next about a failed call.
func (e *Error) hint() string {
	op, _ := errors.AsType[*net.OpError](e.Err)
	switch {
	case errors.Is(e.Err, errNoCredentials):
		return "" // the error of the call for them has its own
	case e.Ambiguous:
		return "the service may have carried it out: look before repeating it"
	case op != nil && op.Op == "dial":
		return "check the address and the network"
	case e.RetryAfter > maxRetryAfter:
		return fmt.Sprintf("the service asks to wait %s: try again then", e.RetryAfter)
	case e.StatusCode == http.StatusUnauthorized:
		return "check the credentials"
	case e.StatusCode == http.StatusForbidden:
		return "check what these credentials may do"
	case e.StatusCode == http.StatusTooManyRequests, e.StatusCode >= 500:
		return "try again later"
	default:
		return ""
	}
}

// invalidError is bad input, found before any I/O.
type invalidError struct{ text string }

func (e *invalidError) Error() string { return e.text }

func (e *invalidError) Is(target error) bool { return target == ErrInvalidArgument }

// Invalid is the error for bad input: it names the package and the field.
func Invalid(pkg, field, format string, args ...any) error {
	return &invalidError{text: pkg + ": " + field + ": " + fmt.Sprintf(format, args...)}
}
