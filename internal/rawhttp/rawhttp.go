// Package rawhttp serves HTTP/1 to tests byte by byte, where a server of
// net/http would not let them break the protocol.
package rawhttp

import (
	"bufio"
	"context"
	"io"
	"net"
	"net/http"
	"strconv"
	"sync"
	"sync/atomic"
	"time"
)

// Handler handles one request on its connection. With false the connection is
// closed.
type Handler func(c net.Conn, r *http.Request) (keep bool)

// Server serves until it is closed.
type Server struct {
	Requests atomic.Int64 // whose header arrived
	Accepted atomic.Int64 // connections
	Listener net.Listener

	handle Handler

	mu    sync.Mutex
	conns map[net.Conn]bool
	wg    sync.WaitGroup
}

// Serve serves on l.
func Serve(l net.Listener, handle Handler) *Server {
	s := &Server{handle: handle, Listener: l, conns: map[net.Conn]bool{}}
	s.wg.Go(s.accept)
	return s
}

// ServeTCP serves on a loopback port. It panics if there is none.
func ServeTCP(handle Handler) *Server {
	var lc net.ListenConfig
	l, err := lc.Listen(context.Background(), "tcp", "127.0.0.1:0")
	if err != nil {
		panic(err)
	}
	return Serve(l, handle)
}

// Close closes the listener and all connections, and waits for the handlers.
func (s *Server) Close() {
	_ = s.Listener.Close()
	s.mu.Lock()
	for c := range s.conns {
		_ = c.Close()
	}
	s.conns = nil
	s.mu.Unlock()
	s.wg.Wait()
}

// URL is where a server on TCP listens.
func (s *Server) URL() string { return "http://" + s.Listener.Addr().String() }

func (s *Server) accept() {
	for {
		c, err := s.Listener.Accept()
		if err != nil {
			return
		}
		s.Accepted.Add(1)
		s.mu.Lock()
		if s.conns == nil {
			s.mu.Unlock()
			_ = c.Close()
			return
		}
		s.conns[c] = true
		s.wg.Go(func() { s.serveConn(c) })
		s.mu.Unlock()
	}
}

func (s *Server) serveConn(c net.Conn) {
	defer func() { _ = c.Close() }()
	br := bufio.NewReader(c)
	for {
		r, err := http.ReadRequest(br)
		if err != nil {
			return
		}
		s.Requests.Add(1)
		if !s.handle(c, r) {
			return
		}
	}
}

// Respond returns a handler that reads the whole request and sends text.
func Respond(text string) Handler {
	return func(c net.Conn, r *http.Request) bool {
		if _, err := io.Copy(io.Discard, r.Body); err != nil {
			return false
		}
		_, err := io.WriteString(c, text)
		return err == nil
	}
}

// Slowly returns a handler that reads a body piece by piece, with a pause before
// each, and then calls then.
func Slowly(pieces int, size int64, pause time.Duration, then Handler) Handler {
	return func(c net.Conn, r *http.Request) bool {
		for range pieces {
			<-time.After(pause)
			if _, err := io.CopyN(io.Discard, r.Body, size); err != nil {
				return false
			}
		}
		return then(c, r)
	}
}

// RefuseEarly returns a handler that sends text when the first bytes of a body
// have come, and closes the connection at once. What is still on its way meets a
// closed connection.
func RefuseEarly(text string) Handler {
	return func(c net.Conn, r *http.Request) bool {
		_, _ = io.CopyN(io.Discard, r.Body, 10_000)
		_, _ = io.WriteString(c, text)
		return false
	}
}

// Response returns a whole response with the length of its body. header has its
// other lines, each with its line break.
func Response(status, header, body string) string {
	return "HTTP/1.1 " + status + "\r\n" + header + "Content-Length: " + strconv.Itoa(len(body)) + "\r\n\r\n" + body
}

// Bits is an endless source whose bytes follow from their offset.
type Bits struct{}

// ReadAt implements io.ReaderAt.
func (Bits) ReadAt(p []byte, off int64) (int, error) {
	for i := range p {
		p[i] = byte((off + int64(i)) % 251) //nolint:gosec // not negative
	}
	return len(p), nil
}
