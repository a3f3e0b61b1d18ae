package transport

import (
	"crypto/tls"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"runtime"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"
)

// cutAfter is when a clock whose limit is a minute cuts, while the other
// goroutine does what moves. It never waits longer than a day.
func cutAfter(t *testing.T, moves func(s *stallClock)) time.Duration {
	t.Helper()
	var took time.Duration
	synctest.Test(t, func(t *testing.T) {
		start, cut := time.Now(), make(chan struct{})
		s := newStallClock(time.Minute, func(error) { close(cut) })
		defer s.stop()
		go moves(s)
		select {
		case <-cut:
			took = time.Since(start)
		case <-time.After(24 * time.Hour):
			t.Error("it is never cut")
		}
	})
	return took
}

// sends has the clock see a queue that changes with time, from now on.
func (s *stallClock) sends(known bool, at func(time.Duration) int) {
	start := time.Now()
	s.mu.Lock()
	defer s.mu.Unlock()
	s.conn = &halfDead{}
	s.queue = func(net.Conn) (int, bool) { return at(time.Since(start)), known }
}

func TestStallClock(t *testing.T) {
	const first = 15 * time.Second // the first look at a queue is taken for a movement
	for name, tt := range map[string]struct {
		moves func(s *stallClock)
		after time.Duration
	}{
		"nothing moves": {func(*stallClock) {}, time.Minute},
		"the source is read": {func(s *stallClock) {
			for range 10 {
				<-time.After(59 * time.Second)
				s.read(false)
			}
		}, 590*time.Second + time.Minute},
		"nothing is known of the queue": {func(s *stallClock) {
			s.sends(false, func(d time.Duration) int { return int(d) })
		}, time.Minute},
		"the queue stands": {func(s *stallClock) {
			s.sends(true, func(time.Duration) int { return 4 << 20 })
		}, first + time.Minute},
		"the queue goes down for ten minutes": {func(s *stallClock) {
			s.sends(true, func(d time.Duration) int { return max(0, 600-int(d.Seconds())) })
		}, 10*time.Minute + time.Minute},
		"and goes up again": {func(s *stallClock) {
			s.sends(true, func(d time.Duration) int { return int(min(d, 5*time.Minute).Seconds()) % 100 })
		}, 5*time.Minute + time.Minute},
		"little by little": {func(s *stallClock) {
			s.sends(true, func(d time.Duration) int { return -int(min(d, 10*time.Minute) / (50 * time.Second)) })
		}, 10*time.Minute + time.Minute},
		"buffers on the way": {func(s *stallClock) {
			for i := range 20 {
				<-time.After(50 * time.Second)
				s.read(i == 19)
			}
		}, 2 * 1000 * time.Second},
		"a short body": {func(s *stallClock) {
			<-time.After(time.Second)
			s.read(true)
		}, time.Second + time.Minute},
		"the answer has begun": {func(s *stallClock) {
			<-time.After(50 * time.Second)
			s.sends(true, func(d time.Duration) int { return int(d) })
			s.read(true)
			s.answered(30 * time.Second)
		}, 80 * time.Second},
	} {
		t.Run(name, func(t *testing.T) {
			require.InDelta(t, tt.after, cutAfter(t, tt.moves), float64(first))
			require.GreaterOrEqual(t, cutAfter(t, tt.moves), tt.after)
		})
	}
}

// One that was stopped stays so, whatever comes later.
func TestStallClockStops(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := newStallClock(time.Minute, func(error) { t.Error("cut") })
		s.stop()
		s.read(true)
		s.answered(time.Second)
		s.look()
		<-time.After(time.Hour)
	})
}

// The kernel tells what it still holds, through all that is around a socket.
func TestSendQueue(t *testing.T) {
	if runtime.GOOS != "linux" && runtime.GOOS != "darwin" {
		t.Skip("only these tell")
	}
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

	patient := &patientConn{Conn: near, closed: make(chan struct{})}
	secure := &tlsConn{Conn: tls.Client(patient, &tls.Config{MinVersion: tls.VersionTLS12}), below: patient}
	tunnelled := tls.Client(patient, &tls.Config{MinVersion: tls.VersionTLS12})
	all := []net.Conn{near, patient, secure, tunnelled}
	for _, c := range all {
		n, known := sendQueue(c)
		require.True(t, known, "%T", c)
		require.Zero(t, n, "%T", c)
	}
	written := fill(t, near)
	for _, c := range all {
		n, known := sendQueue(c)
		require.True(t, known, "%T", c)
		require.Positive(t, n, "%T", c)
	}
	_, err = io.CopyN(io.Discard, far, written)
	require.NoError(t, err)
	require.Eventually(t, func() bool {
		n, known := sendQueue(secure)
		return known && n == 0
	}, time.Minute, time.Millisecond)

	pipe, other := net.Pipe()
	defer pipe.Close()
	defer other.Close()
	_, known := sendQueue(pipe)
	require.False(t, known)
	require.NoError(t, near.Close())
	_, known = sendQueue(near)
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
	_, known := sendQueue(secure)
	require.False(t, known)
}

// A service, or a proxy before a slow line, that takes its time is no stall,
// though the kernel took the whole body long ago.
func TestSlowPeer(t *testing.T) {
	if runtime.GOOS != "linux" && runtime.GOOS != "darwin" {
		t.Skip("only these tell how much is on its way")
	}
	t.Parallel()
	const limit, size = time.Second, 4 << 20
	s := serveTCP(t, func(c net.Conn, r *http.Request) bool {
		if tcp, ok := c.(*net.TCPConn); ok {
			_ = tcp.SetReadBuffer(64 << 10) // what it takes without reading, nobody sees
		}
		pace := time.NewTicker(20 * time.Millisecond)
		defer pace.Stop()
		for { // some 1.5 MiB a second
			<-pace.C
			if _, err := io.CopyN(io.Discard, r.Body, 32<<10); err != nil {
				_, err := io.WriteString(c, okJSON("{}"))
				return err == nil
			}
		}
	})
	c := newClient(t, Config{BaseURL: s.url(), Retry: noWait(1), StallTimeout: limit})
	start := time.Now()
	_, _, err := Do[result](t.Context(), c, upload(Once, sourceBody(bits{}, size)))
	require.NoError(t, err)
	require.Greater(t, time.Since(start), limit)
}
