package wire

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"testing/iotest"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/imagejobs/imagejobs-go/internal/rawhttp"
)

func noCancel(cause error) { panic(cause) }

func TestBody(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		guard := NewStallGuard(time.Hour, noCancel)
		defer guard.Stop()
		start := time.Now()
		b := NewBody(first(10, rawhttp.Bits{}), 10, guard, noCancel)
		p := make([]byte, 4)
		<-time.After(time.Second)
		n, err := b.Read(p)
		require.Equal(t, 4, n)
		require.NoError(t, err)
		require.Equal(t, time.Second, guard.moved.Sub(start))
		require.False(t, guard.complete)
		require.False(t, b.Complete())
		require.NoError(t, b.Close(), "net/http closes a body more than once")
		<-time.After(time.Second)
		_, err = b.Read(make([]byte, 6))
		require.NoError(t, err)
		require.EqualValues(t, 10, b.Sent())
		require.True(t, guard.complete)
		require.True(t, b.Complete())
		<-time.After(time.Second)
		n, err = b.Read(nil)
		require.Zero(t, n)
		require.NoError(t, err)
		_, err = b.Read(p)
		require.Equal(t, io.EOF, err)
		require.Equal(t, 2*time.Second, guard.moved.Sub(start), "an end is no movement")
		require.NoError(t, b.SourceErr())
		b.Detach()
		_, err = b.Read(p)
		require.ErrorIs(t, err, errDetached)
		require.NoError(t, b.SourceErr(), "that is not the source's fault")
	})
}

func TestNoBody(t *testing.T) {
	var none *Body
	require.NoError(t, none.SourceErr())
	require.Zero(t, none.Sent())
	require.True(t, none.Complete())
}

// Where the size is unknown the end is where the source ends.
func TestBodyOfUnknownSize(t *testing.T) {
	guard := NewStallGuard(time.Hour, noCancel)
	defer guard.Stop()
	b := NewBody(strings.NewReader("four"), 0, guard, noCancel)
	_, err := b.Read(make([]byte, 9))
	require.NoError(t, err)
	require.False(t, b.Complete())
	_, err = b.Read(make([]byte, 9))
	require.Equal(t, io.EOF, err)
	require.True(t, b.Complete())
	require.True(t, guard.complete)
	require.NoError(t, b.SourceErr())
	require.EqualValues(t, 4, b.Sent())
}

type readerFunc func(p []byte) (int, error)

func (f readerFunc) Read(p []byte) (int, error) { return f(p) }

// A source that breaks the rules of an io.Reader fails, and is left alone then.
func TestBrokenSource(t *testing.T) {
	for name, tt := range map[string]struct {
		read  readerFunc
		err   error
		reads int
	}{
		"no progress":    {func([]byte) (int, error) { return 0, nil }, io.ErrNoProgress, maxEmptyReads},
		"too many bytes": {func(p []byte) (int, error) { return len(p) + 1, nil }, errInvalidCount, 1},
		"negative count": {func([]byte) (int, error) { return -1, io.EOF }, errInvalidCount, 1},
		"wrapped end":    {func([]byte) (int, error) { return 0, fmt.Errorf("%w", io.EOF) }, io.ErrUnexpectedEOF, 1},
	} {
		t.Run(name, func(t *testing.T) {
			reads := 0
			b := NewBody(readerFunc(func(p []byte) (int, error) {
				reads++
				return tt.read(p)
			}), 10, nil, noCancel)
			for range 2 {
				n, err := b.Read(make([]byte, 4))
				require.Zero(t, n)
				require.ErrorIs(t, err, tt.err)
				require.ErrorIs(t, b.SourceErr(), tt.err)
			}
			require.Equal(t, tt.reads, reads)
			require.False(t, b.Complete())
		})
	}
}

// Empty reads between others are allowed.
func TestSourceThatSometimesReturnsNothing(t *testing.T) {
	inner, reads := strings.NewReader(strings.Repeat("x", 1000)), 0
	b := NewBody(readerFunc(func(p []byte) (int, error) {
		reads++
		if reads%maxEmptyReads != 0 {
			return 0, nil
		}
		return inner.Read(p[:1])
	}), 1000, nil, noCancel)
	got, err := io.ReadAll(b)
	require.NoError(t, err)
	require.Len(t, got, 1000)
}

var errDisk = errors.New("the disk is gone")

// An attempt whose source fails ends with that error, and the service does not
// take the body for whole.
func TestSourceFails(t *testing.T) {
	const size = 1 << 20
	failing := func(at int, err error) io.Reader {
		return io.MultiReader(bytes.NewReader(make([]byte, at)), iotest.ErrReader(err))
	}
	for name, tt := range map[string]struct {
		source io.Reader
		is     error
		says   string
	}{
		"at the start":             {failing(0, errDisk), errDisk, "the disk is gone"},
		"in the middle":            {failing(size/2, errDisk), errDisk, "the disk is gone"},
		"at the last byte":         {failing(size-1, errDisk), errDisk, "the disk is gone"},
		"empty":                    {failing(0, io.EOF), io.ErrUnexpectedEOF, "the source ended after 0 of 1048576 bytes"},
		"shorter than its size":    {failing(size/2, io.EOF), io.ErrUnexpectedEOF, "the source ended after 524288 of 1048576 bytes"},
		"shorter by the last byte": {failing(size-1, io.EOF), io.ErrUnexpectedEOF, "the source ended after 1048575 of 1048576 bytes"},
		"no progress":              {io.MultiReader(strings.NewReader("x"), readerFunc(func([]byte) (int, error) { return 0, nil })), io.ErrNoProgress, "multiple Read calls"},
	} {
		t.Run(name, func(t *testing.T) {
			a, _ := serveTCP(t, func(_ net.Conn, r *http.Request) bool {
				if _, err := io.Copy(io.Discard, r.Body); err == nil {
					t.Error("the service must not take it for whole")
				}
				return false
			})
			_, _, err := a.send(t.Context(), tt.source, size)
			require.ErrorIs(t, err, tt.is)
			require.ErrorContains(t, err, tt.says)
		})
	}
}

// closable is a source that nobody may read after it was closed.
type closable struct {
	rawhttp.Bits
	closed atomic.Bool
	late   atomic.Int64
}

func (c *closable) ReadAt(p []byte, off int64) (int, error) {
	if c.closed.Load() {
		c.late.Add(1)
	}
	return c.Bits.ReadAt(p, off)
}

// Once an attempt has ended its source is the caller's again, however it ended
// and whatever net/http is still about to do.
func TestSourceIsLeftAlone(t *testing.T) {
	const size = 1 << 30
	ways := map[string]rawhttp.Handler{
		"early response, connection kept": func(c net.Conn, r *http.Request) bool {
			_, _ = io.CopyN(io.Discard, r.Body, 100_000)
			_, _ = io.WriteString(c, rawhttp.Response("400 Bad Request", "", ""))
			_, _ = io.Copy(io.Discard, c)
			return false
		},
		"early success": func(c net.Conn, _ *http.Request) bool {
			_, _ = io.WriteString(c, ok("{}"))
			_, _ = io.Copy(io.Discard, c)
			return false
		},
		"early response, connection closed": rawhttp.RefuseEarly(rawhttp.Response("413 Content Too Large", "", "")),
		"connection broken":                 func(net.Conn, *http.Request) bool { return false },
		"canceled": func(_ net.Conn, r *http.Request) bool {
			_, _ = io.Copy(io.Discard, r.Body)
			return false
		},
	}
	for name, handle := range ways {
		t.Run(name, func(t *testing.T) {
			a, _ := serveTCP(t, handle)
			sources := make([]*closable, 10)
			var wg sync.WaitGroup
			for i := range sources {
				source := &closable{}
				sources[i] = source
				wg.Go(func() {
					ctx, cancel := context.WithCancel(t.Context())
					defer cancel()
					body := first(size, source)
					if name == "canceled" {
						body = &cancelAt{Reader: body, left: 300_000, cancel: cancel}
					}
					_, _, _ = a.send(ctx, body, size)
					source.closed.Store(true)
				})
			}
			wg.Wait()
			for _, source := range sources {
				require.Zero(t, source.late.Load())
			}
		})
	}
}

// cancelAt cancels when some bytes were read.
type cancelAt struct {
	io.Reader
	left   int
	cancel func()
}

func (c *cancelAt) Read(p []byte) (int, error) {
	n, err := c.Reader.Read(p)
	if c.left -= n; c.left < 0 {
		c.cancel()
	}
	return n, err
}
