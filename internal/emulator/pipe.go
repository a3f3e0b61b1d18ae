package emulator

import (
	"context"
	"net"
	"sync"
	"sync/atomic"
)

// PipeListener is an in-memory listener, for tests in a testing/synctest
// bubble: a goroutine that waits for a socket would keep the bubble's time from
// advancing.
type PipeListener struct {
	conns    chan net.Conn
	closed   chan struct{}
	once     sync.Once
	refusing atomic.Bool
}

// NewPipeListener returns a listener that is reached through its DialContext.
func NewPipeListener() *PipeListener {
	return &PipeListener{conns: make(chan net.Conn), closed: make(chan struct{})}
}

// DialContext connects to the listener, whatever the address. It is a value for
// the DialContext field of [net/http.Transport].
func (l *PipeListener) DialContext(ctx context.Context, _, _ string) (net.Conn, error) {
	if l.refusing.Load() {
		return nil, &net.OpError{Op: "dial", Net: "pipe", Addr: pipeAddr{}, Err: errRefused}
	}
	client, server := net.Pipe()
	select {
	case l.conns <- server:
		return client, nil
	case <-l.closed:
		return nil, net.ErrClosed
	case <-ctx.Done():
		return nil, ctx.Err()
	}
}

// refuse makes DialContext fail as if nobody listened.
func (l *PipeListener) refuse(on bool) { l.refusing.Store(on) }

// Accept waits for the next connection.
func (l *PipeListener) Accept() (net.Conn, error) {
	select {
	case conn := <-l.conns:
		return conn, nil
	case <-l.closed:
		return nil, net.ErrClosed
	}
}

// Close ends the listener. It may be called more than once.
func (l *PipeListener) Close() error {
	l.once.Do(func() { close(l.closed) })
	return nil
}

// Addr returns an address that cannot be dialed.
func (l *PipeListener) Addr() net.Addr { return pipeAddr{} }

type pipeAddr struct{}

func (pipeAddr) Network() string { return "pipe" }
func (pipeAddr) String() string  { return "pipe" }
