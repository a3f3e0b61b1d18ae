package emulator

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io"
	"maps"
	"net"
	"net/http"
	"strconv"
	"time"
)

// exchange is one request on its way through the server.
type exchange struct {
	server *Server
	w      http.ResponseWriter
	r      *http.Request
	known  bool // the service has such an operation
	entry  *Request
	body   *countingBody
	fault  Fault
}

type exchangeKey struct{}

// errGone means that the client left before there was a response.
var errGone = errors.New("the client went away")

// serve is the server's only handler.
func (s *Server) serve(w http.ResponseWriter, r *http.Request) {
	s.active.Add(1) // the connection's own count ends when it is hijacked
	defer s.active.Done()

	_, pattern := s.mux.Handler(r)
	operation, known := s.operations[pattern]
	if known && s.config.Refine != nil {
		operation = s.config.Refine(operation, r)
	}
	x := &exchange{server: s, w: w, known: known}
	x.entry = s.log.open(operation, s.config.Clock.Now(), r)
	x.body = &countingBody{ReadCloser: r.Body}
	x.r = r.WithContext(context.WithValue(r.Context(), exchangeKey{}, x))
	x.r.Body = x.body
	x.fault = x.choose()
	x.run()
}

// choose returns what goes wrong with the request.
func (x *exchange) choose() Fault {
	s := x.server
	if outage := s.outage(); outage != nil {
		x.note(func(entry *Request) { entry.Faulted = true })
		return outage.fault()
	}
	if refusal, exceeded := s.limiter.check(x.r, x.entry.Time); exceeded {
		return refusal
	}
	fault, ok := s.faults.take(x.entry.Operation, x.r)
	if ok {
		x.note(func(entry *Request) { entry.Faulted = true })
	}
	return fault
}

// run handles the request, with whatever its fault does to it.
func (x *exchange) run() {
	switch {
	case x.fault.Drop == DropBefore:
		x.wait(x.fault.Delay)
		x.hangUp(true)
		return
	case x.fault.Drop == DropDuring:
		x.readHalf()
		x.wait(x.fault.Delay)
		x.hangUp(true)
		return
	case x.fault.Stall == StallRequestBody:
		x.readHalf()
		<-x.r.Context().Done()
		x.hangUp(true)
		return
	}

	response, err := x.respond()
	if err != nil || !x.wait(x.fault.Delay) {
		x.hangUp(false)
		return
	}
	switch {
	case x.fault.Drop == DropAfter:
		x.hangUp(false)
	case x.fault.Stall == StallResponse:
		<-x.r.Context().Done()
		x.hangUp(false)
	default:
		x.send(response)
	}
}

// respond makes the response: the service's, the fault's, or the former changed
// by the latter.
func (x *exchange) respond() (*response, error) {
	f := &x.fault
	a := newResponse()
	if f.processes() {
		a = x.process()
	}
	if !f.Early {
		if err := x.drain(); err != nil {
			return nil, err
		}
	}
	switch {
	case f.Status != 0:
		a = x.refusal(f)
	case f.Body != "":
		a.status = http.StatusOK
	}
	a.change(f)
	return a, nil
}

// process lets the service handle the request.
func (x *exchange) process() (a *response) {
	a = newResponse()
	defer func() {
		if p := recover(); p != nil {
			// A mistake in the test server, which net/http would make look like
			// a dropped connection.
			a = newResponse()
			http.Error(a, fmt.Sprintf("the test server panicked: %v", p), http.StatusInternalServerError)
		}
		x.note(func(entry *Request) {
			entry.Processed = a.status < http.StatusMultipleChoices && !a.unprocessed
		})
	}()
	if !x.known {
		status, allow := x.server.whyUnknown(x.r)
		if allow != "" {
			a.header.Set("Allow", allow)
		}
		x.server.config.Error(a, x.r, status, fmt.Sprintf("no operation %s %s", x.r.Method, x.r.URL.Path))
		return a
	}
	x.server.mux.ServeHTTP(a, x.r)
	return a
}

// refusal returns the service's error response with the status of a fault.
func (x *exchange) refusal(f *Fault) *response {
	a := newResponse()
	if f.Status >= http.StatusBadRequest {
		x.server.config.Error(a, x.r, f.Status, cmp.Or(f.reason, "injected fault"))
	}
	a.status = f.Status
	return a
}

// whyUnknown distinguishes a wrong path from a wrong method. The mux knows, but
// shows it only in a response.
func (s *Server) whyUnknown(r *http.Request) (status int, allow string) {
	a := newResponse()
	handler, _ := s.mux.Handler(r)
	handler.ServeHTTP(a, r)
	if a.status == http.StatusMethodNotAllowed {
		return a.status, a.header.Get("Allow")
	}
	return http.StatusNotFound, ""
}

// send writes the response, whole or as the fault has it.
func (x *exchange) send(a *response) {
	f := &x.fault
	body := a.body.Bytes()
	header := x.w.Header()
	maps.Copy(header, a.header)
	if f.Early {
		header.Set("Connection", "close")
	}
	if a.bodyAllowed() && (x.r.Method != http.MethodHead || len(body) > 0) {
		header.Set("Content-Length", strconv.Itoa(len(body)))
	}
	// Noted first: a client that has its response may read the log at once.
	x.note(func(entry *Request) { entry.Status = a.status })
	x.w.WriteHeader(a.status)
	if !a.bodyAllowed() {
		return
	}
	switch {
	case f.Stall == StallResponseBody:
		x.write(body[:min(len(body)/2, 8)])
		<-x.r.Context().Done()
	case f.Truncate:
		// net/http closes a connection that is short of what was announced.
		x.write(body[:len(body)/2])
	case f.Drip > 0:
		for i := range body {
			if !x.wait(f.Drip) {
				return
			}
			x.write(body[i : i+1])
		}
	default:
		_, _ = x.w.Write(body)
	}
}

func (x *exchange) write(p []byte) {
	_, _ = x.w.Write(p)
	_ = http.NewResponseController(x.w).Flush()
}

// wait sleeps for d and reports whether the client is still there.
func (x *exchange) wait(d time.Duration) bool {
	if d <= 0 {
		return true
	}
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-timer.C:
		return true
	case <-x.r.Context().Done():
		return false
	}
}

// hangUp closes the connection without a response, with a TCP reset if asked
// to.
func (x *exchange) hangUp(reset bool) {
	x.note(func(*Request) {})
	conn, _, err := http.NewResponseController(x.w).Hijack()
	if err != nil {
		panic(http.ErrAbortHandler) // net/http's other way to close a connection
	}
	if tcp, ok := conn.(*net.TCPConn); ok && reset {
		_ = tcp.SetLinger(0)
	}
	_ = conn.Close()
}

// note changes the request's entry in the log and updates its byte count.
func (x *exchange) note(change func(*Request)) {
	x.server.log.note(x.entry, func(entry *Request) {
		entry.BodyBytes = x.body.read
		change(entry)
	})
}

// readHalf reads about half of the body.
func (x *exchange) readHalf() {
	half := x.r.ContentLength / 2
	if x.r.ContentLength < 0 {
		half = 64 << 10
	}
	_, _ = io.CopyN(io.Discard, x.body, half)
}

// drain reads the rest of the body, so that a client that is still sending
// receives the response and not a broken pipe. A client that waits for a 100
// Continue is not made to send.
func (x *exchange) drain() error {
	if x.body.read == 0 && x.r.Header.Get("Expect") != "" {
		return nil
	}
	if x.body.err != nil && x.body.err != io.EOF { //nolint:errorlint // as io.Reader has it
		return errGone
	}
	if _, err := io.Copy(io.Discard, x.body); err != nil {
		return errGone
	}
	return nil
}

// countingBody counts what is read of a request body and keeps the error that
// ended it.
type countingBody struct {
	io.ReadCloser
	read int64
	err  error
}

func (b *countingBody) Read(p []byte) (int, error) {
	n, err := b.ReadCloser.Read(p)
	b.read += int64(n)
	if err != nil {
		b.err = err
	}
	return n, err
}
