package outage

import (
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"golang.org/x/time/rate"
)

// The rate grows slowly once it is known well, and faster the longer there is no
// refusal.
func TestPaceGrows(t *testing.T) {
	now, p := time.Now(), pace{}
	succeed := func() {
		p.success(now, now.Add(time.Millisecond))
		now = now.Add(10 * time.Millisecond)
	}
	p.refusal(now, now, 0, 10)
	for range 100 {
		now = now.Add(100 * time.Millisecond)
		succeed()
	}
	p.refusal(now, now, 0, 10)
	now = now.Add(time.Second)
	began := p.limiter.Limit()
	grown := map[int]float64{}
	for n := 1; n <= 500; n++ {
		succeed()
		grown[n] = float64(p.limiter.Limit() / began)
	}
	require.InDelta(t, 1.03, grown[100], 0.01)
	require.InDelta(t, 2.5, grown[500], 0.1)
}

// A rate that few requests were measured with grows fast.
func TestPaceOfFewRequests(t *testing.T) {
	for requests, grow := range map[int]float64{0: growFast, 1: growFast, 2: 0.25, 10: 0.01, 100: growSlow} {
		var p pace
		p.measured(requests, 0)
		require.InDelta(t, grow, p.grow, 1e-9, "%d", requests)
		p.known = 0
		p.measured(requests, time.Second)
		require.LessOrEqual(t, p.grow, grow, "%d", requests)
	}
}

func TestPaceInterval(t *testing.T) {
	p := pace{limiter: rate.NewLimiter(4, 1)}
	require.Equal(t, 500*time.Millisecond, p.interval(2))
}
