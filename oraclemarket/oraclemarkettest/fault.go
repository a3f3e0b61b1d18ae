package oraclemarkettest

import "github.com/imagejobs/imagejobs-go/internal/emulator"

// Fault is something that goes wrong: see [Server.Inject]. Its zero value is a request that is handled as usual.
//
// These fields say which requests it is for. A request looks through the faults in the order of their injection and uses
// up one at most; every fault that it matches and that is still skipping counts it.
//
//   - Operation string: one of the Op constants; empty for any operation.
//   - Match func(*http.Request) bool: if set, must agree as well; to fail a certain chunk, for example. It must not read
//     the body.
//   - Skip int: lets so many matching requests pass first.
//   - Times int: how many requests it is for. 0 means 1, a negative number means all from then on.
//
// These answer in the service's place; the request does not take effect, unless Process says so:
//
//   - Status int: the answer's status. Its body is the service's own error answer unless Body is set.
//   - Location string: a redirect there, 307 unless Status says otherwise.
//   - Unread bool: the answer of Status is given before the request's body is read, and the connection closed.
//     Without it the body is read first, so that the client is sure to get the answer.
//   - Process bool: has the request take effect before Status, Location or StallAnswer: a success that gets lost.
//
// These spoil the answer to a request that took effect, or change that of Status:
//
//   - Header http.Header: goes into the answer.
//   - RetryAfter string: the answer's Retry-After header, seconds or a date.
//   - ContentType, Body string: replace those of the answer. With a Body and no Status the answer is 200: the page of a
//     proxy in between, for example. The type of a Body without a ContentType is guessed from it.
//   - Delay time.Duration: waited for before the answer, or the drop.
//   - Truncate bool: announces the whole answer, sends half of it and closes the connection.
//   - CutJSON bool: sends the first half of the answer's body as a complete, well-framed answer.
//   - Drip time.Duration: sends the answer's body a byte at a time, each after this interval.
//
// These break off:
//
//   - Drop DropPoint: closes the connection; DropBefore and DropDuring keep the request from taking effect, DropAfter
//     does not.
//   - Stall StallPoint: stops until the client goes away or the server is closed. StallRead and StallAnswer keep the
//     request from taking effect (but see Process), StallBody does not.
type Fault = emulator.Fault

// DropPoint is when a [Fault] closes the connection.
type DropPoint = emulator.DropPoint

// The points at which a connection can be dropped.
const (
	DropNone   = emulator.DropNone   // leaves the connection alone
	DropBefore = emulator.DropBefore // as soon as the header has been read
	DropDuring = emulator.DropDuring // when about half of the body has been read
	DropAfter  = emulator.DropAfter  // when the request has been processed, instead of answering
)

// StallPoint is where a [Fault] stops.
type StallPoint = emulator.StallPoint

// The points at which the server can stall.
const (
	StallNone   = emulator.StallNone   // does not stall
	StallRead   = emulator.StallRead   // when about half of the body has been read; the client's leaving goes unseen
	StallAnswer = emulator.StallAnswer // after the request has been read, before anything is answered
	StallBody   = emulator.StallBody   // after the answer's header and a few bytes of its body
)

// Inject adds a fault.
func (s *Server) Inject(f Fault) { s.core.Inject(f) }

// ClearFaults takes back all faults that are not used up.
func (s *Server) ClearFaults() { s.core.ClearFaults() }

// FaultsLeft says how many faults are not used up, those that are for all requests included. A test that ends with faults
// left has not tested what it meant to.
func (s *Server) FaultsLeft() int { return s.core.FaultsLeft() }
