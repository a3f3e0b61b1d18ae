// Package emulator is what the test servers of this module share: a local HTTP server with a request log, injected
// faults and a clock that jobs run by. It knows none of the services.
//
// # Building a test server
//
// A test server holds a [Server], registers one handler per operation and starts it:
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
// The operation's name is what faults and the log go by; use "Service.Method" of the client. A handler is an ordinary
// [http.HandlerFunc] whose answer is collected before it goes out, so answers must be small; request bodies may be as
// long as they like and are best streamed, forms with [ReadForm]. Public test packages re-export [Fault], [Request] and
// the constants as aliases and document them again, because their users cannot read this page.
//
// # What counts as processed
//
// A request whose handler ran and answered with a status below 300 took effect: [Request].Processed says so, whatever
// the client got to see of it. A service that reports failures in a 200 answer corrects that with [MarkProcessed].
//
// # Jobs
//
// Nothing runs in the background. A job is its start time; what state it is in follows from [Clock.Since] and a
// [Timeline] whenever somebody asks. That makes a speed of 10, a manual clock and testing/synctest work alike.
package emulator
