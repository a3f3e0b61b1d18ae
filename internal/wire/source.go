package wire

import (
	"errors"
	"fmt"
	"io"
	"runtime/debug"
)

// maxEmptyReads is how often in a row a source may return neither bytes nor an
// error.
const maxEmptyReads = 100

// ErrGoexit is the error of a source whose Read called [runtime.Goexit].
var ErrGoexit = errors.New("the source called runtime.Goexit in Read")

var errInvalidCount = errors.New("the source returned an invalid count from Read")

// PanicError is the error of a source whose Read panicked.
type PanicError struct {
	Value any    // of the panic
	Stack []byte // of the goroutine that panicked
}

// Error names the value of the panic and leaves out the stack.
func (e *PanicError) Error() string {
	return fmt.Sprintf("the source panicked in Read: %v", e.Value)
}

// readSource returns a panic of the source as a *PanicError.
func (b *Body) readSource(p []byte) (n int, err error) {
	returned := false
	defer func() {
		if returned {
			return
		}
		if v := recover(); v != nil {
			n, err = 0, &PanicError{Value: v, Stack: debug.Stack()}
			return
		}
		// A Goexit, which nothing can stop. It takes net/http's goroutine with
		// it, and without the cancellation the round trip would wait forever
		// for a write.
		b.err = ErrGoexit
		b.cancel(ErrGoexit)
	}()
	n, err = readSome(b.source, p)
	returned = true
	return n, err
}

// readSome reads at least one byte or returns an error.
func readSome(source io.Reader, p []byte) (int, error) {
	for range maxEmptyReads {
		n, err := source.Read(p)
		if n < 0 || n > len(p) {
			return 0, errInvalidCount
		}
		if n > 0 || err != nil {
			return n, err
		}
	}
	return 0, io.ErrNoProgress
}
