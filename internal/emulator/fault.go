package emulator

import (
	"net/http"
	"sync"
	"time"
)

// DropPoint is when a fault closes the connection. The zero value leaves it
// open.
type DropPoint int

// The points at which a connection can be dropped.
const (
	// DropBefore closes once the header was read. The body is not read.
	DropBefore DropPoint = iota + 1
	// DropDuring closes once about half of the body was read.
	DropDuring
	// DropAfter processes the request and closes instead of responding.
	DropAfter
)

// StallPoint is where a fault stops for good: until the client goes away or the
// server is closed. The zero value does not stall.
type StallPoint int

// The points at which a server can stall.
const (
	// StallRequestBody stops reading once about half of the body was read. From
	// there the server cannot notice that the client left, so the connection
	// stays open until the server is closed.
	StallRequestBody StallPoint = iota + 1
	// StallResponse reads the request and never responds.
	StallResponse
	// StallResponseBody sends the header and a few bytes of the response body.
	StallResponseBody
)

// Fault is something that goes wrong. The zero value lets one request pass
// unchanged.
//
// Operation, Match, Skip and Times select requests. A request is checked
// against the faults in the order of their injection and uses at most one of
// them. A request counts as skipped for every fault that matches it and still
// skips.
//
// A fault with Status, Early, [StallRequestBody], [StallResponse], [DropBefore]
// or [DropDuring] keeps the request from taking effect. With Process, Status
// and [StallResponse] let it take effect first: a success whose response is
// lost. All other faults change the response to a request that took effect.
type Fault struct {
	// Operation is the operation to fail; empty for any.
	Operation string
	// Match, if set, must also accept the request. It is called under a lock
	// and must not read the body.
	Match func(*http.Request) bool
	// Skip is how many matching requests pass first.
	Skip int
	// Times is how many requests the fault applies to. 0 means 1, a negative
	// number no limit.
	Times int

	// Status replaces the service's response by one with this status. Without a
	// Body it is the service's own error response.
	Status int
	// Header is set in the response and replaces existing values.
	Header http.Header
	// RetryAfter is the response's Retry-After header.
	RetryAfter string
	// ContentType and Body replace those of the response. With a Body and no
	// Status the request is processed and the status is 200. Without a
	// ContentType, that of a Body is guessed from it.
	ContentType string
	Body        string
	// Process has the request processed before Status or StallResponse.
	Process bool
	// Early sends the response once the header was read, without reading the
	// body, and closes the connection. Its status is 200 unless Status is set.
	Early bool

	// Delay is the wait before the response or the drop.
	Delay time.Duration
	// Drip sends the response body byte by byte, each after this interval.
	Drip time.Duration
	// Truncate announces the whole response, sends half of it and closes the
	// connection.
	Truncate bool
	// CutJSON sends half of the response body as a complete response.
	CutJSON bool
	// Drop closes the connection.
	Drop DropPoint
	// Stall stops handling the request for good.
	Stall StallPoint

	reason string // in the service's own error response
}

// processes reports whether the request takes effect before the fault shows.
func (f *Fault) processes() bool {
	switch {
	case f.Early, f.Drop == DropBefore, f.Drop == DropDuring, f.Stall == StallRequestBody:
		return false
	case f.Status != 0, f.Stall == StallResponse:
		return f.Process
	}
	return true
}

// faults are the injected faults that are not used up.
type faults struct {
	mu   sync.Mutex
	list []*Fault
}

func (l *faults) inject(f Fault) {
	if f.Times == 0 {
		f.Times = 1
	}
	f.Header = f.Header.Clone()
	l.mu.Lock()
	defer l.mu.Unlock()
	l.list = append(l.list, &f)
}

func (l *faults) clear() {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.list = nil
}

// take returns the fault for a request and whether there is one.
func (l *faults) take(operation string, r *http.Request) (Fault, bool) {
	l.mu.Lock()
	defer l.mu.Unlock()
	for i, f := range l.list {
		if f.Operation != "" && f.Operation != operation {
			continue
		}
		if f.Match != nil && !f.Match(r) {
			continue
		}
		if f.Skip > 0 {
			f.Skip--
			continue
		}
		if f.Times > 0 {
			f.Times--
			if f.Times == 0 {
				l.list = append(l.list[:i:i], l.list[i+1:]...)
			}
		}
		return *f, true
	}
	return Fault{}, false
}

// Inject adds a fault.
func (s *Server) Inject(f Fault) { s.faults.inject(f) }

// ClearFaults removes all faults that are not used up.
func (s *Server) ClearFaults() { s.faults.clear() }

// FaultsLeft returns how many faults are not used up, including those without a
// limit.
func (s *Server) FaultsLeft() int {
	s.faults.mu.Lock()
	defer s.faults.mu.Unlock()
	return len(s.faults.list)
}
