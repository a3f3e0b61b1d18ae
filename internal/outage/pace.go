package outage

import (
	"math"
	"time"

	"golang.org/x/time/rate"
)

const (
	// After a refusal the rate falls to this share of what was getting through.
	fall = 0.9
	// A limit by a window that was used up early lowers it to this share at most.
	fallWindow = 0.7
	// With each success it grows by shares between these: fast where it was
	// measured with few requests, slowly where it is known well.
	growFast, growSlow = 0.5, 0.0002
	// And at most by this where a refusal costs as long as the service asks to
	// wait.
	growWaiting = 0.3
	// Requests under way are too many together to grow by more than this: they
	// were sent at the rate before.
	growFlight = 0.8
	// recent is how many successes measure well what was getting through.
	recent = 16
	// idle is a pause after which what got through before is of no interest.
	idle = time.Minute
)

// pace is the rate of requests to a service that limits them. Before the first
// refusal there is none. Its clock stands still while nothing may be sent.
type pace struct {
	limiter *rate.Limiter // nil before the first refusal
	grow    float64       // by this share with each success
	known   float64       // requests that the rate was measured with, older ones counted less
	window  time.Duration // that the service asked to wait, until the first success after it
	fell    time.Time     // when the rate last fell
	fellAt  time.Time     // the same by the clock
	since   int           // successes of requests sent since then
	refused int           // of them, before the first success
	passed  []time.Time   // the latest successes, by the clock
	began   time.Time     // the first of all without a long pause, by the clock
	all     int           // since then

	held             time.Duration // the clock is late by this and the newest hold
	holdFrom, holdTo time.Time     // the newest hold
}

// wait returns how long the next request has to wait, 0 if it is sent now.
func (p *pace) wait(now time.Time) time.Duration {
	if p.limiter == nil {
		return 0
	}
	r := p.limiter.ReserveN(now, 1)
	d := r.DelayFrom(now)
	if d > 0 {
		r.CancelAt(now)
	}
	return d
}

// interval returns how long so many requests take.
func (p *pace) interval(requests float64) time.Duration {
	return time.Duration(requests / float64(p.limiter.Limit()) * float64(time.Second))
}

// success notes a request that got through.
func (p *pace) success(sent, now time.Time) {
	if len(p.passed) == recent {
		p.passed = append(p.passed[:0], p.passed[1:]...)
	}
	clock := p.clock(now)
	if n := len(p.passed); n == 0 || clock.Sub(p.passed[n-1]) > idle {
		p.began, p.all = clock, 0
	}
	p.passed = append(p.passed, clock)
	p.all++
	switch {
	case p.limiter == nil:
		return
	case !sent.After(p.fell): // it says nothing about the rate since
		if p.window > 0 {
			p.guess(now)
		}
		return
	}
	p.window = 0
	p.since++
	limit, steps := p.limiter.Limit(), float64(p.since)/100
	underWay := float64(limit) * now.Sub(sent).Seconds()
	grow := p.grow * (1 + steps*steps) // it may be long ago that the limit was as low
	p.limiter.SetLimit(limit * rate.Limit(1+min(grow, growFast, growFlight/max(underWay, 1))))
}

// refusal lowers the rate, once for requests that were under way together.
// after is how long the service asks to wait.
func (p *pace) refusal(sent, now time.Time, after time.Duration, inFlight int) {
	switch {
	case p.limiter == nil:
		// What got through, and may still, in what may have been a second.
		p.limiter = rate.NewLimiter(rate.Limit(max(len(p.passed)+inFlight, 1)), 1)
		p.limiter.AllowN(now, 1) // the next one waits
		p.grow = growFast
		if p.window = after; after > 0 {
			p.guess(now)
		}
	case sent.After(p.fell) && p.since > 0:
		p.limiter.SetLimitAt(now, rate.Limit(fall*min(p.through(now, after), float64(p.limiter.Limit()))))
		p.measured(p.since, after)
	default: // the rate is not the reason
		if sent.After(p.fell) {
			p.refused++
		}
		if p.refused > 1 { // one may still come of what the rate fell for
			p.known /= 2
			p.slowDown(after)
		}
		return
	}
	p.fell, p.fellAt, p.since, p.refused = now, p.clock(now), 0, 0
}

// guess takes the limit for one by a window as long as the service asks to
// wait, which what got through in that time has used up.
func (p *pace) guess(now time.Time) {
	took := max(p.clock(now).Sub(p.began), p.window)
	p.limiter.SetLimitAt(now, rate.Limit(max(float64(p.all)/took.Seconds(), 1)))
	p.known = 0
	p.measured(p.all, p.window)
}

// measured has the rate grow the more slowly, the better it is known: that of
// few requests may be far from the limit.
func (p *pace) measured(requests int, after time.Duration) {
	p.known = p.known/2 + float64(requests)
	p.slowDown(after)
}

func (p *pace) slowDown(after time.Duration) {
	n := max(p.known, 1)
	p.grow = 1 / (n * n)
	if after > 0 {
		p.grow = min(p.grow/n, growWaiting)
	}
	p.grow = min(max(p.grow, growSlow), growFast)
}

// through returns how many requests a second were getting through.
func (p *pace) through(now time.Time, after time.Duration) float64 {
	clock, n, limit := p.clock(now), float64(p.since), float64(p.limiter.Limit())
	switch {
	case clock.Sub(p.fellAt) < after:
		// The limit may be one by a window of that length, used up early.
		return max(n/after.Seconds(), limit*fallWindow/fall)
	case p.since >= recent:
		return recent / max(clock.Sub(p.passed[0]), time.Millisecond).Seconds()
	default:
		// What gets through between two refusals is what a bucket was filled with
		// meanwhile, also while nothing was sent; or more, where it was full. So it
		// is between this and the rate that it did not bear.
		low := (n + 0.5) / max(now.Sub(p.fell), time.Millisecond).Seconds()
		return math.Sqrt(low * limit)
	}
}

// hold stops the clock until then, or lets it run if that is over.
func (p *pace) hold(now, until time.Time) {
	if !now.Before(p.holdTo) || !until.After(now) { // the hold before is over
		p.held += p.heldBy(now)
		p.holdFrom = now
	}
	p.holdTo = until
}

// heldBy returns for how long the newest hold lasted.
func (p *pace) heldBy(now time.Time) time.Duration {
	if p.holdTo.Before(now) {
		now = p.holdTo
	}
	return max(now.Sub(p.holdFrom), 0)
}

func (p *pace) clock(now time.Time) time.Time { return now.Add(-p.held - p.heldBy(now)) }
