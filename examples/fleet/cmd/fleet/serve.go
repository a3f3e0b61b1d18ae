package main

import (
	"cmp"
	"context"
	"errors"
	"flag"
	"fmt"
	"os"
	"path/filepath"
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
		path, err := devserver.Build(ctx, p.stderr)
		if err == nil {
			out.Emit(cli.Event{Event: cli.Result}, "%s", path)
		}
		return err
	}}
}

func workerCommand(p *program) *cli.Command {
	var o worker.Options
	command := p.remote("[-transfers N]", func(flags *flag.FlagSet) {
		flags.IntVar(&o.MaxTransfers, "transfers", 2, "how many images, or parts of images, to send at once")
		flags.BoolVar(&o.NoTransfers, "no-transfers", false, "leave the sending of images to other workers")
		flags.BoolVar(&o.NoControl, "no-control", false, "only send images")
	}, func() error {
		if o.MaxTransfers < 1 {
			return cli.UsageError("-transfers must be positive")
		}
		return nil
	}, func(ctx context.Context) error { return p.work(ctx, o, nil) })
	command.Daemon, command.Help = true, temporalHelp+workerHelp
	return command
}

// work runs a worker until a signal ends the context, or the engine ends.
func (p *program) work(ctx context.Context, o worker.Options, engine <-chan struct{}) error {
	a := activities.FromEnv()
	a.DataConverter = p.converter
	w := worker.New(p.client, a, o)
	if err := w.Start(); err != nil {
		return err
	}
	p.out.Emit(cli.Event{Event: cli.Started}, "worker %d runs", os.Getpid())
	select {
	case <-engine: // there is nobody to hand over to
		return errors.New("Temporal's development server has ended") //nolint:staticcheck // a name
	case <-ctx.Done():
	}
	w.Stop()
	p.out.Line("worker %d has handed over what it did", os.Getpid())
	return nil
}

func devCommand(p *program) *cli.Command {
	port := 7233
	dir := filepath.Join(".imagejobs", "fleet")
	return &cli.Command{
		Daemon:    true,
		Synopsis:  "[-demo] [-dir DIR] [-port N]",
		Help:      "\nEnvironment:\n" + workerHelp,
		Variables: append(append(oracle.Variables(), clanforge.Variables()...), "OS_AUTH_URL", "OS_CLOUD"),
		Define: func(flags *flag.FlagSet) {
			flags.StringVar(&dir, "dir", dir, "`folder` in which jobs outlive this program")
			flags.IntVar(&port, "port", port, "of Temporal, on 127.0.0.1; its web pages are 1000 above")
		},
		Do: func(ctx context.Context, out *cli.Output) error {
			p.out = out
			if out.Demo {
				_, stop, err := p.services() //nolint:contextcheck // they run until stop
				if err != nil {
					return err
				}
				defer stop()
			}
			if err := os.MkdirAll(dir, 0o700); err != nil {
				return err
			}
			server, err := p.startTemporal(ctx, filepath.Join(dir, "temporal.db"), port, port+1000)
			if err != nil {
				return err
			}
			defer server.Stop()
			defer p.client.Close()
			out.Line("Temporal: %s, web pages: http://127.0.0.1:%d; Ctrl-C ends it", server.Address, port+1000)
			return p.work(ctx, worker.Options{}, server.Ended)
		},
	}
}

// startTemporal starts Temporal's development server and connects to it, whatever
// the environment says about another Temporal.
func (p *program) startTemporal(ctx context.Context, database string, port, ui int) (*devserver.Server, error) {
	binary, err := devserver.Build(ctx, p.stderr)
	if err != nil {
		return nil, err
	}
	server, err := devserver.Start(ctx, binary, database, port, ui)
	if err != nil {
		return nil, err
	}
	for _, variable := range os.Environ() {
		if name, _, _ := strings.Cut(variable, "="); strings.HasPrefix(name, "TEMPORAL_") {
			err = errors.Join(err, os.Unsetenv(name))
		}
	}
	err = errors.Join(err, setenv([]string{addressVariable + "=" + server.Address, "TEMPORAL_CONFIG_FILE=" + os.DevNull}))
	if err = cmp.Or(err, p.dial(ctx)); err != nil {
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
