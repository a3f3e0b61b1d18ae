package multiplaytest

import "github.com/imagejobs/imagejobs-go/internal/emulator"

// Fault is something that goes wrong. Its zero value is a request that is handled as usual.
//
// Operation (one of the Op constants; empty for any), Match (must agree, if set; must not read the body), Skip (so many
// matching requests pass first) and Times (0 means 1, a negative number all from then on) say which requests it is for.
// A request uses up one fault at most, in the order of their injection.
//
// What goes wrong: Status answers with that status, with Header, RetryAfter, ContentType and Body, or with the service's
// own error answer where there is no Body; Location redirects there; Process has such a request processed first, so that
// a success gets lost. Drop closes the connection, Stall stops for good, both at the points of the constants. Delay waits
// before the answer; Truncate cuts the connection in the middle of the answer, CutJSON sends half of its body as a whole,
// Drip sends it a byte at a time; ContentType and Body without a Status replace those of a 200.
type Fault = emulator.Fault

// DropPoint is when a fault closes the connection.
type DropPoint = emulator.DropPoint

// The points at which a connection can be dropped.
const (
	// DropNone leaves the connection alone.
	DropNone = emulator.DropNone
	// DropBefore closes as soon as the header has been read.
	DropBefore = emulator.DropBefore
	// DropDuring closes when about half of the body has been read.
	DropDuring = emulator.DropDuring
	// DropAfter processes the request and closes instead of answering.
	DropAfter = emulator.DropAfter
)

// StallPoint is where a fault stops for good: until the client goes away or the server is closed.
type StallPoint = emulator.StallPoint

// The points at which a server can stall.
const (
	// StallNone does not stall.
	StallNone = emulator.StallNone
	// StallRead stops reading when about half of the body has been read.
	StallRead = emulator.StallRead
	// StallAnswer reads the request and never answers.
	StallAnswer = emulator.StallAnswer
	// StallBody sends the answer's header and a few bytes of its body.
	StallBody = emulator.StallBody
)

// Request is one entry of the request log: when it came, its operation, method, path, query and header, the status that
// was answered (0 if none was), whether it was Processed, that is, took effect, and whether a fault was used on it.
type Request = emulator.Request

// Inject adds a fault.
func (s *Server) Inject(f Fault) { s.core.Inject(f) }

// ClearFaults takes back all faults that are not used up.
func (s *Server) ClearFaults() { s.core.ClearFaults() }

// Requests returns the request log, oldest first: the newest 100,000, see [WithRequestLogLimit].
func (s *Server) Requests() []Request { return s.core.Requests() }

// Count says how many requests of an operation have arrived.
func (s *Server) Count(operation string) int { return s.core.Count(operation) }

// Processed says how many requests of an operation took effect.
func (s *Server) Processed(operation string) int { return s.core.Processed(operation) }
