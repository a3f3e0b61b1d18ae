package keystone

import (
	"context"
	"errors"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/gophercloud/gophercloud/v2"
	"github.com/gophercloud/gophercloud/v2/openstack"

	"github.com/imagejobs/imagejobs-go/imagereplicator"
)

// Session is a login at Keystone. Create it with [New]. It logs in again shortly
// before its token expires, and when the token is rejected. It is safe for
// concurrent use.
type Session struct {
	// provider is a func, so that no print shows the token in it.
	provider func() *gophercloud.ProviderClient
	current  atomic.Pointer[issued]
	client   []imagereplicator.Option

	endpoint    string
	endpointErr error
}

// New logs in and looks up the image storage in the service catalog.
//
// A wrong option is an [*imagereplicator.ArgumentError], found before any
// request. A failed login is an [*imagereplicator.Error], after retries as in
// package imagereplicator. Keystone refuses credentials with status 401, but an
// application credential that does not exist with 404. If the catalog does not
// have exactly one endpoint for the options, New succeeds and
// [Session.Endpoint] returns an error that lists the catalog's.
//
// Sources: [API references first step], [Identity API v3].
//
// [API references first step]: https://ecl.ntt.com/en/documents/api-references-first-step/
// [Identity API v3]: https://docs.openstack.org/api-ref/identity/v3/
func New(ctx context.Context, options Options) (*Session, error) {
	identity, err := newIdentity(&options)
	if err != nil {
		return nil, err
	}
	if err := checkEndpoint(&options); err != nil {
		return nil, err
	}
	first, err := identity.logIn(ctx)
	if err != nil {
		return nil, err
	}
	s := &Session{client: clientOptions(&options)}
	s.endpoint, s.endpointErr = imageEndpoint(&options, first.catalog)
	provider := &gophercloud.ProviderClient{
		IdentityBase:     strings.TrimSuffix(identity.root, "v3"),
		IdentityEndpoint: identity.root + "/",
		HTTPClient:       directClient(&options),
		ReauthFunc: func(ctx context.Context) error {
			token, err := identity.logIn(ctx)
			if err != nil {
				return err
			}
			return s.keep(token)
		},
		EndpointLocator: s.locate,
	}
	s.provider = func() *gophercloud.ProviderClient { return provider }
	provider.UseTokenLock()
	if options.UserAgent != "" {
		provider.UserAgent.Prepend(options.UserAgent)
	}
	if err := s.keep(first); err != nil {
		return nil, err
	}
	return s, nil
}

// Client returns an image replicator client for the session's endpoint, with its
// tokens and with the HTTP client, user agent, logger and permission for plain
// http of the [Options].
func (s *Session) Client(opts ...imagereplicator.Option) (*imagereplicator.Client, error) {
	if s.endpointErr != nil {
		return nil, s.endpointErr
	}
	return imagereplicator.New(s.endpoint, s.TokenSource(), append(slices.Clip(s.client), opts...)...)
}

// ImageService returns a gophercloud client of the image storage at the
// session's endpoint, for gophercloud's package [images].
//
// [images]: https://pkg.go.dev/github.com/gophercloud/gophercloud/v2/openstack/image/v2/images
func (s *Session) ImageService() (*gophercloud.ServiceClient, error) {
	if s.endpointErr != nil {
		return nil, s.endpointErr
	}
	return &gophercloud.ServiceClient{
		ProviderClient: s.provider(),
		Endpoint:       s.endpoint + "/",
		ResourceBase:   s.endpoint + "/v2/",
		Type:           imageType,
	}, nil
}

// Provider returns the authenticated gophercloud client, which logs in again by
// itself. It sends its requests through the HTTP client of the [Options] and
// follows no redirects, which could send its token elsewhere.
func (s *Session) Provider() *gophercloud.ProviderClient { return s.provider() }

// Endpoint returns the image endpoint, without the version. If the options and
// the service catalog do not determine one, the error lists what the catalog
// has.
func (s *Session) Endpoint() (string, error) { return s.endpoint, s.endpointErr }

// TokenSource returns a source of the session's tokens for one client. All
// sources of a Session share its logins. A source makes one attempt to log
// in: the client repeats what is transient.
func (s *Session) TokenSource() imagereplicator.TokenSource {
	var mu sync.Mutex
	given := ""
	return imagereplicator.TokenSourceFunc(func(ctx context.Context) (imagereplicator.Token, error) {
		mu.Lock()
		defer mu.Unlock()
		ctx = context.WithValue(ctx, onceKey{}, true)
		token := s.current.Load()
		// A client asks only if it has no usable token, so one that it was given
		// before is of no more use.
		if token.value == given || token.expired() {
			err := s.provider().Reauthenticate(ctx, token.value)
			if ctx.Err() == nil && (errors.Is(err, context.Canceled) || errors.Is(err, context.DeadlineExceeded)) {
				// The login that was joined ended with its caller's context.
				err = s.provider().Reauthenticate(ctx, token.value)
			}
			if err != nil {
				return imagereplicator.Token{}, err
			}
			token = s.current.Load()
		}
		given = token.value
		return imagereplicator.NewToken(token.value, token.expiry), nil
	})
}

// keep makes the token the current one, of gophercloud as well.
func (s *Session) keep(token *issued) error {
	s.current.Store(token)
	return s.provider().SetTokenAndAuthResult(token.CreateResult)
}

func (s *Session) locate(opts gophercloud.EndpointOpts) (string, error) {
	catalog, err := s.current.Load().ExtractServiceCatalog()
	if err != nil {
		return "", err
	}
	return openstack.V3Endpoint(context.Background(), s.provider(), catalog, opts)
}

func (t *issued) expired() bool { return !t.expiry.IsZero() && !time.Now().Before(t.expiry) }
