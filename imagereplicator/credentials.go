package imagereplicator

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"log/slog"
	"sync"
	"time"

	"github.com/imagejobs/imagejobs-go/internal/auth"
	"github.com/imagejobs/imagejobs-go/internal/transport"
)

// Token is a Keystone token. It prints as REDACTED, whatever the verb.
type Token struct {
	// Value goes out as "X-Auth-Token: <Value>".
	Value string
	// Expiry is when the token ends; zero when that is not known. NTT's tokens
	// live one hour.
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

// Provider is a logged-in OpenStack client of another library: the
// ProviderClient or a ServiceClient of gophercloud (v1 and v2) or eclcloud.
type Provider interface {
	// Token is the current token, empty before the first login.
	Token() string
}

// ProviderTokens takes the tokens of a program's existing OpenStack client,
// and asks it to log in again, with its Reauthenticate, when the service
// refuses the one it has. A client that cannot do so (it was made without
// AllowReauth) keeps its token, and the refusal goes to the caller. Use one for
// each Client.
func ProviderTokens(provider Provider) TokenSource {
	var mu sync.Mutex
	var given string
	return TokenSourceFunc(func(ctx context.Context) (Token, error) {
		if provider == nil {
			return Token{}, transport.Invalid(pkg, "ProviderTokens: provider", "must not be nil")
		}
		mu.Lock()
		defer mu.Unlock()
		// The client asks only for want of a usable token, so one that it has
		// had already is one that was refused.
		if current := provider.Token(); current == given {
			if err := reauthenticate(ctx, provider, given); err != nil {
				return Token{}, err
			}
		}
		given = provider.Token()
		return Token{Value: given}, nil
	})
}

func reauthenticate(ctx context.Context, provider Provider, refused string) error {
	switch p := provider.(type) {
	case interface {
		Reauthenticate(ctx context.Context, previousToken string) error
	}:
		return p.Reauthenticate(ctx, refused)
	case interface {
		Reauthenticate(previousToken string) error // gophercloud v1, eclcloud
	}:
		return p.Reauthenticate(refused)
	default:
		return nil
	}
}

func source(tokens TokenSource) auth.Source {
	return func(ctx context.Context) (string, time.Time, error) {
		t, err := tokens.Token(ctx)
		return t.Value, t.Expiry, err
	}
}
