package oraclemarkettest

import (
	"errors"
	"fmt"
	"net/http"

	"github.com/imagejobs/imagejobs-go/internal/emulator"
)

// failure is an error response. Its text begins with the documentation's words
// for the status; the form of the body is ours, see the package documentation.
type failure struct {
	status int
	text   string
}

func (f *failure) Error() string { return f.text }

func fail(status int, format string, args ...any) error {
	return &failure{status, fmt.Sprintf(format, args...)}
}

func badRequest(format string, args ...any) error {
	return fail(http.StatusBadRequest, format, args...)
}

// errorKinds maps a status to its documented words, and to our code for it.
var errorKinds = map[int]struct{ code, words string }{
	http.StatusBadRequest:            {"InvalidParameter", "Invalid Parameter Value"},
	http.StatusUnauthorized:          {"NotAuthorized", "Not Authorized"},
	http.StatusNotFound:              {"EntityNotFound", "Entity Not Found"},
	http.StatusMethodNotAllowed:      {"MethodNotAllowed", "Method Not Allowed"},
	http.StatusNotAcceptable:         {"NotAcceptable", "Not Acceptable"},
	http.StatusRequestEntityTooLarge: {"RequestTooLarge", "Request Entity Too Large"},
	http.StatusUnsupportedMediaType:  {"UnsupportedMediaType", "Unsupported Media Type"},
	http.StatusTooManyRequests:       {"TooManyRequests", "Too Many Requests"},
	http.StatusInternalServerError:   {"SystemError", "System Error"},
	http.StatusServiceUnavailable:    {"ServiceUnavailable", "Service Unavailable"},
}

type errorBody struct {
	Message   string `json:"message"`
	ErrorCode string `json:"errorCode"`
}

func writeError(w http.ResponseWriter, _ *http.Request, status int, text string) {
	kind, ok := errorKinds[status]
	if !ok {
		kind.code, kind.words = "Error", http.StatusText(status)
	}
	emulator.WriteJSON(w, status, errorBody{Message: kind.words + ": " + text, ErrorCode: kind.code})
}

// writeFailure writes the error that a handler returned.
func writeFailure(w http.ResponseWriter, r *http.Request, err error) {
	var f *failure
	if !errors.As(err, &f) {
		f = &failure{http.StatusInternalServerError, err.Error()}
	}
	writeError(w, r, f.status, f.text)
}
