package keystone

import (
	"context"
	"fmt"
	"log/slog"
	"net/http"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/gophercloud/gophercloud/v2"
	"github.com/gophercloud/gophercloud/v2/openstack"
	"github.com/gophercloud/gophercloud/v2/openstack/identity/v3/tokens"

	"github.com/imagejobs/imagejobs-go/imagereplicator"
	"github.com/imagejobs/imagejobs-go/internal/lenient"
	"github.com/imagejobs/imagejobs-go/internal/transport"
)

const pkg = "keystone"

// defaultDomain is the id of the domain that a Keystone has from the start.
const defaultDomain = "default"

// Options say where Keystone is and how to log in: with an API key and secret,
// with an application credential, with a token, or with whatever else Auth
// holds. They print as REDACTED, whatever the verb.
type Options struct {
	// AuthURL is the address of Keystone, as in
	// https://keystone-jp1-ecl.api.ntt.com/v3; the version may be left out, the
	// API version used is 3. Secrets go to this host alone. Required.
	AuthURL string

	// APIKey and APISecret are user name and password. At NTT they are the API
	// key and API secret key of the customer portal, in the domain "default",
	// which is the one taken unless Auth names another.
	APIKey    string
	APISecret string
	// TenantID is the tenant to copy from. It is required with an API key; an
	// application credential belongs to a tenant, and a token has one already.
	TenantID string

	// ApplicationCredentialID and ApplicationCredentialSecret log in instead of
	// an API key.
	ApplicationCredentialID     string
	ApplicationCredentialSecret string

	// Token is a token that was got elsewhere. Without TenantID it is used as
	// it is, after Keystone has told when it ends; with one it is exchanged for
	// a token of that tenant. Either ends when the first one ends.
	Token string

	// Region selects the image endpoint in the service catalog. It may be empty
	// where the catalog has one alone.
	Region string

	// Auth holds the rest of what gophercloud can log in with: user ids,
	// domains, tenant names, scopes and trusts, pass codes. Fields above that
	// are set go before it. Its DomainID and DomainName are the user's domain; a
	// tenant named in Scope has that of Scope, which may be another.
	Auth gophercloud.AuthOptions

	// HTTPClient sends the requests, through its transport; nil for a pooled
	// client of our own. It is copied, and redirects are not followed.
	HTTPClient *http.Client
	// UserAgent is put before the SDK's own, as WithUserAgent does.
	UserAgent string
	// Logger gets a debug record for each request; never a header, a body or a
	// secret.
	Logger *slog.Logger
	// InsecureHTTP permits plain http to hosts that are not loopback.
	InsecureHTTP bool
}

// New logs in and looks up the image storage in the service catalog. It
// returns what imagereplicator.New takes: the endpoint of service type image,
// interface public, and a TokenSource that begins with the token just got and
// logs in again each time it is asked for another.
//
// Bad options are errors that name the field and match
// imagereplicator.ErrInvalidArgument, before any request is sent. A refusal by
// Keystone is an *imagereplicator.Error that matches ErrUnauthorized and its
// like. Temporary failures are retried. No error holds a secret.
//
// Sources: NTT's "API references, first step"; the Identity API v3 reference
// of OpenStack.
func New(ctx context.Context, options Options) (tokens imagereplicator.TokenSource, endpoint string, err error) {
	login, err := newLogin(options)
	if err != nil {
		return nil, "", err
	}
	first, catalog, err := login(ctx)
	if err != nil {
		return nil, "", err
	}
	if endpoint, err = imageEndpoint(catalog, options.Region); err != nil {
		return nil, "", err
	}
	var mu sync.Mutex
	return imagereplicator.TokenSourceFunc(func(ctx context.Context) (imagereplicator.Token, error) {
		mu.Lock()
		token := first
		first = imagereplicator.Token{}
		mu.Unlock()
		if token.Value != "" && (token.Expiry.IsZero() || time.Now().Before(token.Expiry)) {
			return token, nil
		}
		token, _, err := login(ctx)
		return token, err
	}), endpoint, nil
}

// login asks Keystone for a token and the catalog that comes with it. The
// secrets are in the closure, where no print of it can show them.
type login func(context.Context) (imagereplicator.Token, *tokens.ServiceCatalog, error)

func newLogin(options Options) (login, error) {
	auth, err := options.auth()
	if err != nil {
		return nil, err
	}
	client, err := transport.New(transport.Config{
		Package:      pkg,
		BaseURL:      auth.IdentityEndpoint,
		BaseURLName:  "Options.AuthURL",
		WrapError:    func(e *transport.Error) error { return (*imagereplicator.Error)(e) },
		HTTPClient:   options.HTTPClient,
		UserAgent:    options.UserAgent,
		Logger:       options.Logger,
		InsecureHTTP: options.InsecureHTTP,
		InsecureName: "Options.InsecureHTTP",
	})
	if err != nil {
		return nil, err
	}
	bridge := &bridge{client: client, secrets: []string{
		auth.Password, auth.Passcode, auth.ApplicationCredentialSecret, auth.TokenID,
	}}
	// Only to see whether it puts the v3 API below the address given.
	provider, err := openstack.NewClient(client.BaseURL())
	if err != nil {
		return nil, transport.Invalid(pkg, "Options.AuthURL", "is not a URL")
	}
	if _, ok := bridge.segments(provider.IdentityBase + "v3/auth/tokens"); !ok {
		return nil, transport.Invalid(pkg, "Options.AuthURL", "must be the address of Keystone or of its API version 3")
	}
	return func(ctx context.Context) (imagereplicator.Token, *tokens.ServiceCatalog, error) {
		// A new provider each time: an old one would send its token along.
		provider, err := openstack.NewClient(client.BaseURL())
		if err != nil {
			return imagereplicator.Token{}, nil, err
		}
		provider.HTTPClient = http.Client{Transport: bridge}
		options := auth // gophercloud fills in its scope
		if err := openstack.AuthenticateV3(ctx, provider, &options, gophercloud.EndpointOpts{}); err != nil {
			return imagereplicator.Token{}, nil, bridge.clean(err)
		}
		return granted(provider.GetAuthResult())
	}, nil
}

// auth is what gophercloud gets: Auth with the plain fields put over it, and
// found to be enough for a log-in.
func (o Options) auth() (gophercloud.AuthOptions, error) {
	auth := o.Auth
	set := func(field *string, value string) {
		if value != "" {
			*field = value
		}
	}
	set(&auth.IdentityEndpoint, o.AuthURL)
	set(&auth.Username, o.APIKey)
	set(&auth.Password, o.APISecret)
	set(&auth.ApplicationCredentialID, o.ApplicationCredentialID)
	set(&auth.ApplicationCredentialSecret, o.ApplicationCredentialSecret)
	set(&auth.TokenID, o.Token)
	if o.TenantID != "" {
		auth.TenantID, auth.TenantName, auth.Scope = o.TenantID, "", nil
	}
	auth.AllowReauth = false // the client's own cache decides when

	invalid := func(field, format string, args ...any) (gophercloud.AuthOptions, error) {
		return gophercloud.AuthOptions{}, transport.Invalid(pkg, "Options."+field, format, args...)
	}
	credential := auth.ApplicationCredentialID != "" || auth.ApplicationCredentialName != ""
	password := auth.Password != "" || auth.Passcode != ""
	switch {
	case auth.IdentityEndpoint == "":
		return invalid("AuthURL", "must not be empty")
	case o.APIKey != "" && o.APISecret == "" && auth.Passcode == "" && !credential:
		return invalid("APISecret", "must not be empty with an API key")
	case o.ApplicationCredentialSecret != "" && !credential:
		return invalid("ApplicationCredentialID", "must not be empty with an application credential's secret")
	case credential && auth.ApplicationCredentialSecret == "":
		return invalid("ApplicationCredentialSecret", "must not be empty with an application credential")
	case !credential && !password && auth.TokenID == "":
		return invalid("APIKey", "must not be empty: there is no application credential and no token either")
	case password && (credential || auth.TokenID != ""), credential && auth.TokenID != "":
		// gophercloud would take one of them without a word.
		return invalid("APIKey", "must not be given together with an application credential or a token, nor these together")
	case password && auth.Username == "" && auth.UserID == "":
		return invalid("APIKey", "must not be empty with an API secret")
	}
	if auth.Username != "" && auth.DomainID == "" && auth.DomainName == "" {
		auth.DomainID = defaultDomain
	}
	scope, err := auth.ToTokenV3ScopeMap()
	if err != nil {
		return invalid("Auth", "%v", err)
	}
	if scope == nil && password {
		return invalid("TenantID", "must not be empty: only a tenant's token comes with a service catalog (FromEnv takes it from OS_PROJECT_ID)")
	}
	if auth.TokenID == "" || scope != nil {
		if _, err := auth.ToTokenV3CreateMap(scope); err != nil {
			return invalid("Auth", "%v", err)
		}
	}
	return auth, nil
}

// granted is the token and the catalog in what Keystone answered.
func granted(answer gophercloud.AuthResult) (imagereplicator.Token, *tokens.ServiceCatalog, error) {
	token := imagereplicator.Token{}
	result, ok := answer.(interface {
		ExtractTokenID() (string, error)
		ExtractInto(v any) error
		ExtractServiceCatalog() (*tokens.ServiceCatalog, error)
	})
	if !ok {
		return token, nil, fmt.Errorf("%s: the answer of Keystone has no token", pkg)
	}
	value, err := result.ExtractTokenID()
	if err != nil || value == "" {
		return token, nil, fmt.Errorf("%s: the answer of Keystone has no X-Subject-Token header", pkg)
	}
	var ends struct {
		ExpiresAt lenient.Time `json:"expires_at"` // null for never
	}
	catalog, err := result.ExtractServiceCatalog()
	if err == nil {
		err = result.ExtractInto(&ends)
	}
	if err != nil {
		return token, nil, fmt.Errorf("%s: the answer of Keystone describes no token: %w", pkg, err)
	}
	token.Value, token.Expiry = value, ends.ExpiresAt.Time
	return token, catalog, nil
}

// imageEndpoint is the one public endpoint of the image service in the region.
// gophercloud's own search takes the first of several and does not say which
// there are.
func imageEndpoint(catalog *tokens.ServiceCatalog, region string) (string, error) {
	var found, regions []string
	for _, service := range catalog.Entries {
		if service.Type != "image" {
			continue
		}
		for _, e := range service.Endpoints {
			if e.Interface != "public" {
				continue
			}
			regions = append(regions, e.Region)
			if region == "" || region == e.Region || region == e.RegionID {
				found = append(found, strings.TrimRight(e.URL, "/"))
			}
		}
	}
	slices.Sort(found)
	found = slices.Compact(found)
	slices.Sort(regions)
	have := strings.Join(slices.Compact(regions), ", ")
	switch {
	case len(found) == 1:
		return found[0], nil
	case len(regions) == 0:
		return "", fmt.Errorf("%s: the service catalog has no public endpoint of type image for this tenant", pkg)
	case len(found) == 0:
		return "", transport.Invalid(pkg, "Options.Region", "the service catalog has no image endpoint in %q, only in: %s", region, have)
	case region == "":
		return "", transport.Invalid(pkg, "Options.Region", "must not be empty: the service catalog has image endpoints in: %s", have)
	default:
		return "", fmt.Errorf("%s: the service catalog has several image endpoints in %q: %s", pkg, region, strings.Join(found, ", "))
	}
}
