package emulator

import (
	"net/http"
	"slices"
	"sync"
	"time"
)

// DefaultLogLimit is how many requests a log holds by default.
const DefaultLogLimit = 10_000

// Request is one entry of the request log. Its maps and slices are shared with
// other copies of the entry and must not be changed.
type Request struct {
	// Seq numbers the requests from 1 in the order of their arrival.
	Seq int
	// Time is when the header was read.
	Time time.Time
	// Operation is the operation's name; empty for a path or method that the
	// service does not have.
	Operation string

	Method           string
	Path             string
	RawQuery         string
	Header           http.Header
	ContentLength    int64 // as announced, -1 if it was not
	TransferEncoding []string

	// BodyBytes is how much of the body was read.
	BodyBytes int64
	// Parts are the parts of a multipart form that were read completely, in order.
	Parts []Part
	// Status is the status of the response; 0 if none was sent, or not yet.
	Status int
	// Processed reports whether the request took effect, whatever the client
	// received.
	Processed bool
	// Faulted reports whether a fault or an outage affected this request.
	Faulted bool
}

// Part is one part of a multipart form.
type Part struct {
	Name     string
	FileName string
	Size     int64
}

// requestLog holds the newest limit requests and counts all.
type requestLog struct {
	limit int

	mu        sync.Mutex
	entries   []*Request
	seen      int
	count     map[string]int
	processed map[string]int
}

func newRequestLog(limit int) *requestLog {
	if limit <= 0 {
		limit = DefaultLogLimit
	}
	return &requestLog{limit: limit, count: map[string]int{}, processed: map[string]int{}}
}

func (l *requestLog) open(operation string, now time.Time, r *http.Request) *Request {
	entry := &Request{
		Time:             now,
		Operation:        operation,
		Method:           r.Method,
		Path:             r.URL.Path,
		RawQuery:         r.URL.RawQuery,
		Header:           r.Header.Clone(),
		ContentLength:    r.ContentLength,
		TransferEncoding: r.TransferEncoding,
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	l.seen++
	entry.Seq = l.seen
	l.count[operation]++
	if len(l.entries) >= l.limit {
		l.entries[0] = nil // the array behind the slice would keep it alive
		l.entries = l.entries[1:]
	}
	l.entries = append(l.entries, entry)
	return entry
}

// note changes an entry, which Requests may be copying at the same moment.
func (l *requestLog) note(entry *Request, change func(*Request)) {
	l.mu.Lock()
	defer l.mu.Unlock()
	before := entry.Processed
	change(entry)
	if entry.Processed && !before {
		l.processed[entry.Operation]++
	}
}

// Requests returns the log, oldest first, including requests that are still
// being handled.
func (s *Server) Requests() []Request {
	l := s.log
	l.mu.Lock()
	defer l.mu.Unlock()
	all := make([]Request, len(l.entries))
	for i, entry := range l.entries {
		all[i] = *entry
		// Parts still grows while the request is being read.
		all[i].Parts = slices.Clip(entry.Parts)
	}
	return all
}

// Count returns how many requests of an operation have arrived, including those
// no longer in the log.
func (s *Server) Count(operation string) int {
	s.log.mu.Lock()
	defer s.log.mu.Unlock()
	return s.log.count[operation]
}

// Processed returns how many requests of an operation took effect, including
// those no longer in the log.
func (s *Server) Processed(operation string) int {
	s.log.mu.Lock()
	defer s.log.mu.Unlock()
	return s.log.processed[operation]
}
