package imagereplicator

import (
	"strings"

	"github.com/imagejobs/imagejobs-go/internal/auth"
	"github.com/imagejobs/imagejobs-go/internal/transport"
)

const pkg = "imagereplicator"

// Client calls the image replicator of one region. Make it with New. It is
// safe for concurrent use.
type Client struct {
	// Jobs copies images to tenants in other regions and follows the copies.
	Jobs *JobsService
}

// New makes a client for the image storage endpoint of the source region, as
// in https://glance-jp1-ecl.api.ntt.com: the root that the service catalog
// names for the service type image, without the version. The tokens must be
// scoped to the source tenant; they come from the keystone package, from
// StaticToken, ProviderTokens or any other TokenSource.
//
// No request is sent. A wrong argument or option is an error that names it and
// matches ErrInvalidArgument.
func New(endpoint string, tokens TokenSource, opts ...Option) (*Client, error) {
	if tokens == nil {
		return nil, transport.Invalid(pkg, "New: tokens", "must not be nil")
	}
	config := &config{
		Config: transport.Config{
			Package:     pkg,
			BaseURL:     endpoint,
			BaseURLName: "New: endpoint",
			WrapError:   wrapError,
		},
	}
	for _, opt := range opts {
		opt(config)
	}
	config.Credentials = auth.Token(source(tokens), "X-Auth-Token", "")
	t, err := transport.New(config.Config)
	if err != nil {
		return nil, err
	}
	if strings.HasSuffix(t.BaseURL(), "/v2") {
		return nil, transport.Invalid(pkg, config.BaseURLName, "must be the root of the image storage service, without /v2")
	}
	return &Client{Jobs: &JobsService{client: t}}, nil
}
