package wire

import (
	"context"
	"crypto/tls"
	"errors"
	"io"
	"net"
	"net/http"
	"net/http/httptrace"
	"sync/atomic"
)

// maxRecord is the most that TLS puts into one record.
const maxRecord = 16 << 10

// ErrHandshakeTimeout is the error of a dial whose TLS handshake took longer
// than the transport's TLSHandshakeTimeout. It is a [net.Error] and not a
// [context.DeadlineExceeded], which would be the caller's.
var ErrHandshakeTimeout error = handshakeTimeoutError{}

type handshakeTimeoutError struct{}

func (handshakeTimeoutError) Error() string   { return "the TLS handshake exceeded its time limit" }
func (handshakeTimeoutError) Timeout() bool   { return true }
func (handshakeTimeoutError) Temporary() bool { return true }

// tlsConn sends the records of one Write together, which saves most of the
// system calls of an upload.
type tlsConn struct {
	*tls.Conn

	below *lingerConn
	alert atomic.Pointer[net.OpError] // from the peer
}

// handshake does what http.Transport would.
func handshake(ctx context.Context, t *http.Transport, below *lingerConn, addr string) (net.Conn, error) {
	config := t.TLSClientConfig.Clone()
	if config.ServerName == "" {
		config.ServerName, _, _ = net.SplitHostPort(addr)
	}
	limited, cancel := context.WithTimeoutCause(ctx, t.TLSHandshakeTimeout, ErrHandshakeTimeout)
	defer cancel()
	trace := httptrace.ContextClientTrace(ctx)
	if trace != nil && trace.TLSHandshakeStart != nil {
		trace.TLSHandshakeStart()
	}
	conn := tls.Client(below, config)
	err := conn.HandshakeContext(limited)
	if err != nil && errors.Is(context.Cause(limited), ErrHandshakeTimeout) {
		err = ErrHandshakeTimeout
	}
	if trace != nil && trace.TLSHandshakeDone != nil {
		trace.TLSHandshakeDone(conn.ConnectionState(), err)
	}
	if err != nil {
		_ = below.Close()
		return nil, err
	}
	return &tlsConn{Conn: conn, below: below}, nil
}

// Read remembers why the peer ended the connection. net/http closes it then,
// and may see the write that fails for that first.
func (c *tlsConn) Read(p []byte) (int, error) {
	n, err := c.Conn.Read(p)
	if op, ok := errors.AsType[*net.OpError](err); ok && op.Op == "remote error" {
		c.alert.CompareAndSwap(nil, op)
	}
	return n, err
}

// Write writes p. Where the peer has sent an alert, that is the error.
func (c *tlsConn) Write(p []byte) (int, error) {
	n, err := c.write(p)
	if alert := c.alert.Load(); err != nil && alert != nil {
		return n, alert
	}
	return n, err
}

// write holds back the records of all but the last 16 KiB.
func (c *tlsConn) write(p []byte) (int, error) {
	early := len(p) - maxRecord
	if early <= 0 {
		return c.Conn.Write(p)
	}
	c.below.hold.Store(true)
	n, err := c.Conn.Write(p[:early])
	c.below.hold.Store(false)
	if err != nil {
		return n, err
	}
	last, err := c.Conn.Write(p[early:])
	return n + last, err
}

// ReadFrom sends all of r. net/http sends a body with it.
func (c *tlsConn) ReadFrom(r io.Reader) (int64, error) { return sendFrom(c, r) }
