//go:build linux

package proxies

import (
	"io"
	"net"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
)

// newLine listens on the near end of a line to an address. What enters it at one
// end leaves it at the other after delay, an end of the connection included.
func newLine(t *testing.T, to string, delay time.Duration) (address string) {
	t.Helper()
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	require.NoError(t, err)
	l := &line{delay: delay}
	l.work.Go(func() { l.serve(listener, to) })
	t.Cleanup(func() {
		_ = listener.Close()
		l.close()
		l.work.Wait()
	})
	return listener.Addr().String()
}

type line struct {
	delay time.Duration
	work  sync.WaitGroup

	mu     sync.Mutex
	closed bool
	conns  []net.Conn
}

func (l *line) serve(listener net.Listener, to string) {
	for {
		near, err := listener.Accept()
		if err != nil {
			return
		}
		l.keep(near)
		l.work.Go(func() { l.connect(near, to) })
	}
}

// connect carries what enters at near, once the far end accepts a connection. It
// may refuse one for a moment, as haproxy does when it reloads on a busy machine:
// over a real line the caller would see that, and no connection that breaks.
func (l *line) connect(near net.Conn, to string) {
	for {
		far, err := net.Dial("tcp", to)
		if err == nil {
			l.keep(far)
			l.work.Go(func() { l.carry(near, far) })
			l.carry(far, near)
			return
		}
		if l.ended() {
			return
		}
		<-time.After(5 * time.Millisecond)
	}
}

func (l *line) keep(conns ...net.Conn) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.conns = append(l.conns, conns...)
	if l.closed {
		for _, c := range conns {
			_ = c.Close()
		}
	}
}

func (l *line) ended() bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.closed
}

func (l *line) close() {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.closed = true
	for _, c := range l.conns {
		_ = c.Close()
	}
}

// parcel is what is under way; nothing in it is the end.
type parcel struct {
	content []byte
	due     time.Time
}

func (l *line) carry(from io.Reader, to io.WriteCloser) {
	under := make(chan parcel, 1024)
	l.work.Go(func() {
		defer to.Close()
		for p := range under {
			<-time.After(time.Until(p.due))
			if _, err := to.Write(p.content); err != nil {
				// The reader continues until its own end.
				continue
			}
		}
	})
	defer close(under)
	for {
		content := make([]byte, 32<<10)
		n, err := from.Read(content)
		under <- parcel{content[:n], time.Now().Add(l.delay)}
		if err != nil {
			return
		}
	}
}
