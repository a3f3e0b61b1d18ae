package oraclemarket

import (
	"context"
	"crypto/md5" //nolint:gosec // the service's checksum, not a protection
	"encoding/hex"
	"errors"
	"fmt"
	"hash"
	"io"
	"os"
	"path/filepath"
	"runtime"
	"sync"
	"time"

	"github.com/imagejobs/imagejobs-go/internal/transport"
)

// source is the file of one upload.
type source struct {
	file io.ReaderAt
	size int64
	// unchanged returns an error unless the file is still the one that was
	// opened.
	unchanged func() error
	close     func()
	newMD5    func() hash.Hash // nil without checksums
	// slots has a place for each chunk that crypto/md5 hashes, which takes a
	// core: more at once would only delay the first chunk. nil for no limit:
	// other implementations may be faster the more they have.
	slots chan struct{}
}

func newSource(req *ImageUpload) *source {
	s := &source{
		file: req.File, size: req.Size, newMD5: req.NewMD5,
		unchanged: func() error { return nil }, close: func() {},
	}
	switch {
	case req.DisableChecksum:
		s.newMD5 = nil
	case s.newMD5 == nil:
		s.newMD5 = md5.New
		s.slots = make(chan struct{}, runtime.GOMAXPROCS(0))
	}
	return s
}

// openSource opens the file at path and fills in what req says of it.
func openSource(path string, req *ImageUpload) (*source, error) {
	info, err := os.Stat(path)
	if err != nil {
		return nil, fmt.Errorf("%s: open image: %w", pkg, err)
	}
	if !info.Mode().IsRegular() { // opening a pipe could block forever
		return nil, invalid("UploadFile: path", "must be a regular file")
	}
	f, err := os.Open(path)
	if err != nil {
		return nil, fmt.Errorf("%s: open image: %w", pkg, err)
	}
	if info, err = f.Stat(); err != nil {
		_ = f.Close() // only read
		return nil, fmt.Errorf("%s: open image: %w", pkg, err)
	}
	req.File, req.Size, req.ModTime = f, info.Size(), info.ModTime()
	if req.FileName == "" {
		req.FileName = filepath.Base(path)
	}
	s := newSource(req)
	s.close = func() { _ = f.Close() } // only read
	s.unchanged = func() error {
		now, err := f.Stat()
		switch {
		case err != nil:
			return fmt.Errorf("%s: stat image: %w", pkg, err)
		case now.Size() != info.Size():
			return sourceChanged("its size was %d and is %d", info.Size(), now.Size())
		case !now.ModTime().Equal(info.ModTime()):
			return sourceChanged("it was modified at %s", now.ModTime().UTC().Format(time.RFC3339Nano))
		}
		return nil
	}
	return s, nil
}

func sourceChanged(format string, args ...any) error {
	return fmt.Errorf("%s: %w: %s", pkg, ErrSourceChanged, fmt.Sprintf(format, args...))
}

const fingerprintSpan = 1 << 20

// fingerprint is the MD5 of the file's first and last MiB.
func (s *source) fingerprint() (string, error) {
	h := md5.New() //nolint:gosec // tells files apart, protects nothing
	head := io.NewSectionReader(s.file, 0, min(fingerprintSpan, s.size))
	tail := io.NewSectionReader(s.file, max(0, s.size-fingerprintSpan), min(fingerprintSpan, s.size))
	for _, part := range []*io.SectionReader{head, tail} {
		n, err := io.Copy(h, part)
		if err == nil && n < part.Size() {
			err = io.ErrUnexpectedEOF
		}
		if err != nil {
			return "", s.readError(err)
		}
	}
	return hex.EncodeToString(h.Sum(nil)), nil
}

// check compares the file once more before the chunks become an image.
func (s *source) check(fingerprint string) error {
	if err := s.unchanged(); err != nil {
		return err
	}
	now, err := s.fingerprint()
	if err != nil {
		return err
	}
	if now != fingerprint {
		return sourceChanged("the fingerprint of its content was %s and is %s", fingerprint, now)
	}
	return nil
}

// hashBuffers are used again, or an upload of many chunks would leave that much
// garbage for each.
var hashBuffers = sync.Pool{New: func() any { return new([128 << 10]byte) }}

// checksum returns the MD5 of a chunk, "" when checksums are off.
func (s *source) checksum(ctx context.Context, section *io.SectionReader) (string, error) {
	if s.newMD5 == nil {
		return "", nil
	}
	if s.slots != nil {
		select {
		case s.slots <- struct{}{}:
			defer func() { <-s.slots }()
		case <-ctx.Done():
			return "", transport.ContextErr(ctx)
		}
	}
	h := s.newMD5()
	kept := hashBuffers.Get().(*[128 << 10]byte) //nolint:errcheck // nothing else is in there
	defer hashBuffers.Put(kept)
	buf := kept[:min(int64(len(kept)), section.Size())]
	for offset := int64(0); offset < section.Size(); {
		if ctx.Err() != nil {
			return "", transport.ContextErr(ctx)
		}
		n, err := section.ReadAt(buf, offset)
		_, _ = h.Write(buf[:n])
		offset += int64(n)
		if err != nil && offset < section.Size() {
			return "", s.readError(err)
		}
	}
	return hex.EncodeToString(h.Sum(nil)), nil
}

func (s *source) readError(err error) error {
	if changed := s.unchanged(); errors.Is(changed, ErrSourceChanged) {
		return changed
	}
	if errors.Is(err, io.EOF) || errors.Is(err, io.ErrUnexpectedEOF) {
		return sourceChanged("it is shorter than its size of %d", s.size)
	}
	return fmt.Errorf("%s: read image: %w", pkg, err)
}
