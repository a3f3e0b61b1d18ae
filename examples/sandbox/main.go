// Command sandbox runs the test servers until Ctrl-C, so that any program in
// any language can be tried against them: it prints their addresses, the
// environment for the other examples, and curl commands.
package main

import (
	"context"
	"errors"
	"flag"
	"io"
	"strings"

	"github.com/imagejobs/imagejobs-go/examples/internal/cli"
	"github.com/imagejobs/imagejobs-go/imagereplicator/imagereplicatortest"
	"github.com/imagejobs/imagejobs-go/multiplay/multiplaytest"
	"github.com/imagejobs/imagejobs-go/oraclemarket/oraclemarkettest"
)

func main() { cli.Main(run) }

// service is a running test server.
type service interface {
	Env() []string
	Curl() []string
	Close()
}

func run(ctx context.Context, args []string, stdout, stderr io.Writer) error {
	flags := flag.NewFlagSet("sandbox", flag.ContinueOnError)
	oracleAddr := flags.String("oracle-addr", "127.0.0.1:0", "address of the Oracle Cloud Marketplace Publisher API")
	replicatorAddr := flags.String("replicator-addr", "127.0.0.1:0", "address of the NTT image replicator and its Keystone")
	multiplayAddr := flags.String("multiplay-addr", "127.0.0.1:0", "address of Multiplay Clanforge")
	speed := flags.Float64("speed", 1, "how many times as fast as usual jobs run")
	discard := flags.Bool("discard", false, "verify uploaded bytes and throw them away")
	if err := cli.Parse(flags, args, stderr); err != nil {
		return err
	}
	if *speed <= 0 {
		return errors.New("-speed must be positive")
	}
	starts := []struct {
		name  string
		start func() (service, error)
	}{
		{"Oracle Cloud Marketplace Publisher", func() (service, error) {
			opts := []oraclemarkettest.Option{oraclemarkettest.WithSpeed(*speed)}
			if *discard {
				opts = append(opts, oraclemarkettest.WithDiscard())
			}
			return oraclemarkettest.Start(*oracleAddr, opts...)
		}},
		{"NTT image replicator and Keystone", func() (service, error) { //nolint:contextcheck // the server ends with Close
			return imagereplicatortest.Start(*replicatorAddr, imagereplicatortest.WithSpeed(*speed))
		}},
		{"Multiplay Clanforge", func() (service, error) {
			return multiplaytest.Start(*multiplayAddr, multiplaytest.WithSpeed(*speed))
		}},
	}
	out := cli.Output{W: stdout}
	var running []service
	defer func() {
		for _, s := range running {
			s.Close()
		}
	}()
	for _, entry := range starts {
		s, err := entry.start()
		if err != nil {
			return err
		}
		running = append(running, s)
		out.Line("# %s", entry.name)
		for _, line := range s.Env() {
			out.Line("export %s", line)
		}
		for _, line := range s.Curl() {
			if strings.Contains(line, "@image.tar.gz") {
				out.Line("head -c 1000000 /dev/urandom > image.tar.gz")
			}
			out.Line("%s", line)
		}
		out.Line("")
	}
	out.Line("# Ctrl-C ends it.")
	<-ctx.Done()
	return nil
}
