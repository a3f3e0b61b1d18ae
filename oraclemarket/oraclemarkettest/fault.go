package oraclemarkettest

import (
	"net/http"
	"time"

	"github.com/imagejobs/imagejobs-go/internal/emulator"
)

// A Fault is something that goes wrong with requests; see [Server.Inject]. The
// zero value lets one request pass unchanged.
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
	// Operation is one of the Op constants; empty for any operation.
	Operation string
	// Match, if set, must also accept the request. It must not read the body.
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
	// RetryAfter is the response's Retry-After header, in any form.
	RetryAfter string
	// ContentType is the response's Content-Type. Without it, that of a Body is
	// guessed from the Body.
	ContentType string
	// Body is the response body. With a Body and no Status the request is
	// processed and the status is 200: a proxy's page, or a meaningless JSON
	// object.
	Body string
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
}

// DropPoint is when a [Fault] closes the connection. The zero value leaves it
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

// StallPoint is where a [Fault] stops for good: until the client goes away or
// the server is closed. The zero value does not stall.
type StallPoint int

// The points at which a server can stall.
const (
	// StallRequestBody stops reading once about half of the body was read. The
	// connection stays open until the server is closed.
	StallRequestBody StallPoint = iota + 1
	// StallResponse reads the request and never responds.
	StallResponse
	// StallResponseBody sends the header and a few bytes of the response body.
	StallResponseBody
)

// Inject adds a fault.
func (s *Server) Inject(f Fault) { s.core.Inject(f.emulated()) }

// ClearFaults removes all faults that are not used up.
func (s *Server) ClearFaults() { s.core.ClearFaults() }

// FaultsLeft returns how many faults are not used up, including those without a
// limit. A test that ends with faults left did not test what it meant to.
func (s *Server) FaultsLeft() int { return s.core.FaultsLeft() }

func (f *Fault) emulated() emulator.Fault {
	return emulator.Fault{
		Operation: f.Operation, Match: f.Match, Skip: f.Skip, Times: f.Times,
		Status: f.Status, Header: f.Header, RetryAfter: f.RetryAfter, ContentType: f.ContentType, Body: f.Body,
		Process: f.Process, Early: f.Early,
		Delay: f.Delay, Drip: f.Drip, Truncate: f.Truncate, CutJSON: f.CutJSON,
		Drop: emulator.DropPoint(f.Drop), Stall: emulator.StallPoint(f.Stall),
	}
}
