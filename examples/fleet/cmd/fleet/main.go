// Command fleet starts, shows and steers image jobs that run as Temporal
// workflows, and runs their workers. fleet -h lists its commands.
package main

import (
	"cmp"
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"log/slog"
	"regexp"
	"strings"

	"go.temporal.io/sdk/client"
	"go.temporal.io/sdk/converter"
	"go.temporal.io/sdk/log"
	"go.temporal.io/sdk/temporal"

	"github.com/imagejobs/imagejobs-go/examples/fleet/worker"
	"github.com/imagejobs/imagejobs-go/examples/fleet/workflows"
	"github.com/imagejobs/imagejobs-go/examples/internal/cli"
)

func main() { cli.Main(run) }

// program is what the commands share.
type program struct {
	out       *cli.Output
	stderr    io.Writer
	client    client.Client
	converter converter.DataConverter
	id        string // of a job, the flag -id
	alone     bool   // no worker responds
}

// commands in the order of the help.
var commands = []struct {
	name, about string
	make        func(*program) *cli.Command
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
	{"server", "builds Temporal's development server, unless it is there", serverCommand},
}

func run(ctx context.Context, args []string, stdout, stderr io.Writer) int {
	name := append(args, "")[0]
	for _, c := range commands {
		if c.name == name {
			command := c.make(&program{stderr: stderr})
			command.Name, command.Service, command.Operation = "fleet "+name, "fleet", name
			command.NoDemo, command.Classify = len(command.Variables) == 0, classify
			return command.Run(ctx, args[1:], stdout, stderr)
		}
	}
	code := cli.Usage
	switch strings.TrimLeft(name, "-") {
	case "h", "help":
		code = cli.Done
	case "":
	default:
		fmt.Fprintf(stderr, "fleet: there is no command %q\n", name)
	}
	fmt.Fprintln(stderr, "usage: fleet COMMAND [-h] …")
	for _, c := range commands {
		fmt.Fprintf(stderr, "  %-8s %s\n", c.name, c.about)
	}
	return code
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
func (p *program) remote(synopsis string, define func(*flag.FlagSet), check func() error, do func(context.Context) error) *cli.Command {
	return &cli.Command{Synopsis: synopsis, Help: temporalHelp, Define: define, Do: func(ctx context.Context, out *cli.Output) error {
		p.out = out
		if err := check(); err != nil {
			return err
		}
		if err := p.dial(ctx); err != nil {
			return err
		}
		defer p.client.Close()
		return do(ctx)
	}}
}

// dial connects to the Temporal that the environment names.
func (p *program) dial(ctx context.Context) error {
	options, err := worker.ClientOptions() //nolint:contextcheck // it only reads the environment
	if err != nil {
		return cli.UsageError("%w", err)
	}
	options.Logger = log.NewStructuredLogger(slog.New(slog.DiscardHandler))
	if p.client, err = client.DialContext(ctx, options); err != nil {
		how := "without TLS" // the server's own words about that do not always arrive
		if c := options.ConnectionOptions.TLS; c != nil {
			how = fmt.Sprintf("with TLS and %d client certificates", len(c.Certificates))
		}
		return fmt.Errorf("cannot reach Temporal at %s, %s: %w\nTEMPORAL_ADDRESS and TEMPORAL_TLS_… say where it is and how to log in; fleet dev starts one",
			cmp.Or(options.HostPort, client.DefaultHostPort), how, err)
	}
	if p.converter = options.DataConverter; p.converter == nil {
		p.converter = converter.GetDefaultDataConverter()
	}
	return nil
}

// wrongArgument matches what the packages say about an argument: its Go name or
// its variable, and the problem.
var wrongArgument = regexp.MustCompile(`(?:^|: )(?:(\w+)\.)?(FromEnv: \w+|[A-Z]\w*(?:\[\d+\])?): (.+)`)

// codes are the exit codes of types of errors that are no failed calls.
var codes = map[string]int{
	workflows.ErrorArgument: cli.Usage,
	workflows.ErrorState:    cli.Ended, workflows.ErrorFleet: cli.Ended, workflows.ErrorNotApproved: cli.Ended,
	workflows.ErrorAmbiguous: cli.Ambiguous, workflows.ErrorGivenUp: cli.Ambiguous,
}

// classify tells from the error of a workflow what went wrong.
func classify(err error, f *cli.Failure) {
	if ended, ok := errors.AsType[*temporal.WorkflowExecutionError](err); ok {
		f.Code, f.Message = cli.Ended, ended.Unwrap().Error() // unless the reason says more
	}
	if canceled, ok := errors.AsType[*temporal.CanceledError](err); ok {
		f.Message = "it was canceled"
		var last workflows.Status
		if canceled.Details(&last) == nil && len(last.Left) > 0 {
			f.Message += "; left: " + strings.Join(last.Left, ", ")
		}
	}
	application, ok := errors.AsType[*temporal.ApplicationError](err)
	if !ok {
		return
	}
	f.Code, f.Message = cmp.Or(codes[application.Type()], cli.Failed), application.Message()
	if m := wrongArgument.FindStringSubmatch(f.Message); f.Code == cli.Usage && m != nil {
		f.Field, f.Problem = m[2], m[3]
		if m[1] == inputType {
			f.Field, f.Problem = inputType, m[2]+" "+m[3]
		} else if strings.HasPrefix(f.Field, "FromEnv: ") {
			f.Problem += " where the worker runs"
		}
	}
}
