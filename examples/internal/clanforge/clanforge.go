// Package clanforge connects the Multiplay examples to the service, or to the
// built-in one when no endpoint is given.
package clanforge

import (
	"errors"
	"os"
	"strconv"

	"github.com/imagejobs/imagejobs-go/examples/internal/cli"
	"github.com/imagejobs/imagejobs-go/multiplay"
	"github.com/imagejobs/imagejobs-go/multiplay/multiplaytest"
)

// Usage says which environment variables there are.
const Usage = `
Environment:
  MULTIPLAY_ENDPOINT            base URL of the service, as in ` + multiplay.DefaultBaseURL + `;
                                none starts a built-in service
  MULTIPLAY_ACCESS_KEY          the pair of keys from the "Auth Keys" page of Clanforge
  MULTIPLAY_SECRET_KEY
  MULTIPLAY_ACCOUNT_SERVICE_ID  the account service (ASID) that they have access to
`

// Service is what an example works with.
type Service struct {
	Client *multiplay.Client
	// BuiltIn is nil where there is an endpoint.
	BuiltIn *multiplaytest.Server
}

// Open connects to MULTIPLAY_ENDPOINT or starts the built-in service, and says so.
func Open(out cli.Output) (*Service, error) {
	endpoint := os.Getenv("MULTIPLAY_ENDPOINT")
	if endpoint == "" {
		server := multiplaytest.NewServer(multiplaytest.WithDialect(multiplaytest.Dialect{StartInstalls: true}))
		out.Line("no endpoint given: using the built-in service at %s", server.URL)
		return &Service{Client: server.Client(), BuiltIn: server}, nil
	}
	access, secret := os.Getenv("MULTIPLAY_ACCESS_KEY"), os.Getenv("MULTIPLAY_SECRET_KEY")
	if access == "" || secret == "" {
		return nil, errors.New("set MULTIPLAY_ACCESS_KEY and MULTIPLAY_SECRET_KEY")
	}
	account, err := strconv.ParseInt(os.Getenv("MULTIPLAY_ACCOUNT_SERVICE_ID"), 10, 64)
	if err != nil {
		return nil, errors.New("set MULTIPLAY_ACCOUNT_SERVICE_ID to a number")
	}
	client, err := multiplay.New(multiplay.AccessKey(account, access, secret),
		multiplay.WithBaseURL(endpoint), multiplay.WithUserAgent("imagejobs-example/1"))
	return &Service{Client: client}, err
}

// Close ends the built-in service, if there is one.
func (s *Service) Close() {
	if s.BuiltIn != nil {
		s.BuiltIn.Close()
	}
}
