package keystone

import (
	"errors"
	"fmt"
	"log/slog"
	"net/http"
	"slices"
	"strings"

	"github.com/gophercloud/gophercloud/v2"

	"github.com/imagejobs/imagejobs-go/imagereplicator"
)

const pkg = "keystone"

// defaultDomain is the id of the domain that a Keystone has from the start.
const defaultDomain = "default"

// Options say where Keystone is, how to log in and which endpoint to use.
type Options struct {
	// AuthURL is the address of Keystone, such as
	// https://keystone-jp1-ecl.api.ntt.com/v3. The version, 3, may be left out.
	// Required, unless the credentials have it.
	AuthURL string
	// Credentials are what to log in with: [APIKey], [ApplicationCredential],
	// [Token] or [AuthOptions]. Required.
	Credentials Credentials
	// TenantID is the tenant to copy from. It is required with an API key. An
	// application credential belongs to a tenant, and a token has one already.
	TenantID string

	// Region selects the image endpoint in the service catalog. It may be empty
	// if the catalog has only one.
	Region string
	// Interface is the kind of that endpoint: "public", which is the default,
	// "internal" or "admin".
	Interface string
	// Endpoint is the image endpoint to use instead of the one in the catalog,
	// with or without the version.
	Endpoint string

	// HTTPClient sends all requests of the [Session] through its Transport; nil
	// uses a default pooled transport. It is copied, and redirects are not
	// followed. [FromEnv] and [FromCloud] set it if certificates or their
	// verification are configured.
	HTTPClient *http.Client
	// UserAgent is put in front of the SDK's, as by
	// [imagereplicator.WithUserAgent].
	UserAgent string
	// Logger logs each request at debug level, as by
	// [imagereplicator.WithLogger].
	Logger *slog.Logger
	// InsecureHTTP permits plain http to hosts that are not loopback addresses.
	InsecureHTTP bool
}

func invalid(field, format string, args ...any) error {
	return &imagereplicator.ArgumentError{Field: pkg + "." + field, Problem: fmt.Sprintf(format, args...)}
}

// authOptions returns what gophercloud needs.
func authOptions(o *Options) (gophercloud.AuthOptions, error) {
	auth, err := o.Credentials.get()
	if err != nil {
		return auth, err
	}
	if url := trimmed(o.AuthURL); url != "" {
		auth.IdentityEndpoint = url
	}
	if auth.IdentityEndpoint == "" {
		return auth, invalid("Options.AuthURL", "must not be empty")
	}
	if id := trimmed(o.TenantID); id != "" {
		auth.TenantID, auth.TenantName, auth.Scope = id, "", nil
	}
	if auth.Scope != nil {
		scope := *auth.Scope // gophercloud fills it in
		auth.Scope = &scope
	}
	if auth.Username != "" && auth.DomainID == "" && auth.DomainName == "" {
		auth.DomainID = defaultDomain
	}
	return auth, nil
}

// The ways to log in, as auth types name them.
const (
	byPassword    = "password"
	byToken       = "token"
	byApplication = "v3applicationcredential"
)

// waysOf returns those that auth has the secrets for.
func waysOf(auth *gophercloud.AuthOptions) (ways []string) {
	if auth.Password != "" || auth.Passcode != "" {
		ways = append(ways, byPassword)
	}
	if auth.TokenID != "" {
		ways = append(ways, byToken)
	}
	if auth.ApplicationCredentialID != "" || auth.ApplicationCredentialName != "" {
		ways = append(ways, byApplication)
	}
	return ways
}

// checkAuthType finds an auth type that is left over from other credentials.
func checkAuthType(field, authType string, auth *gophercloud.AuthOptions) error {
	var way string
	switch strings.ToLower(strings.TrimSpace(authType)) {
	case "":
		return nil
	case byPassword, "v2password", "v3password", "totp", "v3totp", "multifactor", "v3multifactor":
		way = byPassword
	case byToken, "v2token", "v3token":
		way = byToken
	case byApplication, "applicationcredential":
		way = byApplication
	default:
		return invalid(field, "must be %s, %s or %s, not %q", byPassword, byToken, byApplication, authType)
	}
	if ways := waysOf(auth); len(ways) > 0 && !slices.Contains(ways, way) {
		return invalid(field, "must not be %q: the credentials are for %s", authType, ways[0])
	}
	return nil
}

// renamed returns the error of another field for the one that a user knows.
func renamed(err error, field string) error {
	if e, ok := errors.AsType[*imagereplicator.ArgumentError](err); ok {
		return invalid(field, "%s", e.Problem)
	}
	return err
}
