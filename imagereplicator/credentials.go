package imagereplicator

import (
	"context"
	"sync"
	"time"

	"github.com/imagejobs/imagejobs-go/internal/auth"
	"github.com/imagejobs/imagejobs-go/internal/redact"
)

// Token is a Keystone token. Create it with [NewToken]. It never shows its
// value, however it is formatted or encoded.
type Token struct {
	value  redact.Secret
	expiry time.Time
}

// NewToken returns a token that is sent as X-Auth-Token. Surrounding white
// space is removed. A zero expiry means unknown; NTT's tokens expire after one
// hour.
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

// Provider is the authenticated OpenStack client of another library, such as
// the ProviderClient or a ServiceClient of gophercloud (v1 and v2) or eclcloud.
type Provider interface {
	// Token returns the current token, empty before the first login.
	Token() string
}

// ProviderTokens returns a [TokenSource] that yields the tokens of a program's
// existing OpenStack client. When the service rejects a token, that client logs
// in again with its Reauthenticate method. If it cannot, because it was created
// without AllowReauth, the rejected call fails. Call ProviderTokens once for
// each [Client].
func ProviderTokens(provider Provider) TokenSource {
	var mu sync.Mutex
	var given string
	return TokenSourceFunc(func(ctx context.Context) (Token, error) {
		if provider == nil {
			return Token{}, invalid("ProviderTokens: provider", "must not be nil")
		}
		mu.Lock()
		defer mu.Unlock()
		// The client asks only if it has no usable token, so one that it was
		// given before is one that was rejected.
		if current := provider.Token(); current == given {
			if err := reauthenticate(ctx, provider, given); err != nil {
				return Token{}, err
			}
		}
		given = provider.Token()
		return NewToken(given, time.Time{}), nil
	})
}

func reauthenticate(ctx context.Context, provider Provider, rejected string) error {
	switch p := provider.(type) {
	case interface {
		Reauthenticate(ctx context.Context, previousToken string) error
	}:
		return p.Reauthenticate(ctx, rejected)
	case interface {
		Reauthenticate(previousToken string) error // gophercloud v1, eclcloud
	}:
		return p.Reauthenticate(rejected)
	default:
		return nil
	}
}

func source(tokens TokenSource) auth.Source {
	return func(ctx context.Context) (string, time.Time, error) {
		t, err := tokens.Token(ctx)
		if err != nil {
			return "", time.Time{}, err
		}
		return t.value.Reveal(), t.expiry, nil
	}
}
