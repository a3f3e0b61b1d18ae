// Package clanforge connects the Multiplay examples to the service, or to the
// built-in one.
package clanforge

import (
	"cmp"
	"errors"
	"os"

	"github.com/imagejobs/imagejobs-go/examples/internal/cli"
	"github.com/imagejobs/imagejobs-go/multiplay"
	"github.com/imagejobs/imagejobs-go/multiplay/multiplaytest"
)

// Name is the service in events.
const Name = "multiplay"

// Help lists the environment variables.
const Help = `
Environment:
  MULTIPLAY_ACCOUNT_SERVICE_ID  the account service (ASID)
  MULTIPLAY_ACCESS_KEY          a pair of keys that has access to it, from the
  MULTIPLAY_SECRET_KEY          page "Auth Keys" of Clanforge
  MULTIPLAY_TOKEN               a bearer token in place of the keys
  MULTIPLAY_ENDPOINT            base URL of the service, if it is not
                                ` + multiplay.DefaultBaseURL + `
`

const endpoint = "MULTIPLAY_ENDPOINT"

// Variables returns the variables that name the real service.
func Variables() []string {
	return []string{
		endpoint, "MULTIPLAY_ACCOUNT_SERVICE_ID", "MULTIPLAY_ACCESS_KEY", "MULTIPLAY_SECRET_KEY", "MULTIPLAY_TOKEN",
	}
}

// Open returns a client of the service that the environment names, or of the
// built-in service, which runs until stop is called.
func Open(out *cli.Output) (client *multiplay.Client, stop func(), err error) {
	if out.Demo {
		server := multiplaytest.NewServer(multiplaytest.WithDialect(multiplaytest.Dialect{StartInstalls: true}))
		out.Begin(server.URL)
		return server.Client(), server.Close, nil
	}
	client, err = multiplay.FromEnv(multiplay.WithUserAgent("imagejobs-example/1"))
	if err != nil {
		return nil, nil, err
	}
	standard := multiplay.DefaultBaseURL
	if os.Getenv("MULTIPLAY_TOKEN") != "" {
		standard = multiplay.SuccessorBaseURL
	}
	out.Begin(cmp.Or(os.Getenv(endpoint), standard))
	return client, func() {}, nil
}

// Classify fills in what went wrong.
func Classify(err error, f *cli.Failure) {
	if wrong, ok := errors.AsType[*multiplay.ArgumentError](err); ok {
		f.Field, f.Problem = wrong.Field, wrong.Problem
	}
	if call, ok := errors.AsType[*multiplay.Error](err); ok {
		f.StatusCode, f.RequestID = call.StatusCode, call.RequestID
	}
	_, ended := errors.AsType[*multiplay.StateError](err)
	if _, machines := errors.AsType[*multiplay.RolloutError](err); ended || machines {
		f.Code = cli.Ended
	}
	if errors.Is(err, multiplay.ErrAmbiguous) {
		f.Code = cli.Ambiguous
	}
}
