package transport

import (
	"context"
	"errors"
	"io"
	"math"
	"net"
	"net/http"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"
)

var errMaintenance = errors.New("the maintenance window is over")

// A context that ends while the loop waits ends the call at once, and its error
// tells both: that, and what the last try met.
func TestContextEndsInBackoff(t *testing.T) {
	dropped := func(c net.Conn, r *http.Request) bool { return false }
	for name, tt := range map[string]struct {
		handle handler
		wants  []error
	}{
		"after a status":            {answer(reply("503 Service Unavailable", "", `{"message":"down"}`)), []error{ErrServer}},
		"after a broken connection": {dropped, []error{io.EOF}},
		"after a broken answer":     {answer(okJSON(`{"name":`)), nil},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				c, s := pipeClient(t, Config{Retry: &Retry{MaxAttempts: 5, MinWait: time.Minute, MaxWait: time.Hour}}, tt.handle)
				ctx, cancel := context.WithTimeoutCause(t.Context(), 10*time.Second, errMaintenance)
				defer cancel()
				start := time.Now()
				_, _, err := Do[result](ctx, c, get(Safe))
				require.Equal(t, 10*time.Second, time.Since(start))
				e := failure(t, err)
				require.ErrorIs(t, err, context.DeadlineExceeded)
				require.ErrorIs(t, err, errMaintenance)
				for _, want := range tt.wants {
					require.ErrorIs(t, err, want)
				}
				require.Equal(t, 1, e.Attempts)
				require.EqualValues(t, 1, s.requests.Load())
				require.NotContains(t, err.Error(), errStatus.Error())
				require.False(t, e.Ambiguous)
			})
		})
	}
}

// A context that ends after the answer changes nothing about the answer.
func TestContextEndsWithAFinalAnswer(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		ctx, cancel := context.WithCancel(t.Context())
		c, _ := pipeClient(t, Config{}, answer(reply("404 Not Found", "", "")))
		call := get(Safe)
		layer, ok := c.loop.HTTPClient.Transport.(*tries)
		require.True(t, ok)
		layer.next = after{layer.next, cancel}
		_, _, err := Do[result](ctx, c, call)
		require.ErrorIs(t, err, ErrNotFound)
		require.NotErrorIs(t, err, context.Canceled)
	})
}

func TestBackoffBounds(t *testing.T) {
	const most = time.Duration(math.MaxInt64)
	for name, tt := range map[string]struct {
		minWait, maxWait time.Duration
		attempt          int // counted from 0
		lower, upper     time.Duration
	}{
		"first":                {time.Second, time.Minute, 0, time.Second, 2 * time.Second},
		"second":               {time.Second, time.Minute, 1, time.Second, 4 * time.Second},
		"third":                {time.Second, time.Minute, 2, time.Second, 8 * time.Second},
		"at the top":           {time.Second, time.Minute, 9, time.Second, time.Minute},
		"far up":               {time.Second, time.Minute, 200, time.Second, time.Minute},
		"equal bounds":         {time.Second, time.Second, 0, time.Second, time.Second},
		"no wait":              {0, 0, 3, 0, 0},
		"no lower bound":       {0, time.Minute, 0, 0, DefaultMinWait * 2},
		"no lower bound, late": {0, time.Minute, 100, 0, time.Minute},
		"no bounds":            {0, most, 100, 0, most},
		"highest bounds":       {most, most, 3, most, most},
	} {
		t.Run(name, func(t *testing.T) {
			seen := map[time.Duration]bool{}
			low, high := most, time.Duration(0)
			for range 200 {
				got := backoff(tt.minWait, tt.maxWait, tt.attempt, nil)
				require.GreaterOrEqual(t, got, tt.lower)
				require.LessOrEqual(t, got, tt.upper)
				seen[got] = true
				low, high = min(low, got), max(high, got)
			}
			if width := tt.upper - tt.lower; width > 0 {
				require.Greater(t, len(seen), 100, "jitter")
				require.Less(t, low, tt.lower+width/4, "jitter over the whole range")
				require.Greater(t, high, tt.upper-width/4)
			}
		})
	}
}
