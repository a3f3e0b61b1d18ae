package keystone

import (
	"context"
	"net/http"
	"strings"
	"time"

	"github.com/gophercloud/gophercloud/v2"
	"github.com/gophercloud/gophercloud/v2/openstack/identity/v3/tokens"

	"github.com/imagejobs/imagejobs-go/imagereplicator"
	"github.com/imagejobs/imagejobs-go/internal/decode"
	"github.com/imagejobs/imagejobs-go/internal/transport"
)

var decoder = decode.New()

// issued is a token as Keystone issued it.
type issued struct {
	tokens.CreateResult // as gophercloud needs it

	value   string
	expiry  time.Time // by our clock, zero for never
	catalog []service
}

// service is one of the service catalog.
type service struct {
	Type      string     `json:"type"`
	Endpoints []endpoint `json:"endpoints"`
}

type endpoint struct {
	Interface string `json:"interface"`
	Region    string `json:"region"`
	RegionID  string `json:"region_id"`
	URL       string `json:"url"`
}

// identity is a Keystone to log in at.
type identity struct {
	root string // of its API version 3
	// logIn requests a token. The secrets are in the closure, where no print of it
	// can show them.
	logIn func(context.Context) (*issued, error)
}

// onceKey is of contexts in which a login is one attempt, because who needs the
// token repeats it.
type onceKey struct{}

func newIdentity(options *Options) (*identity, error) {
	auth, err := authOptions(options)
	if err != nil {
		return nil, err
	}
	root, err := versioned(auth.IdentityEndpoint)
	if err != nil {
		return nil, err
	}
	client, err := transport.New(transport.Config{
		Package:      pkg,
		BaseURL:      root,
		BaseURLName:  "Options.AuthURL",
		InsecureName: "Options.InsecureHTTP",
		Decoder:      decoder,
		WrapError:    wrapError,
		Invalid:      func(field, problem string) error { return invalid(field, "%s", problem) },
		HTTPClient:   options.HTTPClient,
		UserAgent:    options.UserAgent,
		Logger:       options.Logger,
		InsecureHTTP: options.InsecureHTTP,
	})
	if err != nil {
		return nil, err
	}
	call, err := tokenCall(&auth)
	if err != nil {
		return nil, err
	}
	once := client.SingleAttempts()
	return &identity{root: client.BaseURL(), logIn: func(ctx context.Context) (*issued, error) {
		client := client
		if ctx.Value(onceKey{}) != nil {
			client = once
		}
		token, _, err := transport.Do(ctx, client, call, readToken)
		return token, err
	}}, nil
}

// tokenCall returns the request for a token. If auth is a token to use as it is,
// that asks Keystone about it.
func tokenCall(auth *gophercloud.AuthOptions) (*transport.Call, error) {
	call := &transport.Call{
		Operation: "Tokens.Create",
		Method:    http.MethodPost,
		Path:      []string{"auth", "tokens"},
		Repeat:    transport.Repeatable, // one token too many does no harm
		Secrets:   []string{auth.Password, auth.Passcode, auth.ApplicationCredentialSecret, auth.TokenID},
		Secret:    true,
		Login:     true,
	}
	scope, err := auth.ToTokenV3ScopeMap()
	if err != nil {
		return nil, invalid("Options.Credentials", "%v", err)
	}
	switch {
	case scope == nil && (auth.Password != "" || auth.Passcode != ""):
		return nil, invalid("Options.TenantID", "must not be empty: only a tenant's token comes with a service catalog (FromEnv reads it from OS_PROJECT_ID)")
	case scope == nil && auth.TokenID != "":
		call.Operation, call.Method, call.Repeat = "Tokens.Get", http.MethodGet, transport.Safe
		call.Header = http.Header{"X-Auth-Token": {auth.TokenID}, "X-Subject-Token": {auth.TokenID}}
	default:
		body, err := auth.ToTokenV3CreateMap(scope)
		if err != nil {
			return nil, invalid("Options.Credentials", "%v", err)
		}
		if call.Body, err = transport.JSONBody(body); err != nil {
			return nil, err
		}
	}
	return call, nil
}

// wrapError adds what a 404 means: it is also how Keystone refuses an
// application credential that it does not know.
func wrapError(e *transport.Error, said string) error {
	switch {
	case e.StatusCode != http.StatusNotFound:
	case strings.Contains(strings.ToLower(said), "application credential"):
		e.Hint = "this Keystone has no such application credential: check its id, whether it was deleted, and Options.AuthURL"
	default:
		e.Hint = "there is no Keystone at this address: check Options.AuthURL"
	}
	return (*imagereplicator.Error)(e)
}

// versioned returns the address of API version 3 at Keystone's address.
func versioned(authURL string) (string, error) {
	root := strings.TrimSuffix(strings.TrimRight(authURL, "/"), "/auth/tokens")
	if v := version.FindString(root); v != "" && v != "/v3" && !strings.HasPrefix(v, "/v3.") {
		return "", invalid("Options.AuthURL", "must be the address of Keystone or of its API version 3")
	}
	return unversioned(root) + "/v3", nil
}

func readToken(r *transport.Response) (*issued, error) {
	var body struct {
		Token *struct {
			ExpiresAt time.Time `json:"expires_at"` // null for never
			Catalog   []service `json:"catalog"`
		} `json:"token"`
	}
	if err := r.JSON(&body); err != nil {
		return nil, err
	}
	token := &issued{value: r.Header.Get("X-Subject-Token")}
	if token.value == "" || body.Token == nil {
		return nil, r.Malformed("it has no X-Subject-Token header or no token")
	}
	token.catalog, token.expiry = body.Token.Catalog, body.Token.ExpiresAt
	// Our clock may be wrong: the server's decides how long a token lives.
	if sent, err := http.ParseTime(r.Header.Get("Date")); err == nil && !token.expiry.IsZero() {
		token.expiry = time.Now().Add(token.expiry.Sub(sent))
	}
	token.Header = r.Header
	return token, r.JSON(&token.Body)
}
