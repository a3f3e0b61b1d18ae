package outage

import (
	"fmt"
	"os"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/imagejobs/imagejobs-go/internal/transport"
)

type limiter struct {
	name     string
	fails    func() func(time.Time) error
	earliest func(n int) time.Duration // n requests got through
	lost     time.Duration             // by the first refusal
}

func secs(s float64) time.Duration { return time.Duration(s * float64(time.Second)) }

func bucketL(name string, rate, burst float64, after time.Duration) limiter {
	return limiter{
		name, func() func(time.Time) error { return bucket(rate, burst, after) },
		func(n int) time.Duration { return secs(max(float64(n)-burst-1, 0) / rate) },
		max(0, after-secs((burst+1)/rate)),
	}
}

func windowL(name string, limit int, period, after time.Duration) limiter {
	return limiter{
		name, func() func(time.Time) error { return window(limit, period, after) },
		func(n int) time.Duration {
			if n <= limit {
				return 0
			}
			return period + time.Duration(n-limit-1)*period/time.Duration(limit)
		}, 0,
	}
}

func fixedL(name string, limit int, period time.Duration) limiter {
	return limiter{
		name, func() func(time.Time) error {
			var began time.Time
			n := 0
			return func(now time.Time) error {
				if now.Sub(began) >= period {
					began, n = now, 0
				}
				if n >= limit {
					left := began.Add(period).Sub(now)
					return &transport.Error{StatusCode: 429, RetryAfter: (left + time.Second - 1).Truncate(time.Second)}
				}
				n++
				return nil
			}
		},
		func(n int) time.Duration { return time.Duration((n-1)/limit) * period }, 0,
	}
}

func penaltyL(name string, rate, burst float64, penalty time.Duration) limiter {
	l := bucketL(name, rate, burst, penalty)
	l.fails = func() func(time.Time) error {
		b := bucket(rate, burst, penalty)
		var until time.Time
		return func(now time.Time) error {
			if now.Before(until) {
				until = now.Add(penalty)
				return &transport.Error{StatusCode: 429, RetryAfter: penalty}
			}
			err := b(now)
			if err != nil {
				until = now.Add(penalty)
			}
			return err
		}
	}
	return l
}

func changing(name string, from, to limiter, at time.Duration, rate, rate2 float64) limiter {
	return limiter{name, func() func(time.Time) error {
		start := time.Now()
		a, b := from.fails(), to.fails()
		return func(now time.Time) error {
			if now.Sub(start) < at {
				return a(now)
			}
			return b(now)
		}
	}, func(n int) time.Duration {
		before := rate * at.Seconds()
		if float64(n) <= before {
			return secs(float64(n) / rate)
		}
		return at + secs((float64(n)-before)/rate2)
	}, 0}
}

func TestTable(t *testing.T) {
	if os.Getenv("TABLE") == "" {
		t.Skip()
	}
	const s = time.Second
	kinds := []limiter{
		bucketL("bucket 5/s burst 2", 5, 2, 0),
		bucketL("bucket 5/s burst 0", 5, 0, 0),
		bucketL("bucket 5/s burst 5", 5, 5, 0),
		bucketL("bucket 50/s burst 10", 50, 10, 0),
		bucketL("bucket 5/s burst 2 RA 2", 5, 2, 2*s),
		bucketL("bucket 1/s burst 2 RA 2", 1, 2, 2*s),
		bucketL("bucket 5/s burst 20 RA 1", 5, 20, 1*s),
		penaltyL("penalty 5/s burst 2 RA 2", 5, 2, 2*s),
		windowL("haproxy 10 in 2 s RA 2", 10, 2*s, 2*s),
		windowL("haproxy 10 in 2 s no RA", 10, 2*s, 0),
		windowL("haproxy 100 in 10 s RA 10", 100, 10*s, 10*s),
		windowL("haproxy 100 in 60 s RA 60", 100, 60*s, 60*s),
		fixedL("fixed 10 in 2 s RA left", 10, 2*s),
		fixedL("fixed 100 in 60 s RA left", 100, 60*s),
		changing("bucket 5/s lifted to 50 at 30 s", bucketL("", 5, 2, 0), bucketL("", 50, 10, 0), 30*s, 5, 50),
		changing("bucket 5/s RA2 lifted to 50 at 30 s", bucketL("", 5, 2, 2*s), bucketL("", 50, 10, 2*s), 30*s, 5, 50),
		changing("haproxy 5/s lifted to 50/s at 30 s", windowL("", 10, 2*s, 2*s), windowL("", 100, 2*s, 2*s), 30*s, 5, 50),
		changing("bucket 20/s lowered to 5 at 10 s", bucketL("", 20, 5, 0), bucketL("", 5, 2, 0), 10*s, 20, 5),
	}
	fmt.Printf("%-36s", "")
	for _, chunks := range []int{60, 300, 1000} {
		fmt.Printf("|%s", fmt.Sprintf("%-54d", chunks))
	}
	fmt.Println()
	var sum [3]float64
	for _, l := range kinds {
		if k := os.Getenv("KIND"); k != "" && k != l.name {
			continue
		}
		fmt.Printf("%-36s", l.name)
		for ci, chunks := range []int{60, 300, 1000} {
			fmt.Print("|")
			for _, atOnce := range []int{1, 4, 16} {
				synctest.Test(t, func(t *testing.T) {
					s := &service{takes: 10 * time.Millisecond, refuses: 3 * time.Millisecond, fails: l.fails()}
					for range 2 {
						_ = s.fails(time.Now())
					}
					start := time.Now()
					require.NoError(t, upload(t.Context(), NewGate(0), s, chunks, atOnce))
					took := time.Since(start)
					best := max(l.earliest(chunks+2), time.Duration(chunks/atOnce)*s.takes)
					share := best.Seconds() / took.Seconds()
					held := (best + l.lost).Seconds() / took.Seconds()
					sum[ci] += min(held, 1)
					if f := os.Getenv("RAW"); f != "" {
						w, _ := os.OpenFile(f, os.O_APPEND|os.O_CREATE|os.O_WRONLY, 0o644)
						fmt.Fprintf(w, "%s|%d|%d|%.4f|%.4f\n", l.name, chunks, atOnce, held, float64(s.refused.Load())/float64(s.requests.Load()))
						w.Close()
					}
					fmt.Printf(" %3.0f %3.0f (%4.1f%% %2d)", 100*share, 100*held, 100*float64(s.refused.Load())/float64(s.requests.Load()), s.refused.Load())
				})
			}
		}
		fmt.Println()
	}
	n := float64(3 * len(kinds))
	fmt.Printf("mean %.3f %.3f %.3f\n", sum[0]/n, sum[1]/n, sum[2]/n)
}
