package multiplaytest

import "github.com/imagejobs/imagejobs-go/multiplay"

// Client returns a client of the server, with the server's keys. It panics if
// [multiplay.New] refuses an option.
func (s *Server) Client(opts ...multiplay.Option) *multiplay.Client {
	opts = append([]multiplay.Option{multiplay.WithBaseURL(s.URL)}, opts...)
	client, err := multiplay.New(s.AccountServiceID, s.AccessKey, s.SecretKey, opts...)
	if err != nil {
		panic(err)
	}
	return client
}
