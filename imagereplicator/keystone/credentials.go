package keystone

import (
	"strings"

	"github.com/gophercloud/gophercloud/v2"
)

// Credentials are what a [Session] logs in with. Create them with [APIKey],
// [ApplicationCredential], [Token] or [AuthOptions]; the zero value is invalid.
// They never show a secret, however they are formatted or encoded.
type Credentials struct {
	// reveal is a func, so that nothing shows what is in it.
	reveal func() (gophercloud.AuthOptions, error)
}

func (c Credentials) get() (gophercloud.AuthOptions, error) {
	if c.reveal == nil {
		return gophercloud.AuthOptions{}, invalid("Options.Credentials", "must be set")
	}
	return c.reveal()
}

// APIKey returns the credentials of a user name and its password in the domain
// "default". At NTT they are the API key and API secret key of the customer
// portal. Surrounding line breaks are removed.
func APIKey(key, secret string) Credentials {
	key, secret = trimmed(key), trimmed(secret)
	return Credentials{func() (gophercloud.AuthOptions, error) {
		auth := gophercloud.AuthOptions{Username: key, Password: secret, DomainID: defaultDomain}
		switch {
		case key == "":
			return auth, invalid("APIKey: key", "must not be empty")
		case secret == "":
			return auth, invalid("APIKey: secret", "must not be empty")
		}
		return auth, nil
	}}
}

// ApplicationCredential returns the credentials of an application credential.
// Surrounding line breaks are removed.
func ApplicationCredential(id, secret string) Credentials {
	id, secret = trimmed(id), trimmed(secret)
	return Credentials{func() (gophercloud.AuthOptions, error) {
		auth := gophercloud.AuthOptions{ApplicationCredentialID: id, ApplicationCredentialSecret: secret}
		switch {
		case id == "":
			return auth, invalid("ApplicationCredential: id", "must not be empty")
		case secret == "":
			return auth, invalid("ApplicationCredential: secret", "must not be empty")
		}
		return auth, nil
	}}
}

// Token returns the credentials of an existing token. Without
// [Options].TenantID it is used as it is, once Keystone has said when it
// expires. With TenantID it is exchanged for a token of that tenant, which
// expires at the same time. Surrounding line breaks are removed.
func Token(value string) Credentials {
	value = trimmed(value)
	return Credentials{func() (gophercloud.AuthOptions, error) {
		auth := gophercloud.AuthOptions{TokenID: value}
		if value == "" {
			return auth, invalid("Token: value", "must not be empty")
		}
		return auth, nil
	}}
}

// AuthOptions returns any credentials of gophercloud: user ids, domains, tenant
// names, scopes and trusts, pass codes. DomainID and DomainName are the user's
// domain, "default" if there is none; Scope has the domain of a tenant that it
// names. [Options].AuthURL takes precedence over IdentityEndpoint, and
// [Options].TenantID over tenant and scope. Surrounding line breaks are removed.
func AuthOptions(auth gophercloud.AuthOptions) Credentials {
	for _, field := range []*string{
		&auth.IdentityEndpoint, &auth.UserID, &auth.Username, &auth.Password, &auth.Passcode, &auth.TokenID,
		&auth.ApplicationCredentialID, &auth.ApplicationCredentialName, &auth.ApplicationCredentialSecret,
		&auth.TenantID, &auth.TenantName, &auth.DomainID, &auth.DomainName,
	} {
		*field = trimmed(*field)
	}
	return Credentials{func() (gophercloud.AuthOptions, error) {
		err := checkCredentials(&auth)
		return auth, err
	}}
}

func trimmed(s string) string { return strings.Trim(s, "\r\n") }

// checkCredentials finds what is missing, and more than one way to log in, of
// which gophercloud would silently use one.
func checkCredentials(auth *gophercloud.AuthOptions) error {
	invalid := func(field, problem string) error { return invalid("AuthOptions: auth."+field, "%s", problem) }
	credential := auth.ApplicationCredentialID != "" || auth.ApplicationCredentialName != ""
	password := auth.Password != "" || auth.Passcode != ""
	user := auth.Username != "" || auth.UserID != ""
	switch {
	case user && !password && !credential && auth.TokenID == "":
		return invalid("Password", "must not be empty with a user")
	case auth.ApplicationCredentialSecret != "" && !credential:
		return invalid("ApplicationCredentialID", "must not be empty with an application credential's secret")
	case credential && auth.ApplicationCredentialSecret == "":
		return invalid("ApplicationCredentialSecret", "must not be empty with an application credential")
	case !credential && !password && auth.TokenID == "":
		return invalid("Password", "must not be empty: there is no application credential and no token either")
	case password && (credential || auth.TokenID != ""), credential && auth.TokenID != "":
		return invalid("Password", "must not be given together with an application credential or a token, nor these together")
	case password && !user:
		return invalid("Username", "must not be empty with a password")
	}
	return nil
}
