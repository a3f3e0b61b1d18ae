package multiplay

import (
	"context"
	"strings"
	"time"

	"github.com/imagejobs/imagejobs-go/internal/auth"
	"github.com/imagejobs/imagejobs-go/internal/redact"
)

// Secret is a credential in a [Source]. Create it with [NewSecret]; the zero
// value is no credential. It prints and encodes as REDACTED, alone or inside
// another value.
type Secret struct{ hidden }

// hidden has the methods that formatters and encoders call.
type hidden = redact.Secret

// NewSecret returns a Secret that holds value as it is, not percent-encoded.
func NewSecret(value string) Secret { return Secret{redact.NewSecret(value)} }

// Equal reports whether s and other hold the same value.
func (s Secret) Equal(other Secret) bool { return s.hidden.Equal(other.hidden) }

// Credentials authenticate a [Client], to Clanforge or to its successor. Create
// them with [AccessKey] or [BearerToken]; the zero value is invalid.
type Credentials struct {
	// apply is a func, so that nothing shows what is in it.
	apply func(*config) error
}

// AccessKey returns the credentials of Clanforge: an account service (the ASID,
// sent as accountserviceid) and a pair of keys that has access to it, from the
// page "Auth Keys" of the Clanforge panel. They are sent as Basic
// authentication, to [DefaultBaseURL] unless [WithBaseURL] sets another.
// Surrounding white space is removed.
//
// Source: [Authentication].
//
// [Authentication]: https://docs.unity.com/en-us/clanforge/api/topics/authentication
func AccessKey(accountServiceID int64, accessKey, secretKey string) Credentials {
	accessKey, secretKey = strings.TrimSpace(accessKey), strings.TrimSpace(secretKey)
	return Credentials{func(c *config) error {
		switch {
		case accountServiceID <= 0:
			return invalid("AccessKey: accountServiceID", "must be positive")
		case accessKey == "":
			return invalid("AccessKey: accessKey", "must not be empty")
		case strings.Contains(accessKey, ":"):
			return invalid("AccessKey: accessKey", "must not contain a colon, which ends it in Basic authentication")
		case secretKey == "":
			return invalid("AccessKey: secretKey", "must not be empty")
		}
		c.BaseURL, c.Credentials = DefaultBaseURL, auth.Basic(accessKey, secretKey)
		c.account, c.project = account{accountServiceID}, accountServiceID
		return nil
	}}
}

// BearerToken returns the credentials of Clanforge's successor: a token, which
// implies the account service. It is sent to [SuccessorBaseURL] unless
// [WithBaseURL] sets another. Rollouts need [WithAccountServiceID] as well.
func BearerToken(source TokenSource) Credentials {
	return Credentials{func(c *config) error {
		if source == nil {
			return invalid("BearerToken: source", "must not be nil")
		}
		c.BaseURL, c.Credentials = SuccessorBaseURL, auth.Token(authSource(source), "Authorization", "Bearer ")
		return nil
	}}
}

// Token is a bearer token. Create it with [NewToken]. It never shows its value,
// however it is formatted or encoded.
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
