package cli

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/signal"
	"strings"
	"syscall"
)

// Exit codes of all programs.
const (
	Done        = 0
	Failed      = 1
	Usage       = 2
	Ended       = 3
	Ambiguous   = 4
	Interrupted = 130
)

const conventions = `
Exit codes:
  0    done
  1    a call failed
  2    wrong arguments or environment, found before any call
  3    the job ended badly
  4    ambiguous: it is not known whether a call took effect, so check before
       repeating it
  130  interrupted, by a signal or because nobody reads the output any more

With -json every line has event, time, service, operation and demo. The last one
is the event "end" with the exitCode; an event "error" has what went wrong.
`

// Failure is what went wrong, in JSON.
type Failure struct {
	Kind    string `json:"kind"`
	Message string `json:"message"`
	// Flag is the flag or variable that is wrong.
	Flag string `json:"flag,omitempty"`
	// StatusCode and RequestID are those of the response, if there was one.
	StatusCode int    `json:"statusCode,omitempty"`
	RequestID  string `json:"requestId,omitempty"`

	Code int `json:"-"`
	// Field and Problem are those of a wrong argument.
	Field   string `json:"-"`
	Problem string `json:"-"`
}

var kinds = map[int]string{
	Failed: "failed", Usage: "usage", Ended: "ended", Ambiguous: "ambiguous", Interrupted: "interrupted",
}

// codeError is an error whose exit code is known.
type codeError struct {
	error
	code int
}

func (e *codeError) Unwrap() error { return e.error }

// UsageError returns an error about arguments or the environment.
func UsageError(format string, args ...any) error {
	return &codeError{fmt.Errorf(format, args...), Usage}
}

// WithCode returns err with an exit code that Classify does not change.
func WithCode(err error, code int) error { return &codeError{err, code} }

var errClosed = errors.New("nobody reads the output any more")

// Failure returns what is known about an error of the service's package.
func (o *Output) Failure(ctx context.Context, err error) *Failure { return o.command.failure(ctx, err) }

// failure classifies the error of a command.
func (c *Command) failure(ctx context.Context, err error) *Failure {
	f := &Failure{Code: Failed, Message: err.Error()}
	if c.Classify != nil {
		c.Classify(err, f)
	}
	coded, known := errors.AsType[*codeError](err)
	switch {
	case known:
		f.Code = coded.code
	case f.Field != "":
		f.Code = Usage
		f.name(c.Fields)
	case ctx.Err() != nil && f.Code != Ambiguous:
		f.Code = Interrupted
	}
	if f.Code == Interrupted && errors.Is(context.Cause(ctx), errClosed) {
		f.Message = fmt.Sprintf("%v: %s", errClosed, f.Message)
	}
	f.Kind = kinds[f.Code]
	return f
}

// name puts the flag or the variable in place of the Go name of an argument.
func (f *Failure) name(flags map[string]string) {
	_, variable, found := strings.Cut(f.Field, "FromEnv: ")
	if !found {
		variable = flags[f.Field]
	}
	if f.Flag = variable; f.Flag != "" {
		f.Message = f.Flag + " " + f.Problem
	}
}

// Main runs a program until its end, Ctrl-C or SIGTERM, and exits with its code.
// A second Ctrl-C ends it at once.
func Main(run func(ctx context.Context, args []string, stdout, stderr io.Writer) int) {
	// A closed pipe fails the write instead of killing the process, which then
	// ends as on Ctrl-C and cleans up.
	signal.Ignore(syscall.SIGPIPE)
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	context.AfterFunc(ctx, stop)
	os.Exit(run(ctx, os.Args[1:], os.Stdout, os.Stderr))
}
