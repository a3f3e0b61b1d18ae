// Package ranges reads an image by parts from where it is stored: from behind an
// http(s) URL, or from any other store that opens parts.
package ranges

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"slices"
	"sync"
	"time"

	"github.com/imagejobs/imagejobs-go/oraclemarket"
)

// Object is one version of the image where it is stored.
type Object interface {
	// Open opens a part of that version. The error is [Final] if it would be the
	// same the next time, and [Changed] if there is another version now.
	Open(ctx context.Context, offset, length int64) (io.ReadCloser, error)
}

// An upload reads pieces of 32 to 256 KiB. A request for each would be ruinous,
// so a stream stays open for the reads that follow.
//
// All attempts together take less than the minute after which the client gives
// up a chunk that does not move.
const (
	attempts   = 4
	firstPause = 500 * time.Millisecond
	maxPause   = 10 * time.Second // also the longest Retry-After that is waited for
	stallTime  = 12 * time.Second
)

// Source reads an object at any offset. Each read continues the stream that an
// earlier one left at its offset, or opens one. It is safe for concurrent use.
type Source struct {
	ctx    context.Context //nolint:containedctx // io.ReaderAt takes none
	object Object
	size   int64
	span   int64
	limit  int
	pause  time.Duration // after the first failure

	mu       sync.Mutex
	idle     []*stream // the oldest first
	closed   bool
	requests int
	received int64
}

// NewSource returns a source of an object of size bytes, until ctx is done. A
// stream ends at a multiple of span, the next one after the read that opens it:
// with the size of a chunk, each is read to its end. Up to limit streams are
// kept open for later reads. After a failure there is a pause, which doubles
// with each: 0 is half a second.
func NewSource(ctx context.Context, o Object, size, span int64, limit int, pause time.Duration) *Source {
	return &Source{ctx: ctx, object: o, size: size, span: span, limit: limit, pause: cmp.Or(pause, firstPause)}
}

// Size returns the length of the object in bytes.
func (s *Source) Size() int64 { return s.size }

// ReadAt implements io.ReaderAt.
func (s *Source) ReadAt(p []byte, offset int64) (n int, err error) {
	if offset < 0 {
		return 0, errors.New("negative offset")
	}
	for n < len(p) {
		at := offset + int64(n)
		if at >= s.size {
			return n, io.EOF
		}
		m, err := s.read(p[n:], at, len(p))
		n += m
		if err != nil {
			return n, fmt.Errorf("at byte %d: %w", at, err)
		}
	}
	return n, nil
}

// read reads at least one byte or returns an error. A stream that breaks is
// followed by another from there on.
func (s *Source) read(p []byte, offset int64, ahead int) (int, error) {
	for attempt := 1; ; attempt++ {
		n, err := s.readOnce(p, offset, ahead)
		if n > 0 {
			return n, nil
		}
		if cause := context.Cause(s.ctx); cause != nil {
			return 0, cause
		}
		pause := min(s.pause<<(attempt-1), maxPause)
		pause = pause/2 + rand.N(pause/2)
		if unavailable, ok := errors.AsType[*unavailableError](err); ok {
			pause = max(pause, unavailable.after)
		}
		if IsFinal(err) || attempt == attempts || pause > maxPause {
			return 0, err
		}
		select {
		case <-time.After(pause):
		case <-s.ctx.Done():
			return 0, context.Cause(s.ctx)
		}
	}
}

func (s *Source) readOnce(p []byte, offset int64, ahead int) (int, error) {
	stream := s.take(offset)
	if stream == nil {
		var err error
		if stream, err = s.open(offset, ahead); err != nil {
			return 0, err
		}
	}
	n, err := stream.Read(p)
	s.mu.Lock()
	s.received += int64(n)
	s.mu.Unlock()
	if err != nil || stream.at == stream.end {
		stream.close()
		return n, err
	}
	s.keep(stream)
	return n, nil
}

// take returns the stream that is at the offset, if there is one. It closes one
// of the same span that is past the offset: no read will continue it.
func (s *Source) take(offset int64) (found *stream) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.idle = slices.DeleteFunc(s.idle, func(t *stream) bool {
		switch {
		case t.at == offset && found == nil:
			found = t
		case t.at > offset && t.end == s.end(offset):
			t.close()
		default:
			return false
		}
		return true
	})
	return found
}

func (s *Source) end(offset int64) int64 { return min((offset/s.span+1)*s.span, s.size) }

// open opens a stream, to the end of the span that has the last of the next
// bytes: a read across the end of a span is one of a sequence.
func (s *Source) open(offset int64, bytes int) (*stream, error) {
	s.mu.Lock()
	s.requests++
	s.mu.Unlock()
	ctx, cancel := context.WithCancelCause(s.ctx)
	t := &stream{at: offset, end: s.end(offset + int64(bytes) - 1), ctx: ctx, cancel: cancel}
	t.watch = time.AfterFunc(stallTime, func() { cancel(errStalled) })
	defer t.watch.Stop()
	var err error
	if t.body, err = s.object.Open(ctx, offset, t.end-offset); err != nil {
		err = t.cause(err)
		cancel(nil)
		return nil, err
	}
	return t, nil
}

// keep keeps a stream for the read that follows.
func (s *Source) keep(t *stream) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.idle = append(s.idle, t); len(s.idle) > s.limit || s.closed {
		s.idle[0].close()
		s.idle = s.idle[1:]
	}
}

// Close closes what is open. Nothing may read any more.
func (s *Source) Close() {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.closed = true
	for _, t := range s.idle {
		t.close()
	}
	s.idle = nil
}

// Cost returns how many streams were opened and how many bytes they brought.
func (s *Source) Cost() (requests int, received int64) {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.requests, s.received
}

var errStalled = errors.New("no byte came for " + stallTime.String())

// stream is an open part of the object.
type stream struct {
	at, end int64
	body    io.ReadCloser
	ctx     context.Context //nolint:containedctx // of the request that is read
	cancel  context.CancelCauseFunc
	watch   *time.Timer
}

// Read implements io.Reader. The end comes without io.EOF.
func (t *stream) Read(p []byte) (int, error) {
	t.watch.Reset(stallTime)
	defer t.watch.Stop()
	n, err := t.body.Read(p[:min(int64(len(p)), t.end-t.at)])
	t.at += int64(n)
	switch {
	case errors.Is(err, io.EOF) && t.at == t.end:
		err = nil
	case errors.Is(err, io.EOF):
		err = io.ErrUnexpectedEOF
	case n == 0 && err == nil:
		err = io.ErrNoProgress
	}
	return n, t.cause(err)
}

// cause returns why err ended the stream.
func (t *stream) cause(err error) error {
	if cause := context.Cause(t.ctx); err != nil && cause != nil {
		return cause
	}
	return err
}

func (t *stream) close() {
	t.cancel(nil)
	_ = t.body.Close() // only read
}

// finalError is an error that stays if the call is repeated.
type finalError struct{ error }

// Unwrap returns the reason.
func (e *finalError) Unwrap() error { return e.error }

// Final returns an error that stays if the call is repeated, so that no attempt
// follows.
func Final(format string, args ...any) error { return &finalError{fmt.Errorf(format, args...)} }

// IsFinal reports whether err is [Final] or [Changed].
func IsFinal(err error) bool {
	_, ok := errors.AsType[*finalError](err)
	return ok
}

// Changed returns the error that the object has another version, a
// [oraclemarket.SourceChangedError]. It is final: nothing of the upload is merged.
func Changed(format string, args ...any) error {
	return &finalError{&oraclemarket.SourceChangedError{Change: fmt.Sprintf(format, args...)}}
}

// unavailableError is a response that asks to wait.
type unavailableError struct {
	error

	after time.Duration
}

// Unwrap returns the reason.
func (e *unavailableError) Unwrap() error { return e.error }
