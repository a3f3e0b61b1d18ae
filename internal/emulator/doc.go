// Package emulator is what the test servers of this module share: a local HTTP
// server with a request log, injected faults, outages, limits, and a clock that
// jobs run by. It knows none of the services.
//
// # Building a test server
//
// A test server holds a [Server], registers one handler per operation and
// starts it:
//
//	type Server struct {
//		URL  string
//		core *emulator.Server
//	}
//
//	func NewServer() *Server {
//		s := &Server{core: emulator.New(emulator.Config{Error: writeError})}
//		s.core.Handle("Jobs.Get", "GET /v2/jobs/{id}", s.getJob)
//		if err := s.core.Start(); err != nil {
//			panic(err)
//		}
//		s.URL = s.core.URL()
//		return s
//	}
//
// Faults and the log identify an operation by its name; use "Service.Method" of
// the client. A handler is an ordinary [http.HandlerFunc] whose response is
// collected before it is sent, so responses must be small. Request bodies may
// be of any size and are best streamed, forms with [ReadForm].
//
// The public test packages declare types of their own for [Fault], [Request],
// [Outage] and the constants, because their users cannot read this page.
//
// # What counts as processed
//
// A request whose handler ran and responded with a status below 300 took
// effect: [Request].Processed reports it, whatever the client received. A
// service that reports failures with status 200 corrects that with
// [MarkProcessed].
//
// # Jobs
//
// Nothing runs in the background. A job is its start time; its state follows
// from [Clock.Since] and a [Timeline] whenever it is asked for. So a speed of
// 10, a manual clock and testing/synctest all work alike.
package emulator
