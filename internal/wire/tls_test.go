package wire

import (
	"context"
	"crypto/tls"
	"fmt"
	"io"
	"log"
	"net"
	"net/http"
	"net/http/httptest"
	"net/http/httptrace"
	"net/url"
	"strconv"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/imagejobs/imagejobs-go/internal/emulator"
	"github.com/imagejobs/imagejobs-go/internal/rawhttp"
)

// A server that accepts and then sends nothing is a failed dial: nothing of the
// request was sent.
func TestHandshakeTimesOut(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		l := emulator.NewPipeListener()
		defer l.Close()
		go func() {
			conn, err := l.Accept()
			if err != nil {
				return
			}
			_, _ = io.Copy(io.Discard, conn)
			_ = conn.Close()
		}()
		tr := newTransport(t, l.DialContext)
		start := time.Now()
		_, _, err := attempt{transport: tr, url: "https://h.example"}.send(t.Context(), first(9, rawhttp.Bits{}), 9)
		require.ErrorIs(t, err, ErrHandshakeTimeout)
		require.NotErrorIs(t, err, context.DeadlineExceeded, "which would be the caller's")
		var timeout net.Error
		require.ErrorAs(t, err, &timeout)
		require.True(t, timeout.Timeout())
		require.Equal(t, tr.TLSHandshakeTimeout, time.Since(start))
	})
}

// noting notes that it was closed.
type noting struct {
	net.Conn

	closed *atomic.Int64
}

func (n noting) Close() error {
	n.closed.Add(1)
	return n.Conn.Close()
}

// The certificate is checked against the name that was dialed, and a connection
// to another name is not left open.
func TestServerName(t *testing.T) {
	var hello atomic.Pointer[tls.ClientHelloInfo]
	var closed atomic.Int64
	s := httptest.NewUnstartedServer(nil)
	s.Config.ErrorLog = log.New(io.Discard, "", 0)
	s.TLS = &tls.Config{GetConfigForClient: func(h *tls.ClientHelloInfo) (*tls.Config, error) {
		hello.Store(h)
		return nil, nil
	}}
	s.StartTLS()
	t.Cleanup(s.Close)
	tr := newTransport(t, func(ctx context.Context, network, addr string) (net.Conn, error) {
		require.Equal(t, "h.example:443", addr)
		conn, err := new(net.Dialer).DialContext(ctx, network, s.Listener.Addr().String())
		return noting{conn, &closed}, err
	})
	_, _, err := attempt{transport: tr, url: "https://h.example"}.send(t.Context(), first(9, rawhttp.Bits{}), 9)
	var wrong *tls.CertificateVerificationError
	require.ErrorAs(t, err, &wrong)
	require.Equal(t, "h.example", hello.Load().ServerName)
	require.EqualValues(t, 1, closed.Load())
}

// A trace in the caller's context sees the handshake.
func TestHandshakeIsTraced(t *testing.T) {
	a, _ := overTLS(t, func(http.ResponseWriter, *http.Request) {})
	var started, done atomic.Int64
	ctx := httptrace.WithClientTrace(t.Context(), &httptrace.ClientTrace{
		TLSHandshakeStart: func() { started.Add(1) },
		TLSHandshakeDone: func(state tls.ConnectionState, err error) {
			if err == nil && state.HandshakeComplete {
				done.Add(1)
			}
		},
	})
	_, _, err := a.send(ctx, first(9, rawhttp.Bits{}), 9)
	require.NoError(t, err)
	require.EqualValues(t, 1, started.Load())
	require.EqualValues(t, 1, done.Load())
}

// tunnel is a proxy that joins its clients with the hosts that they ask for.
func tunnel(tunnels *atomic.Int64) http.HandlerFunc {
	return func(w http.ResponseWriter, r *http.Request) {
		far, err := new(net.Dialer).DialContext(r.Context(), "tcp", r.Host)
		if r.Method != http.MethodConnect || err != nil {
			http.Error(w, "no tunnel", http.StatusBadGateway)
			return
		}
		defer far.Close()
		near, buf, err := http.NewResponseController(w).Hijack()
		if err != nil {
			return
		}
		defer near.Close()
		tunnels.Add(1)
		_, _ = io.WriteString(near, "HTTP/1.1 200 OK\r\n\r\n")
		go func() {
			_, _ = io.Copy(far, buf)
			_ = far.Close()
		}()
		_, _ = io.Copy(near, far)
	}
}

// The way may lead through a proxy, with or without TLS to it.
func TestProxies(t *testing.T) {
	for name, start := range map[string]func(http.Handler) *httptest.Server{"http": httptest.NewServer, "https": httptest.NewTLSServer} {
		t.Run(name, func(t *testing.T) {
			var tunnels atomic.Int64
			proxy := start(tunnel(&tunnels))
			t.Cleanup(proxy.Close)
			a, tr := overTLS(t, func(w http.ResponseWriter, r *http.Request) {
				n, _ := io.Copy(io.Discard, r.Body)
				_, _ = fmt.Fprint(w, n)
			})
			to, err := url.Parse(proxy.URL)
			require.NoError(t, err)
			tr.Proxy = http.ProxyURL(to)
			for range 2 {
				_, got, err := a.send(t.Context(), first(4<<20, rawhttp.Bits{}), 4<<20)
				require.NoError(t, err)
				require.Equal(t, strconv.Itoa(4<<20), got)
			}
			require.EqualValues(t, 1, tunnels.Load(), "through the proxy, on one connection")
		})
	}
}
