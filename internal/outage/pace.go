package outage

import (
	"time"

	"golang.org/x/time/rate"
)

const (
	// After a refusal the rate falls to this share of what was getting through.
	// Soon after the one before, it falls by more.
	fall, fallAgain, fallWindow = 0.9, 0.8, 0.7
	// With each success it grows: fast until it was refused twice, then slowly,
	// and faster again the longer nothing is refused.
	growFast, growSlow = 1.2, 0.0002
	// recent is how many successes measure what was getting through.
	recent = 16
)

// pace is the rate of requests to a service that limits them. Before the first
// refusal there is none. Its clock stands still while nothing may be sent.
type pace struct {
	limiter *rate.Limiter // nil before the first refusal
	falls   int
	fell    time.Time   // when the rate last fell
	fellAt  time.Time   // the same by the clock
	since   int         // successes since then
	passed  []time.Time // the latest successes, by the clock

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
func (p *pace) success(now time.Time) {
	if len(p.passed) == recent {
		p.passed = append(p.passed[:0], p.passed[1:]...)
	}
	p.passed = append(p.passed, p.clock(now))
	if p.limiter == nil {
		return
	}
	p.since++
	factor := growFast
	if p.falls > 1 {
		steps := float64(p.since) / 100
		factor = 1 + growSlow*(1+steps*steps)
	}
	p.limiter.SetLimit(p.limiter.Limit() * rate.Limit(factor))
}

// refusal lowers the rate, once for requests that were under way together.
// after is how long the service asks to wait.
func (p *pace) refusal(sent, now time.Time, after time.Duration, inFlight int) {
	if p.limiter == nil {
		// What got through, and may still, in what may have been a second.
		p.limiter = rate.NewLimiter(rate.Limit(max(len(p.passed)+inFlight, 1)), 1)
		p.limiter.AllowN(now, 1) // the next one waits
	} else if !sent.After(p.fell) || p.since == 0 { // or the rate is not the reason
		return
	}
	clock, limit := p.clock(now), float64(p.limiter.Limit())
	through, share := limit, fall
	if len(p.passed) == recent {
		through = recent / max(clock.Sub(p.passed[0]), time.Millisecond).Seconds()
	}
	switch {
	case p.falls == 0:
	case clock.Sub(p.fellAt) < after:
		// The limit may be one by a window of that length, used up early.
		through = max(float64(p.since)/after.Seconds(), limit*fallWindow/fall)
	case p.since < recent/2:
		share = fallAgain
	}
	p.limiter.SetLimitAt(now, rate.Limit(min(through, limit)*share))
	p.fell, p.fellAt, p.since = now, clock, 0
	p.falls++
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
