package transport

import (
	"context"
	"net"
	"sync"
	"time"
)

// answerGrace is how long a failed write waits for the answer. It has arrived
// by then and needs only to be read.
const answerGrace = 250 * time.Millisecond

// patientConn holds a failed write back until the answer was read. A service
// that refuses an upload may answer and close the connection while the body is
// still on its way. net/http takes whichever it sees first, the answer or the
// broken connection, and without the answer nobody learns that the token is
// refused or the image too large.
type patientConn struct {
	net.Conn

	once   sync.Once
	closed chan struct{}
}

// patient makes dial give such connections.
func patient(dial func(ctx context.Context, network, addr string) (net.Conn, error)) func(ctx context.Context, network, addr string) (net.Conn, error) {
	return func(ctx context.Context, network, addr string) (net.Conn, error) {
		conn, err := dial(ctx, network, addr)
		if err != nil {
			return nil, err
		}
		return &patientConn{Conn: conn, closed: make(chan struct{})}, nil
	}
}

func (c *patientConn) Write(p []byte) (int, error) {
	n, err := c.Conn.Write(p)
	if err != nil {
		grace := time.NewTimer(answerGrace)
		defer grace.Stop()
		select {
		case <-c.closed: // after the answer, or without one
		case <-grace.C:
		}
	}
	return n, err
}

func (c *patientConn) Close() error {
	c.once.Do(func() { close(c.closed) })
	return c.Conn.Close()
}
