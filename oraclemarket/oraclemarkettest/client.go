package oraclemarkettest

import "github.com/imagejobs/imagejobs-go/oraclemarket"

// Client returns a client of this server, ready to use: it logs in with ClientID and ClientSecret. The options come
// after those that make it so. Like [NewServer] it panics if an option is wrong.
func (s *Server) Client(opts ...oraclemarket.Option) *oraclemarket.Client {
	opts = append([]oraclemarket.Option{oraclemarket.WithBaseURL(s.URL)}, opts...)
	client, err := oraclemarket.New(s.User, oraclemarket.ClientCredentials(s.ClientID, s.ClientSecret), opts...)
	if err != nil {
		panic(err)
	}
	return client
}
