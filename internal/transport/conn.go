package transport

import (
	"context"
	"crypto/tls"
	"errors"
	"io"
	"net"
	"net/http"
	"net/http/httptrace"
	"sync"
	"sync/atomic"
	"time"
)

const (
	// answerGrace is how long a failed write waits for the answer. It has
	// arrived by then and needs only to be read.
	answerGrace = 250 * time.Millisecond
	// stride is how much of a body is read and sent at once: less is slower,
	// and each connection has the memory of two. Where the source or the
	// connection is slow it is step, so that the bytes are seen to move.
	stride = 256 << 10
	step   = 32 << 10
	// maxRecord is the most that TLS puts into one record.
	maxRecord = 16 << 10
)

// dialing makes t open connections of ours.
func dialing(t *http.Transport) {
	dial := t.DialContext
	t.DialContext = func(ctx context.Context, network, addr string) (net.Conn, error) {
		return dialPlain(ctx, dial, network, addr)
	}
	t.DialTLSContext = func(ctx context.Context, network, addr string) (net.Conn, error) {
		conn, err := dialPlain(ctx, dial, network, addr)
		if err != nil {
			return nil, err
		}
		return handshake(ctx, t, conn, addr)
	}
}

func dialPlain(ctx context.Context, dial func(ctx context.Context, network, addr string) (net.Conn, error), network, addr string) (*patientConn, error) {
	conn, err := dial(ctx, network, addr)
	if err != nil {
		return nil, err
	}
	return &patientConn{Conn: conn, closed: make(chan struct{})}, nil
}

// patientConn holds a failed write back until the answer was read. A service
// that refuses an upload may answer and close the connection while the body is
// still on its way. net/http takes whichever it sees first, the answer or the
// broken connection, and without the answer nobody learns that the token is
// refused or the image too large.
type patientConn struct {
	net.Conn

	once   sync.Once
	closed chan struct{}

	// With TLS: while hold is true more records follow at once, and those in
	// held wait for the last. Only Write touches held, and crypto/tls has one
	// Write at a time.
	hold atomic.Bool
	held []byte
}

func (c *patientConn) Write(p []byte) (int, error) {
	hold := c.hold.Load()
	if !hold && len(c.held) == 0 {
		return c.send(p)
	}
	if c.held == nil {
		c.held = make([]byte, 0, stride+stride/32) // and what records add
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

func (c *patientConn) send(p []byte) (int, error) {
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

// ReadFrom is what net/http sends a body with.
func (c *patientConn) ReadFrom(r io.Reader) (int64, error) { return sendFrom(c, r) }

// NetConn is the connection below, as it is of a *tls.Conn.
func (c *patientConn) NetConn() net.Conn { return c.Conn }

func (c *patientConn) Close() error {
	c.hurry()
	return c.Conn.Close()
}

// SetWriteDeadline is what crypto/tls begins to close a connection with, before
// it says goodbye. A broken one does not take that.
func (c *patientConn) SetWriteDeadline(t time.Time) error {
	c.hurry()
	return c.Conn.SetWriteDeadline(t)
}

// hurry ends the patience: what the answer was is decided.
func (c *patientConn) hurry() { c.once.Do(func() { close(c.closed) }) }

// tlsConn sends the records of one Write together, which saves most of the
// system calls of an upload.
type tlsConn struct {
	*tls.Conn

	below *patientConn
}

// handshake does what http.Transport would.
func handshake(ctx context.Context, t *http.Transport, below *patientConn, addr string) (net.Conn, error) {
	config := t.TLSClientConfig.Clone()
	if config.ServerName == "" {
		config.ServerName, _, _ = net.SplitHostPort(addr)
	}
	limited, cancel := context.WithTimeoutCause(ctx, t.TLSHandshakeTimeout, errHandshake)
	defer cancel()
	trace := httptrace.ContextClientTrace(ctx)
	if trace != nil && trace.TLSHandshakeStart != nil {
		trace.TLSHandshakeStart()
	}
	conn := tls.Client(below, config)
	err := conn.HandshakeContext(limited)
	if err != nil && errors.Is(context.Cause(limited), errHandshake) {
		err = errHandshake
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

// Write holds back the records of all but the last 16 KiB.
func (c *tlsConn) Write(p []byte) (int, error) {
	most := len(p) - maxRecord
	if most <= 0 {
		return c.Conn.Write(p)
	}
	c.below.hold.Store(true)
	n, err := c.Conn.Write(p[:most])
	c.below.hold.Store(false)
	if err != nil {
		return n, err
	}
	last, err := c.Conn.Write(p[most:])
	return n + last, err
}

// ReadFrom is what net/http sends a body with.
func (c *tlsConn) ReadFrom(r io.Reader) (int64, error) { return sendFrom(c, r) }

var strides = sync.Pool{New: func() any { return new([stride]byte) }}

// sendFrom is io.Copy that takes a stride at once after a run of quick steps.
func sendFrom(c io.Writer, r io.Reader) (sent int64, err error) {
	const quick, enough = 100 * time.Millisecond, 2 * stride / step
	buf := strides.Get().(*[stride]byte) //nolint:errcheck // nothing else is in there
	defer strides.Put(buf)
	for run := 0; ; {
		size := step
		if run >= enough {
			size = stride
		}
		start := time.Now()
		n, readErr := r.Read(buf[:size])
		if n > 0 {
			written, err := c.Write(buf[:n])
			sent += int64(written)
			if err != nil {
				return sent, err
			}
			run++
			if time.Since(start) > quick {
				run = 0
			}
		}
		if readErr == io.EOF {
			return sent, nil
		}
		if readErr != nil {
			return sent, readErr
		}
	}
}
