package emulator

import (
	"bufio"
	"bytes"
	"errors"
	"fmt"
	"io"
	"mime"
	"mime/multipart"
	"net/http"
	"strings"
)

// ErrNotForm is returned by [ReadForm] for a body that is not
// multipart/form-data.
var ErrNotForm = errors.New("the request body is not multipart/form-data")

// FormPart is one part of a form while it is being read.
type FormPart struct {
	Name     string
	FileName string
	io.Reader
}

// formBuffer is how much of a body is read at once. The reader of
// mime/multipart asks for 4 KiB at a time.
const formBuffer = 64 << 10

// ReadForm calls each with the parts of a multipart/form-data body, one after
// another and without holding them, and notes them in the request log. What
// each leaves unread of a part is skipped. A nil error means that the body was
// read to its proper end.
func ReadForm(r *http.Request, each func(FormPart) error) error {
	mediaType, params, err := mime.ParseMediaType(r.Header.Get("Content-Type"))
	if err != nil || mediaType != "multipart/form-data" || params["boundary"] == "" {
		return ErrNotForm
	}
	tail := &tailReader{Reader: r.Body}
	reader := multipart.NewReader(bufio.NewReaderSize(tail, formBuffer), params["boundary"])
	for {
		// NextRawPart: a Content-Transfer-Encoding has no meaning in form-data
		// (RFC 7578, 4.7).
		part, err := reader.NextRawPart()
		if errors.Is(err, io.EOF) {
			// mime/multipart also returns io.EOF for some truncated forms.
			if !bytes.Contains(tail.last, []byte("--"+params["boundary"]+"--")) {
				return fmt.Errorf("reading the form: %w", io.ErrUnexpectedEOF)
			}
			return nil
		}
		if err != nil {
			return fmt.Errorf("reading the form: %w", err)
		}
		counted := &countingReader{Reader: part}
		name := strings.TrimSpace(part.FormName())
		if err := each(FormPart{Name: name, FileName: part.FileName(), Reader: counted}); err != nil {
			return err
		}
		if _, err := io.Copy(io.Discard, counted); err != nil {
			return fmt.Errorf("reading the form's part %q: %w", name, err)
		}
		notePart(r, Part{Name: name, FileName: part.FileName(), Size: counted.n})
	}
}

func notePart(r *http.Request, part Part) {
	if x, ok := r.Context().Value(exchangeKey{}).(*exchange); ok {
		x.note(func(entry *Request) { entry.Parts = append(entry.Parts, part) })
	}
}

// tailReader keeps the last bytes it read, enough to hold the longest possible
// delimiter (RFC 2046: 70 characters).
type tailReader struct {
	io.Reader
	last []byte
}

func (t *tailReader) Read(p []byte) (int, error) {
	const enough = 128
	n, err := t.Reader.Read(p)
	t.last = append(t.last, p[max(n-enough, 0):n]...)
	if over := len(t.last) - enough; over > 0 {
		t.last = append(t.last[:0], t.last[over:]...)
	}
	return n, err
}

type countingReader struct {
	io.Reader
	n int64
}

func (c *countingReader) Read(p []byte) (int, error) {
	n, err := c.Reader.Read(p)
	c.n += int64(n)
	return n, err
}
