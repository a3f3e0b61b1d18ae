package oraclemarket

import (
	"context"
	"net/http"
	"net/url"
	"strings"
	"time"

	"github.com/imagejobs/imagejobs-go/internal/auth"
	"github.com/imagejobs/imagejobs-go/internal/redact"
	"github.com/imagejobs/imagejobs-go/internal/transport"
)

// Token is an access token. Create it with [NewToken]. It never shows its
// value, however it is formatted or encoded.
type Token struct {
	value  redact.Secret
	expiry time.Time
}

// NewToken returns a token that is sent as "Authorization: Bearer value".
// Surrounding white space is removed. A zero expiry means unknown.
func NewToken(value string, expiry time.Time) Token {
	return Token{redact.NewSecret(value), expiry}
}

// A TokenSource returns a new token on each call. The client caches the token.
// It asks for the next one shortly before the expiry, and once after a 401;
// concurrent calls share one request. When that fails, the calls that wait for
// it fail, and are repeated if [IsTransient] reports the error.
type TokenSource interface {
	Token(ctx context.Context) (Token, error)
}

// TokenSourceFunc is a function that implements [TokenSource].
type TokenSourceFunc func(ctx context.Context) (Token, error)

// Token implements [TokenSource].
func (f TokenSourceFunc) Token(ctx context.Context) (Token, error) { return f(ctx) }

// StaticToken returns a [TokenSource] that always yields value.
func StaticToken(value string) TokenSource {
	token := NewToken(value, time.Time{})
	return TokenSourceFunc(func(context.Context) (Token, error) { return token, nil })
}

func authSource(tokens TokenSource) auth.Source {
	return func(ctx context.Context) (string, time.Time, error) {
		t, err := tokens.Token(ctx)
		if err != nil {
			return "", time.Time{}, err
		}
		return t.value.Reveal(), t.expiry, nil
	}
}

// binder is a TokenSource that calls the service itself and so needs the
// client's options: New binds it to them.
type binder interface {
	bind(transport.Config) (TokenSource, error)
}

// tokenRequest is a TokenSource before it is bound. The secrets stay in the
// closure, where no print of it can show them.
type tokenRequest func(transport.Config) (TokenSource, error)

func (r tokenRequest) bind(c transport.Config) (TokenSource, error) { return r(c) }

// Token implements [TokenSource].
func (r tokenRequest) Token(context.Context) (Token, error) {
	return Token{}, invalid("ClientCredentials", "must be passed to New, which knows the base URL")
}

// ClientCredentials returns a [TokenSource] that exchanges a client id and
// secret key for tokens at the API host itself: GET
// /appstore/publisher/v1/authenticate. In the documented sample a token lives
// for 7 days. The Marketplace administrator issues the id and key.
//
// Source: [Cookbook for Publishing OCI Resource Manager Listings].
//
// [Cookbook for Publishing OCI Resource Manager Listings]: https://docs.oracle.com/en-us/iaas/Content/Marketplace/api-cookbook-oci-resource-manager-listings.htm
func ClientCredentials(id, secret string) TokenSource {
	id, secret = strings.TrimSpace(id), strings.TrimSpace(secret)
	return tokenRequest(func(config transport.Config) (TokenSource, error) {
		if err := checkKeyPair("ClientCredentials", id, secret); err != nil {
			return nil, err
		}
		return newTokenClient(config, auth.Basic(id, secret), &transport.Call{
			Operation: "Authenticate",
			Method:    http.MethodGet,
			Path:      []string{"appstore", "publisher", "v1", "authenticate"},
			Repeat:    transport.Safe,
		})
	})
}

// OAMClientCredentials returns a [TokenSource] that exchanges a client id and
// secret key for tokens at the older endpoint, Oracle Access Manager, such as
// https://login.us2.oraclecloud.com/oam/oauth2/tokens. The identity domain is
// that of the Marketplace tenant, usoracle30650 in the documentation. Id and
// key are sent only to the origin of tokenURL.
//
// Source: [Quick Start].
//
// [Quick Start]: https://docs.oracle.com/en/cloud/marketplace/partner-portal/rest-api-publisher/QuickStart.html
func OAMClientCredentials(tokenURL, identityDomain, id, secret string) TokenSource {
	id, secret = strings.TrimSpace(id), strings.TrimSpace(secret)
	return tokenRequest(func(config transport.Config) (TokenSource, error) {
		const fn = "OAMClientCredentials"
		if err := checkKeyPair(fn, id, secret); err != nil {
			return nil, err
		}
		if identityDomain == "" {
			return nil, invalid(fn+": identityDomain", "must not be empty")
		}
		if problem := transport.HeaderProblem(identityDomain); problem != "" {
			return nil, invalid(fn+": identityDomain", "%s", problem)
		}
		u, err := url.Parse(tokenURL)
		if err != nil || u.Host == "" || strings.Trim(u.Path, "/") == "" {
			return nil, invalid(fn+": tokenURL", "must be absolute, with a path")
		}
		path := strings.Split(strings.TrimSuffix(strings.TrimPrefix(u.Path, "/"), "/"), "/")
		for _, segment := range path {
			if problem := transport.IDProblem(segment); problem != "" {
				return nil, invalid(fn+": tokenURL", "each segment of its path %s", problem)
			}
		}
		if strings.Contains(strings.ToLower(u.RawPath), "%2f") {
			return nil, invalid(fn+": tokenURL", "must not have an encoded slash in its path")
		}
		query := u.Query()
		if query.Get("grant_type") == "" {
			// Left out of the documented curl, sent by every known program.
			query.Set("grant_type", "client_credentials")
		}
		u.Path, u.RawPath, u.RawQuery = "", "", ""
		config.HeaderURL = config.BaseURL
		config.BaseURL, config.BaseURLName = u.String(), fn+": tokenURL"
		config.Sent = nil // it is a service of its own
		return newTokenClient(config, auth.Basic(id, secret), &transport.Call{
			Operation: "OAMToken",
			Method:    http.MethodPost,
			Path:      path,
			Query:     query,
			Header:    http.Header{"X-User-Identity-Domain-Name": {identityDomain}},
			Body:      transport.BytesBody("application/x-www-form-urlencoded; charset=UTF-8", nil),
			Repeat:    transport.Repeatable,
		})
	})
}

func checkKeyPair(fn, id, secret string) error {
	switch {
	case id == "":
		return invalid(fn+": id", "must not be empty")
	case strings.Contains(id, ":"):
		return invalid(fn+": id", "must not contain a colon, which ends it in Basic authentication")
	case secret == "":
		return invalid(fn+": secret", "must not be empty")
	}
	return nil
}

func newTokenClient(config transport.Config, credentials auth.Credentials, call *transport.Call) (TokenSource, error) {
	config.Credentials = credentials
	call.Secret, call.Login = true, true
	client, err := transport.New(config)
	if err != nil {
		return nil, err
	}
	client = client.SingleAttempts() // who needs the token repeats it
	return TokenSourceFunc(func(ctx context.Context) (Token, error) {
		token, _, err := transport.Do(ctx, client, call, decodeToken)
		return token, err
	}), nil
}

// decodeToken reads what both token endpoints send. There is no refresh token.
func decodeToken(r *transport.Response) (Token, error) {
	var granted struct {
		AccessToken string `json:"access_token"`
		ExpiresIn   int64  `json:"expires_in"` // seconds
	}
	if err := r.JSON(&granted); err != nil {
		return Token{}, err
	}
	if strings.TrimSpace(granted.AccessToken) == "" {
		return Token{}, r.Malformed("it has no access_token")
	}
	var expiry time.Time
	const forever = 1 << 32 // so that it fits a Duration
	if granted.ExpiresIn > 0 {
		expiry = time.Now().Add(time.Duration(min(granted.ExpiresIn, forever)) * time.Second)
	}
	return NewToken(granted.AccessToken, expiry), nil
}
