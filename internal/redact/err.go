package redact

import (
	"context"
	"errors"
)

// Err returns err or, if its text or that of an error it wraps repeats a secret,
// an error that reads [Hidden]. That one matches [context.Canceled] and
// [context.DeadlineExceeded] as err does, reports the same Timeout and
// Temporary, and wraps nothing else.
func (s *Set) Err(err error) error {
	if err == nil || !s.repeats(err) {
		return err
	}
	hidden := &hiddenError{}
	for _, kept := range []error{context.Canceled, context.DeadlineExceeded} {
		if errors.Is(err, kept) {
			hidden.kept = append(hidden.kept, kept)
		}
	}
	if e, ok := errors.AsType[netError](err); ok {
		return &hiddenNetError{hidden, e.Timeout(), e.Temporary()}
	}
	return hidden
}

func (s *Set) repeats(err error) bool {
	if s.Contains(err.Error()) {
		return true
	}
	switch err := err.(type) { //nolint:errorlint // each error of the chain is visited
	case interface{ Unwrap() error }:
		inner := err.Unwrap()
		return inner != nil && s.repeats(inner)
	case interface{ Unwrap() []error }:
		for _, inner := range err.Unwrap() {
			if inner != nil && s.repeats(inner) {
				return true
			}
		}
	}
	return false
}

// netError is net.Error without its deprecation.
type netError interface {
	error
	Timeout() bool
	Temporary() bool
}

type hiddenError struct {
	kept []error // that callers steer by
}

func (*hiddenError) Error() string     { return Hidden }
func (e *hiddenError) Unwrap() []error { return e.kept }

type hiddenNetError struct {
	*hiddenError
	timeout, temporary bool
}

func (e *hiddenNetError) Timeout() bool   { return e.timeout }
func (e *hiddenNetError) Temporary() bool { return e.temporary }
