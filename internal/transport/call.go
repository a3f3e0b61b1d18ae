package transport

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"mime"
	"net/http"
	"net/url"
	"reflect"
	"strings"

	"github.com/google/go-querystring/query"
)

// Repeat says when a call may be sent again. It follows what the operation
// does on the service, not its HTTP method.
type Repeat int

const (
	// Once is a call that must not be carried out twice. It is sent again only
	// when the service certainly did not process it. The zero value, so that a
	// forgotten class is the careful one.
	Once Repeat = iota
	// Repeatable changes state, but a second time changes nothing more.
	Repeatable
	// Safe only reads.
	Safe
)

// Call is one request to the service.
type Call struct {
	Operation string      // service and method, as in "Jobs.Get"
	Method    string      // HTTP method
	Path      []string    // segments below the base URL, escaped here
	Query     any         // go-querystring struct, url.Values, a string that is encoded already, or nil
	Header    http.Header // beside those every call has
	Body      *Body       // nil for none
	Repeat    Repeat
	Upload    bool     // no limit on the whole try, but none may stall
	Secrets   []string // values of this call that no error or log may show
	Secret    bool     // the answer is a secret itself: a token
	EmptyOK   bool     // a 2xx without a body is good, too

	// Check looks at a 2xx answer, also at one that did not decode. An error of
	// type *RefusalError is the service's own "no"; any other means that the
	// answer is not what the service sends.
	Check func(*Response) error
}

// Body is a request body that can be opened any number of times, each time
// from its start.
type Body struct {
	ContentType string
	Size        int64
	Open        func() io.Reader
}

// JSONBody is v as JSON.
func JSONBody(v any) (*Body, error) {
	data, err := json.Marshal(v)
	if err != nil {
		return nil, fmt.Errorf("encode request: %w", err)
	}
	return BytesBody("application/json", data), nil
}

// BytesBody is a body held in memory.
func BytesBody(contentType string, data []byte) *Body {
	return &Body{
		ContentType: contentType,
		Size:        int64(len(data)),
		Open:        func() io.Reader { return bytes.NewReader(data) },
	}
}

// Response is a complete 2xx answer; of a call that failed, what there was of
// the last one.
type Response struct {
	StatusCode int
	Header     http.Header
	Body       []byte
	Value      any // what it decoded into, nil where it did not

	exchange *exchange // knows the secrets that an error must not repeat
}

// RefusalError is a "no" that the service put into a 2xx answer.
type RefusalError struct {
	Code    string
	Message string
}

func (r *RefusalError) Error() string { return r.Message }

// Do sends the call and decodes its JSON answer into a T. The response is nil
// where nothing was sent.
func Do[T any](ctx context.Context, c *Client, call *Call) (*T, *Response, error) {
	out := new(T)
	resp, err := c.do(ctx, call, out)
	if err != nil {
		return nil, resp, err
	}
	return out, resp, nil
}

// DoEmpty sends a call whose answer has nothing to decode, HEAD say.
func DoEmpty(ctx context.Context, c *Client, call *Call) (*Response, error) {
	return c.do(ctx, call, nil)
}

// accept decodes a complete 2xx answer and has it checked.
func (x *exchange) accept(r *Response) error {
	decodeErr := x.decode(r)
	if x.call.Check != nil {
		if err := x.call.Check(r); err != nil {
			return err
		}
	}
	return decodeErr
}

func (x *exchange) decode(r *Response) error {
	if x.into == nil {
		return nil
	}
	// A broken answer leaves nothing behind in the next.
	reflect.ValueOf(x.into).Elem().SetZero()
	if len(r.Body) > 0 || !x.call.EmptyOK {
		if err := decodeJSON(r, x.into, x.call.Secret); err != nil {
			return err
		}
	}
	r.Value = x.into
	return nil
}

// badAnswerError is a 2xx that does not hold what it should. A proxy or a cut
// connection makes such answers, so they count as temporary.
type badAnswerError struct{ text string }

func (e *badAnswerError) Error() string { return e.text }

func decodeJSON(r *Response, out any, secret bool) error {
	var err error
	if own, ok := out.(json.Unmarshaler); ok {
		// These check the syntax with json.Unmarshal, which would do so twice.
		err = own.UnmarshalJSON(bytes.Trim(r.Body, " \t\r\n"))
	} else {
		err = json.Unmarshal(r.Body, out)
	}
	if err == nil && string(bytes.TrimSpace(r.Body)) == "null" {
		err = errors.New("null")
	}
	if err == nil {
		return nil
	}
	if secret {
		return &badAnswerError{text: fmt.Sprintf("the answer is not the JSON expected (%d bytes)", len(r.Body))}
	}
	return BadAnswer(r, err)
}

// BadAnswer is the error for a 2xx that does not hold what it should.
func BadAnswer(r *Response, err error) error {
	contentType := r.Header.Get("Content-Type")
	if contentType == "" {
		contentType = "no content type"
	}
	what := "is not the JSON expected"
	if media, _, _ := mime.ParseMediaType(contentType); media != "" && !strings.HasSuffix(media, "json") {
		what = "is not JSON"
	}
	return &badAnswerError{text: fmt.Sprintf("the answer %s: %v (%s, %d bytes, starts %q)", what, err, contentType, len(r.Body), firstBytes(r))}
}

func firstBytes(r *Response) string {
	const most = 80
	text := cleanStart(r.Body, r.exchange.redactor())
	return text[:min(len(text), most)]
}

// url makes u the target of the call below the base URL.
func (c *Client) url(u *url.URL, call *Call) error {
	var raw strings.Builder
	raw.Grow(80)
	raw.WriteString(c.base.EscapedPath())
	for _, segment := range call.Path {
		if reason := badSegment(segment); reason != "" {
			return Invalid(c.config.Package, call.Operation, "path segment %q %s", segment, reason)
		}
		raw.WriteByte('/')
		raw.WriteString(url.PathEscape(segment))
	}
	*u = *c.base
	u.RawPath = raw.String()
	u.Path = u.RawPath
	if strings.Contains(u.RawPath, "%") {
		u.Path = strings.Join(append([]string{c.base.Path}, call.Path...), "/")
	}
	switch q := call.Query.(type) {
	case nil:
	case string:
		u.RawQuery = q
	case url.Values:
		u.RawQuery = q.Encode()
	default:
		values, err := query.Values(q)
		if err != nil {
			return Invalid(c.config.Package, call.Operation, "encode query: %v", err)
		}
		u.RawQuery = values.Encode()
	}
	return nil
}

// publicURL is u as errors and the log may show it: without user info, and
// with those query values alone that the service's allow-list names.
func (c *Client) publicURL(u *url.URL) string {
	shown := url.URL{Scheme: u.Scheme, Host: u.Host, Path: u.Path, RawPath: u.RawPath}
	shown.RawQuery = c.publicQuery(u)
	return shown.String()
}

func (c *Client) publicQuery(u *url.URL) string {
	if u.RawQuery == "" || len(c.config.PublicQuery) == 0 {
		return ""
	}
	have, kept := u.Query(), url.Values{}
	for _, name := range c.config.PublicQuery {
		if v, ok := have[name]; ok {
			kept[name] = v
		}
	}
	return kept.Encode()
}
