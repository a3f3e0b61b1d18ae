package emulator

import (
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

// errGone is the cause of an answer that there is nobody left to give to.
var errGone = errors.New("the client went away")

// serve is the server's only handler.
func (s *Server) serve(w http.ResponseWriter, r *http.Request) {
	s.active.Add(1) // the connection's own count is gone once it is hijacked
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
	if fault, ok := s.faults.take(operation, r); ok {
		x.fault = fault
		x.note(func(entry *Request) { entry.Faulted = true })
	}
	x.run()
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
	case x.fault.Stall == StallRead:
		x.readHalf()
		<-x.r.Context().Done()
		x.hangUp(true)
		return
	}

	answer, err := x.answer()
	if err != nil || !x.wait(x.fault.Delay) {
		x.hangUp(false)
		return
	}
	switch {
	case x.fault.Drop == DropAfter:
		x.hangUp(false)
	case x.fault.Stall == StallAnswer:
		<-x.r.Context().Done()
		x.hangUp(false)
	default:
		x.send(answer)
	}
}

// answer makes the answer: the service's, the fault's, or the one spoilt by the other.
func (x *exchange) answer() (*answer, error) {
	f := &x.fault
	var a *answer
	if f.processes() {
		a = x.process()
	}
	if !f.Unread {
		if err := x.drain(); err != nil {
			return nil, err
		}
	}
	status := f.Status
	if status == 0 && f.Location != "" {
		status = http.StatusTemporaryRedirect
	}
	switch {
	case status != 0:
		a = x.refusal(status)
	case a == nil: // StallAnswer, which will not send it
		a = newAnswer()
	case f.Body != "":
		a.status = http.StatusOK
	}
	if f.Body != "" {
		a.body.Reset()
		a.body.WriteString(f.Body)
		a.header.Del("Content-Type")
	}
	if f.ContentType != "" {
		a.header.Set("Content-Type", f.ContentType)
	}
	if f.RetryAfter != "" {
		a.header.Set("Retry-After", f.RetryAfter)
	}
	if f.Location != "" {
		a.header.Set("Location", f.Location)
	}
	for name, values := range f.Header {
		a.header[http.CanonicalHeaderKey(name)] = values
	}
	if f.CutJSON {
		a.body.Truncate(a.body.Len() / 2)
	}
	return a, nil
}

// process lets the service handle the request.
func (x *exchange) process() (a *answer) {
	a = newAnswer()
	defer func() {
		if p := recover(); p != nil {
			// A mistake of ours. Swallowed by net/http it would look like a dropped connection.
			a = newAnswer()
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

// refusal is the service's error answer with the status of a fault.
func (x *exchange) refusal(status int) *answer {
	a := newAnswer()
	if status < http.StatusBadRequest {
		a.status = status
		return a
	}
	x.server.config.Error(a, x.r, status, "injected fault")
	a.status = status
	return a
}

// whyUnknown tells a wrong path from a wrong method. The mux knows, but only says so in an answer.
func (s *Server) whyUnknown(r *http.Request) (status int, allow string) {
	a := newAnswer()
	handler, _ := s.mux.Handler(r)
	handler.ServeHTTP(a, r)
	if a.status == http.StatusMethodNotAllowed {
		return a.status, a.header.Get("Allow")
	}
	return http.StatusNotFound, ""
}

// drain reads the rest of the body, so that a client that is still sending gets the answer and not a broken pipe. One
// that waits for leave to send is not asked to.
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

// readHalf reads about half of the body.
func (x *exchange) readHalf() {
	half := x.r.ContentLength / 2
	if x.r.ContentLength < 0 {
		half = 64 << 10
	}
	_, _ = io.CopyN(io.Discard, x.body, half)
}

// send writes the answer, whole or as the fault has it.
func (x *exchange) send(a *answer) {
	f := &x.fault
	body := a.body.Bytes()
	header := x.w.Header()
	maps.Copy(header, a.header)
	if f.Unread {
		header.Set("Connection", "close")
	}
	bodyAllowed := a.status != http.StatusNoContent && a.status != http.StatusNotModified
	if bodyAllowed && (x.r.Method != http.MethodHead || len(body) > 0) {
		header.Set("Content-Length", strconv.Itoa(len(body)))
	}
	// Noted first: a client that has its answer may look at the log at once.
	x.note(func(entry *Request) { entry.Status = a.status })
	x.w.WriteHeader(a.status)
	if !bodyAllowed {
		return
	}
	switch {
	case f.Stall == StallBody:
		x.write(body[:min(len(body)/2, 8)])
		<-x.r.Context().Done()
	case f.Truncate:
		x.write(body[:len(body)/2]) // net/http closes a connection that is short of what was announced
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

// wait sleeps for d and says whether there still is somebody to answer.
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

// hangUp closes the connection without an answer. With reset the client is told so in the rudest way TCP has.
func (x *exchange) hangUp(reset bool) {
	x.note(func(*Request) {})
	conn, _, err := http.NewResponseController(x.w).Hijack()
	if err != nil {
		panic(http.ErrAbortHandler) // the other way that net/http has of closing a connection
	}
	if tcp, ok := conn.(*net.TCPConn); ok && reset {
		_ = tcp.SetLinger(0)
	}
	_ = conn.Close()
}

// note changes the request's entry in the log, and brings its byte count up to date.
func (x *exchange) note(change func(*Request)) {
	x.server.log.note(x.entry, func(entry *Request) {
		entry.BodyBytes = x.body.read
		change(entry)
	})
}

// countingBody counts what is read of a request's body and remembers how reading ended.
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

// MarkProcessed tells the log whether the request took effect, where the status of its answer does not: a handler calls
// it with its own arguments.
func MarkProcessed(w http.ResponseWriter, processed bool) {
	if a, ok := w.(*answer); ok {
		a.unprocessed = !processed
	}
}
