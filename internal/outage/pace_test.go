package outage

import (
	"context"
	"errors"
	"fmt"
	"math"
	"net/http"
	"slices"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"
	"golang.org/x/time/rate"

	"github.com/imagejobs/imagejobs-go/internal/transport"
)

// bucket is the limit of nginx: so many a second, and a burst on top.
func bucket(perSecond, burst float64, retryAfter time.Duration) func(time.Time) error {
	var excess float64
	var last time.Time
	return func(now time.Time) error {
		left := max(excess-perSecond*now.Sub(last).Seconds(), 0)
		if left+1 > burst+1 {
			return &transport.Error{StatusCode: http.StatusTooManyRequests, RetryAfter: retryAfter}
		}
		excess, last = left+1, now
		return nil
	}
}

// window is the limit of haproxy: so many in a period that slides, of which the
// latter part of the one before counts in proportion, and the sum is rounded
// down. Those that are refused count as well.
func window(limit int, period, retryAfter time.Duration) func(time.Time) error {
	var began time.Time
	var before, now int
	return func(at time.Time) error {
		switch n := at.Sub(began) / period; {
		case began.IsZero() || n > 1:
			before, now, began = 0, 0, at
		case n == 1:
			before, now, began = now, 0, began.Add(period)
		}
		now++
		left := 1 - float64(at.Sub(began))/float64(period)
		if math.Floor(float64(now)+left*float64(before)) > float64(limit) {
			return &transport.Error{StatusCode: http.StatusTooManyRequests, RetryAfter: retryAfter}
		}
		return nil
	}
}

// fixed is the limit of many services: so many in a period, then none until it
// ends. It asks to wait until then, in seconds.
func fixed(limit int, period time.Duration) func(time.Time) error {
	var began time.Time
	n := 0
	return func(now time.Time) error {
		if now.Sub(began) >= period {
			began, n = now, 0
		}
		if n >= limit {
			left := began.Add(period).Sub(now)
			return &transport.Error{StatusCode: http.StatusTooManyRequests, RetryAfter: (left + time.Second - 1).Truncate(time.Second)}
		}
		n++
		return nil
	}
}

// restarting is a limit that refuses all for a while after each refusal.
func restarting(fails func(time.Time) error) func(time.Time) error {
	var refused *transport.Error
	var until time.Time
	return func(now time.Time) error {
		if now.Before(until) || errors.As(fails(now), &refused) {
			until = now.Add(refused.RetryAfter)
			return refused
		}
		return nil
	}
}

// seconds returns so many.
func seconds(n float64) time.Duration { return time.Duration(n * float64(time.Second)) }

// limit is what TestPace sends to, and how well the pace fits it.
type limit struct {
	fails func() func(time.Time) error
	// earliest returns when n requests can have got through, if one of them was
	// refused as soon as one had to be.
	earliest func(n int) time.Duration
	shares   [3]float64 // of that speed which 60, 300 and 1000 chunks get at least; they vary by chance
	early    int        // requests that are refused at most before the rate is known
}

// Behind a limit an upload completes at about the limit, with few refusals.
func TestPace(t *testing.T) {
	nginx := func(perSecond, burst float64, retryAfter time.Duration, shares ...float64) limit {
		return limit{
			func() func(time.Time) error { return bucket(perSecond, burst, retryAfter) },
			func(n int) time.Duration {
				// A bucket that has run empty before the wait ends gains no more.
				lost := max(retryAfter-seconds((burst+1)/perSecond), 0)
				return seconds(max(float64(n)-burst-1, 0)/perSecond) + lost
			}, [3]float64(shares), 10,
		}
	}
	haproxy := func(limited int, period, retryAfter time.Duration, shares ...float64) limit {
		return limit{
			func() func(time.Time) error { return window(limited, period, retryAfter) },
			func(n int) time.Duration {
				if n <= limited {
					return 0
				}
				return period + time.Duration(n-limited-1)*period/time.Duration(limited)
			}, [3]float64(shares), 10,
		}
	}
	quota := func(limited int, period time.Duration, shares ...float64) limit {
		return limit{
			func() func(time.Time) error { return fixed(limited, period) },
			// Only who uses up the last period before it is over can be earlier.
			func(n int) time.Duration { return time.Duration(n/limited) * period }, [3]float64(shares), 10,
		}
	}
	const s = time.Second
	again := nginx(5, 2, 2*s, 0.66, 0.84, 0.88)
	again.fails = func() func(time.Time) error { return restarting(bucket(5, 2, 2*s)) }
	hidden := haproxy(10, 2*s, 0, 0.38, 0.58, 0.78)
	hidden.early = 20 // it counts what is sent while it has not said to wait
	for name, tt := range map[string]limit{
		"5 a second":                         nginx(5, 2, 0, 0.9, 0.95, 0.97),
		"5 a second, no burst":               nginx(5, 0, 0, 0.68, 0.83, 0.87),
		"5 a second, burst 5":                nginx(5, 5, 0, 0.9, 0.95, 0.97),
		"50 a second":                        nginx(50, 10, 0, 0.88, 0.89, 0.94),
		"5 a second, Retry-After":            nginx(5, 2, 2*s, 0.66, 0.84, 0.88),
		"the same, again with each refusal":  again,
		"5 a second, burst 20, Retry-After":  nginx(5, 20, s, 0.91, 0.95, 0.97),
		"1 a second, Retry-After":            nginx(1, 2, 2*s, 0.91, 0.94, 0.96),
		"window of 10 in 2 s, Retry-After":   haproxy(10, 2*s, 2*s, 0.84, 0.86, 0.88),
		"window of 10 in 2 s":                hidden,
		"window of 100 in 10 s, Retry-After": haproxy(100, 10*s, 10*s, 0.95, 0.88, 0.92),
		"window of 100 in 60 s, Retry-After": haproxy(100, 60*s, 60*s, 0.95, 0.88, 0.92),
		"10 in each 2 s, Retry-After":        quota(10, 2*s, 0.83, 0.85, 0.88),
		"100 in each 60 s, Retry-After":      quota(100, 60*s, 0.95, 0.88, 0.92),
	} {
		for i, chunks := range []int{60, 300, 1000} {
			for _, atOnce := range []int{1, 4, 16} {
				for others := range 3 { // such as for a token and to initiate an upload
					t.Run(fmt.Sprintf("%s, %d chunks, %d at once, %d others", name, chunks, atOnce, others), func(t *testing.T) {
						synctest.Test(t, func(t *testing.T) {
							s := &service{takes: 10 * time.Millisecond, refuses: 3 * time.Millisecond, fails: tt.fails()}
							g := NewGate(0)
							for range others {
								_ = s.fails(time.Now())
								g.CountOther()
							}
							start := time.Now()
							require.NoError(t, upload(t.Context(), g, s, chunks, atOnce))
							rounds := (chunks + atOnce - 1) / atOnce
							earliest := max(tt.earliest(others+chunks), seconds(float64(rounds)*s.takes.Seconds()))
							share := earliest.Seconds() / time.Since(start).Seconds()
							t.Logf("%.0f %% of the limit, %d requests refused", share*100, s.refused.Load())
							least, most := tt.shares[i], tt.early+atOnce+chunks*3/100
							if chunks < 4*atOnce {
								least -= 0.25 // many are refused before there is a rate, and few are left
							}
							require.GreaterOrEqual(t, share, least)
							require.LessOrEqual(t, s.refused.Load(), int64(most))
						})
					})
				}
			}
		}
	}
}

// A limit that is lifted, tenfold here, is found to be.
func TestPaceLifted(t *testing.T) {
	const lifted = 2 * time.Minute
	for name, tt := range map[string]struct {
		before, after func() func(time.Time) error
		most          time.Duration
	}{
		"bucket": {
			func() func(time.Time) error { return bucket(5, 2, 0) },
			func() func(time.Time) error { return bucket(50, 10, 0) }, 30 * time.Second,
		},
		"bucket, Retry-After": {
			func() func(time.Time) error { return bucket(5, 2, 2*time.Second) },
			func() func(time.Time) error { return bucket(50, 10, 2*time.Second) }, time.Minute,
		},
		"window, Retry-After": {
			func() func(time.Time) error { return window(10, 2*time.Second, 2*time.Second) },
			func() func(time.Time) error { return window(100, 2*time.Second, 2*time.Second) }, time.Minute,
		},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				start, before, after := time.Now(), tt.before(), tt.after()
				s := &service{takes: 10 * time.Millisecond, fails: func(now time.Time) error {
					if now.Sub(start) < lifted {
						return before(now)
					}
					return after(now)
				}}
				ctx, cancel := context.WithTimeout(t.Context(), lifted+time.Minute)
				defer cancel()
				_ = upload(ctx, NewGate(0), s, math.MaxInt, 4)
				for i := range s.at { // until more than half the new limit gets through
					if d := s.at[i].Sub(start) - lifted; d > 0 && s.at[i].Sub(s.at[i-50]) < 2*time.Second {
						t.Logf("found after %s", d)
						require.LessOrEqual(t, d, tt.most)
						return
					}
				}
				t.Fatal("not found")
			})
		})
	}
}

// Refusals before there was much to measure do not keep an upload slow.
func TestEarlyRefusals(t *testing.T) {
	for name, tt := range map[string]struct {
		refused []int64 // of the requests, by number
		most    time.Duration
	}{
		"the first":      {[]int64{1}, 11 * time.Second},
		"two":            {[]int64{2, 4}, 13 * time.Second},
		"three in a row": {[]int64{1, 2, 3}, 13 * time.Second},
		"three":          {[]int64{2, 5, 9}, 20 * time.Second},
		"late":           {[]int64{30, 60}, 8 * time.Second},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				var n atomic.Int64
				s := &service{takes: 100 * time.Millisecond, fails: func(time.Time) error {
					if slices.Contains(tt.refused, n.Add(1)) {
						return &transport.Error{StatusCode: http.StatusTooManyRequests}
					}
					return nil
				}}
				start := time.Now()
				require.NoError(t, upload(t.Context(), NewGate(0), s, 60, 1))
				require.Less(t, time.Since(start), tt.most) // 6 s without
			})
		})
	}
}

// The rate comes near the one that was refused, stays there, and then grows past
// it: slowly where that was measured well or a refusal costs a long wait.
func TestPaceApproaches(t *testing.T) {
	for name, tt := range map[string]struct {
		known float64
		after time.Duration
		steps int // until the rate is there
	}{
		"measured with few": {3, 0, 9},
		"measured well":     {1000, 0, 40},
		"Retry-After":       {1000, 2 * time.Second, 240},
		"few, Retry-After":  {10, time.Minute, 100},
	} {
		t.Run(name, func(t *testing.T) {
			now, p := time.Now(), pace{limiter: rate.NewLimiter(1, 1)}
			p.approach(now, 10, tt.after, tt.known)
			began := float64(p.limiter.Limit())
			require.InDelta(t, 10-10*max(0.05, min(0.2, 2/(tt.known+2))), began, 1e-9)
			var rates []float64
			for range 3 * tt.steps {
				p.grow(now, time.Millisecond)
				rates = append(rates, float64(p.limiter.Limit()))
			}
			require.IsIncreasing(t, rates)
			require.Greater(t, rates[tt.steps/2], 10-(10-began)/8)
			require.InDelta(t, 10, rates[tt.steps-1], 1e-9)
			require.Less(t, rates[tt.steps+tt.steps/5], 10.5)
			require.Greater(t, rates[2*tt.steps-1], 19.0)
			require.Greater(t, rates[3*tt.steps-1], 50.0)
		})
	}
}

// What is under way when the rate grows was sent at the rate before.
func TestPaceOfSlowRequests(t *testing.T) {
	now, p := time.Now(), pace{limiter: rate.NewLimiter(1, 1)}
	p.approach(now, 10, 0, 0)
	p.grow(now, 2*time.Second) // so 16 are under way
	require.InDelta(t, 8*(1+0.8/16), float64(p.limiter.Limit()), 1e-9)
}

// A rate that is more than is sent does not grow.
func TestPaceNotUsedUp(t *testing.T) {
	now := time.Now()
	p := pace{limiter: rate.NewLimiter(1, 1)}
	p.approach(now, 10, 0, 0)
	began := p.limiter.Limit()
	p.success(now, now.Add(time.Second))
	require.InDelta(t, float64(began), float64(p.limiter.Limit()), 0)
	require.Zero(t, p.wait(now.Add(time.Second)))
	p.success(now, now.Add(time.Second))
	require.Greater(t, p.limiter.Limit(), began)
}

func TestPaceInterval(t *testing.T) {
	p := pace{limiter: rate.NewLimiter(4, 1)}
	require.Equal(t, 500*time.Millisecond, p.interval(2))
}
