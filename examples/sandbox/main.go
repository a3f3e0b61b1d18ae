// Command sandbox runs the test servers until Ctrl-C, so that any program in
// any language can be tried against them: it prints their addresses, the
// environment for the other examples, and curl commands.
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"io"

	"github.com/imagejobs/imagejobs-go/examples/internal/cli"
	"github.com/imagejobs/imagejobs-go/oraclemarket/oraclemarkettest"
)

func main() { cli.Main(run) }

// service is one running test server.
type service struct {
	name, url string
	env       []string // NAME=value
	curl      []string
	close     func()
}

func run(ctx context.Context, args []string, stdout, stderr io.Writer) error {
	flags := flag.NewFlagSet("sandbox", flag.ContinueOnError)
	oracleAddr := flags.String("oracle-addr", "127.0.0.1:0", "address of the Oracle Cloud Marketplace Publisher API")
	speed := flags.Float64("speed", 1, "how many times as fast as usual jobs run")
	discard := flags.Bool("discard", false, "verify uploaded bytes and throw them away")
	if err := cli.Parse(flags, args, stderr); err != nil {
		return err
	}
	if *speed <= 0 {
		return errors.New("-speed must be positive")
	}
	starts := []func() (*service, error){
		func() (*service, error) { return startOracle(*oracleAddr, *speed, *discard) },
	}
	out := cli.Output{W: stdout}
	for _, start := range starts {
		s, err := start()
		if err != nil {
			return err
		}
		defer s.close()
		out.Line("# %s: %s", s.name, s.url)
		for _, line := range s.env {
			out.Line("export %s", line)
		}
		for _, line := range s.curl {
			out.Line("%s", line)
		}
		out.Line("")
	}
	out.Line("# Ctrl-C ends it.")
	<-ctx.Done()
	return nil
}

func startOracle(addr string, speed float64, discard bool) (*service, error) {
	opts := []oraclemarkettest.Option{oraclemarkettest.WithSpeed(speed)}
	if discard {
		opts = append(opts, oraclemarkettest.WithDiscard())
	}
	s, err := oraclemarkettest.Start(addr, opts...)
	if err != nil {
		return nil, err
	}
	images := s.URL + "/appstore/publisher/v1/machineimages"
	head := fmt.Sprintf(`curl -H "X-Oracle-UserId: %s" -H "Authorization: Bearer %s"`, s.User, s.Token)
	return &service{
		name: "Oracle Cloud Marketplace Publisher", url: s.URL, close: s.Close,
		env: []string{
			"ORACLE_MARKETPLACE_ENDPOINT=" + s.URL,
			"ORACLE_MARKETPLACE_USER=" + s.User,
			"ORACLE_MARKETPLACE_CLIENT_ID=" + s.ClientID,
			"ORACLE_MARKETPLACE_CLIENT_SECRET=" + s.ClientSecret,
		},
		curl: []string{
			fmt.Sprintf(`%s "%s/%d"`, head, images, oraclemarkettest.SampleID),
			head + ` -H "X-File-Name: go.mod" -F 'json={"application":"a","version":"1.0","operatingSystem":"linux"}' -F "file=@go.mod" "` + images + `"`,
		},
	}, nil
}
