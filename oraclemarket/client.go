package oraclemarket

import (
	"os"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/imagejobs/imagejobs-go/internal/auth"
	"github.com/imagejobs/imagejobs-go/internal/decode"
	"github.com/imagejobs/imagejobs-go/internal/outage"
	"github.com/imagejobs/imagejobs-go/internal/transport"
)

const pkg = "oraclemarket"

// Hosts of the service.
const (
	// DefaultBaseURL is the host that the guides and all known programs use.
	DefaultBaseURL = "https://ocm-apis-cloud.oracle.com"
	// DocumentedBaseURL is the host that the reference pages print, with a dot
	// in place of the second hyphen.
	DocumentedBaseURL = "https://ocm-apis.cloud.oracle.com"
)

// Environment variables that [FromEnv] reads.
const (
	envEndpoint = "ORACLE_MARKETPLACE_ENDPOINT"
	envUser     = "ORACLE_MARKETPLACE_USER"
	envToken    = "ORACLE_MARKETPLACE_TOKEN"
	envID       = "ORACLE_MARKETPLACE_CLIENT_ID"
	envSecret   = "ORACLE_MARKETPLACE_CLIENT_SECRET"
)

// decoder reads the service's JSON.
var decoder = decode.New(
	decode.Enum(parseStatus),
	decode.Enum(func(text string) Percent { return Percent(text) }),
)

// Client calls the Oracle Cloud Marketplace Publisher API. Create it with
// [New]. It is safe for concurrent use.
type Client struct {
	// MachineImages uploads machine images and follows their upload requests.
	MachineImages *MachineImagesService
	// StorageImages lists and copies the image files in the data centers.
	StorageImages *StorageImagesService
}

// MachineImagesService uploads machine images and follows their upload
// requests. Get it from [Client.MachineImages].
//
// Source: [MachineImage Resources REST Endpoints].
//
// [MachineImage Resources REST Endpoints]: https://docs.oracle.com/en/cloud/marketplace/partner-portal/rest-api-publisher/api-machineimage-resources.html
type MachineImagesService struct {
	client      *transport.Client
	user        string // of the account, part of a checkpoint's key
	firstChunk  int
	outageLimit time.Duration
	lag         time.Duration // how late a list or a record may show what exists
	gate        *outage.Gate  // of the chunks of all uploads
	// wantsFirst reports whether the service was found to insist on the first
	// chunk in the initiate call.
	wantsFirst *atomic.Bool
	uploading  *sync.Map // ids of upload requests, to the *upload that sends their chunks
}

// StorageImagesService lists and copies the image files in the data centers.
// Get it from [Client.StorageImages].
//
// Source: [Storage Image Resources REST Endpoints].
//
// [Storage Image Resources REST Endpoints]: https://docs.oracle.com/en/cloud/marketplace/partner-portal/rest-api-publisher/api-storage-image-resources.html
type StorageImagesService struct{ client *transport.Client }

// New returns a client for the partner user with that e-mail address, which is
// sent as X-Oracle-UserId and must be configured on the partner account.
// [ClientCredentials], [OAMClientCredentials], [StaticToken] or any other
// [TokenSource] yields the tokens.
//
// New sends no request. A wrong argument or option is an [*ArgumentError].
func New(user string, tokens TokenSource, opts ...Option) (*Client, error) {
	if user == "" {
		return nil, invalid("New: user", "must not be empty")
	}
	if problem := transport.HeaderProblem(user); problem != "" {
		return nil, invalid("New: user", "%s", problem)
	}
	if tokens == nil {
		return nil, invalid("New: tokens", "must not be nil")
	}
	config := &config{
		Config: transport.Config{
			Package:     pkg,
			BaseURL:     DefaultBaseURL,
			PublicQuery: []string{"keyword", "limit", "offset", "machineimagestatus", "orderby", "sortorder", "datacenter"},
			Decoder:     decoder,
			WrapError:   wrapError,
			RetryAfter:  retryAfter,
			Invalid:     func(field, problem string) error { return invalid(field, "%s", problem) },
		},
		firstChunk: 1,
		lag:        outage.Lag,
	}
	for _, opt := range opts {
		if opt != nil {
			opt(config)
		}
	}
	switch {
	case config.outageLimit < 0:
		return nil, invalid("WithOutageLimit", "must not be negative")
	case config.firstChunk != 0 && config.firstChunk != 1:
		return nil, invalid("WithFirstChunkNumber", "must be 0 or 1, not %d", config.firstChunk)
	}
	gate := outage.NewGate(config.outageLimit)
	config.Sent = gate.CountOther // a token's request as well
	if b, ok := tokens.(binder); ok {
		bound, err := b.bind(config.Config)
		if err != nil {
			return nil, err
		}
		tokens = bound
	}
	config.Header = map[string]string{"X-Oracle-UserId": user}
	config.Credentials = auth.Token(authSource(tokens), "Authorization", "Bearer ")
	t, err := transport.New(config.Config)
	if err != nil {
		return nil, err
	}
	return &Client{
		MachineImages: &MachineImagesService{
			client: t, user: user, firstChunk: config.firstChunk, outageLimit: config.outageLimit, lag: config.lag,
			gate:       gate,
			wantsFirst: new(atomic.Bool),
			uploading:  new(sync.Map),
		},
		StorageImages: &StorageImagesService{client: t},
	}, nil
}

// FromEnv returns a client configured by environment variables:
//
//   - ORACLE_MARKETPLACE_USER is the user, as for [New].
//   - ORACLE_MARKETPLACE_TOKEN is an access token. Without it,
//     ORACLE_MARKETPLACE_CLIENT_ID and ORACLE_MARKETPLACE_CLIENT_SECRET are the
//     arguments of [ClientCredentials].
//   - ORACLE_MARKETPLACE_ENDPOINT is the base URL, [DefaultBaseURL] if unset.
//
// Options take precedence. A missing variable is an [*ArgumentError].
func FromEnv(opts ...Option) (*Client, error) {
	env := func(name string) string { return strings.TrimSpace(os.Getenv(name)) }
	var tokens TokenSource
	switch {
	case env(envUser) == "":
		return nil, invalid("FromEnv: "+envUser, "must be set")
	case env(envToken) != "":
		tokens = StaticToken(env(envToken))
	case env(envID) == "" || env(envSecret) == "":
		return nil, invalid("FromEnv: "+envToken, "must be set, or %s and %s", envID, envSecret)
	default:
		tokens = ClientCredentials(env(envID), env(envSecret))
	}
	if endpoint := env(envEndpoint); endpoint != "" {
		base := func(c *config) { c.BaseURL, c.BaseURLName = endpoint, "FromEnv: "+envEndpoint }
		opts = append([]Option{base}, opts...)
	}
	return New(env(envUser), tokens, opts...)
}
