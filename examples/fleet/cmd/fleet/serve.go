package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strconv"
	"strings"

	"github.com/imagejobs/imagejobs-go/examples/fleet/activities"
	"github.com/imagejobs/imagejobs-go/examples/fleet/devserver"
	"github.com/imagejobs/imagejobs-go/examples/fleet/worker"
	"github.com/imagejobs/imagejobs-go/examples/fleet/workflows"
	"github.com/imagejobs/imagejobs-go/examples/internal/clanforge"
	"github.com/imagejobs/imagejobs-go/examples/internal/cli"
	"github.com/imagejobs/imagejobs-go/examples/internal/oracle"
	"github.com/imagejobs/imagejobs-go/imagereplicator/imagereplicatortest"
	"github.com/imagejobs/imagejobs-go/multiplay/multiplaytest"
	"github.com/imagejobs/imagejobs-go/oraclemarket/oraclemarkettest"
)

const addressVariable = "TEMPORAL_ADDRESS"

func serverCommand(stderr io.Writer) *cli.Command {
	return &cli.Command{Do: func(ctx context.Context, out *cli.Output) error {
		path, err := devserver.Build(ctx, stderr)
		if err == nil {
			out.Emit(cli.Event{Event: cli.Result}, "%s", path)
		}
		return err
	}}
}

// startServer starts Temporal's development server, and builds it if need be.
func startServer(ctx context.Context, out *cli.Output, stderr io.Writer, o devserver.Options) (*devserver.Server, error) {
	var err error
	if o.Binary, err = devserver.Find(ctx); errors.Is(err, devserver.ErrMissing) {
		out.Line("building Temporal's development server: 5 to 10 minutes, once")
		o.Binary, err = devserver.Build(ctx, stderr)
	}
	if err != nil {
		return nil, err
	}
	o.SearchAttributes = searchAttributes()
	return devserver.Start(ctx, o)
}

func searchAttributes() map[string]string {
	return map[string]string{
		workflows.StateAttribute.GetName(): "Keyword", workflows.DoneAttribute.GetName(): "Int", workflows.FailedAttribute.GetName(): "Int",
	}
}

func workerCommand(io.Writer) *cli.Command {
	var o worker.Options
	c := remote("[-transfers N]", workerFlags(&o), unchecked, func(ctx context.Context, f *fleet) error { return f.work(ctx, o) })
	c.Daemon = true
	return c
}

func workerFlags(o *worker.Options) func(*flag.FlagSet) {
	return func(flags *flag.FlagSet) {
		flags.Func("transfers", "how many images, or parts of images, to send at once: `N` (default 2)", func(s string) (err error) {
			if o.MaxTransfers, err = strconv.Atoi(s); err == nil && o.MaxTransfers < 1 {
				err = errors.New("must be positive")
			}
			return err
		})
		flags.BoolVar(&o.NoTransfers, "no-transfers", false, "leave the sending of images to other workers")
		flags.BoolVar(&o.NoControl, "no-control", false, "only send images")
	}
}

// work runs a worker until a signal ends the context.
func (f *fleet) work(ctx context.Context, o worker.Options) error {
	a := activities.FromEnv()
	a.DataConverter = f.converter
	w := worker.New(f.client, a, o)
	if err := w.Start(); err != nil {
		return err
	}
	f.out.Emit(cli.Event{Event: cli.Started}, "worker %d runs", os.Getpid())
	<-ctx.Done()
	w.Stop()
	f.out.Line("worker %d has handed over what it did", os.Getpid())
	return nil
}

func devCommand(stderr io.Writer) *cli.Command {
	server := devserver.Options{Port: 7233, UI: true}
	var o worker.Options
	dir := filepath.Join(".imagejobs", "fleet")
	return &cli.Command{
		Daemon:    true,
		Synopsis:  "[-demo] [-dir DIR] [-port N]",
		Help:      oracle.Help + clanforge.Help + "  OS_AUTH_URL, OS_CLOUD …        as for the image replicator everywhere\n",
		Variables: append(append(oracle.Variables(), clanforge.Variables()...), "OS_AUTH_URL", "OS_CLOUD"),
		Define: func(flags *flag.FlagSet) {
			flags.StringVar(&dir, "dir", dir, "`folder` in which jobs outlive this program")
			flags.IntVar(&server.Port, "port", server.Port, "of Temporal, on 127.0.0.1; its web pages are 1000 above")
			workerFlags(&o)(flags)
		},
		Do: func(ctx context.Context, out *cli.Output) error {
			if out.Demo {
				stop, err := services(out) //nolint:contextcheck // they run until stop
				if err != nil {
					return err
				}
				defer stop()
			}
			if err := os.MkdirAll(dir, 0o700); err != nil {
				return err
			}
			server.Database, server.Log = filepath.Join(dir, "temporal.db"), stderr
			temporal, err := startServer(ctx, out, stderr, server)
			if err != nil {
				return err
			}
			defer temporal.Stop()
			if err := os.Setenv(addressVariable, temporal.Address); err != nil {
				return err
			}
			f, err := dial(ctx, out)
			if err != nil {
				return err
			}
			defer f.client.Close()
			out.Line("Temporal: %s, web pages: %s; Ctrl-C ends it", temporal.Address, temporal.UI)
			return f.work(ctx, o)
		},
	}
}

// services starts the built-in services and points the environment to them.
func services(out *cli.Output) (stop func(), err error) {
	oracles, replicators, clanforges := oraclemarkettest.NewServer(), imagereplicatortest.NewServer(), multiplaytest.NewServer()
	for _, s := range [][]string{oracles.Env(), replicators.Env(), clanforges.Env()} {
		for _, line := range s {
			name, value, _ := strings.Cut(line, "=")
			err = errors.Join(err, os.Setenv(name, value))
		}
	}
	out.Begin(fmt.Sprintf("%s, %s and %s", oracles.URL, replicators.URL, clanforges.URL))
	return func() { oracles.Close(); replicators.Close(); clanforges.Close() }, err
}
