package cli

import (
	"cmp"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"sync"
	"time"

	"github.com/vbauerster/mpb/v8"
)

// Output is what a program prints: lines for people or, with JSON set, one
// [Event] a line. Its methods may be called by several goroutines.
type Output struct {
	JSON  bool
	Demo  bool // run against the built-in service
	Check bool // change nothing

	command *Command
	w       io.Writer
	closed  context.CancelCauseFunc // called when a write fails

	mu      sync.Mutex
	began   time.Time
	opened  bool      // there is a service
	latest  string    // the newest line, printed or not
	written time.Time // when something was printed
	last    map[string]string

	bars     bool // draw them
	progress *mpb.Progress
	drawn    []*Bar
	places   int
	finished bool

	resultFile string
	outcome    Outcome
}

func newOutput(c *Command, w io.Writer) *Output {
	return &Output{command: c, w: w, last: map[string]string{}, closed: func(error) {}}
}

// quiet is the longest time without output where there are no bars, so that the
// program does not seem to hang.
const quiet = 9 * time.Second

// start returns a context that also ends when nobody reads the output any more.
func (o *Output) start(ctx context.Context) (_ context.Context, stop func()) {
	ctx, o.closed = context.WithCancelCause(ctx)
	o.began, o.written = time.Now(), time.Now()
	o.bars = !o.JSON && showsBars(o.w)
	if o.bars || o.command.Server || o.command.Daemon {
		return ctx, func() {}
	}
	done, stopped := make(chan struct{}), make(chan struct{})
	go func() {
		defer close(stopped)
		ticker := time.NewTicker(time.Second)
		defer ticker.Stop()
		for {
			select {
			case <-ticker.C:
				o.alive()
			case <-done:
				return
			}
		}
	}()
	// The context is not canceled here: end asks it whether the program was interrupted.
	return ctx, func() { close(done); <-stopped }
}

// alive prints something if nothing else does.
func (o *Output) alive() {
	o.mu.Lock()
	defer o.mu.Unlock()
	if time.Since(o.written) < quiet {
		return
	}
	latest := cmp.Or(o.latest, "working")
	line := fmt.Sprintf("%s, after %s", latest, time.Since(o.began).Round(time.Second))
	o.emit(&Event{Event: Waiting, Message: line})
	o.latest = latest
}

// Emit prints an event. Its message for people is formatted from the rest.
func (o *Output) Emit(e Event, format string, args ...any) {
	o.mu.Lock()
	defer o.mu.Unlock()
	e.Message = fmt.Sprintf(format, args...)
	o.emit(&e)
}

// Line prints a notice.
func (o *Output) Line(format string, args ...any) {
	o.Emit(Event{Event: Notice}, format, args...)
}

// Changed prints a line if it differs from the one before under the same key.
// In JSON there is no such line.
func (o *Output) Changed(key, format string, args ...any) {
	line := fmt.Sprintf(format, args...)
	o.mu.Lock()
	defer o.mu.Unlock()
	if !o.JSON && o.last[key] != line {
		o.last[key] = line
		o.print(line)
	}
}

// Event prints an event that has no line of its own for people.
func (o *Output) Event(e Event) {
	if o.JSON {
		o.Emit(e, "")
	}
}

// Begin prints where the service is, if that is not the real one.
func (o *Output) Begin(endpoint string) {
	o.opened = true
	e := Event{Event: Begin, Endpoint: endpoint}
	if o.Demo {
		o.Emit(e, "demo: using the built-in service at %s, not the real one", endpoint)
	} else {
		o.Event(e)
	}
}

// Finish ends the bars, so that what follows is printed below them.
func (o *Output) Finish() {
	o.mu.Lock()
	defer o.mu.Unlock()
	o.finish()
}

// end prints what went wrong, and at last that this was no real service.
func (o *Output) end(ctx context.Context, err error, stderr io.Writer) int {
	o.mu.Lock()
	defer o.mu.Unlock()
	o.finish()
	code := Done
	var failure *Failure
	if err != nil {
		failure = o.command.failure(ctx, err)
		code = failure.Code
	}
	if o.began.IsZero() { // nothing was done, so there is no result to replace
		o.resultFile = ""
	}
	o.outcome.ExitCode, o.outcome.Error = &code, failure
	if err := o.save(); err != nil && failure == nil {
		failure = &Failure{Code: Failed, Kind: kinds[Failed], Message: "-result " + err.Error()}
		code = Failed
	}
	if failure != nil {
		o.writeJSON(&Event{Event: Error, Error: failure, Message: failure.Message})
		_, _ = fmt.Fprintf(stderr, "%s: %s\n", o.command.Name, failure.Message)
		if code == Usage {
			_, _ = fmt.Fprintf(stderr, "See %s -h.\n", o.command.Name)
		}
	}
	last := &Event{Event: End, ExitCode: &code}
	if o.Demo && o.opened {
		last.Message = "demo: that was the built-in service; the real one was not called"
	}
	if !o.command.Server {
		o.emit(last)
	}
	o.closed(nil)
	return code
}

// emit prints e. The caller holds mu.
func (o *Output) emit(e *Event) {
	if o.JSON {
		o.writeJSON(e)
	} else if e.Message != "" {
		o.print(e.Message)
	}
}

func (o *Output) writeJSON(e *Event) {
	if !o.JSON || o.command.Server {
		return
	}
	e.Time, e.Service, e.Operation, e.Demo = time.Now().UTC(), o.command.Service, o.command.Operation, o.Demo
	line, err := json.Marshal(e)
	if err != nil { // of a Detail that does not encode
		e.Detail = nil
		if line, err = json.Marshal(e); err != nil {
			return
		}
	}
	o.print(string(line))
	o.latest = e.Message
}

func (o *Output) print(line string) {
	o.latest, o.written = line, time.Now()
	w := o.w
	if o.progress != nil && !o.finished {
		w, line = o.progress, clearLine+line // above the bars
	}
	if _, err := io.WriteString(w, line+"\n"); err != nil {
		o.closed(errClosed)
	}
}
