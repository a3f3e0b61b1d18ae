//go:build linux || darwin

package wire

import (
	"crypto/tls"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/imagejobs/imagejobs-go/internal/rawhttp"
)

// The kernel reports what it still holds, through all that is around a socket.
func TestSendQueue(t *testing.T) {
	var lc net.ListenConfig
	l, err := lc.Listen(t.Context(), "tcp", "127.0.0.1:0")
	require.NoError(t, err)
	defer l.Close()
	var d net.Dialer
	near, err := d.DialContext(t.Context(), "tcp", l.Addr().String())
	require.NoError(t, err)
	defer near.Close()
	far, err := l.Accept()
	require.NoError(t, err)
	defer far.Close()

	linger := newLingerConn(near)
	secure := &tlsConn{Conn: tls.Client(linger, &tls.Config{MinVersion: tls.VersionTLS12}), below: linger}
	tunneled := tls.Client(linger, &tls.Config{MinVersion: tls.VersionTLS12})
	all := []net.Conn{near, linger, secure, tunneled}
	for _, c := range all {
		n, known := SendQueue(c)
		require.True(t, known, "%T", c)
		require.Zero(t, n, "%T", c)
	}
	written := fill(t, near)
	for _, c := range all {
		n, known := SendQueue(c)
		require.True(t, known, "%T", c)
		require.Positive(t, n, "%T", c)
	}
	_, err = io.CopyN(io.Discard, far, written)
	require.NoError(t, err)
	require.Eventually(t, func() bool {
		n, known := SendQueue(secure)
		return known && n == 0
	}, time.Minute, time.Millisecond)

	pipe, other := net.Pipe()
	defer pipe.Close()
	defer other.Close()
	_, known := SendQueue(pipe)
	require.False(t, known)
	require.NoError(t, near.Close())
	_, known = SendQueue(near)
	require.False(t, known, "nothing is known of a closed one")
}

// fill writes until the kernel takes no more.
func fill(t *testing.T, c net.Conn) int64 {
	t.Helper()
	var written int64
	piece := make([]byte, 1<<20)
	for {
		require.NoError(t, c.SetWriteDeadline(time.Now().Add(50*time.Millisecond)))
		n, err := c.Write(piece)
		written += int64(n)
		if err != nil && written > 0 { // not before the first write came to run
			require.NoError(t, c.SetWriteDeadline(time.Time{}))
			return written
		}
	}
}

// One connection of HTTP/2 has many requests, whose bytes move all the time.
func TestSendQueueOfHTTP2(t *testing.T) {
	s := httptest.NewUnstartedServer(http.HandlerFunc(func(http.ResponseWriter, *http.Request) {}))
	s.EnableHTTP2 = true
	s.StartTLS()
	defer s.Close()
	tr := s.Client().Transport.(*http.Transport) //nolint:errcheck // what httptest makes
	config := tr.TLSClientConfig.Clone()
	config.NextProtos = []string{"h2"}
	c, err := (&tls.Dialer{Config: config}).DialContext(t.Context(), "tcp", s.Listener.Addr().String())
	require.NoError(t, err)
	defer c.Close()
	secure, ok := c.(*tls.Conn)
	require.True(t, ok)
	require.Equal(t, "h2", secure.ConnectionState().NegotiatedProtocol)
	_, known := SendQueue(secure)
	require.False(t, known)
}

// A service, or a proxy in front of a slow line, that takes its time is no
// stall, though the kernel took the whole body long ago.
func TestSlowPeer(t *testing.T) {
	t.Parallel()
	const limit, size = 3 * time.Second, 4 << 20 // the limit is long for a busy machine, too
	a, _ := serveTCP(t, func(c net.Conn, r *http.Request) bool {
		if tcp, ok := c.(*net.TCPConn); ok {
			_ = tcp.SetReadBuffer(64 << 10) // what it takes without reading, nobody sees
		}
		pace := time.NewTicker(20 * time.Millisecond)
		defer pace.Stop()
		for { // some 0.8 MiB a second
			<-pace.C
			if _, err := io.CopyN(io.Discard, r.Body, 16<<10); err != nil {
				_, err := io.WriteString(c, ok(""))
				return err == nil
			}
		}
	})
	a.limit = limit
	start := time.Now()
	_, _, err := a.send(t.Context(), first(size, rawhttp.Bits{}), size)
	require.NoError(t, err)
	require.Greater(t, time.Since(start), limit)
}
