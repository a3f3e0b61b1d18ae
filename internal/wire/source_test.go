package wire

import (
	"bytes"
	"crypto/tls"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"runtime"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/imagejobs/imagejobs-go/internal/rawhttp"
)

// after is a source that does something once its first bytes were read.
func after(bytesRead int, do func()) io.Reader {
	return io.MultiReader(bytes.NewReader(make([]byte, bytesRead)), readerFunc(func([]byte) (int, error) {
		do()
		return 0, errDisk
	}))
}

func explode() { panic(errDisk) }

// Whatever goroutine net/http reads a body on, a source that panics or ends it
// fails the attempt at once, and nothing else.
func TestSourceThatPanics(t *testing.T) {
	const size = 10 << 20
	for scheme, certificate := range map[string]*tls.Certificate{"http": nil, "https": testCertificate()} {
		for _, at := range []int{0, 1, size / 2, size - 1} {
			t.Run(fmt.Sprintf("%s after %d bytes", scheme, at), func(t *testing.T) {
				synctest.Test(t, func(t *testing.T) {
					a, _ := servePipe(t, certificate, rawhttp.Respond(ok("")))
					start := time.Now()
					for range 3 {
						_, _, err := a.send(t.Context(), after(at, explode), size)
						checkPanic(t, err)
						_, _, err = a.send(t.Context(), after(at, runtime.Goexit), size)
						require.Equal(t, ErrGoexit, err)
					}
					_, _, err := a.send(t.Context(), first(size, rawhttp.Bits{}), size)
					require.NoError(t, err)
					require.Zero(t, time.Since(start))
				})
			})
		}
	}
}

func checkPanic(t *testing.T, err error) {
	t.Helper()
	e, found := errors.AsType[*PanicError](err)
	require.True(t, found, "%v", err)
	require.Equal(t, errDisk, e.Value)
	require.Contains(t, string(e.Stack), "wire.explode")
	require.EqualError(t, e, "the source panicked in Read: the disk is gone")
}

// So does one on the HTTP/2 transport of a caller, though a Goexit leaves the
// stream open.
func TestSourceThatPanicsOverHTTP2(t *testing.T) {
	s := httptest.NewUnstartedServer(http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) {
		_, _ = io.Copy(io.Discard, r.Body)
	}))
	s.EnableHTTP2 = true
	s.StartTLS()
	defer s.Close()
	a := attempt{transport: s.Client().Transport, url: s.URL}
	_, _, err := a.send(t.Context(), after(100, explode), 1<<20)
	checkPanic(t, err)
	_, _, err = a.send(t.Context(), after(100, runtime.Goexit), 1<<20)
	require.Equal(t, ErrGoexit, err)
	s.CloseClientConnections()
}

// After a panic or a Goexit the source is left alone, and the body can still be
// asked and detached.
func TestBodyAfterGoexit(t *testing.T) {
	for _, do := range []func(){explode, runtime.Goexit} {
		var cause error
		b := NewBody(after(3, do), 10, nil, func(err error) { cause = err })
		done := make(chan struct{})
		go func() {
			defer close(done)
			_, _ = io.ReadAll(b)
		}()
		<-done
		require.Error(t, b.SourceErr())
		require.EqualValues(t, 3, b.Sent())
		require.False(t, b.Complete())
		if cause != nil {
			require.Equal(t, ErrGoexit, cause)
			require.Equal(t, ErrGoexit, b.SourceErr())
		}
		_, err := b.Read(make([]byte, 1))
		require.Equal(t, b.SourceErr(), err)
		b.Detach()
	}
}
