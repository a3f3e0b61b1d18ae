package auth

import (
	"context"
	"errors"
	"fmt"
	"runtime"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

var errSource = errors.New("the token service is down")

// issuer is a source of numbered tokens that can be made to fail or to wait.
type issuer struct {
	life  time.Duration // 0 for tokens without an end
	takes time.Duration

	asked atomic.Int64
	err   atomic.Pointer[error]
}

func (s *issuer) token(ctx context.Context) (string, time.Time, error) {
	n := s.asked.Add(1)
	if s.takes > 0 {
		select {
		case <-time.After(s.takes):
		case <-ctx.Done():
			return "", time.Time{}, ctx.Err()
		}
	}
	if err := s.err.Load(); err != nil {
		return "", time.Time{}, *err
	}
	var expiry time.Time
	if s.life > 0 {
		expiry = time.Now().Add(s.life)
	}
	return fmt.Sprintf("token-%d", n), expiry, nil
}

func (s *issuer) fail(err error) { s.err.Store(&err) }

func (s *issuer) recover() { s.err.Store(nil) }

func (s *issuer) credentials() Credentials { return Token(s.token, "X-Auth-Token", "") }

// apply returns the token that a request would carry.
func apply(t *testing.T, c Credentials) (string, Grant) {
	t.Helper()
	grant, err := c.Grant(t.Context())
	require.NoError(t, err)
	require.Equal(t, "X-Auth-Token", grant.Header)
	require.Equal(t, []string{grant.Value}, grant.Secrets())
	return grant.Value, grant
}

func TestTokenIsCached(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := &issuer{}
		c := s.credentials()
		require.Zero(t, s.asked.Load(), "not before it is needed")
		for range 3 {
			token, _ := apply(t, c)
			require.Equal(t, "token-1", token)
			<-time.After(1000 * time.Hour)
		}
	})
}

// Calls that start together wait for one token.
func TestFirstTokenOneFlight(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := &issuer{takes: time.Second}
		c := s.credentials()
		var wg sync.WaitGroup
		for range 200 {
			wg.Go(func() {
				grant, err := c.Grant(t.Context())
				if assert.NoError(t, err) {
					assert.Equal(t, "token-1", grant.Value)
				}
			})
		}
		wg.Wait()
		require.EqualValues(t, 1, s.asked.Load())
	})
}

// However many calls are rejected together, the source is asked once more.
func TestRejectedTogetherOneFlight(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := &issuer{takes: time.Second}
		c := s.credentials()
		_, grant := apply(t, c)
		var wg sync.WaitGroup
		for i := range 200 {
			wg.Go(func() {
				<-time.After(time.Duration(i) * 20 * time.Millisecond) // some of them come when it is over
				newer, err := c.Renew(t.Context(), grant)
				if assert.NoError(t, err) {
					assert.True(t, newer)
				}
				grant, err := c.Grant(t.Context())
				if assert.NoError(t, err) {
					assert.Equal(t, "token-2", grant.Value)
				}
			})
		}
		wg.Wait()
		require.EqualValues(t, 2, s.asked.Load())
	})
}

// The new token may be rejected as well, which renews it again.
func TestRejectedAgain(t *testing.T) {
	s := &issuer{}
	c := s.credentials()
	for n := 1; n < 4; n++ {
		token, grant := apply(t, c)
		require.Equal(t, fmt.Sprintf("token-%d", n), token)
		newer, err := c.Renew(t.Context(), grant)
		require.NoError(t, err)
		require.True(t, newer)
	}
	require.EqualValues(t, 4, s.asked.Load())
}

// A source with nothing but the rejected token leaves no reason for another
// attempt.
func TestStaticTokenRejected(t *testing.T) {
	var asked int
	c := Token(func(context.Context) (string, time.Time, error) {
		asked++
		return "constant", time.Time{}, nil
	}, "X-Auth-Token", "")
	_, grant := apply(t, c)
	newer, err := c.Renew(t.Context(), grant)
	require.NoError(t, err)
	require.False(t, newer)
	require.Equal(t, 2, asked)
	// Calls that were rejected at the same time do not ask again.
	newer, err = c.Renew(t.Context(), grant)
	require.NoError(t, err)
	require.False(t, newer)
	require.Equal(t, 2, asked)
}

func TestSourceFails(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := &issuer{}
		s.fail(errSource)
		c := s.credentials()
		grant, err := c.Grant(t.Context())
		require.Equal(t, errSource, err)
		require.Empty(t, grant.Header)
		require.Equal(t, []string{""}, grant.Secrets())

		s.recover()
		token, grant := apply(t, c)
		require.Equal(t, "token-2", token)

		s.fail(errSource)
		newer, err := c.Renew(t.Context(), grant)
		require.Equal(t, errSource, err)
		require.False(t, newer)
		_, err = c.Grant(t.Context())
		require.Equal(t, errSource, err, "a rejected token is not sent again")
		s.recover()
		token, _ = apply(t, c)
		require.Equal(t, "token-5", token)
		newer, err = c.Renew(t.Context(), grant)
		require.NoError(t, err)
		require.True(t, newer)
		require.EqualValues(t, 5, s.asked.Load())
	})
}

// Calls rejected together cause one refresh also if it fails; those after it
// share the next ones, however many they are and however they repeat.
func TestSourceFailsForMany(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := &issuer{}
		c := s.credentials()
		_, grant := apply(t, c)
		s.fail(errSource)
		var wg sync.WaitGroup
		for i := range 200 {
			wg.Go(func() {
				<-time.After(time.Duration(i) * time.Second)
				_, err := c.Renew(t.Context(), grant)
				assert.Equal(t, errSource, err)
			})
		}
		wg.Wait()
		require.EqualValues(t, 2, s.asked.Load())

		start := time.Now()
		for range 200 {
			wg.Go(func() {
				for time.Since(start) < time.Minute {
					_, err := c.Grant(t.Context())
					assert.Equal(t, errSource, err)
				}
			})
		}
		wg.Wait()
		require.InDelta(t, 2+120, s.asked.Load(), 2)
	})
}

// A call whose context ends in the pause before the next refresh causes none.
func TestWaitersLeaveThePause(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := &issuer{}
		s.fail(errSource)
		c := s.credentials()
		_, err := c.Grant(t.Context())
		require.Equal(t, errSource, err)
		ctx, cancel := context.WithTimeout(t.Context(), retryPause/2)
		defer cancel()
		_, err = c.Grant(ctx)
		require.ErrorIs(t, err, context.DeadlineExceeded)
		<-time.After(time.Minute)
		require.EqualValues(t, 1, s.asked.Load())
	})
}

// A refusal stands for a while: no number of calls locks the account.
func TestSourceIsRefused(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := &issuer{}
		c := s.credentials()
		_, grant := apply(t, c)
		errRefused := fmt.Errorf("login: %w", ErrRefused)
		s.fail(errRefused)
		for range 1000 {
			_, err := c.Renew(t.Context(), grant)
			require.Equal(t, errRefused, err)
			_, err = c.Grant(t.Context())
			require.Equal(t, errRefused, err)
			<-time.After(refusalStands / 1001)
		}
		require.EqualValues(t, 2, s.asked.Load())
		<-time.After(refusalStands / 500)
		s.recover()
		token, _ := apply(t, c)
		require.Equal(t, "token-3", token, "somebody has unlocked it")
	})
}

// A refused early refresh is repeated only when the token has expired.
func TestEarlyRefreshRefused(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := &issuer{life: time.Hour}
		c := s.credentials()
		apply(t, c)
		s.fail(ErrRefused)
		for range 59 {
			<-time.After(time.Minute)
			token, _ := apply(t, c)
			require.Equal(t, "token-1", token)
		}
		require.EqualValues(t, 2, s.asked.Load())
		<-time.After(time.Minute)
		_, err := c.Grant(t.Context())
		require.Equal(t, ErrRefused, err)
		require.EqualValues(t, 3, s.asked.Load())
	})
}

func TestUnusableTokens(t *testing.T) {
	for value, want := range map[string]string{
		"":              "the token source returned an empty token",
		"a b":           "the token source returned a token that no header can carry",
		" \n":           "the token source returned an empty token",
		"a\r\nX-Evil:1": "the token source returned a token that no header can carry",
		"a\x00b":        "the token source returned a token that no header can carry",
		"a\x7f":         "the token source returned a token that no header can carry",
		"tökën":         "the token source returned a token that no header can carry",
		"a\xff":         "the token source returned a token that no header can carry",
	} {
		c := Token(func(context.Context) (string, time.Time, error) { return value, time.Time{}, nil }, "X-Auth-Token", "")
		grant, err := c.Grant(t.Context())
		require.EqualError(t, err, want, "%q", value)
		require.Empty(t, grant.Header)
	}
	c := Token(func(context.Context) (string, time.Time, error) { return "\taZ09-._~+/=!#\r\n", time.Time{}, nil }, "Authorization", "Bearer ")
	grant, err := c.Grant(t.Context())
	require.NoError(t, err)
	require.Equal(t, "Authorization: Bearer aZ09-._~+/=!#", grant.Header+": "+grant.Value)
	require.Equal(t, []string{"aZ09-._~+/=!#"}, grant.Secrets())
}

// A call stops waiting when its context ends, and the others get the token.
func TestWaitersLeaveAtOnce(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := &issuer{takes: time.Minute}
		c := s.credentials()
		start := time.Now()

		// The call that starts the refresh is the first to leave.
		ctx, cancel := context.WithTimeout(t.Context(), 5*time.Second)
		defer cancel()
		_, err := c.Grant(ctx)
		require.ErrorIs(t, err, context.DeadlineExceeded)
		require.Equal(t, 5*time.Second, time.Since(start))

		token, grant := apply(t, c)
		require.Equal(t, "token-1", token)
		require.Equal(t, time.Minute, time.Since(start), "the refresh continued")
		require.EqualValues(t, 1, s.asked.Load())

		ctx, cancel = context.WithTimeout(t.Context(), time.Second)
		defer cancel()
		_, err = c.Renew(ctx, grant)
		require.ErrorIs(t, err, context.DeadlineExceeded)
		newer, err := c.Renew(t.Context(), grant)
		require.NoError(t, err)
		require.True(t, newer)
		require.EqualValues(t, 2, s.asked.Load())
	})
}

// A refresh that hangs is ended, and the next call starts another.
func TestRefreshIsLimited(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := &issuer{takes: time.Hour}
		c := s.credentials()
		start := time.Now()
		_, err := c.Grant(t.Context())
		require.NotErrorIs(t, err, context.DeadlineExceeded, "nobody else's deadline")
		require.ErrorContains(t, err, "no token within 2m0s")
		temporary, ok := errors.AsType[interface {
			error
			Temporary() bool
		}](err)
		require.True(t, ok && temporary.Temporary())
		require.Equal(t, flightTimeout, time.Since(start))
		s.takes = 0
		token, _ := apply(t, c)
		require.Equal(t, "token-2", token)
	})
}

// A source sees the values of the context, and not its end.
func TestSourceContext(t *testing.T) {
	type key struct{}
	ctx, cancel := context.WithCancel(context.WithValue(t.Context(), key{}, "trace 7"))
	defer cancel()
	c := Token(func(ctx context.Context) (string, time.Time, error) {
		cancel()
		_, limited := ctx.Deadline()
		assert.True(t, limited)
		assert.Equal(t, "trace 7", ctx.Value(key{}))
		assert.NoError(t, ctx.Err())
		return "token", time.Time{}, nil
	}, "X-Auth-Token", "")
	_, _ = c.Grant(ctx)
	token, _ := apply(t, c)
	require.Equal(t, "token", token)
}

// A token is replaced shortly before it expires, in the background.
func TestEarlyRefresh(t *testing.T) {
	for name, tt := range map[string]struct{ life, early time.Duration }{
		"short": {10 * time.Minute, 9 * time.Minute},
		"long":  {7 * 24 * time.Hour, 7*24*time.Hour - 5*time.Minute},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				s := &issuer{life: tt.life}
				c := s.credentials()
				apply(t, c)
				s.takes = time.Second
				<-time.After(tt.early)
				token, _ := apply(t, c)
				require.Equal(t, "token-1", token)
				require.EqualValues(t, 1, s.asked.Load(), "not before")

				<-time.After(time.Second)
				start := time.Now()
				token, _ = apply(t, c)
				require.Equal(t, "token-1", token, "the old one lives")
				require.Zero(t, time.Since(start), "no call waits")
				synctest.Wait()
				require.EqualValues(t, 2, s.asked.Load())
				token, _ = apply(t, c)
				require.Equal(t, "token-1", token)

				<-time.After(2 * time.Second)
				token, _ = apply(t, c)
				require.Equal(t, "token-2", token)
				require.EqualValues(t, 2, s.asked.Load())
			})
		})
	}
}

// While the old token is valid, no call hears of a failed early refresh, and it
// is repeated after a while.
func TestEarlyRefreshFails(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := &issuer{life: 10 * time.Minute}
		c := s.credentials()
		apply(t, c)
		s.fail(errSource)
		<-time.After(9*time.Minute + time.Second)
		for range 5 {
			token, _ := apply(t, c)
			require.Equal(t, "token-1", token)
			synctest.Wait()
		}
		require.EqualValues(t, 2, s.asked.Load())
		<-time.After(earlyRetry + time.Second)
		apply(t, c)
		synctest.Wait()
		require.EqualValues(t, 3, s.asked.Load())

		// Once the token has expired, the failure counts.
		<-time.After(time.Minute)
		_, err := c.Grant(t.Context())
		require.Equal(t, errSource, err)
		s.recover()
		token, _ := apply(t, c)
		require.Equal(t, "token-5", token)
	})
}

// A token that has expired is not sent: the call waits for the next.
func TestExpiredTokenWaits(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := &issuer{life: time.Hour}
		c := s.credentials()
		apply(t, c)
		<-time.After(time.Hour)
		s.takes = 3 * time.Second
		start := time.Now()
		token, _ := apply(t, c)
		require.Equal(t, "token-2", token)
		require.Equal(t, 3*time.Second, time.Since(start))
	})
}

// A token that has expired when it arrives was judged by a clock that is wrong:
// the service decides about it, and the source is not asked for each call.
func TestTokenBornExpired(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		asked := 0
		c := Token(func(context.Context) (string, time.Time, error) {
			asked++
			return fmt.Sprintf("token-%d", asked), time.Now().Add(-time.Hour), nil
		}, "X-Auth-Token", "")
		for range 3 {
			token, grant := apply(t, c)
			require.Equal(t, fmt.Sprintf("token-%d", asked), token)
			for range 300 {
				again, _ := apply(t, c)
				require.Equal(t, token, again)
				<-time.After(time.Minute)
			}
			newer, err := c.Renew(t.Context(), grant)
			require.NoError(t, err)
			require.True(t, newer)
		}
		require.Equal(t, 4, asked)
	})
}

// A call rejected while an early refresh is under way waits for that one.
func TestRejectedDuringEarlyRefresh(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := &issuer{life: 10 * time.Minute}
		c := s.credentials()
		apply(t, c)
		s.takes = time.Second
		<-time.After(9*time.Minute + time.Second)
		_, grant := apply(t, c)
		newer, err := c.Renew(t.Context(), grant)
		require.NoError(t, err)
		require.True(t, newer)
		require.EqualValues(t, 2, s.asked.Load())
	})
}

// A source that panics or ends its goroutine fails the calls that wait for it,
// and not the next ones.
func TestSourceDoesNotReturn(t *testing.T) {
	for want, f := range map[string]func(){
		"the token source panicked: odd":         func() { panic("odd") },
		"the token source called runtime.Goexit": runtime.Goexit,
	} {
		broken := true
		c := Token(func(context.Context) (string, time.Time, error) {
			if broken {
				f()
			}
			return "token", time.Time{}, nil
		}, "X-Auth-Token", "")
		_, err := c.Grant(t.Context())
		require.EqualError(t, err, want)
		broken = false
		token, _ := apply(t, c)
		require.Equal(t, "token", token)
	}
}
