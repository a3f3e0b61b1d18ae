package transport

import (
	"cmp"
	"context"
	"errors"
	"math/rand/v2"
	"sync"
	"time"
)

// retrier sends a call until it succeeds or must not be sent again.
type retrier struct {
	limits Retry
	budget budget
	next   attempter
	single bool // see Client.SingleAttempts
}

// run reports whether a response was accepted. Otherwise x.last has the reason.
func (r *retrier) run(ctx context.Context, x *callState) bool {
	x.single = r.single
	for {
		attemptCtx := r.next.attempt(ctx, x)
		pause, again := r.again(ctx, x)
		r.next.config.report(attemptCtx, x, again, pause)
		if x.last.err == nil {
			r.budget.refill(x.paid)
			return true
		}
		if !again {
			return false
		}
		if x.ended = Sleep(ctx, pause); x.ended != nil {
			return false
		}
	}
}

// again reports whether the call is sent once more, after which pause, and draws
// that on the budget.
func (r *retrier) again(ctx context.Context, x *callState) (pause time.Duration, again bool) {
	switch {
	case x.last.err == nil, !x.repeatable():
		return 0, false
	case ctx.Err() != nil:
		if !errors.Is(x.last.err, ctx.Err()) {
			x.ended = ContextErr(ctx)
		}
		return 0, false
	case x.single, x.attempts+x.tokenless >= r.limits.MaxAttempts, x.response.RetryAfter() > maxRetryAfter:
		return 0, false
	case !r.budget.take():
		x.hint = "the client's retry budget is used up"
		return 0, false
	}
	x.paid = true
	return r.wait(x), true
}

// wait returns the pause before the next attempt: what the service asks for, or
// the back-off.
func (r *retrier) wait(x *callState) time.Duration {
	if wait := x.response.RetryAfter(); wait > 0 {
		return wait + jitter(r.limits.MinWait)
	}
	return r.limits.backoff(x.attempts + x.tokenless)
}

// backoff is full jitter between the bounds, growing with the attempts.
func (r Retry) backoff(attempts int) time.Duration {
	upper, base := r.MaxWait, cmp.Or(r.MinWait, DefaultMinWait) // 0 would never grow
	if grown := base << attempts; grown>>attempts == base && grown < r.MaxWait {
		upper = grown
	}
	return r.MinWait + jitter(upper-r.MinWait)
}

func jitter(limit time.Duration) time.Duration {
	if limit <= 0 {
		return 0
	}
	return rand.N(limit)
}

// Sleep waits for d, or returns why ctx ended before.
func Sleep(ctx context.Context, d time.Duration) error {
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-timer.C:
		return nil
	case <-ctx.Done():
		return ContextErr(ctx)
	}
}

// A retry costs tokens and a success earns some, so that a client whose calls
// all fail soon stops multiplying the load on a service that is down.
const (
	budgetSize  = 500
	retryCost   = 5
	successGain = 1
)

type budget struct {
	mu     sync.Mutex
	tokens int
}

func (b *budget) take() bool {
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.tokens < retryCost {
		return false
	}
	b.tokens -= retryCost
	return true
}

func (b *budget) refill(retried bool) {
	gain := successGain
	if retried {
		gain = retryCost
	}
	b.mu.Lock()
	defer b.mu.Unlock()
	b.tokens = min(b.tokens+gain, budgetSize)
}
