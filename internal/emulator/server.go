package emulator

import (
	"context"
	"fmt"
	"io"
	"log"
	"net"
	"net/http"
	"os"
	"sync"
	"time"
)

// Config configures a [Server]. The zero value is usable.
type Config struct {
	// Addr is the "host:port" to listen on. Empty means a free port of
	// 127.0.0.1.
	Addr string
	// Listener is used instead of Addr. The server closes it.
	Listener net.Listener
	// Clock is the server's clock.
	Clock Clock
	// Refine may rename the operation of a request, where one path and method
	// serve several.
	Refine func(operation string, r *http.Request) string
	// Limits are enforced before faults.
	Limits Limits
	// LogLimit bounds the request log; 0 means [DefaultLogLimit].
	LogLimit int
	// Error writes the service's error response: for unknown paths and methods,
	// for faults with a Status and no Body, and for limits. Nil means plain
	// text.
	Error func(w http.ResponseWriter, r *http.Request, status int, text string)
}

// Server is a local HTTP server that logs requests and fails on demand. It is
// safe for concurrent use once started.
type Server struct {
	config     Config
	mux        *http.ServeMux
	operations map[string]string // by mux pattern
	log        *requestLog
	faults     faults
	limiter    *limiter

	url     string
	http    *http.Server
	cancel  context.CancelFunc // ends every request's context
	serving sync.WaitGroup     // calls of Serve
	active  sync.WaitGroup     // connections and handlers

	closeOnce sync.Once
	mu        sync.Mutex // guards what follows
	closed    bool
	listener  net.Listener
	conns     map[net.Conn]bool
	outages   []*Outage
	refusing  bool     // connections
	held      *os.File // keeps the port while they are refused, nil if nothing does
}

// New returns a server that is not listening yet.
func New(config Config) *Server {
	if config.Error == nil {
		config.Error = func(w http.ResponseWriter, _ *http.Request, status int, text string) {
			http.Error(w, text, status)
		}
	}
	return &Server{
		config:     config,
		mux:        http.NewServeMux(),
		operations: map[string]string{},
		log:        newRequestLog(config.LogLimit),
		limiter:    newLimiter(config.Limits),
		conns:      map[net.Conn]bool{},
	}
}

// Handle registers an operation under a pattern of [http.ServeMux]. All
// operations are registered before Start.
func (s *Server) Handle(operation, pattern string, handler http.HandlerFunc) {
	s.operations[pattern] = operation
	s.mux.HandleFunc(pattern, handler)
}

// Start listens and serves. It returns an error if it cannot listen, for
// example because the address is in use.
func (s *Server) Start() error {
	listener := s.config.Listener
	if listener == nil {
		addr := s.config.Addr
		if addr == "" {
			addr = "127.0.0.1:0"
		}
		var err error
		if listener, err = listen(addr); err != nil {
			return err
		}
	}
	ctx, cancel := context.WithCancel(context.Background())
	s.url = urlOf(listener.Addr())
	s.cancel = cancel
	s.http = &http.Server{
		Handler:           http.HandlerFunc(s.serve),
		ReadHeaderTimeout: time.Minute,
		BaseContext:       func(net.Listener) context.Context { return ctx },
		ConnState:         s.connState,
		ErrorLog:          log.New(io.Discard, "", 0),
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	s.serveOn(listener)
	return nil
}

func listen(addr string) (net.Listener, error) {
	return (&net.ListenConfig{}).Listen(context.Background(), "tcp", addr)
}

// serveOn serves on a listener until that is closed. The caller holds s.mu.
func (s *Server) serveOn(listener net.Listener) {
	s.listener = listener
	s.serving.Go(func() {
		// It ends with Close, an outage, or a listener that somebody else
		// closed; none of them is worth reporting.
		_ = s.http.Serve(listener)
	})
}

// urlOf returns where a client on this machine reaches addr. The address of an
// in-memory listener cannot be reached at all; localhost stands in for it, as
// the client's dialer will ignore it.
func urlOf(addr net.Addr) string {
	tcp, ok := addr.(*net.TCPAddr)
	if !ok {
		return "http://localhost"
	}
	if tcp.IP.IsUnspecified() {
		return fmt.Sprintf("http://127.0.0.1:%d", tcp.Port)
	}
	return "http://" + tcp.String()
}

// URL returns the server's address, without a trailing slash.
func (s *Server) URL() string { return s.url }

// Clock returns the server's clock.
func (s *Server) Clock() Clock { return s.config.Clock }

// Close stops the server: it closes the listener and all connections, ends
// stalled handlers and waits for them. It may be called more than once.
func (s *Server) Close() {
	s.closeOnce.Do(func() {
		s.mu.Lock()
		s.closed = true
		if s.held != nil {
			_ = s.held.Close()
		}
		s.mu.Unlock()
		s.cancel()
		_ = s.http.Close()
		s.serving.Wait()
	})
	s.active.Wait()
}

// connState keeps the set of connections, which Close waits for and an outage
// closes.
func (s *Server) connState(conn net.Conn, state http.ConnState) {
	switch state {
	case http.StateNew:
		s.active.Add(1)
		s.mu.Lock()
		defer s.mu.Unlock()
		s.conns[conn] = true
		if s.closed || s.refusing {
			// Accepted while the server was being closed, which has missed it,
			// or by a listener that cannot refuse.
			_ = conn.Close()
		}
	case http.StateHijacked, http.StateClosed:
		s.mu.Lock()
		delete(s.conns, conn)
		s.mu.Unlock()
		s.active.Done()
	case http.StateActive, http.StateIdle:
	}
}
