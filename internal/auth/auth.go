// Package auth puts credentials on requests: Basic for a fixed pair, Token for
// a bearer or X-Auth-Token that is cached, refreshed before it ends, and asked
// for again once when a service refuses it.
package auth

import (
	"context"
	"encoding/base64"
)

// Credentials are asked before each try of a request to the service's own
// origin.
type Credentials interface {
	// Grant is what the try is to carry.
	Grant(ctx context.Context) (Grant, error)
	// Renew is asked after a 401: is there something other than what was used
	// then? With true, one more try makes sense.
	Renew(ctx context.Context, used Grant) (bool, error)
}

// Grant is one header of a request, which proves who sends it.
type Grant struct {
	Header, Value string

	generation uint64
	secret     string
	extra      []string
}

// Secrets lists the values that no error or log may show.
func (g Grant) Secrets() []string { return append([]string{g.secret}, g.extra...) }

type basic struct{ grant Grant }

// Basic is HTTP Basic authentication with a pair that never changes.
func Basic(user, password string) Credentials {
	encoded := base64.StdEncoding.EncodeToString([]byte(user + ":" + password))
	return &basic{Grant{Header: "Authorization", Value: "Basic " + encoded, secret: password, extra: []string{encoded}}}
}

func (b *basic) Grant(context.Context) (Grant, error) { return b.grant, nil }

func (b *basic) Renew(context.Context, Grant) (bool, error) { return false, nil }

// Redacted stands where a secret would.
const Redacted = "REDACTED"
