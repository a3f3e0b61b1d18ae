package oraclemarket

import (
	"context"
	"crypto/md5" //nolint:gosec // the service's checksum, not a protection
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"hash"
	"io"
	"os"
	"runtime"
	"sync"
	"time"

	"github.com/imagejobs/imagejobs-go/internal/transport"
)

// source is the file of one upload.
type source struct {
	missing    error       // why there is no file, nil if there is one
	file       io.ReaderAt // nil if there is none
	sequential *sequential // the file, if it can be read but once
	size       int64
	// unchanged returns an error unless the file is still the one that was
	// opened.
	unchanged func() error
	close     func()
	identity  string           // see identity
	newMD5    func() hash.Hash // nil without checksums
	// slots bounds how many goroutines hash with an implementation that takes a
	// core: more at once would only delay the first chunk. nil for no limit:
	// other implementations may be faster the more they have.
	slots chan struct{}
}

func newSource(req *ImageUpload) *source {
	s := &source{
		file: req.File, size: req.Size, newMD5: req.NewMD5,
		unchanged: func() error { return nil }, close: func() {},
		slots: make(chan struct{}, runtime.GOMAXPROCS(0)),
	}
	if req.Reader != nil {
		s.sequential = &sequential{reader: req.Reader}
		s.file = s.sequential
	}
	switch {
	case req.DisableChecksum:
		s.newMD5 = nil
	case s.newMD5 == nil:
		s.newMD5 = md5.New
	default:
		s.slots = nil
	}
	return s
}

// missingSource returns the source of an upload that may no longer need its
// file. err is why there is none.
func missingSource(err error) *source {
	s := newSource(&ImageUpload{DisableChecksum: true})
	s.missing = err
	return s
}

// openSource opens the file at path and fills in its fields of req.
func openSource(path string, req *ImageUpload) (*source, error) {
	info, err := os.Stat(path)
	if err != nil {
		return nil, fmt.Errorf("%s: open image: %w", pkg, err)
	}
	if !canSeek(info.Mode()) { // opening a pipe could block forever
		return nil, invalid("UploadFile: path", "must be a regular file or a block device")
	}
	f, err := os.Open(path)
	if err != nil {
		return nil, fmt.Errorf("%s: open image: %w", pkg, err)
	}
	info, err = f.Stat()
	var size int64
	if err == nil {
		size, err = f.Seek(0, io.SeekEnd) // the size of a device is in no Stat
	}
	if err != nil {
		_ = f.Close() // only read
		return nil, fmt.Errorf("%s: open image: %w", pkg, err)
	}
	req.File, req.Size = f, size
	s := newSource(req)
	s.identity = identity(info, time.Now())
	s.close = func() { _ = f.Close() } // only read
	s.unchanged = func() error {
		now, err := f.Stat()
		switch {
		case err != nil:
			return fmt.Errorf("%s: stat image: %w", pkg, err)
		case now.Size() != info.Size():
			return sourceChanged("its size was %d and is %d", info.Size(), now.Size())
		case !now.ModTime().Equal(info.ModTime()) && info.Mode().IsRegular():
			return sourceChanged("it was modified at %s", now.ModTime().UTC().Format(time.RFC3339Nano))
		}
		return nil
	}
	return s, nil
}

// canSeek reports whether files of this kind have a size and can be read at any
// offset.
func canSeek(mode os.FileMode) bool {
	return mode.IsRegular() || mode&(os.ModeDevice|os.ModeCharDevice) == os.ModeDevice
}

const fingerprintSpan = 1 << 20

// fingerprint is a hash of the file's first and last MiB: most other files are
// found out by it before anything is sent. It is empty without a file
// that can be read twice.
func (s *source) fingerprint(ctx context.Context) (string, error) {
	if s.file == nil || s.sequential != nil {
		return "", nil
	}
	span := min(fingerprintSpan, s.size)
	h := sha256.New()
	for _, offset := range []int64{0, s.size - span} {
		if err := s.hash(ctx, h, offset, span); err != nil {
			return "", err
		}
	}
	return hex.EncodeToString(h.Sum(nil)[:16]), nil
}

// check compares the file once more before the chunks become an image.
func (s *source) check(ctx context.Context, fingerprint string) error {
	if err := s.unchanged(); err != nil {
		return err
	}
	now, err := s.fingerprint(ctx)
	if err != nil {
		return err
	}
	if now != fingerprint {
		return sourceChanged("the fingerprint of its content was %s and is %s", fingerprint, now)
	}
	return nil
}

// checksum returns the MD5 of a part of the file, "" when checksums are off.
func (s *source) checksum(ctx context.Context, offset, size int64) (string, error) {
	if s.newMD5 == nil {
		return "", nil
	}
	return s.sum(ctx, s.newMD5(), offset, size)
}

// proof returns the hash of a part of the file that a checkpoint's digest is
// made of.
func (s *source) proof(ctx context.Context, offset, size int64) (string, error) {
	if s.newMD5 == nil {
		return s.sum(ctx, sha256.New(), offset, size)
	}
	return s.checksum(ctx, offset, size)
}

func (s *source) sum(ctx context.Context, h hash.Hash, offset, size int64) (string, error) {
	defer closeHash(h)
	if err := s.hash(ctx, h, offset, size); err != nil {
		return "", err
	}
	return hex.EncodeToString(h.Sum(nil)), nil
}

// closeHash releases what some implementations hold.
func closeHash(h hash.Hash) {
	switch h := h.(type) {
	case interface{ Close() }:
		h.Close()
	case io.Closer:
		_ = h.Close() // the sum is taken
	}
}

// hashBuffers are used again, or an upload of many chunks would leave that much
// garbage for each.
var hashBuffers = sync.Pool{New: func() any { return new([128 << 10]byte) }}

// slowRead is how long a read takes that is slower than the hashing.
const slowRead = time.Millisecond

// hash writes a part of the file to h. It keeps a slot for hashing as long as
// the reads are fast: those of a slow source must not keep others from hashing.
func (s *source) hash(ctx context.Context, h hash.Hash, offset, size int64) error {
	slot := slot{s.slots, false}
	defer slot.release()
	kept := hashBuffers.Get().(*[128 << 10]byte) //nolint:errcheck // nothing else is in there
	defer hashBuffers.Put(kept)
	for end := offset + size; offset < end; {
		buf := kept[:min(int64(len(kept)), end-offset)]
		start := time.Now()
		if err := s.read(buf, offset); err != nil {
			return err
		}
		slow := time.Since(start) > slowRead
		if err := slot.acquire(ctx); err != nil {
			return err
		}
		if _, err := h.Write(buf); err != nil {
			return fmt.Errorf("%s: hash image: %w", pkg, err)
		}
		if slow {
			slot.release()
		}
		offset += int64(len(buf))
	}
	return nil
}

// slot is a place in slots, or none yet.
type slot struct {
	slots chan struct{}
	held  bool
}

func (s *slot) acquire(ctx context.Context) error {
	if ctx.Err() != nil {
		return transport.ContextErr(ctx)
	}
	if s.held || s.slots == nil {
		return nil
	}
	select {
	case s.slots <- struct{}{}:
		s.held = true
		return nil
	case <-ctx.Done():
		return transport.ContextErr(ctx)
	}
}

func (s *slot) release() {
	if s.held {
		<-s.slots
		s.held = false
	}
}

// maxEmptyReads is how often in a row a source may return neither bytes nor an
// error.
const maxEmptyReads = 100

// read fills buf from offset on.
func (s *source) read(buf []byte, offset int64) error {
	for empty := 0; empty < maxEmptyReads; {
		n, err := s.file.ReadAt(buf, offset)
		switch {
		case n < 0 || n > len(buf):
			return fmt.Errorf("%s: read image: ReadAt returned %d for %d bytes", pkg, n, len(buf))
		case n == len(buf):
			return nil
		case err != nil:
			return s.readError(err)
		case n == 0:
			empty++
		default:
			empty = 0
		}
		buf, offset = buf[n:], offset+int64(n)
	}
	return s.readError(io.ErrNoProgress)
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

// sentReader hashes what is sent of a chunk, so that it need not be read twice.
// A chunk is read from its start to its end, and from its start again when it is
// sent again.
type sentReader struct {
	io.ReaderAt

	mu   sync.Mutex
	h    hash.Hash
	next int64
}

// ReadAt implements [io.ReaderAt].
func (r *sentReader) ReadAt(p []byte, offset int64) (int, error) {
	n, err := r.ReaderAt.ReadAt(p, offset)
	r.mu.Lock()
	defer r.mu.Unlock()
	if offset == 0 {
		r.h, r.next = sha256.New(), 0
	}
	if offset == r.next && n > 0 && n <= len(p) {
		_, _ = r.h.Write(p[:n]) // never fails
		r.next += int64(n)
	}
	return n, err
}

// sum returns the hash if all of size was read, or "".
func (r *sentReader) sum(size int64) string {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.h == nil || r.next != size {
		return ""
	}
	return hex.EncodeToString(r.h.Sum(nil))
}
