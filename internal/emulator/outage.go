package emulator

import (
	"fmt"
	"net"
	"net/http"
	"slices"
	"sync"
)

// Outage describes how an unavailable service behaves.
type Outage struct {
	// Status is what a proxy in front of the service responds to every request.
	// Zero refuses connections, and closes those that exist.
	Status int
	// RetryAfter is the Retry-After header of these responses.
	RetryAfter string
}

// fault returns the outage as a fault of one request.
func (o *Outage) fault() Fault {
	line := fmt.Sprintf("%d %s", o.Status, http.StatusText(o.Status))
	return Fault{
		Status: o.Status, RetryAfter: o.RetryAfter, ContentType: "text/html",
		Body: fmt.Sprintf("<html><head><title>%[1]s</title></head><body><h1>%[1]s</h1></body></html>", line),
	}
}

// StartOutage makes the whole service unavailable until end is called. During
// an outage no request takes effect and no fault is used up. Of overlapping
// outages, the newest applies.
func (s *Server) StartOutage(o Outage) (end func()) {
	outage := &o
	s.mu.Lock()
	defer s.mu.Unlock()
	s.outages = append(s.outages, outage)
	s.reconnect()
	return sync.OnceFunc(func() {
		s.mu.Lock()
		defer s.mu.Unlock()
		s.outages = slices.DeleteFunc(s.outages, func(other *Outage) bool { return other == outage })
		s.reconnect()
	})
}

// outage returns the outage that is on, nil if none is.
func (s *Server) outage() *Outage {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.newestOutage()
}

func (s *Server) newestOutage() *Outage {
	if len(s.outages) == 0 {
		return nil
	}
	return s.outages[len(s.outages)-1]
}

// reconnect starts or stops accepting connections, as the newest outage has it.
// The caller holds s.mu.
func (s *Server) reconnect() {
	newest := s.newestOutage()
	refuse := newest != nil && newest.Status == 0
	if refuse == s.refusing || s.closed {
		return
	}
	s.refusing = refuse
	switch l := s.listener.(type) {
	case *PipeListener:
		l.refuse(refuse)
	case *net.TCPListener:
		// Only a port that nobody listens on refuses connections.
		if refuse {
			_ = l.Close()
			if addr, ok := l.Addr().(*net.TCPAddr); ok {
				s.held = holdPort(addr)
			}
			break
		}
		again, err := s.listenAgain(l.Addr().String())
		if err != nil {
			panic(fmt.Sprintf("the test server's port was taken during the outage: %v", err))
		}
		s.serveOn(again)
	}
	if refuse {
		for conn := range s.conns {
			_ = conn.Close()
		}
	}
}

// listenAgain listens on the port that an outage has held. The caller holds s.mu.
func (s *Server) listenAgain(addr string) (net.Listener, error) {
	if s.held == nil {
		return listen(addr)
	}
	held := s.held
	s.held = nil
	return listenOn(held)
}
