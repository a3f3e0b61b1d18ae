package oraclemarket

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"net/url"
	"strings"
	"time"

	"github.com/imagejobs/imagejobs-go/internal/auth"
	"github.com/imagejobs/imagejobs-go/internal/lenient"
	"github.com/imagejobs/imagejobs-go/internal/transport"
)

// Token is an access token. It prints as REDACTED, whatever the verb.
type Token struct {
	// Value goes out as "Authorization: Bearer <Value>".
	Value string
	// Expiry is when the token ends; zero when that is not known.
	Expiry time.Time
}

// Format implements fmt.Formatter, so that no verb shows the value.
func (t Token) Format(f fmt.State, _ rune) { _, _ = io.WriteString(f, auth.Redacted) }

// LogValue implements slog.LogValuer.
func (t Token) LogValue() slog.Value { return slog.StringValue(auth.Redacted) }

// MarshalJSON keeps the value out of JSON logs.
func (t Token) MarshalJSON() ([]byte, error) { return json.Marshal(auth.Redacted) }

// TokenSource gives a new token each time it is asked. The client caches what
// it gets: it asks again shortly before the expiry, one request at a time
// however many calls wait, and once when the service answers 401.
type TokenSource interface {
	Token(ctx context.Context) (Token, error)
}

// TokenSourceFunc makes a TokenSource of a function.
type TokenSourceFunc func(ctx context.Context) (Token, error)

// Token implements TokenSource.
func (f TokenSourceFunc) Token(ctx context.Context) (Token, error) { return f(ctx) }

// StaticToken is a token that was got elsewhere and does not change.
func StaticToken(value string) TokenSource {
	return TokenSourceFunc(func(context.Context) (Token, error) { return Token{Value: value}, nil })
}

func source(tokens TokenSource) auth.Source {
	return func(ctx context.Context) (string, time.Time, error) {
		t, err := tokens.Token(ctx)
		return t.Value, t.Expiry, err
	}
}

// binder is a TokenSource that asks the service itself and so needs the
// client's options: New binds it to them.
type binder interface {
	bind(transport.Config) (TokenSource, error)
}

// tokenRequest is a TokenSource before it is bound. The secrets stay in the
// closure, where no print of it can show them.
type tokenRequest func(transport.Config) (TokenSource, error)

func (r tokenRequest) bind(c transport.Config) (TokenSource, error) { return r(c) }

// Token implements TokenSource.
func (r tokenRequest) Token(context.Context) (Token, error) {
	return Token{}, transport.Invalid(pkg, "ClientCredentials", "give it to New, which knows where the service is")
}

// ClientCredentials gets tokens with a client id and secret key from
// GET /appstore/publisher/v1/authenticate of the API host itself. A token
// lives 7 days in the documented sample. Id and key come from the Marketplace
// administrator. Source: Oracle's cookbook for publishing Resource Manager
// listings.
func ClientCredentials(id, secret string) TokenSource {
	return tokenRequest(func(config transport.Config) (TokenSource, error) {
		if err := checkKeyPair("ClientCredentials", id, secret); err != nil {
			return nil, err
		}
		return newTokenClient(config, auth.Basic(id, secret), &transport.Call{
			Operation: "Authenticate",
			Method:    http.MethodGet,
			Path:      []string{"appstore", "publisher", "v1", "authenticate"},
			Header:    http.Header{"Cache-Control": {"no-cache"}},
			Repeat:    transport.Safe,
		})
	})
}

// OAMClientCredentials gets tokens from the older endpoint of Oracle Access
// Manager, as in https://login.us2.oraclecloud.com/oam/oauth2/tokens, where
// identityDomain is that of the Marketplace tenant (usoracle30650 in the
// documentation). The key pair goes to that host alone. Source: the publisher
// API's quick start.
func OAMClientCredentials(tokenURL, identityDomain, id, secret string) TokenSource {
	return tokenRequest(func(config transport.Config) (TokenSource, error) {
		const fn = "OAMClientCredentials"
		if err := checkKeyPair(fn, id, secret); err != nil {
			return nil, err
		}
		if identityDomain == "" {
			return nil, transport.Invalid(pkg, fn+": identityDomain", "must not be empty")
		}
		if err := transport.CheckHeader(pkg, fn+": identityDomain", identityDomain); err != nil {
			return nil, err
		}
		u, err := url.Parse(tokenURL)
		if err != nil || u.Host == "" || strings.Trim(u.Path, "/") == "" {
			return nil, transport.Invalid(pkg, fn+": tokenURL", "must be absolute, with a path")
		}
		path := strings.Split(strings.Trim(u.Path, "/"), "/")
		u.Path, u.RawPath = "", ""
		query := u.Query()
		u.RawQuery = ""
		if query.Get("grant_type") == "" {
			// Left out of the documented curl, sent by every known program.
			query.Set("grant_type", "client_credentials")
		}
		config.BaseURL, config.BaseURLName = u.String(), fn+": tokenURL"
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
		return transport.Invalid(pkg, fn+": id", "must not be empty")
	case strings.Contains(id, ":"):
		return transport.Invalid(pkg, fn+": id", "must not contain a colon, which ends it in Basic authentication")
	case secret == "":
		return transport.Invalid(pkg, fn+": secret", "must not be empty")
	}
	return nil
}

func newTokenClient(config transport.Config, credentials auth.Credentials, call *transport.Call) (TokenSource, error) {
	config.Credentials = credentials
	call.Secret = true
	client, err := transport.New(config)
	if err != nil {
		return nil, err
	}
	return TokenSourceFunc(func(ctx context.Context) (Token, error) {
		answer, _, err := transport.Do[tokenAnswer](ctx, client, call)
		if err != nil {
			return Token{}, err
		}
		token := Token{Value: answer.AccessToken}
		const forever = 1 << 32 // so that it fits a Duration
		if answer.ExpiresIn > 0 {
			token.Expiry = time.Now().Add(time.Duration(min(answer.ExpiresIn, forever)) * time.Second)
		}
		return token, nil
	}), nil
}

// tokenAnswer is what both token endpoints send; there is no refresh token.
type tokenAnswer struct {
	AccessToken string      `json:"access_token"`
	ExpiresIn   lenient.Int `json:"expires_in"` // seconds
}
