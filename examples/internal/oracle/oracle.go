// Package oracle connects the Oracle examples to the service, or to the built-in
// one.
package oracle

import (
	"cmp"
	"errors"
	"os"

	"github.com/imagejobs/imagejobs-go/examples/internal/cli"
	"github.com/imagejobs/imagejobs-go/oraclemarket"
	"github.com/imagejobs/imagejobs-go/oraclemarket/oraclemarkettest"
)

// Name is the service in events.
const Name = "oraclemarket"

// Help lists the environment variables.
const Help = `
Environment:
  ORACLE_MARKETPLACE_USER           e-mail address of the partner user
  ORACLE_MARKETPLACE_CLIENT_ID      client credentials
  ORACLE_MARKETPLACE_CLIENT_SECRET
  ORACLE_MARKETPLACE_TOKEN          an access token in place of them
  ORACLE_MARKETPLACE_ENDPOINT       base URL of the service, if it is not
                                    ` + oraclemarket.DefaultBaseURL + `
`

const endpoint = "ORACLE_MARKETPLACE_ENDPOINT"

// Variables returns the variables that name the real service.
func Variables() []string {
	return []string{
		endpoint, "ORACLE_MARKETPLACE_USER", "ORACLE_MARKETPLACE_TOKEN",
		"ORACLE_MARKETPLACE_CLIENT_ID", "ORACLE_MARKETPLACE_CLIENT_SECRET",
	}
}

// Open returns a client of the service that the environment names, or of the
// built-in service, which runs until stop is called.
func Open(out *cli.Output) (client *oraclemarket.Client, stop func(), err error) {
	if out.Demo {
		server := oraclemarkettest.NewServer()
		out.Begin(server.URL)
		return server.Client(), server.Close, nil
	}
	client, err = oraclemarket.FromEnv(oraclemarket.WithUserAgent("imagejobs-example/1"))
	if err != nil {
		return nil, nil, err
	}
	out.Begin(cmp.Or(os.Getenv(endpoint), oraclemarket.DefaultBaseURL))
	return client, func() {}, nil
}

// Classify fills in what went wrong.
func Classify(err error, f *cli.Failure) {
	if wrong, ok := errors.AsType[*oraclemarket.ArgumentError](err); ok {
		f.Field, f.Problem = wrong.Field, wrong.Problem
	}
	if call, ok := errors.AsType[*oraclemarket.Error](err); ok {
		f.StatusCode, f.RequestID = call.StatusCode, call.RequestID
	}
	if _, ok := errors.AsType[*oraclemarket.StateError](err); ok {
		f.Code = cli.Ended
	}
	if errors.Is(err, oraclemarket.ErrAmbiguous) {
		f.Code = cli.Ambiguous
	}
}
