// Package outage has the one rule for riding out failures: from the first
// failure after a success, transient failures are borne for a limited time.
package outage

import (
	"context"
	"errors"
	"math/rand/v2"
	"time"

	"github.com/imagejobs/imagejobs-go/internal/transport"
)

const (
	// DefaultLimit is how long transient failures are ridden out.
	DefaultLimit = 5 * time.Minute
	// Lag is how long a service may respond as if it did not know, or no longer
	// showed, something that exists: its lists and replicas lag behind.
	Lag = 30 * time.Second
	// The pauses after failures grow from one to the other.
	minPause, maxPause = time.Second, 15 * time.Second
)

// Rule decides whether failed work continues. The zero value has the default
// limit and no failure yet.
type Rule struct {
	// Limit is how long transient failures are ridden out, 0 for DefaultLimit.
	Limit time.Duration

	began  time.Time     // of the outage, zero outside of one
	lagged time.Time     // of what looks like lag
	pause  time.Duration // the newest, without jitter
}

// Success ends an outage.
func (r *Rule) Success() { r.began, r.lagged, r.pause = time.Time{}, time.Time{}, 0 }

// Pause returns how long to wait after a failure, at least after. The first
// pauses are short however rare the work is done otherwise, and the later ones
// long however often, since a service that is down is better spared.
func (r *Rule) Pause(after time.Duration) time.Duration {
	r.pause = min(max(r.pause*3/2, minPause), maxPause)
	return WithJitter(r.pause, after, maxPause)
}

// WithJitter keeps many who wait from asking in step. The result is at least
// half the interval, and at least what the service asks for; up to half the
// interval is added, or half of what the service asks for, of which no more
// than the longest interval counts.
func WithJitter(interval, after, longest time.Duration) time.Duration {
	const forever = 1 << 60 // so that the sum is not too large
	after = min(after, forever)
	return max(interval/2, after) + rand.N(max(interval, min(after, longest))/2+1)
}

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
