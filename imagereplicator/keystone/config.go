package keystone

import (
	"cmp"
	"encoding/json"
	"fmt"
	"io"
	"log/slog"
	"os"

	"github.com/gophercloud/gophercloud/v2"

	"github.com/imagejobs/imagejobs-go/internal/auth"
	"github.com/imagejobs/imagejobs-go/internal/transport"
)

// FromEnv are the options that the environment gives: with OS_CLOUD those of
// that cloud, as FromCloud; without it those of the variables that an openrc
// file sets. OS_AUTH_URL is required, and one way to log in:
//
//   - OS_USERNAME or OS_USER_ID (also OS_USERID) with OS_PASSWORD;
//   - OS_TOKEN;
//   - OS_APPLICATION_CREDENTIAL_ID with OS_APPLICATION_CREDENTIAL_SECRET, or
//     OS_APPLICATION_CREDENTIAL_NAME with that and the user.
//
// The project is OS_PROJECT_ID or OS_PROJECT_NAME (or the older OS_TENANT_…);
// it may be left to TenantID. The domain of the user is OS_USER_DOMAIN_ID or
// OS_USER_DOMAIN_NAME, that of the project OS_PROJECT_DOMAIN_ID or
// OS_PROJECT_DOMAIN_NAME. For either that is not set it is OS_DOMAIN_ID,
// OS_DOMAIN_NAME, the id OS_DEFAULT_DOMAIN or the id "default", in this order.
// Where both are set, an id goes before a name. OS_REGION_NAME is the region.
//
// An error names the variable that is missing, or that contradicts another, and
// matches imagereplicator.ErrInvalidArgument.
func FromEnv() (Options, error) {
	if name := os.Getenv("OS_CLOUD"); name != "" {
		return FromCloud(name)
	}
	auth := gophercloud.AuthOptions{
		IdentityEndpoint:            os.Getenv("OS_AUTH_URL"),
		UserID:                      cmp.Or(os.Getenv("OS_USER_ID"), os.Getenv("OS_USERID")),
		Username:                    os.Getenv("OS_USERNAME"),
		Password:                    os.Getenv("OS_PASSWORD"),
		Passcode:                    os.Getenv("OS_PASSCODE"),
		TokenID:                     os.Getenv("OS_TOKEN"),
		ApplicationCredentialID:     os.Getenv("OS_APPLICATION_CREDENTIAL_ID"),
		ApplicationCredentialName:   os.Getenv("OS_APPLICATION_CREDENTIAL_NAME"),
		ApplicationCredentialSecret: os.Getenv("OS_APPLICATION_CREDENTIAL_SECRET"),
		TenantID:                    cmp.Or(os.Getenv("OS_PROJECT_ID"), os.Getenv("OS_TENANT_ID")),
		TenantName:                  cmp.Or(os.Getenv("OS_PROJECT_NAME"), os.Getenv("OS_TENANT_NAME")),
	}
	if err := checkEnv(&auth); err != nil {
		return Options{}, err
	}
	auth.DomainID, auth.DomainName = domainFromEnv("USER")
	switch {
	case os.Getenv("OS_SYSTEM_SCOPE") == "all":
		auth.Scope = &gophercloud.AuthScope{System: true}
	case auth.TenantID == "" && auth.TenantName != "":
		// The project's domain is in the scope alone: AuthOptions has the user's.
		auth.Scope = &gophercloud.AuthScope{ProjectName: auth.TenantName}
		auth.Scope.DomainID, auth.Scope.DomainName = domainFromEnv("PROJECT")
	}
	return Options{Auth: settled(auth), Region: os.Getenv("OS_REGION_NAME")}, nil
}

// checkEnv finds the variables without which there is no log-in.
func checkEnv(auth *gophercloud.AuthOptions) error {
	invalid := func(name, format string, args ...any) error {
		return transport.Invalid(pkg, "FromEnv: "+name, format, args...)
	}
	user := auth.UserID != "" || auth.Username != ""
	password := auth.Password != "" || auth.Passcode != ""
	credential := auth.ApplicationCredentialID != "" || auth.ApplicationCredentialName != ""
	const credentials = "OS_APPLICATION_CREDENTIAL_ID or _NAME"
	switch {
	case auth.IdentityEndpoint == "":
		return invalid("OS_AUTH_URL", "must not be empty")
	case credential && auth.ApplicationCredentialSecret == "":
		return invalid("OS_APPLICATION_CREDENTIAL_SECRET", "must not be empty with an application credential")
	case !credential && auth.ApplicationCredentialSecret != "":
		return invalid("OS_APPLICATION_CREDENTIAL_ID", "must not be empty with an application credential's secret")
	case auth.TokenID != "" && credential:
		return invalid("OS_TOKEN", "must not be set together with %s", credentials)
	case auth.TokenID != "" && password:
		return invalid("OS_TOKEN", "must not be set together with OS_PASSWORD")
	case password && credential:
		return invalid("OS_PASSWORD", "must not be set together with %s", credentials)
	case auth.TokenID != "" || auth.ApplicationCredentialID != "" || user && (password || credential):
		return nil
	case credential:
		return invalid("OS_USERNAME", "must not be empty with OS_APPLICATION_CREDENTIAL_NAME")
	case password:
		return invalid("OS_USERNAME", "must not be empty with OS_PASSWORD")
	case auth.UserID != "":
		return invalid("OS_PASSWORD", "must not be empty with OS_USER_ID")
	case user:
		return invalid("OS_PASSWORD", "must not be empty with OS_USERNAME")
	default:
		return invalid("OS_USERNAME", "must not be empty: there is no OS_TOKEN and no OS_APPLICATION_CREDENTIAL_ID either")
	}
}

// domainFromEnv is the domain of USER or PROJECT, as an id or a name; nothing
// where no variable says which.
func domainFromEnv(of string) (id, name string) {
	for _, prefix := range []string{"OS_" + of + "_DOMAIN_", "OS_DOMAIN_"} {
		if id := os.Getenv(prefix + "ID"); id != "" {
			return id, ""
		}
		if name := os.Getenv(prefix + "NAME"); name != "" {
			return "", name
		}
	}
	return os.Getenv("OS_DEFAULT_DOMAIN"), ""
}

// settled is auth with one of each, as gophercloud wants it: of an id and a name
// the id, and no user beside an id or a token, whose own it is. A project's name
// gets a domain.
func settled(auth gophercloud.AuthOptions) gophercloud.AuthOptions {
	if auth.TokenID != "" && auth.Password == "" && auth.Passcode == "" {
		auth.UserID, auth.Username, auth.DomainID, auth.DomainName = "", "", "", ""
	}
	if auth.UserID != "" {
		auth.Username, auth.DomainID, auth.DomainName = "", "", ""
	}
	if auth.DomainID != "" {
		auth.DomainName = ""
	}
	if scope := auth.Scope; scope != nil && scope.ProjectName != "" && scope.DomainID == "" && scope.DomainName == "" {
		scope.DomainID = defaultDomain
	}
	return auth
}

// Format implements fmt.Formatter, so that no verb shows a secret.
func (o Options) Format(f fmt.State, _ rune) { _, _ = io.WriteString(f, auth.Redacted) }

// LogValue implements slog.LogValuer.
func (o Options) LogValue() slog.Value { return slog.StringValue(auth.Redacted) }

// MarshalJSON keeps the secrets out of JSON logs.
func (o Options) MarshalJSON() ([]byte, error) { return json.Marshal(auth.Redacted) }
