// Package outage has the one rule for riding out failures: from the first
// failure after a success, transient failures are borne for a limited time.
package outage

import (
	"context"
	"errors"
	"time"

	"github.com/imagejobs/imagejobs-go/internal/transport"
)

const (
	// DefaultLimit is how long transient failures are ridden out.
	DefaultLimit = 5 * time.Minute
	// Lag is how long a service may respond as if it did not know, or no longer
	// showed, something that exists: its lists and replicas lag behind.
	Lag = 30 * time.Second
)

// Rule decides whether failed work continues. The zero value has the default
// limit and no failure yet.
type Rule struct {
	// Limit is how long transient failures are ridden out, 0 for DefaultLimit.
	Limit time.Duration

	began  time.Time // of the outage, zero outside of one
	lagged time.Time // of what looks like lag
}

// Success ends an outage.
func (r *Rule) Success() { r.began, r.lagged = time.Time{}, time.Time{} }

// Left returns for how much longer the work continues after err, and false if
// it ends. lagging means that err may come from a replica that lags.
func (r *Rule) Left(ctx context.Context, err error, lagging bool) (time.Duration, bool) {
	now := time.Now()
	var left time.Duration
	switch {
	case ctx.Err() != nil:
		return 0, false
	case transport.IsTransient(err):
		r.lagged = time.Time{}
		if r.began.IsZero() {
			r.began = now
		}
		left = r.Bound() - now.Sub(r.began)
	case lagging:
		if r.lagged.IsZero() {
			r.lagged = now
		}
		left = Lag - now.Sub(r.lagged)
	}
	return left, left > 0
}

// Bound returns the limit, which also bounds what a Retry-After can ask for.
func (r *Rule) Bound() time.Duration {
	if r.Limit > 0 {
		return r.Limit
	}
	return DefaultLimit
}

// Lagging reports whether err may come from a replica that does not know yet
// what exists: a 404, and where it was seen before also a 403 and a refusal in
// a 2xx.
func Lagging(err error, seen bool) bool {
	return errors.Is(err, transport.ErrNotFound) ||
		seen && (errors.Is(err, transport.ErrForbidden) || errors.Is(err, transport.ErrRefused))
}
