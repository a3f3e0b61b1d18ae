package oraclemarkettest

import (
	"errors"
	"fmt"
	"io"
	"net/http"
	"os"
	"path/filepath"
)

// store keeps uploaded bytes on disk.
type store struct {
	dir     string
	keep    bool // the folder is the caller's
	discard bool
}

// blob is the content of one chunk, or of a whole file.
type blob struct {
	size int64
	md5  string // in hex
	path string // empty if discarded
}

func newStore(c config) (*store, error) {
	st := &store{dir: c.dir, keep: c.dir != "", discard: c.discard}
	var err error
	switch {
	case st.discard:
	case st.keep:
		err = os.MkdirAll(st.dir, 0o750)
	default:
		st.dir, err = os.MkdirTemp("", "oraclemarkettest-*")
	}
	return st, err
}

func (st *store) close() error {
	if st.keep || st.dir == "" {
		return nil
	}
	return os.RemoveAll(st.dir)
}

// receiveBuffer is how much is hashed and written at a time.
const receiveBuffer = 256 << 10

// receive reads a blob to its end. The file has a temporary name until it is
// adopted.
func (st *store) receive(r io.Reader) (_ *blob, err error) {
	b := &blob{}
	var file *os.File
	if !st.discard {
		if file, err = os.CreateTemp(st.dir, "incoming-*"); err != nil {
			return nil, fail(http.StatusInternalServerError, "storing the upload: %v", err)
		}
		b.path = file.Name()
		defer func() {
			err = errors.Join(err, file.Close())
			if err != nil {
				st.remove(b)
			}
		}()
	}
	sum := newChecksum()
	buf := make([]byte, receiveBuffer)
	for {
		n, readErr := fill(r, buf)
		b.size += int64(n)
		if _, err := sum.Write(buf[:n]); err != nil {
			return nil, fail(http.StatusInternalServerError, "hashing the upload: %v", err)
		}
		if file != nil {
			if _, err := file.Write(buf[:n]); err != nil {
				return nil, fail(http.StatusInternalServerError, "storing the upload: %v", err)
			}
		}
		switch {
		case readErr == io.EOF: //nolint:errorlint // as io.Reader has it
			b.md5 = sum.hex()
			return b, nil
		case readErr != nil:
			return nil, badRequest("the upload ended early: %v", readErr)
		}
	}
}

// fill is io.ReadFull, except that it returns the reader's own error, which
// distinguishes an upload that ends from one that is cut off. A form's part
// comes in pieces of 4 KiB, too small to hash and write one by one.
func fill(r io.Reader, buf []byte) (n int, err error) {
	for n < len(buf) && err == nil {
		var read int
		read, err = r.Read(buf[n:])
		n += read
	}
	return n, err
}

// adopt renames a received blob to its final name, replacing an earlier one.
func (st *store) adopt(b *blob, name string) error {
	if b.path == "" {
		return nil
	}
	path := filepath.Join(st.dir, name)
	if err := os.Rename(b.path, path); err != nil {
		return fail(http.StatusInternalServerError, "storing the upload: %v", err)
	}
	b.path = path
	return nil
}

// remove deletes the files of blobs; nil ones are allowed.
func (st *store) remove(blobs ...*blob) {
	for _, b := range blobs {
		if b != nil && b.path != "" {
			_ = os.Remove(b.path)
		}
	}
}

// blobReader reads blobs one after another, holding one file open at a time.
type blobReader struct {
	rest []*blob
	file *os.File
}

func (r *blobReader) Read(p []byte) (int, error) {
	for {
		if r.file == nil {
			if len(r.rest) == 0 {
				return 0, io.EOF
			}
			file, err := os.Open(r.rest[0].path)
			if err != nil {
				return 0, fmt.Errorf("reading the upload: %w", err)
			}
			r.file, r.rest = file, r.rest[1:]
		}
		n, err := r.file.Read(p)
		if n > 0 || !errors.Is(err, io.EOF) {
			return n, err
		}
		if err := r.Close(); err != nil {
			return 0, err
		}
	}
}

func (r *blobReader) Close() error {
	if r.file == nil {
		return nil
	}
	err := r.file.Close()
	r.file = nil
	return err
}
