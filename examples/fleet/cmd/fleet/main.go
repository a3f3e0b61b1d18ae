// Command fleet starts, shows and steers image jobs that run as Temporal
// workflows, and runs their workers.
//
//	fleet demo      ten images over three workers, one of which is killed
//	fleet dev       Temporal's development server and a worker, on loopback
//	fleet worker    a worker, until a signal ends it
//	fleet upload    uploads an image to Oracle Cloud Marketplace
//	fleet copy      copies an image to NTT tenants
//	fleet release   releases a Multiplay image
//	fleet publish   runs many of them, from a file
//	fleet status    what runs, what waits for a person, what failed and why
//	fleet approve   approves or refuses a release
//	fleet resolve   says what became of a call whose outcome is not known
//	fleet cancel    cancels a job and says what it left
//	fleet server    builds Temporal's development server
//
// Where Temporal is, and how to log in, is in the variables TEMPORAL_ADDRESS,
// TEMPORAL_NAMESPACE, TEMPORAL_API_KEY, TEMPORAL_TLS_… and the configuration
// file of Temporal's own command. Credentials of the services are those of the
// workers alone.
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"log/slog"
	"strings"

	"go.temporal.io/sdk/client"
	"go.temporal.io/sdk/converter"
	"go.temporal.io/sdk/log"
	"go.temporal.io/sdk/temporal"

	"github.com/imagejobs/imagejobs-go/examples/fleet/worker"
	"github.com/imagejobs/imagejobs-go/examples/fleet/workflows"
	"github.com/imagejobs/imagejobs-go/examples/internal/cli"
)

const name = "fleet"

func main() { cli.Main(run) }

// commands in the order of the help.
var commands = []struct {
	name, about string
	make        func(stderr io.Writer) *cli.Command
}{
	{"demo", "ten images over three workers, one of which is killed", demoCommand},
	{"dev", "Temporal's development server and a worker, on loopback", devCommand},
	{"worker", "a worker, until a signal ends it", workerCommand},
	{"upload", "uploads an image to Oracle Cloud Marketplace", uploadCommand},
	{"copy", "copies an image to NTT tenants", copyCommand},
	{"release", "releases a Multiplay image", releaseCommand},
	{"publish", "runs many of them, from a file", publishCommand},
	{"status", "what runs, what waits for a person, what failed and why", statusCommand},
	{"approve", "approves or refuses a release", approveCommand},
	{"resolve", "says what became of a call whose outcome is not known", resolveCommand},
	{"cancel", "cancels a job and says what it left", cancelCommand},
	{"server", "builds Temporal's development server", serverCommand},
}

func run(ctx context.Context, args []string, stdout, stderr io.Writer) int {
	if len(args) > 0 {
		for _, c := range commands {
			if c.name == args[0] {
				command := c.make(stderr)
				command.Name, command.Service, command.Operation = name+" "+c.name, name, c.name
				command.NoDemo, command.Classify = len(command.Variables) == 0, classify
				return command.Run(ctx, args[1:], stdout, stderr)
			}
		}
	}
	fmt.Fprintln(stderr, "usage: fleet COMMAND [-h] …")
	for _, c := range commands {
		fmt.Fprintf(stderr, "  %-8s %s\n", c.name, c.about)
	}
	if len(args) > 0 && strings.TrimLeft(args[0], "-") == "h" {
		return cli.Done
	}
	return cli.Usage
}

const temporalHelp = `
Environment:
  TEMPORAL_ADDRESS, TEMPORAL_NAMESPACE, TEMPORAL_API_KEY, TEMPORAL_TLS_…
                     where Temporal is and how to log in, 127.0.0.1:7233 by
                     default; TEMPORAL_CONFIG_FILE and TEMPORAL_PROFILE as for
                     Temporal's own command
  FLEET_PAYLOAD_KEY  encrypts inputs and results: 32 bytes in hex, the same in
                     all workers and commands
`

// remote returns a command that talks to Temporal, once check finds no fault
// with the arguments.
func remote(synopsis string, define func(*flag.FlagSet), check func() error, do func(context.Context, *fleet) error) *cli.Command {
	return &cli.Command{Synopsis: synopsis, Help: temporalHelp, Define: define, Do: func(ctx context.Context, out *cli.Output) error {
		if err := check(); err != nil {
			return err
		}
		f, err := dial(ctx, out)
		if err != nil {
			return err
		}
		defer f.client.Close()
		return do(ctx, f)
	}}
}

func unchecked() error { return nil }

// fleet is a connection to Temporal.
type fleet struct {
	client    client.Client
	converter converter.DataConverter
	out       *cli.Output
	alone     bool              // no worker responds
	shown     map[string]string // the newest line of each job
}

func dial(ctx context.Context, out *cli.Output) (*fleet, error) {
	options, err := worker.ClientOptions()
	if err != nil {
		return nil, cli.UsageError("%w", err)
	}
	options.Logger = log.NewStructuredLogger(slog.New(slog.DiscardHandler))
	c, err := client.DialContext(ctx, options)
	if err != nil {
		return nil, fmt.Errorf("connecting to Temporal: %w", err)
	}
	f := &fleet{client: c, converter: options.DataConverter, out: out, shown: map[string]string{}}
	if f.converter == nil {
		f.converter = converter.GetDefaultDataConverter()
	}
	return f, nil
}

// classify tells from the error of a workflow what went wrong.
func classify(err error, f *cli.Failure) {
	if application, ok := errors.AsType[*temporal.ApplicationError](err); ok {
		f.Message = application.Message()
		switch application.Type() {
		case workflows.ErrorArgument:
			f.Code = cli.Usage
		case workflows.ErrorState, workflows.ErrorFleet, workflows.ErrorNotApproved:
			f.Code = cli.Ended
		case workflows.ErrorAmbiguous, workflows.ErrorGivenUp:
			f.Code = cli.Ambiguous
		}
	} else if canceled, ok := errors.AsType[*temporal.CanceledError](err); ok {
		f.Code, f.Message = cli.Ended, "it was canceled"
		var last workflows.Status
		if canceled.HasDetails() && canceled.Details(&last) == nil && len(last.Left) > 0 {
			f.Message += "; left: " + strings.Join(last.Left, ", ")
		}
	}
}
