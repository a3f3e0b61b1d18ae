package transport

import (
	"bytes"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"strings"
	"time"
	"unicode"
	"unicode/utf8"

	"github.com/google/go-querystring/query"

	"github.com/imagejobs/imagejobs-go/internal/auth"
)

// Repeat is when a call may be sent again. It follows what the operation does
// on the service, not its HTTP method.
type Repeat int

const (
	// Once is a call that must not be carried out twice. It is sent again only
	// when the service certainly did not process it. It is the zero value, so
	// that a forgotten class is the careful one.
	Once Repeat = iota
	// Repeatable changes state, but a second time changes nothing.
	Repeatable
	// Safe only reads.
	Safe
)

// Call is one request to the service.
type Call struct {
	Operation string      // service and method, such as "Jobs.Get"
	Method    string      // HTTP method
	Path      []string    // segments below the base URL, escaped here
	Query     any         // go-querystring struct, url.Values, a string that is encoded already, or nil
	Header    http.Header // beside those every call has
	Body      *Body       // nil for none
	Repeat    Repeat
	Upload    bool          // no limit on an attempt, but none may stall
	Timeout   time.Duration // of an attempt, 0 for the client's
	Attempts  int           // made before, by a caller with a loop of its own
	Secrets   []string      // values of this call that no error or log may show
	Secret    bool          // the response has secrets itself
	Login     bool          // it is for a token, and may outlive the call that needs one
}

// Body is a request body that can be opened any number of times, each time
// from its start.
type Body struct {
	ContentType string
	Size        int64
	Open        func() io.Reader
}

// JSONBody returns v as JSON.
func JSONBody(v any) (*Body, error) {
	data, err := json.Marshal(v)
	if err != nil {
		return nil, fmt.Errorf("encode request: %w", err)
	}
	return BytesBody("application/json", data), nil
}

// BytesBody returns a body held in memory.
func BytesBody(contentType string, data []byte) *Body {
	return &Body{
		ContentType: contentType,
		Size:        int64(len(data)),
		Open:        func() io.Reader { return bytes.NewReader(data) },
	}
}

// callState is what is known of a call under way. It is passed down from the
// retry loop; one goroutine at a time touches it.
type callState struct {
	*Call

	url      url.URL
	accept   func(*Response) error // decodes a 2xx response
	response Response              // the newest
	limited  io.LimitedReader      // kept here to save an allocation

	single    bool    // the caller has a loop of its own
	attempts  int     // sent so far, with those made before
	tokenless int     // attempts that were not sent, because there was no token
	last      outcome // of the newest attempt
	paid      bool    // a retry drew on the budget
	renewed   bool    // a rejected token was replaced, which is done once a call
	ended     error   // of the context, while it waited for the next attempt
	hint      string  // why there was no other attempt
}

// outcome is how an attempt ended. Without an error, the response was accepted.
type outcome struct {
	err     error
	local   bool // the failure is ours: credentials, or the source of the body
	noToken bool // there was none to send, also after a 401
	unsent  bool // the service certainly did not process the request
	resent  bool // the round tripper sent it more than once
	took    time.Duration
	sent    int64 // bytes of the body
	grant   auth.Grant
}

// resolve makes x.url of the base URL, path and query. It returns what is wrong
// with them.
func (x *callState) resolve(base *baseURL) (problem string) {
	for name, values := range x.Header {
		for _, v := range values {
			if problem := HeaderProblem(v); problem != "" {
				return fmt.Sprintf("header %s %s", name, problem)
			}
		}
	}
	var raw strings.Builder
	raw.Grow(80)
	raw.WriteString(base.EscapedPath())
	for _, segment := range x.Path {
		if problem := IDProblem(segment); problem != "" {
			return fmt.Sprintf("path segment %q %s", segment, problem)
		}
		raw.WriteByte('/')
		raw.WriteString(url.PathEscape(segment))
	}
	x.url = base.URL
	x.url.RawPath = raw.String()
	x.url.Path = x.url.RawPath
	if strings.Contains(x.url.RawPath, "%") {
		x.url.Path = base.Path + "/" + strings.Join(x.Path, "/")
	}
	switch q := x.Query.(type) {
	case nil:
	case string:
		x.url.RawQuery = q
	case url.Values:
		x.url.RawQuery = q.Encode()
	default:
		values, err := query.Values(q)
		if err != nil {
			return fmt.Sprintf("encode query: %v", err)
		}
		x.url.RawQuery = values.Encode()
	}
	return ""
}

// repeatable reports whether the failure is transient and the call's class
// allows another attempt.
func (x *callState) repeatable() bool {
	switch {
	case x.last.noToken:
		return isTransient(x.last.err) // in any class: the service has done nothing
	case x.last.local || isPermanent(x.last.err):
		return false
	}
	status := x.response.StatusCode
	if x.Repeat == Once {
		return status == http.StatusTooManyRequests && !x.last.resent || status == 0 && x.last.unsent
	}
	return status == 0 || transientStatus(status) || x.malformed()
}

// ambiguous reports whether the service may have carried out a call that must
// not be carried out twice.
func (x *callState) ambiguous() bool {
	switch {
	case x.Repeat != Once || x.last.local:
		return false
	case x.last.resent: // this is the response to the last one
		return true
	case isRefusal(x.last.err):
		return false
	}
	status := x.response.StatusCode
	return status < 200 && !x.last.unsent || x.malformed() ||
		status == http.StatusRequestTimeout || status >= 500
}

// malformed reports whether a 2xx response did not arrive whole or is not one
// of this operation.
func (x *callState) malformed() bool {
	return x.response.ok() && x.last.err != nil && !isRefusal(x.last.err)
}

// IDProblem returns why id could not be one path segment, "" if it can.
func IDProblem(id string) string {
	switch {
	case id == "":
		return "must not be empty"
	case id == "." || id == "..":
		return "must not be a dot segment"
	case strings.ContainsAny(id, `/\`):
		return "must not contain a slash"
	case !utf8.ValidString(id):
		return "must be valid UTF-8"
	case strings.ContainsFunc(id, unicode.IsControl):
		return "must not contain control characters"
	}
	return ""
}

// HeaderProblem returns why value could end its header early or be refused by
// net/http, "" if it does not: CR, LF, NUL or another control character.
func HeaderProblem(value string) string {
	for i := range len(value) {
		if c := value[i]; (c < ' ' && c != '\t') || c == 0x7f {
			return fmt.Sprintf("must not contain control characters (found %q at byte %d)", c, i)
		}
	}
	return ""
}
