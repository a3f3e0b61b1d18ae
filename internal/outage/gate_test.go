package outage

import (
	"context"
	"fmt"
	"net/http"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/imagejobs/imagejobs-go/internal/transport"
)

// service is what requests are sent to: each takes a while, and fails in an
// outage or past a limit.
type service struct {
	takes   time.Duration
	refuses time.Duration // what a failure takes
	fails   func(now time.Time) error

	requests, refused atomic.Int64
	mu                sync.Mutex
	at                []time.Time
}

func (s *service) send(ctx context.Context) (time.Duration, error) {
	s.requests.Add(1)
	s.mu.Lock()
	now := time.Now()
	s.at = append(s.at, now)
	err := s.fails(now)
	s.mu.Unlock()
	if err != nil {
		s.refused.Add(1)
		if err := transport.Sleep(ctx, s.refuses); err != nil {
			return 0, err
		}
		var after time.Duration
		if e, ok := err.(*transport.Error); ok { //nolint:errorlint // made here
			after = e.RetryAfter
		}
		return after, err
	}
	if err := transport.Sleep(ctx, s.takes); err != nil {
		return 0, err
	}
	return 0, nil
}

// upload sends chunks, so many at once, and returns the first error.
func upload(ctx context.Context, g *Gate, s *service, chunks, atOnce int) error {
	ctx, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	var wg sync.WaitGroup
	var next atomic.Int64
	for range atOnce {
		wg.Go(func() {
			for next.Add(1) <= int64(chunks) {
				if err := g.Do(ctx, s.send); err != nil {
					cancel(err)
					return
				}
			}
		})
	}
	wg.Wait()
	return context.Cause(ctx)
}

var errDown = &transport.Error{Op: "Chunk", StatusCode: http.StatusBadGateway}

// In an outage one request probes for all, and chunks end by its limit.
func TestOutage(t *testing.T) {
	for _, lasts := range []time.Duration{time.Second, 10 * time.Second, time.Minute, 4 * time.Minute, 6 * time.Minute} {
		for _, atOnce := range []int{1, 16, 64} {
			t.Run(fmt.Sprintf("%s, %d at once", lasts, atOnce), func(t *testing.T) {
				synctest.Test(t, func(t *testing.T) {
					const begins = 3 * time.Second
					start := time.Now()
					down := func(now time.Time) bool { d := now.Sub(start); return d >= begins && d < begins+lasts }
					s := &service{takes: time.Second, fails: func(now time.Time) error {
						if down(now) {
							return errDown
						}
						return nil
					}}
					err := upload(t.Context(), NewGate(0), s, 20*atOnce, atOnce)
					during := 0
					first := 0
					for _, at := range s.at {
						if down(at) {
							during++
						}
						if d := at.Sub(start) - begins - lasts; d >= 0 && d < time.Second {
							first++
						}
					}
					t.Logf("%d requests in the outage, %d in the first second after it, done after %s", during, first, time.Since(start))
					require.LessOrEqual(t, during, atOnce+8+int(lasts/(15*time.Second)))
					require.LessOrEqual(t, first, 4)
					if lasts > DefaultLimit {
						require.ErrorIs(t, err, transport.ErrServer)
						require.InDelta(t, begins+DefaultLimit, time.Since(start), float64(2*time.Second))
						return
					}
					require.NoError(t, err)
					require.LessOrEqual(t, time.Since(start), begins+lasts+maxProbe+21*time.Second+10*time.Second)
				})
			})
		}
	}
}

// A service that refuses everything for a while says nothing about its limit.
func TestPaceAfterOutage(t *testing.T) {
	for _, status := range []int{http.StatusTooManyRequests, http.StatusServiceUnavailable} {
		for _, after := range []time.Duration{0, 5 * time.Second} {
			t.Run(fmt.Sprintf("%d, Retry-After %s", status, after), func(t *testing.T) {
				synctest.Test(t, func(t *testing.T) {
					const begins, ends = 3 * time.Second, 4 * time.Minute
					start := time.Now()
					s := &service{takes: 100 * time.Millisecond, fails: func(now time.Time) error {
						if d := now.Sub(start); d >= begins && d < ends {
							return &transport.Error{StatusCode: status, RetryAfter: after}
						}
						return nil
					}}
					require.NoError(t, upload(t.Context(), NewGate(0), s, 2000, 16))
					require.Less(t, time.Since(start), ends+2*time.Minute)
				})
			})
		}
	}
}

// What was sent before an outage and gets through all the same does not end it:
// then the limit counts from there.
func TestSuccessFromBeforeAnOutage(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		start := time.Now()
		s := &service{takes: time.Second, fails: func(now time.Time) error {
			if now.Sub(start) > 1500*time.Millisecond {
				return &transport.Error{StatusCode: http.StatusTooManyRequests, RetryAfter: 150 * time.Second}
			}
			return nil
		}}
		require.ErrorIs(t, upload(t.Context(), NewGate(0), s, 160, 16), transport.ErrTooManyRequests)
		require.Equal(t, 2*time.Second+DefaultLimit, time.Since(start))
	})
}

// Many uploads of one client wait together, and end together.
func TestOutageEndsForAll(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		g, start := NewGate(time.Minute), time.Now()
		s := &service{fails: func(time.Time) error { return errDown }}
		var wg sync.WaitGroup
		for range 16 {
			wg.Go(func() {
				require.ErrorIs(t, upload(t.Context(), g, s, 100, 4), transport.ErrServer)
				require.InDelta(t, time.Minute, time.Since(start), float64(2*time.Second))
			})
		}
		wg.Wait()
		require.Less(t, s.requests.Load(), int64(64+64))
	})
}

// One broken connection among many holds nothing up but its own request.
func TestLoneFailure(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var n atomic.Int64
		s := &service{takes: time.Second, fails: func(time.Time) error {
			if n.Add(1)%20 == 0 {
				return errDown
			}
			return nil
		}}
		start := time.Now()
		require.NoError(t, upload(t.Context(), NewGate(0), s, 160, 16))
		require.Less(t, time.Since(start), 14*time.Second)
	})
}

// A request that fails among others that get through has the limit for itself:
// it is sent seldom, holds nobody up, and ends.
func TestFailsAlone(t *testing.T) {
	for _, takes := range []time.Duration{100 * time.Millisecond, 3 * time.Second, 30 * time.Second} {
		t.Run(takes.String(), func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				const others, lasts = 15, 10 * time.Minute
				g := NewGate(0)
				through := &service{takes: takes, fails: func(time.Time) error { return nil }}
				ctx, cancel := context.WithTimeout(t.Context(), lasts)
				defer cancel()
				var wg sync.WaitGroup
				for range others {
					wg.Go(func() {
						for ctx.Err() == nil {
							if err := g.Do(ctx, through.send); err != nil {
								require.ErrorIs(t, err, context.DeadlineExceeded)
							}
						}
					})
				}
				alone, start := &service{fails: func(time.Time) error { return errDown }}, time.Now()
				err := g.Do(ctx, alone.send)
				t.Logf("sent %d times in %s", alone.requests.Load(), time.Since(start))
				require.ErrorIs(t, err, transport.ErrServer)
				require.GreaterOrEqual(t, time.Since(start), DefaultLimit)
				require.Less(t, time.Since(start), DefaultLimit+2*time.Minute)
				require.Less(t, alone.requests.Load(), int64(30))
				wg.Wait()
				require.Greater(t, float64(through.requests.Load()), 0.95*others*lasts.Seconds()/takes.Seconds())
			})
		})
	}
}

// A final failure is returned at once, and an ended context ends the wait.
func TestGateEnds(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		g := NewGate(0)
		gone := &transport.Error{StatusCode: http.StatusNotFound}
		require.Equal(t, error(gone), g.Do(t.Context(), func(context.Context) (time.Duration, error) { return 0, gone }))
		ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
		defer cancel()
		start := time.Now()
		err := g.Do(ctx, func(context.Context) (time.Duration, error) { return 0, errDown })
		require.ErrorIs(t, err, context.DeadlineExceeded)
		require.ErrorIs(t, err, transport.ErrServer)
		require.Equal(t, time.Minute, time.Since(start))
	})
}

// A send that panics does not leave the others waiting at the gate.
func TestSendPanics(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		g := NewGate(0)
		for range closedAfter {
			g.failure(&request{}, 0, false)
		}
		require.Panics(t, func() {
			_ = g.Do(t.Context(), func(context.Context) (time.Duration, error) { panic("odd") })
		})
		require.NoError(t, g.Do(t.Context(), func(context.Context) (time.Duration, error) { return 0, nil }))
	})
}

// After an outage the first to get through lets two follow, and those let more.
func TestRamp(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		g := NewGate(0)
		for range closedAfter {
			g.failure(&request{}, 0, false)
		}
		s := &service{takes: time.Second, fails: func(time.Time) error { return nil }}
		require.NoError(t, upload(t.Context(), g, s, 20, 20))
		began := map[int]int{} // in each second after the first request
		for _, at := range s.at {
			began[int(at.Sub(s.at[0])/time.Second)]++
		}
		require.Equal(t, map[int]int{0: 1, 1: 2, 2: 8, 3: 9}, began)
	})
}
