package emulator

import (
	"context"
	"fmt"
	"io"
	"log"
	"net"
	"net/http"
	"sync"
	"time"
)

// Config is what a test server decides about its [Server]. The zero value is usable.
type Config struct {
	// Addr is the "host:port" to listen on. Empty means a free port of 127.0.0.1.
	Addr string
	// Listener is served instead of Addr; the server closes it.
	Listener net.Listener
	// Clock tells the time.
	Clock Clock
	// Refine may rename the operation of a request, where one path and method serve several.
	Refine func(operation string, r *http.Request) string
	// LogLimit bounds the request log; 0 means [DefaultLogLimit].
	LogLimit int
	// Error writes the service's error answer: for paths and methods it does not know, and for faults that have a Status
	// and no Body. Nil means plain text.
	Error func(w http.ResponseWriter, r *http.Request, status int, text string)
}

// Server is a local HTTP server that answers, logs and fails on demand. It is safe for concurrent use once started.
type Server struct {
	config     Config
	mux        *http.ServeMux
	operations map[string]string // by mux pattern
	log        *requestLog
	faults     faults

	url    string
	http   *http.Server
	cancel context.CancelFunc // ends every request's context
	served chan struct{}      // closed when Serve has returned
	active sync.WaitGroup     // connections and handlers

	closeOnce sync.Once
	mu        sync.Mutex
	closed    bool
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
	}
}

// Handle registers an operation under a pattern of [http.ServeMux]. All registering comes before Start.
func (s *Server) Handle(operation, pattern string, handler http.HandlerFunc) {
	s.operations[pattern] = operation
	s.mux.HandleFunc(pattern, handler)
}

// Start listens and serves. It fails if it cannot listen, because the address is in use for example.
func (s *Server) Start() error {
	listener := s.config.Listener
	if listener == nil {
		addr := s.config.Addr
		if addr == "" {
			addr = "127.0.0.1:0"
		}
		var err error
		if listener, err = (&net.ListenConfig{}).Listen(context.Background(), "tcp", addr); err != nil {
			return fmt.Errorf("emulator: %w", err)
		}
	}
	ctx, cancel := context.WithCancel(context.Background())
	s.url = urlOf(listener.Addr())
	s.cancel = cancel
	s.served = make(chan struct{})
	s.http = &http.Server{
		Handler:           http.HandlerFunc(s.serve),
		ReadHeaderTimeout: time.Minute,
		BaseContext:       func(net.Listener) context.Context { return ctx },
		ConnState:         s.connState,
		ErrorLog:          log.New(io.Discard, "", 0),
	}
	go func() {
		defer close(s.served)
		// The only way out is Close, or a listener that somebody else closed; neither is worth a word.
		_ = s.http.Serve(listener)
	}()
	return nil
}

// urlOf is where a client on this machine reaches addr. An address that is not a network one, that of an in-memory
// listener, has no answer to that; localhost passes for it, since the client's dialer will not look at it.
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

// URL is the server's address, without a slash at its end.
func (s *Server) URL() string { return s.url }

// Clock is the server's clock.
func (s *Server) Clock() Clock { return s.config.Clock }

// Close ends the server: it stops listening, closes all connections, wakes stalled handlers and waits for them. It may
// be called more than once.
func (s *Server) Close() {
	s.closeOnce.Do(func() {
		s.mu.Lock()
		s.closed = true
		s.mu.Unlock()
		s.cancel()
		_ = s.http.Close()
		<-s.served
	})
	s.active.Wait()
}

// connState counts the connections, so that Close can wait for them.
func (s *Server) connState(conn net.Conn, state http.ConnState) {
	switch state {
	case http.StateNew:
		s.active.Add(1)
		s.mu.Lock()
		defer s.mu.Unlock()
		if s.closed {
			// Accepted at the very moment of closing: http.Server.Close has not seen it.
			_ = conn.Close()
		}
	case http.StateHijacked, http.StateClosed:
		s.active.Done()
	case http.StateActive, http.StateIdle:
	}
}
