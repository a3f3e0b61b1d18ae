package wire

import (
	"context"
	"errors"
	"fmt"
	"io"
	"sync/atomic"
)

var errDetached = errors.New("the body is detached from its source")

// Body is the request body of one attempt. It counts what was read, keeps an
// error of the source apart from one of the connection, and can be cut off from
// its source, because net/http reads it on a goroutine that may outlive the
// attempt. A source that panics there fails the attempt and not the process.
type Body struct {
	size    int64
	guard   *StallGuard
	started atomic.Bool // Read was called
	cancel  context.CancelCauseFunc

	mu       turn // held during a read of the source
	source   io.Reader
	sent     int64
	complete bool
	err      error // that ended the source, io.EOF included
	detached bool
}

// NewBody returns a body with the content of source. A size of 0 means unknown.
// A guard that is not nil is told of each read. cancel must end the attempt: if
// the source calls [runtime.Goexit], Read does not return, and the body calls
// cancel with [ErrGoexit].
func NewBody(source io.Reader, size int64, guard *StallGuard, cancel context.CancelCauseFunc) *Body {
	return &Body{source: source, size: size, guard: guard, cancel: cancel, mu: make(turn, 1)}
}

// turn is a mutex that is held for as long as a source takes. Unlike a
// [sync.Mutex] it lets time pass in a bubble of testing/synctest.
type turn chan struct{}

// Lock implements [sync.Locker].
func (t turn) Lock() { t <- struct{}{} }

// Unlock implements [sync.Locker].
func (t turn) Unlock() { <-t }

// Read reads from the source. Once it has failed or reached the end, it returns
// the same error again without touching the source.
func (b *Body) Read(p []byte) (int, error) {
	b.started.Store(true)
	b.mu.Lock()
	defer b.mu.Unlock()
	switch {
	case b.detached:
		return 0, errDetached
	case b.err != nil:
		return 0, b.err
	case len(p) == 0:
		return 0, nil
	}
	n, err := b.readSource(p)
	b.sent += int64(n)
	if errors.Is(err, io.EOF) && b.sent < b.size {
		err = fmt.Errorf("the source ended after %d of %d bytes: %w", b.sent, b.size, io.ErrUnexpectedEOF)
	}
	b.err = err
	ended := !b.complete && b.atEnd()
	b.complete = b.complete || ended
	if b.guard != nil && (n > 0 || ended) {
		b.guard.bodyRead(b.complete)
	}
	return n, err
}

func (b *Body) atEnd() bool {
	if b.size > 0 {
		return b.sent >= b.size
	}
	return b.err == io.EOF //nolint:errorlint // io.EOF comes bare from a Reader
}

// Close leaves the source open: it is the caller's.
func (b *Body) Close() error { return nil }

// Detach cuts the body off from its source. It waits for a read under way;
// later ones fail.
func (b *Body) Detach() {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.detached = true
}

// SourceErr returns the error of the source, nil if it did not fail. A source
// that is shorter than its size fails with [io.ErrUnexpectedEOF].
func (b *Body) SourceErr() error {
	if b == nil {
		return nil
	}
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.err == io.EOF { //nolint:errorlint // io.EOF comes bare from a Reader
		return nil
	}
	return b.err
}

// Sent returns how many bytes were read so far.
func (b *Body) Sent() int64 {
	if b == nil {
		return 0
	}
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.sent
}

// Started reports whether Read was called. Nothing reads a nil body.
func (b *Body) Started() bool { return b != nil && b.started.Load() }

// Complete reports whether the body was read to its end: up to its size, or up
// to [io.EOF] where that is unknown. A nil body is complete.
func (b *Body) Complete() bool {
	if b == nil {
		return true
	}
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.complete
}
