// Package formdata builds multipart/form-data bodies whose length is known
// before the first byte is sent and that can be sent again: the file in them
// is read from an io.ReaderAt, never held in memory.
package formdata

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"math"
	"mime/multipart"
	"net/textproto"
)

// Form is a body under construction: fields first, then at most one file.
type Form struct {
	buf    bytes.Buffer
	writer *multipart.Writer
	head   int // bytes of buf before the file
	file   io.ReaderAt
	size   int64
	err    error
}

// New returns an empty form.
func New() *Form {
	f := &Form{}
	f.writer = multipart.NewWriter(&f.buf)
	return f
}

// Field adds a text field.
func (f *Form) Field(name, value string) *Form {
	if f.err == nil {
		f.err = f.writer.WriteField(name, value)
	}
	return f
}

// File adds the file: size bytes of r from its start.
func (f *Form) File(name, fileName string, r io.ReaderAt, size int64) *Form {
	switch {
	case f.err != nil:
	case f.file != nil:
		f.err = errors.New("form has a file already")
	default:
		header := make(textproto.MIMEHeader, 2)
		header.Set("Content-Disposition", multipart.FileContentDisposition(name, fileName))
		header.Set("Content-Type", "application/octet-stream")
		_, f.err = f.writer.CreatePart(header)
		f.head = f.buf.Len()
		f.file, f.size = r, size
	}
	return f
}

// Close ends the form. It returns the content type, the exact length, and a
// function that opens the body at its start, any number of times and in
// parallel.
func (f *Form) Close() (contentType string, size int64, open func() io.Reader, err error) {
	if f.err == nil {
		f.err = f.writer.Close()
	}
	if f.size > math.MaxInt64-int64(f.buf.Len()) {
		f.err = errors.New("the file is too large")
	}
	if f.err != nil {
		return "", 0, nil, fmt.Errorf("build form: %w", f.err)
	}
	framing := f.buf.Bytes()
	if f.file == nil {
		f.head = len(framing)
	}
	head, tail := framing[:f.head], framing[f.head:]
	file, length := f.file, f.size
	open = func() io.Reader {
		if file == nil {
			return bytes.NewReader(head)
		}
		return io.MultiReader(bytes.NewReader(head), &exactReader{r: io.NewSectionReader(file, 0, length), left: length}, bytes.NewReader(tail))
	}
	return f.writer.FormDataContentType(), int64(len(framing)) + length, open, nil
}

// exactReader fails where its source ends early: the framing after it would
// otherwise be read as part of the file.
type exactReader struct {
	r    io.Reader
	left int64
}

func (w *exactReader) Read(p []byte) (int, error) {
	n, err := w.r.Read(p)
	w.left -= int64(n)
	if err == io.EOF && w.left > 0 { //nolint:errorlint // a Reader ends with io.EOF itself
		err = fmt.Errorf("the source is %d bytes shorter than its size: %w", w.left, io.ErrUnexpectedEOF)
	}
	return n, err
}
