package oraclemarket

import (
	"context"
	"math/rand/v2"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"
)

// line is a network for chunks: what one of n connections carries a second.
type line func(n int) float64

func sharedLine(rate float64) line { return func(n int) float64 { return rate / float64(n) } }
func lineOfEach(rate float64) line { return func(int) float64 { return rate } }
func (l line) total(n int) float64 { return l(n) * float64(n) }

// sent is the result of an upload over a line.
type sentOver struct {
	took   float64 // seconds
	atOnce int     // the most
	lost   float64 // bytes that an interruption loses, the mean of all moments
	last   int     // at once at the end
}

// over sends chunks over a line, in virtual time.
func over(t *testing.T, l line, choose bool, chunk int64, chunks int) (found sentOver) {
	t.Helper()
	const step = 10 * time.Millisecond
	synctest.Test(t, func(t *testing.T) {
		m := newRamp(DefaultConcurrency, choose, chunk)
		var mu sync.Mutex
		const buffer = 768 << 10 // of each connection, which the system fills at once
		sending := map[*countingReader]int64{}
		start := time.Now()
		send := func() error {
			r := &countingReader{ramp: m}
			return m.send(t.Context(), r, chunk, func(context.Context) error {
				mu.Lock()
				sending[r] = 0
				mu.Unlock()
				defer func() { mu.Lock(); delete(sending, r); mu.Unlock() }()
				<-time.After(100 * time.Millisecond) // a connection
				for arrived := int64(0); arrived < chunk; {
					wait := time.Duration(float64(step) * (0.5 + rand.Float64()))
					<-time.After(wait)
					mu.Lock()
					arrived = min(arrived+int64(l(len(sending))*wait.Seconds()), chunk)
					sending[r] = arrived
					r.at.Store(min(arrived+buffer, chunk))
					mu.Unlock()
					m.moved()
				}
				return nil
			})
		}
		done := make(chan struct{})
		var moments, lost float64
		go func() {
			tick := time.NewTicker(100 * time.Millisecond)
			defer tick.Stop()
			for {
				select {
				case <-done:
					return
				case <-tick.C:
				}
				mu.Lock()
				found.atOnce = max(found.atOnce, len(sending))
				for _, arrived := range sending {
					lost += float64(arrived)
				}
				moments++
				mu.Unlock()
			}
		}()
		turns := make(chan struct{}, DefaultConcurrency)
		var all sync.WaitGroup
		for range chunks {
			turns <- struct{}{}
			all.Go(func() {
				defer func() { <-turns }()
				if err := send(); err != nil {
					t.Error(err)
				}
			})
		}
		all.Wait()
		close(done)
		synctest.Wait()
		found.took, found.lost, found.last = time.Since(start).Seconds(), lost/max(moments, 1), m.allowed
	})
	return found
}

// On a line that is slow however many share it, few chunks are in flight; on one
// that is fast, or where each connection has a rate of its own, all are, soon.
func TestRamp(t *testing.T) {
	t.Parallel()
	const mib = 1 << 20
	for name, test := range map[string]struct {
		line   line
		chunk  int64
		chunks int
		last   int
		slower float64 // than all at once from the start, at most
		lost   float64 // seconds of the line, at most
	}{
		"1 MiB a second":                      {sharedLine(mib), 16 * mib, 16, 1, 1.05, 12},
		"1 MiB a second, larger chunks":       {sharedLine(mib), 64 * mib, 16, 1, 1.05, 48},
		"4 MiB a second":                      {sharedLine(4 * mib), 16 * mib, 16, 3, 1.05, 7},
		"4 MiB a second, larger chunks":       {sharedLine(4 * mib), 64 * mib, 16, 1, 1.05, 12},
		"100 MiB a second":                    {sharedLine(100 * mib), 16 * mib, 16, 4, 1.1, 1},
		"1 GiB a second":                      {sharedLine(1024 * mib), 64 * mib, 64, 4, 1.1, 1},
		"8 MiB a second each":                 {lineOfEach(8 * mib), 16 * mib, 16, 4, 1.07, 5},
		"8 MiB a second each, larger chunks":  {lineOfEach(8 * mib), 64 * mib, 16, 4, 1.07, 5},
		"1 MiB a second each":                 {lineOfEach(mib), 16 * mib, 32, 4, 1.1, 9},
		"2 MiB a second each, larger chunks":  {lineOfEach(2 * mib), 64 * mib, 32, 4, 1.1, 18},
		"100 KiB a second each, small chunks": {lineOfEach(100 << 10), mib, 100, 4, 1.2, 6},
		"100 KiB a second":                    {sharedLine(100 << 10), 16 * mib, 6, 1, 1.05, 200},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			found, all := over(t, test.line, true, test.chunk, test.chunks), over(t, test.line, false, test.chunk, test.chunks)
			require.GreaterOrEqual(t, found.last, test.last, "%+v", found)
			require.LessOrEqual(t, found.last, min(2*test.last, DefaultConcurrency), "a trial: %+v", found)
			require.LessOrEqual(t, found.took/all.took, test.slower, "%+v", found)
			require.LessOrEqual(t, found.lost/test.line.total(DefaultConcurrency), test.lost, "%+v", found)
		})
	}
}

// A line that becomes fast is used.
func TestRampLineChanges(t *testing.T) {
	t.Parallel()
	const mib = 1 << 20
	var start time.Time
	found := over(t, func(n int) float64 {
		if start.IsZero() {
			start = time.Now()
		}
		if time.Since(start) > time.Minute {
			return 50 * mib / float64(n)
		}
		return mib / float64(n)
	}, true, 16*mib, 32)
	require.Equal(t, DefaultConcurrency, found.last)
	require.Less(t, found.took, 75.0)
}

// An upload whose Concurrency is given has that many from the start.
func TestRampGiven(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		m := newRamp(3, false, 1<<20)
		free := make(chan struct{})
		var all sync.WaitGroup
		for range 5 {
			all.Go(func() {
				_ = m.send(t.Context(), &countingReader{ramp: m}, 1, func(context.Context) error { <-free; return nil })
			})
		}
		synctest.Wait()
		require.Len(t, m.sending, 3)
		close(free)
		all.Wait()
		require.Empty(t, m.sending)
	})
}
