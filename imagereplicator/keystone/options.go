package keystone

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"slices"
	"strings"

	"github.com/gophercloud/gophercloud/v2"

	"github.com/imagejobs/imagejobs-go/imagereplicator"
	"github.com/imagejobs/imagejobs-go/internal/redact"
)

const pkg = "keystone"

// defaultDomain is the id of the domain that a Keystone has from the start.
const defaultDomain = "default"

// Options say where Keystone is, how to log in and which endpoint to use. Log
// in with an API key, an application credential, a token, or what Auth holds.
// Surrounding line breaks are removed. Options print as REDACTED with any verb.
type Options struct {
	// AuthURL is the address of Keystone, such as
	// https://keystone-jp1-ecl.api.ntt.com/v3. The version, 3, may be left out.
	// Required.
	AuthURL string

	// APIKey and APISecret are user name and password. At NTT they are the API
	// key and API secret key of the customer portal, in the domain "default". That
	// is the domain used unless Auth names another.
	APIKey    string
	APISecret string
	// TenantID is the tenant to copy from. It is required with an API key. An
	// application credential belongs to a tenant, and a token has one already.
	TenantID string

	// ApplicationCredentialID and ApplicationCredentialSecret log in instead of
	// an API key.
	ApplicationCredentialID     string
	ApplicationCredentialSecret string

	// Token is an existing token. Without TenantID it is used as it is, once
	// Keystone has said when it expires. With TenantID it is exchanged for a token
	// of that tenant, which expires at the same time.
	Token string

	// Region selects the image endpoint in the service catalog. It may be empty
	// if the catalog has only one.
	Region string
	// Interface is the kind of that endpoint: "public", which is the default,
	// "internal" or "admin".
	Interface string
	// Endpoint is the image endpoint to use instead of the one in the catalog,
	// with or without the version.
	Endpoint string

	// Auth holds any other credentials of gophercloud: user ids, domains, tenant
	// names, scopes and trusts, pass codes. The fields above take precedence. Its
	// DomainID and DomainName are the user's domain; Scope has the domain of a
	// tenant that it names.
	Auth gophercloud.AuthOptions

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

// Format implements [fmt.Formatter], so that no verb shows a secret.
func (o Options) Format(f fmt.State, _ rune) { _, _ = io.WriteString(f, redact.Redacted) }

// LogValue implements [slog.LogValuer].
func (o Options) LogValue() slog.Value { return slog.StringValue(redact.Redacted) }

// MarshalJSON implements [json.Marshaler] and keeps the secrets out of JSON logs.
func (o Options) MarshalJSON() ([]byte, error) { return json.Marshal(redact.Redacted) }

func invalid(field, format string, args ...any) error {
	return &imagereplicator.ArgumentError{Field: pkg + "." + field, Problem: fmt.Sprintf(format, args...)}
}

// authOptions returns what gophercloud needs: Auth with the other fields put over
// it, found to be enough to log in.
func authOptions(o *Options) (gophercloud.AuthOptions, error) {
	auth := o.Auth
	for field, value := range map[*string]string{
		&auth.IdentityEndpoint:            o.AuthURL,
		&auth.Username:                    o.APIKey,
		&auth.Password:                    o.APISecret,
		&auth.ApplicationCredentialID:     o.ApplicationCredentialID,
		&auth.ApplicationCredentialSecret: o.ApplicationCredentialSecret,
		&auth.TokenID:                     o.Token,
	} {
		if value != "" {
			*field = value
		}
	}
	if o.TenantID != "" {
		auth.TenantID, auth.TenantName, auth.Scope = o.TenantID, "", nil
	}
	if auth.Scope != nil {
		scope := *auth.Scope // gophercloud fills it in
		auth.Scope = &scope
	}
	for _, field := range []*string{
		&auth.IdentityEndpoint, &auth.UserID, &auth.Username, &auth.Password, &auth.Passcode, &auth.TokenID,
		&auth.ApplicationCredentialID, &auth.ApplicationCredentialName, &auth.ApplicationCredentialSecret,
		&auth.TenantID, &auth.TenantName, &auth.DomainID, &auth.DomainName,
	} {
		*field = strings.Trim(*field, "\r\n")
	}
	if err := checkCredentials(&auth); err != nil {
		return auth, err
	}
	if auth.Username != "" && auth.DomainID == "" && auth.DomainName == "" {
		auth.DomainID = defaultDomain
	}
	return auth, nil
}

// checkCredentials finds what is missing, and more than one way to log in, of
// which gophercloud would silently use one.
func checkCredentials(auth *gophercloud.AuthOptions) error {
	credential := auth.ApplicationCredentialID != "" || auth.ApplicationCredentialName != ""
	password := auth.Password != "" || auth.Passcode != ""
	user := auth.Username != "" || auth.UserID != ""
	switch {
	case auth.IdentityEndpoint == "":
		return invalid("Options.AuthURL", "must not be empty")
	case user && !password && !credential && auth.TokenID == "":
		return invalid("Options.APISecret", "must not be empty with an API key")
	case auth.ApplicationCredentialSecret != "" && !credential:
		return invalid("Options.ApplicationCredentialID", "must not be empty with an application credential's secret")
	case credential && auth.ApplicationCredentialSecret == "":
		return invalid("Options.ApplicationCredentialSecret", "must not be empty with an application credential")
	case !credential && !password && auth.TokenID == "":
		return invalid("Options.APIKey", "must not be empty: there is no application credential and no token either")
	case password && (credential || auth.TokenID != ""), credential && auth.TokenID != "":
		return invalid("Options.APIKey", "must not be given together with an application credential or a token, nor these together")
	case password && !user:
		return invalid("Options.APIKey", "must not be empty with an API secret")
	}
	return nil
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
