package outage

import (
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"golang.org/x/time/rate"
)

// The rate grows slowly after the second refusal, and faster the longer there is
// none.
func TestPaceGrows(t *testing.T) {
	now, p := time.Now(), pace{}
	for range 2 {
		now = now.Add(time.Minute)
		p.refusal(now, now, 0, 10)
		p.success(now)
	}
	began := p.limiter.Limit()
	grown := map[int]float64{}
	for n := 1; n <= 500; n++ {
		p.success(now)
		grown[n] = float64(p.limiter.Limit() / began)
	}
	require.InDelta(t, 1.03, grown[100], 0.01)
	require.InDelta(t, 2.5, grown[500], 0.1)
}

func TestPaceInterval(t *testing.T) {
	p := pace{limiter: rate.NewLimiter(4, 1)}
	require.Equal(t, 500*time.Millisecond, p.interval(2))
}
