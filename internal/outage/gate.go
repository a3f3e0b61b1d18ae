package outage

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"sync"
	"time"

	"github.com/imagejobs/imagejobs-go/internal/transport"
)

const (
	// closedAfter is how many failures in a row close the gate.
	closedAfter = 2
	// The pause before the first probe, and the longest between two.
	minProbe, maxProbe = 500 * time.Millisecond, 30 * time.Second
	// minAlone is how often a request fails while others get through before it is
	// given up: an outage may have been in between.
	minAlone = 5
	// fullSpeed is how many requests in flight end the ramp after an outage.
	fullSpeed = 64
)

// Gate sends requests that many goroutines repeat, the chunks of uploads.
//
// In an outage one request probes for all, while the others wait. When it gets
// through, the number in flight doubles with each success. A service that
// limits requests, with 429 or with Retry-After, is sent about as many as get
// through from then on, and none for as long as it asks to wait. A request that
// fails while others get through pauses by itself, longer and longer, and has
// the limit for itself. Before the first failure a Gate costs nothing.
type Gate struct {
	limit time.Duration

	mu       sync.Mutex
	changed  chan struct{} // closed when those who wait should check again
	inFlight int
	allowed  int // in flight after an outage, 0 for any number
	failures int // in a row
	probing  bool
	probes   int       // failed in this outage
	began    time.Time // the first of the failures
	since    time.Time // what the limit counts from
	until    time.Time // nothing is sent before
	outages  int       // that ended by the limit
	last     error     // of the newest of them
	passed   int       // requests that got through
	pace     pace
}

// request is one that is repeated until it gets through.
type request struct {
	outages int // that had ended when it began
	sent    time.Time
	probe   bool

	failures int
	alone    int       // failures between which others got through
	since    time.Time // the first of these
	passed   int       // others, by the newest failure
}

// NewGate returns a gate that rides out an outage for limit, 0 for DefaultLimit.
func NewGate(limit time.Duration) *Gate {
	return &Gate{limit: (&Rule{Limit: limit}).Bound(), changed: make(chan struct{})}
}

// CountOther notes a request that does not go through the gate, and that a limit
// of the service may count.
func (g *Gate) CountOther() {
	g.mu.Lock()
	defer g.mu.Unlock()
	g.pace.countOther(time.Now())
}

// Do calls send, one attempt of a request, until it succeeds, fails for good, or
// the outage limit is reached. send returns how long the service asks to wait.
func (g *Gate) Do(ctx context.Context, send func(context.Context) (retryAfter time.Duration, err error)) error {
	r := &request{outages: g.ended()}
	var last error
	for {
		if err := g.enter(ctx, r); err != nil {
			return after(err, last)
		}
		final, pause, err := g.attempt(ctx, r, send)
		switch {
		case final:
			return err
		case g.ended() != r.outages, r.alone >= minAlone && time.Since(r.since) >= g.limit:
			return g.givenUp(err)
		}
		last = err
		if err := transport.Sleep(ctx, pause); err != nil {
			return after(err, last)
		}
	}
}

func (g *Gate) givenUp(err error) error {
	return fmt.Errorf("given up after %s without a success: %w", g.limit, err)
}

// after returns err with the failure that the waiting was for.
func after(err, last error) error {
	if last == nil || errors.Is(err, last) {
		return err
	}
	return fmt.Errorf("%w, after: %w", err, last)
}

func (g *Gate) attempt(ctx context.Context, r *request, send func(context.Context) (time.Duration, error)) (final bool, pause time.Duration, err error) {
	after, err := time.Duration(0), errUnwound
	defer func() { final, pause = g.leave(ctx, r, after, err) }()
	after, err = send(ctx)
	return final, pause, err
}

// errUnwound is the error of a send that panicked or called runtime.Goexit: the
// others must not wait for it.
var errUnwound = errors.New("the attempt did not return")

// enter waits until a request may be sent. It returns the failure of an outage
// that ended by the limit while it waited.
func (g *Gate) enter(ctx context.Context, r *request) error {
	g.mu.Lock()
	defer g.mu.Unlock()
	for {
		if g.outages != r.outages {
			return g.givenUp(g.last)
		}
		now := time.Now()
		wait, closed := g.until.Sub(now), g.failures >= closedAfter
		if wait <= 0 {
			switch {
			case closed && g.probing, g.allowed > 0 && g.inFlight >= g.allowed:
				wait = -1
			default:
				wait = g.pace.wait(now)
			}
		}
		if wait == 0 {
			g.inFlight++
			g.probing = closed
			r.sent, r.probe = now, closed
			return nil
		}
		if err := g.wait(ctx, wait); err != nil {
			return err
		}
	}
}

// wait releases the lock until something changes, at most d if it is positive.
func (g *Gate) wait(ctx context.Context, d time.Duration) error {
	changed := g.changed
	g.mu.Unlock()
	defer g.mu.Lock()
	var timeout <-chan time.Time
	if d > 0 {
		timer := time.NewTimer(d)
		defer timer.Stop()
		timeout = timer.C
	}
	select {
	case <-changed:
	case <-timeout:
	case <-ctx.Done():
		return transport.ContextErr(ctx)
	}
	return nil
}

// leave records how an attempt ended. It reports whether that was the last one,
// and returns how long this request alone is to pause.
func (g *Gate) leave(ctx context.Context, r *request, after time.Duration, err error) (final bool, pause time.Duration) {
	g.mu.Lock()
	defer g.mu.Unlock()
	g.inFlight--
	if r.probe {
		g.probing = false
	}
	close(g.changed)
	g.changed = make(chan struct{})
	switch {
	case ctx.Err() != nil:
		return true, 0 // that says nothing about the service
	case !transport.IsTransient(err):
		g.success(r.sent, err == nil)
		return true, 0
	}
	g.last = err
	return false, g.failure(r, after, errors.Is(err, transport.ErrTooManyRequests) || after > 0)
}

func (g *Gate) success(sent time.Time, paced bool) {
	now := time.Now()
	g.passed++
	if paced {
		g.pace.success(sent, now)
	}
	if sent.Before(g.began) && now.Before(g.until) {
		g.since = now // but whether the next one gets through is as open as before
		return
	}
	if g.failures >= closedAfter {
		g.allowed = 1
	}
	g.failures, g.probes, g.began = 0, 0, time.Time{}
	if g.allowed *= 2; g.allowed >= fullSpeed {
		g.allowed = 0
	}
}

func (g *Gate) failure(r *request, after time.Duration, refused bool) (pause time.Duration) {
	now := time.Now()
	if g.began.IsZero() {
		g.began, g.since = now, now
	}
	own := g.alone(r, now, refused)
	if now.Sub(g.since) >= g.limit {
		g.outages++
		g.failures, g.probes, g.began = 0, 0, time.Time{}
		g.until = time.Time{}
		return 0
	}
	if r.alone > 0 && g.inFlight > 0 && !refused && !r.probe {
		return own // what is in flight shows more
	}
	g.failures++
	if r.probe {
		g.probes++
	}
	pause = probePause(g.probes)
	if refused {
		after = g.pace.refusal(r.sent, now, after)
		if g.probes == 0 { // the service is up, and limits requests
			pause = min(pause, g.pace.interval(2))
		}
	}
	// The last probe comes at the limit.
	pause = min(max(after, pause), g.since.Add(g.limit).Sub(now))
	if !refused && g.failures < closedAfter {
		return max(pause, own) // one broken connection says nothing about the others
	}
	if until := now.Add(pause); until.After(g.until) {
		g.until = until
	}
	return own
}

// alone notes a failure of r and returns how long r is to pause by itself, 0 as
// long as no others got through between two of its failures.
func (g *Gate) alone(r *request, now time.Time, refused bool) (pause time.Duration) {
	if refused {
		return 0
	}
	r.failures++
	if r.failures > 1 && g.passed > r.passed {
		if r.alone == 0 {
			r.since = now
		}
		r.alone++
	}
	r.passed = g.passed
	if r.alone == 0 {
		return 0
	}
	return probePause(r.failures)
}

// ended returns how many outages ended by the limit.
func (g *Gate) ended() int {
	g.mu.Lock()
	defer g.mu.Unlock()
	return g.outages
}

// probePause returns the pause before a probe, after so many that failed.
func probePause(probes int) time.Duration {
	d := min(minProbe<<min(probes, 10), maxProbe)
	return d/2 + rand.N(d/2)
}
