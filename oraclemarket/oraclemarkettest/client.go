package oraclemarkettest

import (
	"fmt"

	"github.com/imagejobs/imagejobs-go/oraclemarket"
)

// Client returns a client of this server, with the server's user and client
// credentials. It panics if [oraclemarket.New] refuses an option.
func (s *Server) Client(opts ...oraclemarket.Option) *oraclemarket.Client {
	all := append([]oraclemarket.Option{oraclemarket.WithBaseURL(s.URL)}, opts...)
	client, err := oraclemarket.New(s.User, oraclemarket.ClientCredentials(s.ClientID, s.ClientSecret), all...)
	if err != nil {
		panic(fmt.Sprintf("oraclemarkettest: %v", err))
	}
	return client
}
