package outage

import (
	"math"
	"time"

	"golang.org/x/time/rate"
)

const (
	// The rate falls below the one that it approaches by a share between these,
	// that of so many requests: by more the fewer it was measured with.
	fallLeast, fallMost, fallRequests = 0.05, 0.2, 2
	// It is approached with at least so many successes, and with so many for each
	// request that a refusal costs while the service asks to wait.
	stepsLeast, stepsWaiting = 40, 10
	// Each success has it grow by no more than this share, and requests under way
	// by no more than the other together: they were sent at the rate before.
	growMost, growFlight = 0.25, 0.8
	// burst is the time that a service without Retry-After may have taken to let
	// through what it did before the first refusal.
	burst = 500 * time.Millisecond
	// idle is a pause after which what got through before is of no interest.
	idle = time.Minute
	// recent is how long requests of other kinds are of interest.
	recent = 5 * time.Second
)

// pace is the rate of requests to a service that limits them. Before the first
// refusal there is none.
//
// A refusal shows which rate is too high. The rate falls a little below, grows
// back ever more slowly, stays near it for long, and then grows ever faster: the
// limit may have been lifted. That takes few requests at first, when that rate
// is hardly known, and later the more, the more requests a refusal costs.
type pace struct {
	limiter *rate.Limiter // nil before the first refusal
	top     float64       // the rate that it approaches, a second
	fall    float64       // by this share it fell below
	steps   float64       // successes until it is there
	known   float64       // requests that top was measured with, older ones counted less
	fell    time.Time     // when the rate last fell
	since   int           // successes of requests sent since then
	refused int           // requests, since then

	guessed bool          // the rate by what got through before the first refusal
	after   time.Duration // that this asked to wait
	began   time.Time     // the first to get through without a long pause
	newest  time.Time
	all     int // since began

	others int // requests of other kinds since newest, if they are recent
	other  time.Time
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
	switch {
	case p.limiter == nil:
		p.count(now)
	case sent.After(p.fell):
		p.guessed = false
		if p.limiter.TokensAt(now) < 1 { // else it is not the pace that holds requests up
			p.grow(now, now.Sub(sent))
		}
	case p.guessed:
		p.count(now)
		p.guess(now)
	}
}

func (p *pace) count(now time.Time) {
	if now.Sub(p.newest) > idle {
		p.began, p.all = now, 0
	}
	p.newest = now
	p.all += 1 + p.others
	p.others = 0
}

// countOther notes a request of another kind, which a limit may count, too.
func (p *pace) countOther(now time.Time) {
	if now.Sub(p.other) > recent {
		p.others = 0
	}
	p.other = now
	p.others++
}

// refusal lowers the rate, once for requests that were under way together. It
// returns how long to wait, given how long the service asks to.
func (p *pace) refusal(sent, now time.Time, after time.Duration) time.Duration {
	switch {
	case p.limiter == nil:
		p.limiter = rate.NewLimiter(1, 1)
		p.limiter.AllowN(now, 1) // the next one waits
		p.guessed, p.after, p.fell = true, after, now
		p.guess(now)
	case sent.After(p.fell) && p.since > 0:
		// What gets through between two refusals is what a bucket was filled with
		// meanwhile, also while nothing was sent; or more, where it was full. So it
		// is between this and the rate that it did not bear.
		refused := float64(p.limiter.Limit())
		low := (float64(p.since) + 0.5) / max(now.Sub(p.fell), time.Millisecond).Seconds()
		known := p.known/2 + float64(p.since)
		p.fell, p.since, p.refused = now, 0, 0
		p.approach(now, math.Sqrt(min(low, refused)*refused), after, known)
	}
	// Otherwise the rate is not the reason. But a window that counts refused
	// requests as well bears the next one only when that many have left it.
	p.refused++
	n := float64(p.refused)
	return after + time.Duration(float64(after)*min(n/(n+p.top*after.Seconds()), 0.5))
}

// guess takes the limit for one by a window as long as the service asks to
// wait, which what got through in that time has used up.
func (p *pace) guess(now time.Time) {
	all, took, known := float64(p.all), max(p.newest.Sub(p.began), burst), 0.0
	if p.after > 0 {
		took, known = max(took, p.after), max(all-fallRequests, 0)
	} else {
		all += fallRequests // what is too much shows at once
	}
	p.approach(now, max(all/took.Seconds(), 1), p.after, known)
}

// approach has the rate fall below top, which so many requests were measured
// with, and grow from there.
func (p *pace) approach(now time.Time, top float64, after time.Duration, known float64) {
	p.top, p.known = top, known
	p.fall = min(max(fallRequests/(known+fallRequests), fallLeast), fallMost)
	p.steps = max(min(known*known, stepsLeast+stepsWaiting*top*after.Seconds()), 1)
	p.limiter.SetLimitAt(now, rate.Limit(top*(1-p.fall)))
}

// grow has the rate grow after a request that took so long.
func (p *pace) grow(now time.Time, took time.Duration) {
	p.since++
	from, limit := float64(p.since)/p.steps-1, float64(p.limiter.Limit())
	share := p.fall
	if from > 0 {
		share = 1
	}
	underWay := max(limit*took.Seconds(), 1)
	p.limiter.SetLimitAt(now, rate.Limit(min(p.top*(1+share*from*from*from), limit*(1+min(growMost, growFlight/underWay)))))
}
