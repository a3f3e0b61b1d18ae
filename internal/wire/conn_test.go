package wire

import (
	"context"
	"crypto/md5"
	"crypto/tls"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/imagejobs/imagejobs-go/internal/rawhttp"
)

var errReset = errors.New("connection reset by peer")

// halfDead is a connection that can be written to until it breaks.
type halfDead struct {
	net.Conn

	err    error
	closed atomic.Int64
}

func (h *halfDead) Write(p []byte) (int, error) {
	if h.err != nil {
		return 1, h.err
	}
	return len(p), nil
}

func (h *halfDead) Close() error {
	h.closed.Add(1)
	return nil
}

// A failed write waits for the response to be read, but not long, and not once
// the connection was closed.
func TestLingerConn(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		inner := &halfDead{}
		tr := newTransport(t, func(_ context.Context, network, addr string) (net.Conn, error) {
			require.Equal(t, "tcp h.example:443", network+" "+addr)
			return inner, nil
		})
		c, err := tr.DialContext(t.Context(), "tcp", "h.example:443")
		require.NoError(t, err)

		start := time.Now()
		n, err := c.Write([]byte("abc"))
		require.NoError(t, err)
		require.Equal(t, 3, n)
		require.Zero(t, time.Since(start))

		inner.err = errReset
		n, err = c.Write([]byte("abc"))
		require.Equal(t, errReset, err)
		require.Equal(t, 1, n)
		require.Equal(t, responseGrace, time.Since(start))

		start = time.Now()
		time.AfterFunc(time.Millisecond, func() { _ = c.Close() })
		_, err = c.Write([]byte("abc"))
		require.Equal(t, errReset, err)
		require.Equal(t, time.Millisecond, time.Since(start))
		require.NoError(t, c.Close())
		require.EqualValues(t, 2, inner.closed.Load())
	})
}

func TestDialFails(t *testing.T) {
	tr := newTransport(t, func(context.Context, string, string) (net.Conn, error) { return nil, errReset })
	for _, dial := range []dialFunc{tr.DialContext, tr.DialTLSContext} {
		c, err := dial(t.Context(), "tcp", "h.example:443")
		require.Equal(t, errReset, err)
		require.Nil(t, c)
	}
}

func TestNewTransport(t *testing.T) {
	for _, slots := range []int{1, 64, 1000} {
		tr := NewTransport(slots)
		require.Equal(t, slots, tr.MaxIdleConnsPerHost)
		require.GreaterOrEqual(t, tr.MaxIdleConns, slots)
		require.EqualValues(t, tls.VersionTLS12, tr.TLSClientConfig.MinVersion)
		require.True(t, tr.Protocols.HTTP1())
		require.False(t, tr.Protocols.HTTP2() || tr.ForceAttemptHTTP2)
	}
}

// counting counts what is written to a connection.
type counting struct {
	net.Conn

	writes *atomic.Int64
}

func (c counting) Write(p []byte) (int, error) {
	c.writes.Add(1)
	return c.Conn.Write(p)
}

// A body arrives whole, whatever its size is next to that of a record and of a
// read, and in few writes.
func TestSizes(t *testing.T) {
	for scheme, certificate := range map[string]*tls.Certificate{"http": nil, "https": testCertificate()} {
		for _, size := range []int64{1, maxRecord - 1, maxRecord, maxRecord + 1, fullRead - 1, fullRead, fullRead + 1, fullRead + maxRecord, 5*fullRead + 3*maxRecord + 7, 24 * fullRead} {
			t.Run(fmt.Sprintf("%s/%d", scheme, size), func(t *testing.T) {
				// In virtual time: on a busy machine a first read may not be
				// quick.
				synctest.Test(t, func(t *testing.T) { sendTwice(t, certificate, size) })
			})
		}
	}
}

// sendTwice sends the same body twice on one connection.
func sendTwice(t *testing.T, certificate *tls.Certificate, size int64) {
	t.Helper()
	a, s := servePipe(t, certificate, func(conn net.Conn, r *http.Request) bool {
		h := md5.New()
		n, err := io.Copy(h, r.Body)
		_, _ = io.WriteString(conn, ok(fmt.Sprintf("%d %x %v %d", n, h.Sum(nil), err, r.ContentLength)))
		return true
	})
	var writes atomic.Int64
	tr, isOurs := a.transport.(*http.Transport)
	require.True(t, isOurs)
	dial := tr.DialContext // which passes each write on as it is
	tr.DialContext = func(ctx context.Context, network, addr string) (net.Conn, error) {
		conn, err := dial(ctx, network, addr)
		return counting{conn, &writes}, err
	}
	WrapDialer(tr)
	content := md5.New()
	_, _ = io.Copy(content, first(size, rawhttp.Bits{}))
	for range 2 {
		_, got, err := a.send(t.Context(), first(size, rawhttp.Bits{}), size)
		require.NoError(t, err)
		require.Equal(t, fmt.Sprintf("%d %s <nil> %d", size, hex.EncodeToString(content.Sum(nil)), size), got)
	}
	require.EqualValues(t, 1, s.Accepted.Load())
	// A write for each full read, or for each first read in the beginning;
	// beside them the heads of two requests with what of the body goes with
	// them, and the handshake.
	const firstReads = 2 * fullRead / firstRead
	require.LessOrEqual(t, writes.Load(), 2*(size/fullRead+1+firstReads+2)+3)
}

// An attempt whose connection takes no more bytes ends at once when it is
// canceled, with TLS, too, which would like to send an alert first.
func TestCancelBlockedUpload(t *testing.T) {
	for scheme, certificate := range map[string]*tls.Certificate{"http": nil, "https": testCertificate()} {
		t.Run(scheme, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				a, s := servePipe(t, certificate, func(_ net.Conn, r *http.Request) bool {
					_, _ = io.CopyN(io.Discard, r.Body, 1<<20)
					<-t.Context().Done() // reads no more
					return false
				})
				ctx, cancel := context.WithCancel(t.Context())
				start := time.Now()
				go func() {
					synctest.Wait() // until it is blocked
					cancel()
				}()
				_, _, err := a.send(ctx, first(1<<30, rawhttp.Bits{}), 1<<30)
				require.ErrorIs(t, err, context.Canceled)
				require.EqualValues(t, 1, s.Requests.Load())
				require.Zero(t, time.Since(start))
				synctest.Wait()
				require.Zero(t, time.Since(start))
			})
		})
	}
}

// Nobody waits for the response of a connection that the peer closed, though
// TLS writes once more then.
func TestBrokenTLSConnection(t *testing.T) {
	certificate := testCertificate()
	synctest.Test(t, func(t *testing.T) {
		a, s := servePipe(t, certificate, func(_ net.Conn, r *http.Request) bool {
			_, _ = io.Copy(io.Discard, r.Body)
			return false
		})
		start := time.Now()
		for i := range 20 { // it is a race who sees the end first
			_, _, err := a.send(t.Context(), first(1000, rawhttp.Bits{}), 1000)
			require.Error(t, err)
			require.EqualValues(t, i+1, s.Requests.Load())
		}
		require.Zero(t, time.Since(start))
	})
}

// A response in the middle of an upload is what the attempt ends with, not the
// broken connection.
func TestEarlyResponse(t *testing.T) {
	for range 25 { // it is a race
		a, s := serveTCP(t, rawhttp.RefuseEarly(rawhttp.Response("413 Content Too Large", "Connection: close\r\n", "too much")))
		status, body, err := a.send(t.Context(), first(1<<30, rawhttp.Bits{}), 1<<30)
		require.NoError(t, err)
		require.Equal(t, http.StatusRequestEntityTooLarge, status)
		require.Equal(t, "too much", body)
		require.EqualValues(t, 1, s.Requests.Load())
	}
}

func TestEarlyResponseOverTLS(t *testing.T) {
	a, _ := overTLS(t, func(w http.ResponseWriter, r *http.Request) {
		_, _ = io.CopyN(io.Discard, r.Body, 10_000)
		conn, buf, err := http.NewResponseController(w).Hijack()
		if err != nil {
			return
		}
		_, _ = buf.WriteString(rawhttp.Response("401 Unauthorized", "Connection: close\r\n", ""))
		_ = buf.Flush()
		_ = conn.Close()
	})
	for range 5 {
		status, _, err := a.send(t.Context(), first(1<<30, rawhttp.Bits{}), 1<<30)
		require.NoError(t, err)
		require.Equal(t, http.StatusUnauthorized, status)
	}
}

// A connection that breaks without a response is a broken connection.
func TestBrokenUpload(t *testing.T) {
	a, s := serveTCP(t, rawhttp.RefuseEarly(""))
	_, _, err := a.send(t.Context(), first(1<<30, rawhttp.Bits{}), 1<<30)
	require.Error(t, err)
	require.EqualValues(t, 1, s.Requests.Load())
}

// slow is a source that takes a second for each 4 KiB.
type slow struct{ rawhttp.Bits }

func (s slow) ReadAt(p []byte, off int64) (int, error) {
	for range (len(p) + 4095) / 4096 {
		<-time.After(time.Second)
	}
	return s.Bits.ReadAt(p, off)
}

// A slow source is no stall, and delays a canceled attempt no longer than a
// first read takes.
func TestSlowSource(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		a, s := servePipe(t, nil, rawhttp.Respond(ok("")))
		_, _, err := a.send(t.Context(), first(4<<20, slow{}), 4<<20)
		require.NoError(t, err)
		require.EqualValues(t, 1, s.Requests.Load())

		ctx, cancel := context.WithTimeout(t.Context(), 5*time.Minute+100*time.Millisecond)
		defer cancel()
		start := time.Now()
		_, _, err = a.send(ctx, first(4<<20, slow{}), 4<<20)
		require.ErrorIs(t, err, context.DeadlineExceeded)
		require.Less(t, time.Since(start), 5*time.Minute+firstRead/4096*time.Second+time.Second)
	})
}
