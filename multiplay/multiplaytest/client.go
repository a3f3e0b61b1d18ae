package multiplaytest

import "github.com/imagejobs/imagejobs-go/multiplay"

// Client returns a client of the server, with the server's credentials. It
// panics if [multiplay.New] refuses an option.
func (s *Server) Client(opts ...multiplay.Option) *multiplay.Client {
	credentials := multiplay.AccessKey(s.AccountServiceID, s.AccessKey, s.SecretKey)
	if s.Token != "" {
		credentials = multiplay.BearerToken(multiplay.StaticToken(s.Token))
	}
	opts = append([]multiplay.Option{
		multiplay.WithBaseURL(s.URL), multiplay.WithAccountServiceID(s.AccountServiceID),
	}, opts...)
	client, err := multiplay.New(credentials, opts...)
	if err != nil {
		panic(err)
	}
	return client
}
