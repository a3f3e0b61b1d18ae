// Command sandbox runs the test servers until Ctrl-C, so that any program in any
// language can be tried against them: it prints their addresses, the environment
// for the other examples, and curl commands.
//
// With -env it prints export lines alone and closes its output, so that a shell
// can read them from a sandbox in the background:
//
//	go build -o sandbox ./examples/sandbox
//	eval "$(./sandbox -env &)"
//	go run ./examples/image-copy …
//	kill "$SANDBOX_PID"
package main

import (
	"context"
	"flag"
	"fmt"
	"io"

	"github.com/imagejobs/imagejobs-go/examples/internal/cli"
	"github.com/imagejobs/imagejobs-go/imagereplicator/imagereplicatortest"
	"github.com/imagejobs/imagejobs-go/multiplay/multiplaytest"
	"github.com/imagejobs/imagejobs-go/oraclemarket/oraclemarkettest"
)

func main() { cli.Main(run) }

type program struct {
	oracleAddr, replicatorAddr, multiplayAddr string
	multiplayToken                            string

	speed        float64
	discard, env bool
	stdout       io.Writer
}

func run(ctx context.Context, args []string, stdout, stderr io.Writer) int {
	p := &program{stdout: stdout}
	command := &cli.Command{
		Name:     "sandbox",
		About:    "Runs the three services as local servers until Ctrl-C, and prints their addresses and curl commands.",
		Synopsis: "[-env | -json]",
		Help: `
In a shell, with a binary of it (go run would keep the output open):
  eval "$(./sandbox -env &)"
  …
  kill "$SANDBOX_PID"
`,
		Server: true,
		Define: p.define,
		Do:     p.do,
	}
	return command.Run(ctx, args, stdout, stderr)
}

func (p *program) define(flags *flag.FlagSet) {
	flags.StringVar(&p.oracleAddr, "oracle-addr", "127.0.0.1:0", "address of the Oracle Cloud Marketplace Publisher API")
	flags.StringVar(&p.replicatorAddr, "replicator-addr", "127.0.0.1:0", "address of the NTT image replicator and its Keystone")
	flags.StringVar(&p.multiplayAddr, "multiplay-addr", "127.0.0.1:0", "address of Multiplay Clanforge")
	flags.StringVar(&p.multiplayToken, "multiplay-token", "", "have Multiplay accept this bearer token, like Clanforge's successor, and no access key")
	flags.Float64Var(&p.speed, "speed", 1, "how many times as fast as usual jobs run")
	flags.BoolVar(&p.discard, "discard", false, "verify uploaded bytes and throw them away")
	flags.BoolVar(&p.env, "env", false, "print export lines alone, then close the output")
}

// service is a running test server.
type service struct {
	title     string
	env, curl []string
}

// addresses is what -json prints, as one line.
type addresses struct {
	PID       int               `json:"pid"`
	Addresses map[string]string `json:"addresses"`
	Env       map[string]string `json:"env"`
}

func (p *program) do(ctx context.Context, out *cli.Output) error {
	switch {
	case p.speed <= 0:
		return cli.UsageError("-speed must be positive")
	case p.env && out.JSON:
		return cli.UsageError("-env must not be set together with -json")
	}
	opts := []oraclemarkettest.Option{oraclemarkettest.WithSpeed(p.speed)}
	if p.discard {
		opts = append(opts, oraclemarkettest.WithDiscard())
	}
	oracle, err := oraclemarkettest.Start(p.oracleAddr, opts...)
	if err != nil {
		return fmt.Errorf("-oracle-addr: %w", err)
	}
	defer oracle.Close()
	replicator, err := imagereplicatortest.Start(p.replicatorAddr, imagereplicatortest.WithSpeed(p.speed)) //nolint:contextcheck // it runs until Close
	if err != nil {
		return fmt.Errorf("-replicator-addr: %w", err)
	}
	defer replicator.Close()
	game := []multiplaytest.Option{multiplaytest.WithSpeed(p.speed)}
	if p.multiplayToken != "" {
		game = append(game, multiplaytest.WithBearerTokens(p.multiplayToken))
	}
	clanforge, err := multiplaytest.Start(p.multiplayAddr, game...)
	if err != nil {
		return fmt.Errorf("-multiplay-addr: %w", err)
	}
	defer clanforge.Close()

	services := []service{
		{"Oracle Cloud Marketplace Publisher", oracle.Env(), oracle.Curl()},
		{"NTT image replicator and Keystone", replicator.Env(), replicator.Curl()},
		{"Multiplay Clanforge", clanforge.Env(), clanforge.Curl()},
	}
	switch {
	case p.env:
		p.printEnv(services)
	case out.JSON:
		err = p.printJSON(services, map[string]string{
			"oraclemarket": oracle.URL, "imagereplicator": replicator.URL, "keystone": replicator.AuthURL, "multiplay": clanforge.URL,
		})
	default:
		printAll(out, services)
	}
	if err == nil {
		<-ctx.Done()
	}
	return nil
}
