package oraclemarket

import (
	"errors"
	"fmt"
	"path/filepath"
	"runtime"
	"strings"
)

var errGoexit = errors.New("a function of the caller called runtime.Goexit")

// guard calls f, which calls functions of the caller, on a goroutine of its own.
// A panic is returned as an error and not left to end the process from a
// goroutine that the caller has never heard of; a Goexit, as of a test's FailNow,
// is one as well, where it would look like a success.
func guard[T any](f func() (T, error)) (value T, err error) {
	err = fmt.Errorf("%s: %w", pkg, errGoexit)
	done := make(chan struct{})
	go func() {
		defer close(done)
		defer func() {
			if v := recover(); v != nil {
				err = fmt.Errorf("%s: panic%s: %v", pkg, panicked(), v)
			}
		}()
		value, err = f()
	}()
	<-done
	return value, err
}

// panicked returns where the panic was that is being recovered from.
func panicked() string {
	pcs := make([]uintptr, 32)
	frames := runtime.CallersFrames(pcs[:runtime.Callers(3, pcs)])
	for {
		frame, more := frames.Next()
		if frame.Function != "" && !strings.HasPrefix(frame.Function, "runtime.") {
			return fmt.Sprintf(" at %s:%d", filepath.Base(frame.File), frame.Line)
		}
		if !more {
			return ""
		}
	}
}
