package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"strings"

	"github.com/imagejobs/imagejobs-go/examples/fleet/activities"
	"github.com/imagejobs/imagejobs-go/examples/fleet/devserver"
	"github.com/imagejobs/imagejobs-go/examples/fleet/worker"
	"github.com/imagejobs/imagejobs-go/examples/internal/clanforge"
	"github.com/imagejobs/imagejobs-go/examples/internal/cli"
	"github.com/imagejobs/imagejobs-go/examples/internal/oracle"
	"github.com/imagejobs/imagejobs-go/imagereplicator/imagereplicatortest"
	"github.com/imagejobs/imagejobs-go/multiplay/multiplaytest"
	"github.com/imagejobs/imagejobs-go/oraclemarket/oraclemarkettest"
)

const workerHelp = `  FLEET_SOURCE_DIR   the folder that files are uploaded from; without it, any
  ORACLE_MARKETPLACE_…, OS_…, MULTIPLAY_…
                     the services, as for oraclemarket.FromEnv, keystone.FromEnv
                     and multiplay.FromEnv
`

func serverCommand(p *program) *cli.Command {
	return &cli.Command{Do: func(ctx context.Context, out *cli.Output) error {
		path, err := p.serverBinary(ctx, out)
		if err == nil {
			out.Emit(cli.Event{Event: cli.Result}, "%s", path)
		}
		return err
	}}
}

// serverBinary returns the path of Temporal's development server, which it builds
// if need be.
func (p *program) serverBinary(ctx context.Context, out *cli.Output) (string, error) {
	path, err := devserver.Find()
	if errors.Is(err, devserver.ErrMissing) {
		out.Line("building Temporal's development server: 5 to 10 minutes, once")
		return devserver.Build(ctx, p.stderr)
	}
	return path, err
}

func workerCommand(p *program) *cli.Command {
	var o worker.Options
	command := p.remote("[-transfers N]", func(flags *flag.FlagSet) {
		flags.Func("transfers", "how many images, or parts of images, to send at once: `N` (default 2)", func(s string) (err error) {
			if o.MaxTransfers, err = strconv.Atoi(s); err == nil && o.MaxTransfers < 1 {
				err = errors.New("must be positive")
			}
			return err
		})
		flags.BoolVar(&o.NoTransfers, "no-transfers", false, "leave the sending of images to other workers")
		flags.BoolVar(&o.NoControl, "no-control", false, "only send images")
	}, unchecked, func(ctx context.Context) error { return p.work(ctx, o, nil) })
	command.Daemon, command.Help = true, temporalHelp+workerHelp
	return command
}

// work runs a worker until a signal ends the context, or the engine ends.
func (p *program) work(ctx context.Context, o worker.Options, engine <-chan struct{}) (err error) {
	a := activities.FromEnv()
	a.DataConverter = p.converter
	w := worker.New(p.client, a, o)
	if err := w.Start(); err != nil {
		return err
	}
	p.out.Emit(cli.Event{Event: cli.Started}, "worker %d runs", os.Getpid())
	select {
	case <-ctx.Done():
	case <-engine:
		err = errors.New("Temporal's development server has ended") //nolint:staticcheck // a name
	}
	w.Stop()
	p.out.Line("worker %d has handed over what it did", os.Getpid())
	return err
}

func devCommand(p *program) *cli.Command {
	options := devserver.Options{Port: 7233, UI: true, Log: p.stderr}
	dir := filepath.Join(".imagejobs", "fleet")
	return &cli.Command{
		Daemon:    true,
		Synopsis:  "[-demo] [-dir DIR] [-port N]",
		Help:      "\nEnvironment:\n" + workerHelp,
		Variables: append(append(oracle.Variables(), clanforge.Variables()...), "OS_AUTH_URL", "OS_CLOUD"),
		Define: func(flags *flag.FlagSet) {
			flags.StringVar(&dir, "dir", dir, "`folder` in which jobs outlive this program")
			flags.IntVar(&options.Port, "port", options.Port, "of Temporal, on 127.0.0.1; its web pages are 1000 above")
		},
		Do: func(ctx context.Context, out *cli.Output) error {
			p.out = out
			if out.Demo {
				_, stop, err := p.services()
				if err != nil {
					return err
				}
				defer stop()
			}
			if err := os.MkdirAll(dir, 0o700); err != nil {
				return err
			}
			options.Database = filepath.Join(dir, "temporal.db")
			server, err := p.startTemporal(ctx, options)
			if err != nil {
				return err
			}
			defer server.Stop()
			defer p.client.Close()
			out.Line("Temporal: %s, web pages: %s; Ctrl-C ends it", server.Address, server.UI)
			return p.work(ctx, worker.Options{}, server.Ended)
		},
	}
}

// startTemporal starts Temporal's development server and connects to it.
func (p *program) startTemporal(ctx context.Context, o devserver.Options) (server *devserver.Server, err error) {
	if o.Binary, err = p.serverBinary(ctx, p.out); err != nil {
		return nil, err
	}
	if server, err = devserver.Start(ctx, o); err != nil {
		return nil, err
	}
	for _, variable := range os.Environ() { // another Temporal, and how to log in there
		if name, _, _ := strings.Cut(variable, "="); strings.HasPrefix(name, "TEMPORAL_") {
			_ = os.Unsetenv(name)
		}
	}
	if err = setenv([]string{addressVariable + "=" + server.Address, "TEMPORAL_CONFIG_FILE=" + os.DevNull}); err == nil {
		err = p.dial(ctx)
	}
	if err != nil {
		server.Stop()
	}
	return server, err
}

const addressVariable = "TEMPORAL_ADDRESS"

func setenv(variables []string) (err error) {
	for _, variable := range variables {
		name, value, _ := strings.Cut(variable, "=")
		err = errors.Join(err, os.Setenv(name, value))
	}
	return err
}

// services starts the built-in services and points the environment to them.
func (p *program) services() (oracles *oraclemarkettest.Server, stop func(), err error) {
	oracles = oraclemarkettest.NewServer()
	replicators, clanforges := imagereplicatortest.NewServer(), multiplaytest.NewServer()
	p.out.Begin(fmt.Sprintf("%s, %s and %s", oracles.URL, replicators.URL, clanforges.URL))
	return oracles, func() { oracles.Close(); replicators.Close(); clanforges.Close() },
		errors.Join(setenv(oracles.Env()), setenv(replicators.Env()), setenv(clanforges.Env()))
}
