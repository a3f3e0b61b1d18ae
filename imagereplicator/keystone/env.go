package keystone

import (
	"cmp"
	"os"
	"strings"

	"github.com/gophercloud/gophercloud/v2"
)

// FromEnv returns the options in the environment. If OS_CLOUD is set, they are
// those of that cloud, see [FromCloud]; otherwise those of the variables that
// an openrc file sets. OS_AUTH_URL is required, and one way to log in:
//
//   - OS_USERNAME or OS_USER_ID (also OS_USERID) with OS_PASSWORD;
//   - OS_TOKEN;
//   - OS_APPLICATION_CREDENTIAL_ID with OS_APPLICATION_CREDENTIAL_SECRET, or
//     OS_APPLICATION_CREDENTIAL_NAME with the secret and the user.
//
// OS_AUTH_TYPE is optional and must agree with the credentials.
//
// The project is OS_PROJECT_ID or OS_PROJECT_NAME (or the older OS_TENANT_…), or
// else Options.TenantID. The domain of the user is OS_USER_DOMAIN_ID or
// OS_USER_DOMAIN_NAME, that of the project OS_PROJECT_DOMAIN_ID or
// OS_PROJECT_DOMAIN_NAME. If either is not set, it is OS_DOMAIN_ID,
// OS_DOMAIN_NAME, the id OS_DEFAULT_DOMAIN or the id "default", in this order. An
// id takes precedence over a name.
//
// The endpoint is that of OS_REGION_NAME and OS_INTERFACE (or OS_ENDPOINT_TYPE),
// or OS_IMAGE_ENDPOINT_OVERRIDE. OS_CACERT, OS_CERT, OS_KEY and OS_INSECURE
// configure TLS and set Options.HTTPClient.
//
// Every error is an [*imagereplicator.ArgumentError] that names the variable
// that is missing or contradicts another.
func FromEnv() (Options, error) {
	if name := env("OS_CLOUD"); name != "" {
		return FromCloud(name)
	}
	auth := gophercloud.AuthOptions{
		IdentityEndpoint:            env("OS_AUTH_URL"),
		UserID:                      cmp.Or(env("OS_USER_ID"), env("OS_USERID")),
		Username:                    env("OS_USERNAME"),
		Password:                    secretEnv("OS_PASSWORD"),
		Passcode:                    secretEnv("OS_PASSCODE"),
		TokenID:                     secretEnv("OS_TOKEN"),
		ApplicationCredentialID:     env("OS_APPLICATION_CREDENTIAL_ID"),
		ApplicationCredentialName:   env("OS_APPLICATION_CREDENTIAL_NAME"),
		ApplicationCredentialSecret: secretEnv("OS_APPLICATION_CREDENTIAL_SECRET"),
		TenantID:                    cmp.Or(env("OS_PROJECT_ID"), env("OS_TENANT_ID")),
		TenantName:                  cmp.Or(env("OS_PROJECT_NAME"), env("OS_TENANT_NAME")),
	}
	if err := checkEnv(&auth); err != nil {
		return Options{}, err
	}
	if err := checkAuthType("FromEnv: OS_AUTH_TYPE", env("OS_AUTH_TYPE"), &auth); err != nil {
		return Options{}, err
	}
	auth.DomainID, auth.DomainName = domainFromEnv("USER")
	switch {
	case env("OS_SYSTEM_SCOPE") == "all":
		auth.Scope = &gophercloud.AuthScope{System: true}
	case auth.TenantID == "" && auth.TenantName != "":
		// The project's domain is in the scope alone: AuthOptions has the user's.
		auth.Scope = &gophercloud.AuthScope{ProjectName: auth.TenantName}
		auth.Scope.DomainID, auth.Scope.DomainName = domainFromEnv("PROJECT")
	}
	kind, err := interfaceOf(cmp.Or(env("OS_INTERFACE"), env("OS_ENDPOINT_TYPE")))
	if err != nil {
		return Options{}, renamed(err, "FromEnv: OS_INTERFACE")
	}
	client, err := clientFromEnv()
	if err != nil {
		return Options{}, err
	}
	return Options{
		AuthURL:     auth.IdentityEndpoint,
		Credentials: AuthOptions(normalized(auth)),
		Region:      env("OS_REGION_NAME"),
		Interface:   kind,
		Endpoint:    env("OS_IMAGE_ENDPOINT_OVERRIDE"),
		HTTPClient:  client,
	}, nil
}

// env returns the variable without the space around it, which no name or address
// has.
func env(name string) string { return strings.TrimSpace(os.Getenv(name)) }

// secretEnv returns the variable without the line ends that a file brings along.
func secretEnv(name string) string { return strings.Trim(os.Getenv(name), "\r\n") }

// checkEnv finds the variables without which there is no login.
func checkEnv(auth *gophercloud.AuthOptions) error {
	invalid := func(name, problem string) error { return invalid("FromEnv: "+name, "%s", problem) }
	user := auth.UserID != "" || auth.Username != ""
	password := auth.Password != "" || auth.Passcode != ""
	credential := auth.ApplicationCredentialID != "" || auth.ApplicationCredentialName != ""
	const together = "must not be set together with OS_APPLICATION_CREDENTIAL_ID or _NAME"
	switch {
	case auth.IdentityEndpoint == "":
		return invalid("OS_AUTH_URL", "must not be empty")
	case credential && auth.ApplicationCredentialSecret == "":
		return invalid("OS_APPLICATION_CREDENTIAL_SECRET", "must not be empty with an application credential")
	case !credential && auth.ApplicationCredentialSecret != "":
		return invalid("OS_APPLICATION_CREDENTIAL_ID", "must not be empty with an application credential's secret")
	case auth.TokenID != "" && credential:
		return invalid("OS_TOKEN", together)
	case auth.TokenID != "" && password:
		return invalid("OS_TOKEN", "must not be set together with OS_PASSWORD")
	case password && credential:
		return invalid("OS_PASSWORD", together)
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

// domainFromEnv returns the domain of USER or PROJECT, as an id or a name, or
// nothing if no variable has it.
func domainFromEnv(of string) (id, name string) {
	for _, prefix := range []string{"OS_" + of + "_DOMAIN_", "OS_DOMAIN_"} {
		if id := env(prefix + "ID"); id != "" {
			return id, ""
		}
		if name := env(prefix + "NAME"); name != "" {
			return "", name
		}
	}
	return env("OS_DEFAULT_DOMAIN"), ""
}

// normalized returns auth with one of each, as gophercloud wants it: of an id and
// a name the id, and no user beside an id or a token, whose own it is. A
// project's name gets a domain.
func normalized(auth gophercloud.AuthOptions) gophercloud.AuthOptions {
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
