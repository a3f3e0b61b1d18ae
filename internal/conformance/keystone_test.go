package conformance

import (
	"context"
	"net/http"

	"github.com/imagejobs/imagejobs-go/imagereplicator/keystone"
)

func (e *env) keystoneOptions() keystone.Options {
	return keystone.Options{
		AuthURL: e.base + "/v3", Credentials: keystone.APIKey("key", keySecret), TenantID: "tenant",
		HTTPClient: e.client, Logger: e.logger,
	}
}

func keystoneOperations() []*operation {
	logIn := func(change func(*keystone.Options)) func(context.Context, *env) (any, error) {
		return func(ctx context.Context, e *env) (any, error) {
			o := e.keystoneOptions()
			change(&o)
			s, err := keystone.New(ctx, o)
			if err != nil {
				return nil, err
			}
			endpoint, _ := s.Endpoint() // of a catalog without one, the token is of use all the same
			return endpoint, nil
		}
	}
	list := []*operation{
		{of: "API key", target: "Tokens.Create", run: logIn(func(*keystone.Options) {})},
		{of: "token", target: "Tokens.Get", run: logIn(func(o *keystone.Options) {
			o.Credentials, o.TenantID = keystone.Token(tokenValue), ""
		})},
	}
	for _, o := range list {
		o.pkg, o.name, o.class = "keystone", "New", safe
		o.named, o.accepts = true, []string{nulls}
	}
	return list
}

func callKeystone(ctx context.Context, base string, c *http.Client, insecure bool) error {
	_, err := keystone.New(ctx, keystone.Options{
		AuthURL: base, Credentials: keystone.APIKey("key", keySecret), TenantID: "tenant", HTTPClient: c, InsecureHTTP: insecure,
	})
	return err
}
