package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"slices"
	"sync"
	"time"
)

// object is one version of the image where it is stored.
type object interface {
	// open opens a part of that version. The error is final if there is another
	// version now, or if it would be the same the next time.
	open(ctx context.Context, offset, length int64) (io.ReadCloser, error)
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

// source reads an object at any offset. Each read goes on with the stream that
// an earlier one left at its offset, or opens one.
type source struct {
	ctx    context.Context //nolint:containedctx // io.ReaderAt takes none
	object object
	size   int64
	// span is where a stream ends at the latest: at the next multiple. It is the
	// size of a chunk, so that each stream is read to its end.
	span int64
	// limit is how many streams are kept open for later reads.
	limit int
	// minPause is the pause after a failure. It doubles with each.
	minPause time.Duration

	mu       sync.Mutex
	idle     []*stream // the oldest first
	closed   bool
	requests int
	received int64
}

func newSource(ctx context.Context, o object, size, span int64, limit int, minPause time.Duration) *source {
	return &source{ctx: ctx, object: o, size: size, span: span, limit: limit, minPause: minPause}
}

// ReadAt implements io.ReaderAt.
func (s *source) ReadAt(p []byte, offset int64) (n int, err error) {
	if offset < 0 {
		return 0, errors.New("negative offset")
	}
	for n < len(p) {
		at := offset + int64(n)
		if at >= s.size {
			return n, io.EOF
		}
		m, err := s.read(p[n:], at)
		n += m
		if err != nil {
			return n, fmt.Errorf("at byte %d: %w", at, err)
		}
	}
	return n, nil
}

// read reads at least one byte or returns an error. A stream that breaks is
// followed by another from there on.
func (s *source) read(p []byte, offset int64) (int, error) {
	for attempt := 1; ; attempt++ {
		n, err := s.readOnce(p, offset)
		if n > 0 {
			return n, nil
		}
		if cause := context.Cause(s.ctx); cause != nil {
			return 0, cause
		}
		pause := min(s.minPause<<(attempt-1), maxPause)
		pause = pause/2 + rand.N(pause/2)
		if unavailable, ok := errors.AsType[*unavailableError](err); ok {
			pause = max(pause, unavailable.after)
		}
		_, final := errors.AsType[*finalError](err)
		if final || attempt == attempts || pause > maxPause {
			return 0, err
		}
		select {
		case <-time.After(pause):
		case <-s.ctx.Done():
			return 0, context.Cause(s.ctx)
		}
	}
}

func (s *source) readOnce(p []byte, offset int64) (int, error) {
	stream := s.take(offset)
	if stream == nil {
		var err error
		if stream, err = s.open(offset); err != nil {
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

// take returns the stream that stands at the offset, if there is one. One of
// the same span that is past it was left there, and is closed.
func (s *source) take(offset int64) (found *stream) {
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

func (s *source) end(offset int64) int64 { return min((offset/s.span+1)*s.span, s.size) }

func (s *source) open(offset int64) (*stream, error) {
	s.mu.Lock()
	s.requests++
	s.mu.Unlock()
	ctx, cancel := context.WithCancelCause(s.ctx)
	t := &stream{at: offset, end: s.end(offset), ctx: ctx, cancel: cancel}
	t.watch = time.AfterFunc(stallTime, func() { cancel(errStalled) })
	defer t.watch.Stop()
	var err error
	if t.body, err = s.object.open(ctx, offset, t.end-offset); err != nil {
		err = t.cause(err)
		cancel(nil)
		return nil, err
	}
	return t, nil
}

// keep keeps a stream for the read that follows.
func (s *source) keep(t *stream) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.idle = append(s.idle, t); len(s.idle) > s.limit || s.closed {
		s.idle[0].close()
		s.idle = s.idle[1:]
	}
}

// close closes what is open. Nothing reads any more.
func (s *source) close() {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.closed = true
	for _, t := range s.idle {
		t.close()
	}
	s.idle = nil
}

// cost returns how many requests opened a stream and what they brought.
func (s *source) cost() (requests int, received int64) {
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

func final(format string, args ...any) error { return &finalError{fmt.Errorf(format, args...)} }

// unavailableError is a service that asks for patience.
type unavailableError struct {
	error

	after time.Duration
}

// Unwrap returns the reason.
func (e *unavailableError) Unwrap() error { return e.error }
