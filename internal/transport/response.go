package transport

import (
	"bytes"
	"fmt"
	"io"
	"mime"
	"net/http"
	"strconv"
	"strings"
	"time"

	"github.com/imagejobs/imagejobs-go/internal/decode"
)

// Limits of what is read of a response.
const (
	maxBody      = 8 << 20
	maxErrorBody = 64 << 10
)

// Response is a complete response; of a call that failed, what there was of the
// last one. A nil Response is none.
type Response struct {
	StatusCode int // 0 when no header arrived
	Header     http.Header
	Body       []byte

	asked   time.Duration // to wait, by who refused a token for the call
	decoder *decode.Decoder
	secret  bool // no error shows the body
}

func (r *Response) ok() bool { return r.StatusCode >= 200 && r.StatusCode < 300 }

// read reads the body up to the limit, counted after decompression.
func (r *Response) read(resp *http.Response, limited *io.LimitedReader) error {
	limit := maxErrorBody
	if r.ok() {
		limit = maxBody
	}
	var buf bytes.Buffer
	// No more than a hint: a caller's round tripper may not keep to it.
	buf.Grow(int(min(max(resp.ContentLength, 0), int64(limit))) + bytes.MinRead)
	*limited = io.LimitedReader{R: resp.Body, N: int64(limit) + 1}
	_, err := buf.ReadFrom(limited)
	r.Body = buf.Bytes()
	if len(r.Body) <= limit {
		return err
	}
	r.Body = r.Body[:limit]
	if !r.ok() {
		return nil // the status says enough, and there is text to show
	}
	return fmt.Errorf("%w of %d MiB", ErrResponseTooLarge, maxBody>>20)
}

// JSON decodes the body into v. Its error is one of Malformed.
func (r *Response) JSON(v any) error {
	if err := r.decoder.Unmarshal(r.Body, v); err != nil {
		return &malformedError{r, err.Error()}
	}
	return nil
}

// Malformed returns the error for a 2xx response that is not one of the
// operation. A proxy or a cut connection makes such responses, so it is
// transient.
func (r *Response) Malformed(problem string) error { return &malformedError{r, problem} }

type malformedError struct {
	response *Response
	problem  string
}

func (e *malformedError) Error() string { return e.text(true) }

func (e *malformedError) text(start bool) string {
	r := e.response
	contentType := r.Header.Get("Content-Type")
	what := "the response is not the JSON expected"
	if media, _, _ := mime.ParseMediaType(contentType); media != "" && !strings.HasSuffix(media, "json") {
		what = "the response is not JSON"
	}
	if contentType == "" {
		contentType = "no content type"
	}
	if r.secret {
		return fmt.Sprintf("%s (%d bytes)", what, len(r.Body))
	}
	const shown = 80
	if !start {
		return fmt.Sprintf("%s (%s, %d bytes)", what, contentType, len(r.Body))
	}
	return fmt.Sprintf("%s: %s (%s, %d bytes, starts %q)",
		what, e.problem, contentType, len(r.Body), r.Body[:min(len(r.Body), shown)])
}

// RetryAfter returns how long the response asks to wait, in seconds or up to a
// date; 0 when it does not.
func (r *Response) RetryAfter() time.Duration {
	if r == nil {
		return 0
	}
	return max(r.asked, parseRetryAfter(r.Header, time.Now()))
}

// absurd is more than a service means by Retry-After.
const absurd = 24 * time.Hour

func parseRetryAfter(h http.Header, now time.Time) time.Duration {
	text := strings.TrimSpace(h.Get("Retry-After"))
	if text == "" {
		return 0
	}
	var wait time.Duration
	if seconds, err := strconv.ParseFloat(text, 64); err == nil {
		if !(seconds > 0 && seconds < absurd.Seconds()) { // NaN too
			return 0
		}
		wait = time.Duration(seconds * float64(time.Second))
	} else if date, err := http.ParseTime(text); err == nil {
		if sent, err := http.ParseTime(h.Get("Date")); err == nil {
			now = sent // by the clock that the other date is of
		}
		wait = date.Sub(now)
	}
	if wait < 0 || wait > absurd {
		return 0
	}
	return wait
}
