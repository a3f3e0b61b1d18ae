package transport

import (
	"context"
	"errors"
	"io"
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
