package emulator

import (
	"net/http"
	"sync"
	"time"
)

// DropPoint is when a fault closes the connection.
type DropPoint int

// The points at which a connection can be dropped.
const (
	// DropNone leaves the connection alone.
	DropNone DropPoint = iota
	// DropBefore closes as soon as the header has been read: nothing of the body is.
	DropBefore
	// DropDuring closes when about half of the body has been read.
	DropDuring
	// DropAfter reads and processes the request, and closes instead of answering.
	DropAfter
)

// StallPoint is where a fault stops for good: until the client goes away or the server is closed.
type StallPoint int

// The points at which a server can stall.
const (
	// StallNone does not stall.
	StallNone StallPoint = iota
	// StallRead stops reading when about half of the body has been read. The client's going away cannot be seen from
	// there, so the connection is kept until the server is closed.
	StallRead
	// StallAnswer reads the request and never answers.
	StallAnswer
	// StallBody sends the answer's header and a few bytes of its body.
	StallBody
)

// Fault is something that goes wrong. Its zero value is a request that is handled as usual.
//
// First it says which requests it is for. A request looks through the faults in the order of their injection and uses up
// one at most; every fault that it matches and that is still skipping counts it.
//
// Then it says what goes wrong. A fault with a Status, a Location, Unread, StallRead, StallAnswer, DropBefore or
// DropDuring keeps the request from taking effect, except that Process makes Status, Location and StallAnswer process it
// first; that is a success that gets lost. All other faults spoil the answer of a request that was processed.
type Fault struct {
	// Operation is the operation to fail; empty for any.
	Operation string
	// Match, if set, must also agree. It is called under a lock and must not read the body.
	Match func(*http.Request) bool
	// Skip lets so many matching requests pass first.
	Skip int
	// Times is how many requests the fault is for: 0 means 1, a negative number means all from then on.
	Times int

	// Delay is waited for before the answer, or the drop.
	Delay time.Duration
	// Status answers with this status, and with Header, RetryAfter, ContentType and Body. Without a Body it is the
	// service's own error answer.
	Status int
	// Location answers with a redirect there: 307 unless Status says otherwise.
	Location string
	// Process has the request processed before Status, Location or StallAnswer.
	Process bool
	// Unread gives the answer of Status without reading the request's body, and closes the connection.
	Unread bool

	// Header goes into the answer, whatever answer it is, in place of values that it has.
	Header http.Header
	// RetryAfter is the answer's Retry-After header: seconds or a date.
	RetryAfter string
	// ContentType and Body replace those of the answer. With a Body and no Status the request is processed and
	// answered 200: the page of a proxy in between, for example. The type of a Body without one is guessed from it.
	ContentType string
	Body        string

	// Drop closes the connection.
	Drop DropPoint
	// Stall stops in the middle.
	Stall StallPoint
	// Truncate announces the whole answer, sends half of it and closes the connection.
	Truncate bool
	// CutJSON sends the first half of the answer's body as a complete, well-framed answer.
	CutJSON bool
	// Drip sends the answer's body a byte at a time, each after this interval.
	Drip time.Duration
}

// processes says whether the request takes effect before the fault shows.
func (f *Fault) processes() bool {
	switch {
	case f.Unread, f.Drop == DropBefore, f.Drop == DropDuring, f.Stall == StallRead:
		return false
	case f.Status != 0, f.Location != "", f.Stall == StallAnswer:
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

// ClearFaults takes back all faults that are not used up.
func (s *Server) ClearFaults() { s.faults.clear() }

// FaultsLeft says how many faults are not used up, those that are for all requests included.
func (s *Server) FaultsLeft() int {
	s.faults.mu.Lock()
	defer s.faults.mu.Unlock()
	return len(s.faults.list)
}
