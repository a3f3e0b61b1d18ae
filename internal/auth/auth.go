// Package auth puts credentials on requests: Basic for a fixed pair, Token for
// a bearer or X-Auth-Token that is cached, refreshed before it ends, and
// requested anew once when a service rejects it.
package auth

import (
	"context"
	"encoding/base64"
)

// Credentials authenticate the attempts of requests to the service's own origin.
type Credentials interface {
	// Grant returns what an attempt is to carry.
	Grant(ctx context.Context) (Grant, error)
	// Renew reports, after a 401, whether there are other credentials than those
	// used then, so that another attempt makes sense.
	Renew(ctx context.Context, used Grant) (bool, error)
}

// Grant is the header of a request that proves who sends it.
type Grant struct {
	Header, Value string

	generation uint64
	secret     string
	extra      []string
}

// Secrets returns the values that no error or log may show.
func (g Grant) Secrets() []string { return append([]string{g.secret}, g.extra...) }

type basic struct{ grant Grant }

// Basic returns HTTP Basic authentication with a pair that never changes.
func Basic(user, password string) Credentials {
	encoded := base64.StdEncoding.EncodeToString([]byte(user + ":" + password))
	return &basic{Grant{Header: "Authorization", Value: "Basic " + encoded, secret: password, extra: []string{encoded}}}
}

func (b *basic) Grant(context.Context) (Grant, error) { return b.grant, nil }

func (b *basic) Renew(context.Context, Grant) (bool, error) { return false, nil }
