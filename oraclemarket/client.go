package oraclemarket

import (
	"github.com/imagejobs/imagejobs-go/internal/auth"
	"github.com/imagejobs/imagejobs-go/internal/transport"
)

const pkg = "oraclemarket"

// Hosts of the service. The reference pages print the one with a dot, every
// other source and all known programs use the one with a hyphen.
const (
	DefaultBaseURL = "https://ocm-apis-cloud.oracle.com"
	DottedBaseURL  = "https://ocm-apis.cloud.oracle.com"
)

// Client calls the Oracle Cloud Marketplace Publisher API. Make it with New.
// It is safe for concurrent use.
type Client struct {
	// MachineImages uploads machine images and follows their upload requests.
	MachineImages *MachineImagesService
	// StorageImages looks at and copies the image files in the data centers.
	StorageImages *StorageImagesService
}

// New makes a client for the partner user with that e-mail address, which goes
// out as X-Oracle-UserId and must be configured on the partner account. The
// tokens come from ClientCredentials, OAMClientCredentials, StaticToken or any
// other TokenSource.
//
// No request is sent. A wrong argument or option is an error that names it and
// matches ErrInvalidArgument.
func New(user string, tokens TokenSource, opts ...Option) (*Client, error) {
	if user == "" {
		return nil, transport.Invalid(pkg, "New: user", "must not be empty")
	}
	if err := transport.CheckHeader(pkg, "New: user", user); err != nil {
		return nil, err
	}
	if tokens == nil {
		return nil, transport.Invalid(pkg, "New: tokens", "must not be nil")
	}
	config := &config{
		Config: transport.Config{
			Package:     pkg,
			BaseURL:     DefaultBaseURL,
			PublicQuery: []string{"keyword", "limit", "offset", "machineimagestatus", "orderby", "sortorder", "datacenter"},
			WrapError:   func(e *transport.Error) error { return (*Error)(e) },
		},
		firstChunk: 1,
	}
	for _, opt := range opts {
		opt(config)
	}
	if config.firstChunk != 0 && config.firstChunk != 1 {
		return nil, transport.Invalid(pkg, "WithFirstChunkNumber", "must be 0 or 1, not %d", config.firstChunk)
	}
	if b, ok := tokens.(binder); ok {
		bound, err := b.bind(config.Config)
		if err != nil {
			return nil, err
		}
		tokens = bound
	}
	config.Header = map[string]string{"X-Oracle-UserId": user}
	config.Credentials = auth.Token(source(tokens), "Authorization", "Bearer ")
	t, err := transport.New(config.Config)
	if err != nil {
		return nil, err
	}
	return &Client{
		MachineImages: &MachineImagesService{client: t, firstChunk: config.firstChunk},
		StorageImages: &StorageImagesService{client: t},
	}, nil
}
