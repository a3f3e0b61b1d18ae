// Package cli is what the example programs share around their work: arguments,
// signals, exit codes, and output for people, for logs and for machines.
package cli

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"os"
	"slices"
	"strings"
)

// Command is a program without the process around it.
type Command struct {
	Name     string // of the program
	About    string // what it does, in a line; none if empty
	Synopsis string // of its arguments, a line for each form
	Help     string // the rest of -h, such as the variables of the environment

	Service   string // the package that it shows
	Operation string // what it does there

	// Variables of the environment and Flags that name something of the real
	// service. The program runs against the built-in service only if none is set.
	Variables []string
	Flags     []string
	// Server marks a program that is no client: it has no -demo and no events.
	Server bool
	// NoDemo removes -demo from a client that has no built-in service.
	NoDemo bool
	// Daemon marks a program that runs until a signal, and prints nothing only to
	// show that it does.
	Daemon bool
	// Pipeline adds -check and -result.
	Pipeline bool

	// Define defines the program's own flags.
	Define func(*flag.FlagSet)
	// Fields has the flag of each Go name that the service's package uses in its
	// errors about arguments.
	Fields map[string]string
	// Classify fills in what went wrong from an error of the service's package.
	Classify func(error, *Failure)
	// Do does the work.
	Do func(context.Context, *Output) error
}

// Run runs the command and returns its exit code.
func (c *Command) Run(ctx context.Context, args []string, stdout, stderr io.Writer) int {
	out := newOutput(c, stdout)
	// Wrong arguments are reported in JSON as well.
	out.JSON = slices.Contains(args, "-json") || slices.Contains(args, "--json")
	err := c.parse(args, out, stdout)
	if errors.Is(err, flag.ErrHelp) {
		return Done
	}
	if err == nil {
		var stop func()
		ctx, stop = out.start(ctx)
		if err = out.saveFirst(); err == nil {
			err = c.Do(ctx, out)
		}
		stop()
	}
	return out.end(ctx, err, stderr)
}

func (c *Command) parse(args []string, out *Output, stdout io.Writer) error {
	flags := flag.NewFlagSet(c.Name, flag.ContinueOnError)
	flags.SetOutput(io.Discard)
	asJSON := false // out.JSON stays as it is until the arguments are known to be right
	if c.Server {
		flags.BoolVar(&asJSON, "json", false, "print the addresses as JSON")
	} else {
		flags.BoolVar(&asJSON, "json", false, "print one JSON object per line")
	}
	if !c.Server && !c.NoDemo {
		flags.BoolVar(&out.Demo, "demo", false, "use the built-in service even if the real one is configured;\nwithout it, only if nothing names the real one")
	}
	if c.Pipeline {
		flags.BoolVar(&out.Check, "check", false, "check arguments, files and credentials, and change nothing")
		flags.StringVar(&out.resultFile, "result", "", "`file` for the ids and the outcome as JSON, replaced as a whole as soon as\nthere is something new to keep")
	}
	if c.Define != nil {
		c.Define(flags)
	}
	if err := flags.Parse(args); errors.Is(err, flag.ErrHelp) {
		c.usage(flags, stdout)
		return err
	} else if err != nil {
		return UsageError("%v", err)
	}
	if flags.NArg() > 0 {
		return UsageError("unexpected argument %q", flags.Arg(0))
	}
	out.JSON = asJSON
	forced := false
	flags.Visit(func(f *flag.Flag) { forced = forced || f.Name == "demo" })
	if !forced && !c.Server && !c.NoDemo {
		out.Demo = !c.namesService(flags)
	}
	return nil
}

// namesService reports whether anything names the real service.
func (c *Command) namesService(flags *flag.FlagSet) bool {
	found := slices.ContainsFunc(c.Variables, func(name string) bool { return os.Getenv(name) != "" })
	flags.Visit(func(f *flag.Flag) { found = found || slices.Contains(c.Flags, f.Name) })
	return found
}

func (c *Command) usage(flags *flag.FlagSet, w io.Writer) {
	for i, line := range strings.Split(c.Synopsis, "\n") {
		_, _ = fmt.Fprintf(w, "%-7s%s %s\n", []string{"usage:", "   or:"}[min(i, 1)], c.Name, line)
	}
	_, _ = fmt.Fprintln(w)
	if c.About != "" {
		_, _ = fmt.Fprintf(w, "%s\n\n", c.About)
	}
	flags.SetOutput(w)
	flags.PrintDefaults()
	_, _ = fmt.Fprint(w, c.Help)
	if !c.Server {
		_, _ = fmt.Fprint(w, conventions)
	}
}
