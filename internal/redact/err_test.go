package redact

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/url"
	"os"
	"testing"

	"github.com/stretchr/testify/require"
)

func TestErr(t *testing.T) {
	set := New("hush-hush")
	timeout := &net.OpError{Op: "read", Net: "tcp", Err: os.ErrDeadlineExceeded}
	for name, tt := range map[string]struct {
		err       error
		matches   []error
		isNet     bool
		timeout   bool
		temporary bool
	}{
		"no more than a text": {err: errors.New("at hush-hush")},
		"others are dropped":  {err: fmt.Errorf("at hush%%2Dhush: %w", io.EOF)},
		"canceled":            {err: fmt.Errorf("at hush-hush: %w", context.Canceled), matches: []error{context.Canceled}},
		"deadline": {
			err: fmt.Errorf("at hush-hush: %w", context.DeadlineExceeded), matches: []error{context.DeadlineExceeded},
			isNet: true, timeout: true, temporary: true,
		},
		"both": {
			err:     errors.Join(errors.New("hush-hush"), context.Canceled, context.DeadlineExceeded),
			matches: []error{context.Canceled, context.DeadlineExceeded}, isNet: true, timeout: true, temporary: true,
		},
		"timeout":     {err: &url.Error{Op: "Get", URL: "http://h/hush-hush", Err: timeout}, isNet: true, timeout: true, temporary: true},
		"net":         {err: &url.Error{Op: "Get", URL: "http://h/hush-hush", Err: io.EOF}, isNet: true},
		"wrapped":     {err: silent{errors.New("hush-hush")}},
		"deeper":      {err: silent{fmt.Errorf("x: %w", silent{errors.Join(io.EOF, errors.New("hush-hush"))})}},
		"end of many": {err: silents{nil, io.EOF, silent{errors.New("hush-hush")}}},
	} {
		t.Run(name, func(t *testing.T) {
			err := set.Err(tt.err)
			require.EqualError(t, err, Hidden)
			require.NotErrorIs(t, err, io.EOF)
			for _, kept := range []error{context.Canceled, context.DeadlineExceeded} {
				require.Equal(t, errors.Is(tt.err, kept), errors.Is(err, kept))
			}
			for _, kept := range tt.matches {
				require.ErrorIs(t, err, kept)
			}
			netErr, ok := errors.AsType[net.Error](err)
			require.Equal(t, tt.isNet, ok)
			if ok {
				require.Equal(t, tt.timeout, netErr.Timeout())
				temporary, ok := err.(interface{ Temporary() bool })
				require.True(t, ok)
				require.Equal(t, tt.temporary, temporary.Temporary())
			}
			require.NotContains(t, fmt.Sprintf("%v %+v %#v", err, err, err), "hush")
		})
	}
	for _, err := range []error{nil, io.EOF, silent{io.EOF}, silents{nil}, silent{}} {
		require.Equal(t, err, set.Err(err))
		require.Equal(t, err, (*Set)(nil).Err(err))
	}
}

// silent wraps an error without repeating its text.
type silent struct{ err error }

func (silent) Error() string   { return "failed" }
func (e silent) Unwrap() error { return e.err }

type silents []error

func (silents) Error() string     { return "failed" }
func (e silents) Unwrap() []error { return e }
