package transport

import (
	"errors"
	"fmt"
	"io"
	"sync"
)

// guardedBody is the body of one try. It tells when bytes move, keeps an error
// of the source apart from one of the connection, and can be cut off from its
// source. net/http reads it from a goroutine that may outlive the try.
type guardedBody struct {
	clock *stallClock // of an upload; nil for nobody to tell

	mu       sync.Mutex
	body     io.ReadCloser
	size     int64 // 0 for unknown
	read     int64
	err      error // of the source
	detached bool
}

var errDetached = errors.New("the request is over")

func (b *guardedBody) Read(p []byte) (int, error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.detached {
		return 0, errDetached
	}
	n, err := b.body.Read(p)
	b.read += int64(n)
	if n > 0 && b.clock != nil {
		b.clock.read(b.read == b.size)
	}
	if errors.Is(err, io.EOF) && b.read < b.size {
		err = fmt.Errorf("the source ended after %d of %d bytes: %w", b.read, b.size, io.ErrUnexpectedEOF)
	}
	if err != nil && err != io.EOF { //nolint:errorlint // io.EOF comes bare from a Reader
		b.err = err
	}
	return n, err
}

// Close leaves the source open: it is the caller's.
func (b *guardedBody) Close() error { return nil }

// detach waits for a read under way; later ones fail without touching the source.
func (b *guardedBody) detach() {
	b.mu.Lock()
	b.detached = true
	b.mu.Unlock()
}

func (b *guardedBody) sourceErr() error {
	if b == nil {
		return nil
	}
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.err
}

func (b *guardedBody) count() int64 {
	if b == nil {
		return 0
	}
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.read
}

func (call *Call) hasBody() bool { return call.Body != nil && call.Body.Size > 0 }

// reopen is the body from its start, for a try inside a try.
func (call *Call) reopen() io.ReadCloser {
	if !call.hasBody() {
		return io.NopCloser(emptyBody{})
	}
	return io.NopCloser(call.Body.Open())
}
