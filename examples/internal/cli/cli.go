// Package cli is what the example programs share around their run functions:
// signals, exit codes, output for people and for machines.
package cli

import (
	"context"
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"io"
	"os"
	"os/signal"
	"syscall"
)

// Run is a program without the process around it.
type Run func(ctx context.Context, args []string, stdout, stderr io.Writer) error

// Main runs the program until its end, Ctrl-C or SIGTERM, and exits with 1 if
// it failed. A second Ctrl-C ends it at once.
func Main(run Run) {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	context.AfterFunc(ctx, stop)
	err := run(ctx, os.Args[1:], os.Stdout, os.Stderr)
	if err == nil || errors.Is(err, flag.ErrHelp) {
		return
	}
	_, _ = fmt.Fprintln(os.Stderr, "error:", err)
	os.Exit(1)
}

// Parse reads the flags of a program that takes nothing else.
func Parse(flags *flag.FlagSet, args []string, stderr io.Writer) error {
	flags.SetOutput(stderr)
	if err := flags.Parse(args); err != nil {
		return err
	}
	if flags.NArg() > 0 {
		return fmt.Errorf("unexpected argument %q", flags.Arg(0))
	}
	return nil
}

// Output writes lines for people or, with JSON set, one JSON object a line.
type Output struct {
	W    io.Writer
	JSON bool
}

// Line writes text for people and nothing in JSON.
func (o Output) Line(format string, args ...any) {
	if !o.JSON {
		_, _ = fmt.Fprintf(o.W, format+"\n", args...)
	}
}

// Event writes an object in JSON and nothing for people.
func (o Output) Event(v any) {
	if o.JSON {
		line, err := json.Marshal(v)
		if err != nil {
			line, _ = json.Marshal(map[string]string{"error": err.Error()})
		}
		_, _ = fmt.Fprintf(o.W, "%s\n", line)
	}
}
