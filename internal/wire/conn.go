package wire

import (
	"io"
	"net"
	"sync"
	"sync/atomic"
	"time"
)

// responseGrace is how long a failed write waits for the response. It has
// arrived by then and only needs to be read.
const responseGrace = time.Second

// lingerConn holds a failed write back until the response was read. A service
// that refuses an upload may respond and close the connection while the body is
// still on its way. net/http takes whichever it sees first, the response or the
// broken connection, and without the response the caller does not see that the
// token was refused or the image is too large.
type lingerConn struct {
	net.Conn

	once     sync.Once
	released chan struct{}

	// With TLS: while hold is true more records follow at once, and those in
	// held wait for the last. Only Write touches held, and crypto/tls has one
	// Write at a time.
	hold atomic.Bool
	held []byte
}

func newLingerConn(c net.Conn) *lingerConn {
	return &lingerConn{Conn: c, released: make(chan struct{})}
}

// Write sends p, or keeps it for the next Write while hold is set.
func (c *lingerConn) Write(p []byte) (int, error) {
	hold := c.hold.Load()
	if !hold && len(c.held) == 0 {
		return c.send(p)
	}
	if c.held == nil {
		c.held = make([]byte, 0, fullRead+fullRead/32) // and what records add
	}
	c.held = append(c.held, p...)
	if hold {
		return len(p), nil
	}
	_, err := c.send(c.held)
	c.held = c.held[:0]
	if err != nil {
		return 0, err
	}
	return len(p), nil
}

func (c *lingerConn) send(p []byte) (int, error) {
	n, err := c.Conn.Write(p)
	if err != nil {
		grace := time.NewTimer(responseGrace)
		defer grace.Stop()
		select {
		case <-c.released: // after the response, or without one
		case <-grace.C:
		}
	}
	return n, err
}

// ReadFrom sends all of r. net/http sends a body with it.
func (c *lingerConn) ReadFrom(r io.Reader) (int64, error) { return sendFrom(c, r) }

// NetConn returns the connection below, like the method of a *tls.Conn.
func (c *lingerConn) NetConn() net.Conn { return c.Conn }

// Close closes the connection and ends the wait of a failed write.
func (c *lingerConn) Close() error {
	c.release()
	return c.Conn.Close()
}

// SetWriteDeadline ends the wait, too: crypto/tls calls it first when it closes
// a connection, before it sends an alert, which a broken connection refuses.
func (c *lingerConn) SetWriteDeadline(t time.Time) error {
	c.release()
	return c.Conn.SetWriteDeadline(t)
}

// release lets a failed write return: whether there is a response is decided.
func (c *lingerConn) release() { c.once.Do(func() { close(c.released) }) }
