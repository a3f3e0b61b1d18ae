package imagereplicatortest

import (
	"net/http"
	"time"
)

// Request is one entry of the request log. Its maps and slices must not be
// changed.
type Request struct {
	// Seq numbers the requests from 1 in the order of their arrival.
	Seq int
	// Time is when the header was read.
	Time time.Time
	// Operation is one of the Op constants; empty for a path or method that the
	// service does not have.
	Operation string

	Method   string      // as sent
	Path     string      // decoded
	RawQuery string      // without the question mark
	Header   http.Header // as sent
	// ContentLength is the announced size of the body, -1 if none was.
	ContentLength int64
	// TransferEncoding is as in [net/http.Request].
	TransferEncoding []string

	// BodyBytes is how much of the body was read.
	BodyBytes int64
	// Status is the status of the response; 0 if none was sent, or not yet.
	Status int
	// Processed reports whether the request took effect, whatever the client
	// received.
	Processed bool
	// Faulted reports whether a [Fault] or an [Outage] affected the request.
	Faulted bool
}

// Requests returns the request log, oldest first, including requests that are
// still being handled. It holds the newest 10,000.
func (s *Server) Requests() []Request {
	entries := s.core.Requests()
	all := make([]Request, len(entries))
	for i, e := range entries {
		all[i] = Request{
			Seq: e.Seq, Time: e.Time, Operation: e.Operation,
			Method: e.Method, Path: e.Path, RawQuery: e.RawQuery, Header: e.Header,
			ContentLength: e.ContentLength, TransferEncoding: e.TransferEncoding,
			BodyBytes: e.BodyBytes, Status: e.Status, Processed: e.Processed, Faulted: e.Faulted,
		}
	}
	return all
}

// Count returns how many requests of an operation have arrived, including those
// no longer in the log.
func (s *Server) Count(operation string) int { return s.core.Count(operation) }

// Processed returns how many requests of an operation took effect, whatever the
// client received.
func (s *Server) Processed(operation string) int { return s.core.Processed(operation) }
