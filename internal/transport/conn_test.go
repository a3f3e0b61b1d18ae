package transport

import (
	"bytes"
	"context"
	"crypto/md5"
	"crypto/tls"
	"crypto/x509"
	"encoding/hex"
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
	"syscall"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/imagejobs/imagejobs-go/internal/emulator"
)

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

// A failed write waits for the answer to be read, but not long, and not once
// the connection was closed.
func TestPatientConn(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		inner := &halfDead{}
		tr := &http.Transport{DialContext: func(_ context.Context, network, addr string) (net.Conn, error) {
			require.Equal(t, "tcp h.example:443", network+" "+addr)
			return inner, nil
		}}
		dialing(tr)
		c, err := tr.DialContext(t.Context(), "tcp", "h.example:443")
		require.NoError(t, err)

		start := time.Now()
		n, err := c.Write([]byte("abc"))
		require.NoError(t, err)
		require.Equal(t, 3, n)
		require.Zero(t, time.Since(start))

		inner.err = syscall.ECONNRESET
		n, err = c.Write([]byte("abc"))
		require.Equal(t, syscall.ECONNRESET, err)
		require.Equal(t, 1, n)
		require.Equal(t, answerGrace, time.Since(start))

		start = time.Now()
		time.AfterFunc(time.Millisecond, func() { _ = c.Close() })
		_, err = c.Write([]byte("abc"))
		require.Equal(t, syscall.ECONNRESET, err)
		require.Equal(t, time.Millisecond, time.Since(start))
		require.NoError(t, c.Close())
		require.EqualValues(t, 2, inner.closed.Load())
	})
}

func TestDialFails(t *testing.T) {
	tr := &http.Transport{DialContext: func(context.Context, string, string) (net.Conn, error) { return nil, syscall.ECONNREFUSED }}
	dialing(tr)
	for _, dial := range []func(ctx context.Context, network, addr string) (net.Conn, error){tr.DialContext, tr.DialTLSContext} {
		c, err := dial(t.Context(), "tcp", "h.example:443")
		require.Equal(t, syscall.ECONNREFUSED, err)
		require.Nil(t, c)
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

// overTLS is a client of a server that speaks TLS, on our own transport; dial
// may be nil.
func overTLS(t *testing.T, config Config, handle http.HandlerFunc, wrap func(net.Conn) net.Conn) *Client {
	t.Helper()
	s := httptest.NewTLSServer(handle)
	t.Cleanup(s.Close)
	config.BaseURL = s.URL
	c := dialingClient(t, config, func(ctx context.Context, network, addr string) (net.Conn, error) {
		conn, err := new(net.Dialer).DialContext(ctx, network, addr)
		if err != nil || wrap == nil {
			return conn, err
		}
		return wrap(conn), nil
	})
	trust(t, c, &s.TLS.Certificates[0])
	return c
}

// trust has the client take that certificate.
func trust(t *testing.T, c *Client, certificate *tls.Certificate) {
	t.Helper()
	pool := x509.NewCertPool()
	pool.AddCert(certificate.Leaf)
	ownTransport(t, c).TLSClientConfig.RootCAs = pool
}

// A body arrives whole, whatever its size is next to that of a record and of a
// stride, and in few writes.
func TestStrides(t *testing.T) {
	certificate := testCertificate()
	for _, scheme := range []string{"http", "https"} {
		for _, size := range []int64{1, maxRecord - 1, maxRecord, maxRecord + 1, stride - 1, stride, stride + 1, stride + maxRecord, 5*stride + 3*maxRecord + 7, 24 * stride} {
			t.Run(fmt.Sprintf("%s/%d", scheme, size), func(t *testing.T) {
				// In virtual time: on a machine with other work a step may not
				// be a quick one.
				synctest.Test(t, func(t *testing.T) {
					l := emulator.NewPipeListener()
					served := net.Listener(l)
					if scheme == "https" {
						served = tls.NewListener(l, &tls.Config{MinVersion: tls.VersionTLS12, Certificates: []tls.Certificate{*certificate}})
					}
					s := serve(t, served, func(conn net.Conn, r *http.Request) bool {
						h := md5.New()
						n, err := io.Copy(h, r.Body)
						_, _ = io.WriteString(conn, okJSON(fmt.Sprintf(`{"name":"%d %x %v %d"}`, n, h.Sum(nil), err, r.ContentLength)))
						return true
					})
					var writes atomic.Int64
					c := dialingClient(t, Config{BaseURL: scheme + "://127.0.0.1"}, func(ctx context.Context, network, addr string) (net.Conn, error) {
						conn, err := l.DialContext(ctx, network, addr)
						return counting{conn, &writes}, err
					})
					trust(t, c, certificate)
					content := make([]byte, size)
					_, _ = bits{}.ReadAt(content, 0)
					want := md5.Sum(content)
					for range 2 { // the second on the same connection
						body := &Body{ContentType: "application/octet-stream", Size: size, Open: func() io.Reader { return bytes.NewReader(content) }}
						got, _, err := Do[result](t.Context(), c, upload(Repeatable, body))
						require.NoError(t, err)
						require.Equal(t, fmt.Sprintf("%d %s <nil> %d", size, hex.EncodeToString(want[:]), size), got.Name)
					}
					require.EqualValues(t, 1, s.accepted.Load())
					// A write for each stride, or for each step in the beginning;
					// beside them the heads of two requests with what of the body
					// goes with them, and the handshake.
					const steps = 2 * stride / step
					require.LessOrEqual(t, writes.Load(), 2*(size/stride+1+steps+2)+3)
				})
			})
		}
	}
}

// A call whose connection takes no more bytes ends at once when it is told to,
// with TLS, too, which would like to say goodbye first.
func TestCancelBlockedUpload(t *testing.T) {
	for _, scheme := range []string{"http", "https"} {
		t.Run(scheme, func(t *testing.T) {
			certificate := testCertificate()
			synctest.Test(t, func(t *testing.T) {
				l := emulator.NewPipeListener()
				served := net.Listener(l)
				if scheme == "https" {
					served = tls.NewListener(l, &tls.Config{MinVersion: tls.VersionTLS12, Certificates: []tls.Certificate{*certificate}})
				}
				s := serve(t, served, func(_ net.Conn, r *http.Request) bool {
					_, _ = io.CopyN(io.Discard, r.Body, 1<<20)
					<-t.Context().Done() // reads no more
					return false
				})
				c := dialingClient(t, Config{BaseURL: scheme + "://127.0.0.1"}, l.DialContext)
				trust(t, c, certificate)
				ctx, cancel := context.WithCancel(t.Context())
				start := time.Now()
				go func() {
					synctest.Wait() // until it is blocked
					cancel()
				}()
				_, _, err := Do[result](ctx, c, upload(Once, sourceBody(bits{}, 1<<30)))
				require.ErrorIs(t, err, context.Canceled)
				require.ErrorIs(t, err, ErrAmbiguous)
				require.EqualValues(t, 1, s.requests.Load())
				require.Zero(t, time.Since(start))
				synctest.Wait()
				require.Zero(t, time.Since(start))
			})
		})
	}
}

// Nobody waits for the answer of a connection that is closed with it, though
// TLS writes once more then.
func TestBrokenTLSConnection(t *testing.T) {
	certificate := testCertificate()
	synctest.Test(t, func(t *testing.T) {
		l := emulator.NewPipeListener()
		s := serve(t, tls.NewListener(l, &tls.Config{MinVersion: tls.VersionTLS12, Certificates: []tls.Certificate{*certificate}}), drop)
		c := dialingClient(t, Config{BaseURL: "https://127.0.0.1", Retry: noWait(3)}, l.DialContext)
		trust(t, c, certificate)
		start := time.Now()
		for i := range 20 { // it is a race who sees the end first
			_, _, err := Do[result](t.Context(), c, get(Safe))
			require.Equal(t, 3, failure(t, err).Attempts)
			require.EqualValues(t, 3*(i+1), s.requests.Load())
		}
		require.Zero(t, time.Since(start))
	})
}

// A server that accepts and then says nothing is a connection that could not
// be made: nothing was sent.
func TestHandshakeTimesOut(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		l := emulator.NewPipeListener()
		defer l.Close()
		go func() {
			for {
				conn, err := l.Accept()
				if err != nil {
					return
				}
				go func() {
					_, _ = io.Copy(io.Discard, conn)
					_ = conn.Close()
				}()
			}
		}()
		c := dialingClient(t, Config{BaseURL: "https://h.example", Retry: noWait(2)}, l.DialContext)
		start := time.Now()
		_, _, err := Do[result](t.Context(), c, get(Once))
		require.ErrorContains(t, err, "TLS handshake")
		require.NotErrorIs(t, err, ErrAmbiguous)
		require.NotErrorIs(t, err, context.DeadlineExceeded, "which would be the caller's")
		var timeout net.Error
		require.ErrorAs(t, err, &timeout)
		require.True(t, timeout.Timeout())
		require.Equal(t, 2, failure(t, err).Attempts)
		require.Equal(t, 2*ownTransport(t, c).TLSHandshakeTimeout, time.Since(start))
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

// What is checked is the name that was dialed, and a connection to another is
// not left open.
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
	c := dialingClient(t, Config{BaseURL: "https://h.example", Retry: noWait(1)}, func(ctx context.Context, network, addr string) (net.Conn, error) {
		require.Equal(t, "h.example:443", addr)
		conn, err := new(net.Dialer).DialContext(ctx, network, s.Listener.Addr().String())
		return noting{conn, &closed}, err
	})
	_, _, err := Do[result](t.Context(), c, get(Safe))
	var wrong *tls.CertificateVerificationError
	require.ErrorAs(t, err, &wrong)
	require.Equal(t, 1, failure(t, err).Attempts)
	require.Equal(t, "h.example", hello.Load().ServerName)
	require.EqualValues(t, 1, closed.Load())
}

// A trace that the caller's context has sees the handshake.
func TestHandshakeIsTraced(t *testing.T) {
	for _, class := range []Repeat{Once, Safe} {
		c := overTLS(t, Config{}, func(w http.ResponseWriter, _ *http.Request) {
			w.Header().Set("Content-Type", "application/json")
			_, _ = io.WriteString(w, "{}")
		}, nil)
		var started, done atomic.Int64
		ctx := httptrace.WithClientTrace(t.Context(), &httptrace.ClientTrace{
			TLSHandshakeStart: func() { started.Add(1) },
			TLSHandshakeDone: func(state tls.ConnectionState, err error) {
				if err == nil && state.HandshakeComplete {
					done.Add(1)
				}
			},
		})
		_, _, err := Do[result](ctx, c, get(class))
		require.NoError(t, err)
		require.EqualValues(t, 1, started.Load())
		require.EqualValues(t, 1, done.Load())
	}
}

// slow is a source that takes its time for each piece, and fills what it is given.
type slow struct{ bits }

func (s slow) ReadAt(p []byte, off int64) (int, error) {
	for range (len(p) + 4095) / 4096 {
		<-time.After(time.Second)
	}
	return s.bits.ReadAt(p, off)
}

// A slow source is no stall, and holds up a call that is told to end no longer
// than a step takes.
func TestSlowSource(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c, s := pipeClient(t, Config{Retry: noWait(1)}, answer(okJSON("{}")))
		_, _, err := Do[result](t.Context(), c, upload(Once, sourceBody(slow{}, 4<<20)))
		require.NoError(t, err)
		require.EqualValues(t, 1, s.requests.Load())

		ctx, cancel := context.WithTimeout(t.Context(), 5*time.Minute+100*time.Millisecond)
		defer cancel()
		start := time.Now()
		_, _, err = Do[result](ctx, c, upload(Once, sourceBody(slow{}, 4<<20)))
		require.ErrorIs(t, err, context.DeadlineExceeded)
		require.Less(t, time.Since(start), 5*time.Minute+step/4096*time.Second+time.Second)
	})
}

// Calls that gave up while they dialed keep no later call waiting.
func TestDialsThatHang(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		l := emulator.NewPipeListener()
		serve(t, l, answer(okJSON("{}")))
		var hang atomic.Bool
		hang.Store(true)
		c := dialingClient(t, Config{Retry: noWait(1)}, func(ctx context.Context, network, addr string) (net.Conn, error) {
			if hang.Load() {
				select {
				case <-time.After(30 * time.Second):
				case <-ctx.Done():
				}
				return nil, syscall.ETIMEDOUT
			}
			return l.DialContext(ctx, network, addr)
		})
		for range 2 * maxInFlight {
			ctx, cancel := context.WithTimeout(t.Context(), 100*time.Millisecond)
			_, _, err := Do[result](ctx, c, get(Safe))
			cancel()
			require.ErrorIs(t, err, context.DeadlineExceeded)
		}
		hang.Store(false)
		start := time.Now()
		_, _, err := Do[result](t.Context(), c, get(Safe))
		require.NoError(t, err)
		require.Zero(t, time.Since(start))
		<-time.After(time.Minute) // until the dials have ended
	})
}

// tunnel is a proxy that joins its clients with whom they ask for.
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
	for _, start := range map[string]func(http.Handler) *httptest.Server{"http": httptest.NewServer, "https": httptest.NewTLSServer} {
		var tunnels atomic.Int64
		proxy := start(tunnel(&tunnels))
		t.Cleanup(proxy.Close)
		c := overTLS(t, Config{}, func(w http.ResponseWriter, r *http.Request) {
			n, _ := io.Copy(io.Discard, r.Body)
			w.Header().Set("Content-Type", "application/json")
			_, _ = fmt.Fprintf(w, `{"name":"%d"}`, n)
		}, nil)
		to, err := url.Parse(proxy.URL)
		require.NoError(t, err)
		ownTransport(t, c).Proxy = http.ProxyURL(to)
		for range 2 {
			got, _, err := Do[result](t.Context(), c, upload(Repeatable, sourceBody(bits{}, 4<<20)))
			require.NoError(t, err)
			require.Equal(t, strconv.Itoa(4<<20), got.Name)
		}
		require.EqualValues(t, 1, tunnels.Load(), "through the proxy, on one connection")
		closeIdle(c)
	}
}
