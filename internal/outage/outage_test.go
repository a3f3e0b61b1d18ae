package outage

import (
	"context"
	"errors"
	"fmt"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"
	"go.uber.org/goleak"

	"github.com/imagejobs/imagejobs-go/internal/transport"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

var (
	errUnavailable = &transport.Error{StatusCode: 503}
	errNotFound    = &transport.Error{StatusCode: 404}
	errOther       = errors.New("the disk is full")
)

// The limit counts from the first failure after a success, whatever is between.
func TestTransientFailures(t *testing.T) {
	for limit, want := range map[time.Duration]time.Duration{0: DefaultLimit, time.Minute: time.Minute, time.Hour: time.Hour} {
		synctest.Test(t, func(t *testing.T) {
			rule := Rule{Limit: limit}
			require.Equal(t, want, rule.Bound())
			for range 2 {
				<-time.After(10 * time.Hour) // no failure yet, so none of it counts
				for passed := time.Duration(0); passed < want; passed += want / 10 {
					left, goOn := rule.Left(t.Context(), errUnavailable, false)
					require.True(t, goOn)
					require.Equal(t, want-passed, left)
					<-time.After(want / 10)
				}
				_, goOn := rule.Left(t.Context(), errUnavailable, false)
				require.False(t, goOn, "not at the limit itself")
				rule.Success()
			}
		})
	}
}

func TestLag(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var rule Rule
		left, goOn := rule.Left(t.Context(), errNotFound, true)
		require.True(t, goOn)
		require.Equal(t, Lag, left)
		<-time.After(Lag - 1)
		left, goOn = rule.Left(t.Context(), errNotFound, true)
		require.True(t, goOn)
		require.EqualValues(t, 1, left)

		// Between two of them an outage begins: it has its own limit, and when it
		// is over, lag has its own again.
		left, goOn = rule.Left(t.Context(), errUnavailable, false)
		require.True(t, goOn)
		require.Equal(t, DefaultLimit, left)
		<-time.After(time.Minute)
		left, goOn = rule.Left(t.Context(), errNotFound, true)
		require.True(t, goOn)
		require.Equal(t, Lag, left)
		<-time.After(Lag)
		_, goOn = rule.Left(t.Context(), errNotFound, true)
		require.False(t, goOn)
		rule.Success()
		left, _ = rule.Left(t.Context(), errNotFound, true)
		require.Equal(t, Lag, left)
	})
}

// Lag that comes and goes in an outage does not prolong it.
func TestOutageAndLagEnd(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var rule Rule
		start := time.Now()
		for {
			_, goOn := rule.Left(t.Context(), errUnavailable, false)
			if !goOn {
				break
			}
			<-time.After(10 * time.Second)
			_, goOn = rule.Left(t.Context(), errNotFound, true)
			require.True(t, goOn)
			<-time.After(10 * time.Second)
		}
		require.Equal(t, DefaultLimit, time.Since(start))
	})
}

func TestOtherFailuresEnd(t *testing.T) {
	ended, cancel := context.WithCancel(t.Context())
	cancel()
	for name, tt := range map[string]struct {
		ctx     context.Context //nolint:containedctx // a case of the table
		err     error
		lagging bool
	}{
		"an error of another kind": {t.Context(), errOther, false},
		"a 404 that is no lag":     {t.Context(), errNotFound, false},
		"a context that ended":     {ended, errUnavailable, false},
		"an ambiguous call":        {t.Context(), &transport.Error{StatusCode: 503, Ambiguous: true}, false},
	} {
		t.Run(name, func(t *testing.T) {
			var rule Rule
			_, goOn := rule.Left(tt.ctx, tt.err, tt.lagging)
			require.False(t, goOn)
		})
	}
}

func TestLagging(t *testing.T) {
	for name, tt := range map[string]struct {
		err           error
		unseen, known bool
	}{
		"404":              {errNotFound, true, true},
		"404 in another":   {fmt.Errorf("poll: %w", errNotFound), true, true},
		"403":              {&transport.Error{StatusCode: 403}, false, true},
		"refused in a 200": {&transport.Error{StatusCode: 200}, false, true},
		"malformed 200":    {&transport.Error{StatusCode: 200, Err: errOther}, false, false},
		"401":              {&transport.Error{StatusCode: 401}, false, false},
		"503":              {errUnavailable, false, false},
		"other":            {errOther, false, false},
	} {
		t.Run(name, func(t *testing.T) {
			require.Equal(t, tt.unseen, Lagging(tt.err, false))
			require.Equal(t, tt.known, Lagging(tt.err, true))
		})
	}
}

// Pauses grow from one second to 15, and begin again after a success.
func TestPause(t *testing.T) {
	var rule Rule
	for range 3 {
		interval := time.Second
		for range 20 {
			pause := rule.Pause(0)
			require.GreaterOrEqual(t, pause, interval/2)
			require.LessOrEqual(t, pause, interval)
			interval = min(interval*3/2, 15*time.Second)
		}
		pause := rule.Pause(20 * time.Second)
		require.GreaterOrEqual(t, pause, 20*time.Second)
		require.LessOrEqual(t, pause, 28*time.Second)
		rule.Success()
	}
}
