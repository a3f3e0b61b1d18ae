// Package auth puts credentials on requests: Basic for a fixed pair, Token for
// a bearer or X-Auth-Token that is cached, refreshed before it ends, and asked
// for again once when a service refuses it.
package auth

import (
	"context"
	"encoding/base64"
	"net/http"
)

// Credentials are set on each try of a request to the service's own origin.
type Credentials interface {
	// Apply sets the credentials on h and tells which ones it used.
	Apply(ctx context.Context, h http.Header) (Grant, error)
	// Renew is asked after a 401: is there something other than what was used
	// then? With true, one more try makes sense.
	Renew(ctx context.Context, used Grant) (bool, error)
}

// Grant is what Apply used.
type Grant struct {
	generation uint64
	secret     string
	extra      []string
}

// Secrets lists the values that no error or log may show.
func (g Grant) Secrets() []string { return append([]string{g.secret}, g.extra...) }

type basic struct {
	header string
	grant  Grant
}

// Basic is HTTP Basic authentication with a pair that never changes.
func Basic(user, password string) Credentials {
	encoded := base64.StdEncoding.EncodeToString([]byte(user + ":" + password))
	return &basic{header: "Basic " + encoded, grant: Grant{secret: password, extra: []string{encoded}}}
}

func (b *basic) Apply(_ context.Context, h http.Header) (Grant, error) {
	h.Set("Authorization", b.header)
	return b.grant, nil
}

func (b *basic) Renew(context.Context, Grant) (bool, error) { return false, nil }

// Redacted stands where a secret would.
const Redacted = "REDACTED"
