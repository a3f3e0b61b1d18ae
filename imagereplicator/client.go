package imagereplicator

import (
	"regexp"
	"time"

	"github.com/imagejobs/imagejobs-go/internal/auth"
	"github.com/imagejobs/imagejobs-go/internal/decode"
	"github.com/imagejobs/imagejobs-go/internal/transport"
)

const pkg = "imagereplicator"

// decoder reads the service's JSON. Some pages print keys with a space where
// NTT's own clients have an underscore.
var decoder = decode.New(decode.SpacesInNames(), decode.Enum(canonical))

var versionSuffix = regexp.MustCompile(`/v\d+(\.\d+)?$`)

// Client calls the image replicator of one region. Create it with [New]. It is
// safe for concurrent use.
type Client struct {
	// Jobs copies images to tenants in other regions and follows the copies.
	Jobs *JobsService
}

// JobsService copies images to tenants in other regions. Get it from
// [Client.Jobs].
type JobsService struct {
	client      *transport.Client
	outageLimit time.Duration
	recent      *recent
}

// New returns a client for the image storage endpoint of the source region,
// such as https://glance-jp1-ecl.api.ntt.com: the URL of service type image in
// the service catalog, without a version. The tokens must be scoped to the
// source tenant. Package
// [github.com/imagejobs/imagejobs-go/imagereplicator/keystone] provides both
// endpoint and tokens; [StaticToken], [ProviderTokens] and any other
// [TokenSource] provide tokens.
//
// New sends no request. A wrong argument or option is an [*ArgumentError].
func New(endpoint string, tokens TokenSource, opts ...Option) (*Client, error) {
	if tokens == nil {
		return nil, invalid("New: tokens", "must not be nil")
	}
	config := &config{
		Config: transport.Config{
			Package:     pkg,
			BaseURL:     endpoint,
			BaseURLName: "New: endpoint",
			Credentials: auth.Token(source(tokens), "X-Auth-Token", ""),
			Decoder:     decoder,
			WrapError:   wrapError,
			RetryAfter:  retryAfter,
			Invalid:     func(field, problem string) error { return invalid(field, "%s", problem) },
		},
	}
	for _, opt := range opts {
		if opt != nil {
			opt(config)
		}
	}
	if config.outageLimit < 0 {
		return nil, invalid("WithOutageLimit", "must not be negative")
	}
	t, err := transport.New(config.Config)
	if err != nil {
		return nil, err
	}
	if version := versionSuffix.FindString(t.BaseURL()); version != "" {
		return nil, invalid(config.BaseURLName, "must be the root of the image storage service, without %s", version)
	}
	return &Client{Jobs: &JobsService{client: t, recent: new(recent), outageLimit: config.outageLimit}}, nil
}
