package transport

import (
	"context"
	"errors"
	"fmt"
	"io"
	"math"
	"net"
	"net/http"
	"runtime"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/imagejobs/imagejobs-go/internal/auth"
	"github.com/imagejobs/imagejobs-go/internal/emulator"
	"github.com/imagejobs/imagejobs-go/internal/rawhttp"
	"github.com/imagejobs/imagejobs-go/internal/wire"
)

var errMaintenance = errors.New("the maintenance window is over")

// A context that ends while the loop waits ends the call at once, and its error
// says both: that, and what the last attempt met.
func TestContextEndsInBackoff(t *testing.T) {
	for name, tt := range map[string]struct {
		handle rawhttp.Handler
		wants  []error
	}{
		"after a status":            {rawhttp.Respond(rawhttp.Response("503 Service Unavailable", "", `{"message":"down"}`)), []error{ErrServer}},
		"after a broken connection": {drop, []error{io.EOF}},
		"after a broken response":   {rawhttp.Respond(okJSON(`{"name":`)), nil},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				c, s := pipeClient(t, Config{Retry: &Retry{MaxAttempts: 5, MinWait: time.Minute, MaxWait: time.Hour}}, tt.handle)
				ctx, cancel := context.WithTimeoutCause(t.Context(), 10*time.Second, errMaintenance)
				defer cancel()
				start := time.Now()
				_, _, err := do(ctx, c, get(Safe))
				require.Equal(t, 10*time.Second, time.Since(start))
				e := failure(t, err)
				require.ErrorIs(t, err, context.DeadlineExceeded)
				require.ErrorIs(t, err, errMaintenance)
				for _, want := range tt.wants {
					require.ErrorIs(t, err, want)
				}
				require.Equal(t, 1, e.Attempts)
				require.EqualValues(t, 1, s.Requests.Load())
				require.NotContains(t, err.Error(), errStatus.Error())
				require.False(t, e.Ambiguous)
			})
		})
	}
}

// A context that ends after the response changes nothing about the response.
func TestContextEndsWithAFinalAnswer(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		ctx, cancel := context.WithCancel(t.Context())
		c, _ := pipeClient(t, Config{}, rawhttp.Respond(rawhttp.Response("404 Not Found", "", "")))
		call := get(Safe)
		c.retry.next.next = after{c.retry.next.next, cancel}
		_, _, err := do(ctx, c, call)
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
				got := Retry{9, tt.minWait, tt.maxWait}.backoff(tt.attempt + 1)
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

func TestWaitAfterRetryAfter(t *testing.T) {
	r := retrier{limits: Retry{5, time.Second, 3 * time.Second}}
	wait := func(header string) time.Duration {
		x := &callState{attempts: 1, response: Response{Header: http.Header{"Retry-After": {header}}}}
		return r.wait(x)
	}
	for header, want := range map[string]time.Duration{"7": 7 * time.Second, "120": 2 * time.Minute, "0.5": time.Second / 2} {
		for range 50 {
			require.GreaterOrEqual(t, wait(header), want, "never before the time asked for")
			require.LessOrEqual(t, wait(header), want+time.Second)
		}
	}
	for _, header := range []string{"0", "-5", "soon", "Mon, 02 Jan 2006 15:04:05 GMT", "1e12"} {
		require.GreaterOrEqual(t, wait(header), time.Second, header)
		require.LessOrEqual(t, wait(header), 2*time.Second, header)
	}
}

// A date says how long to wait by the clock of the service, whatever ours is.
func TestRetryAfterByTheServicesClock(t *testing.T) {
	for _, skew := range []time.Duration{time.Hour, -time.Hour} {
		synctest.Test(t, func(t *testing.T) {
			now := time.Now().Add(skew).UTC()
			c, s := pipeClient(t, Config{Retry: noWait(2)}, sequence(
				rawhttp.Respond(rawhttp.Response("503 Service Unavailable", "Date: "+now.Format(http.TimeFormat)+"\r\nRetry-After: "+now.Add(3*time.Second).Format(http.TimeFormat)+"\r\n", "")),
				rawhttp.Respond(okJSON("{}"))))
			start := time.Now()
			_, _, err := do(t.Context(), c, get(Safe))
			require.NoError(t, err)
			require.EqualValues(t, 2, s.Requests.Load())
			require.Equal(t, 3*time.Second, time.Since(start))
		})
	}
}

func TestParseRetryAfter(t *testing.T) {
	now := time.Date(2026, 11, 22, 12, 0, 0, 0, time.UTC)
	for text, want := range map[string]time.Duration{
		"":                               0,
		"  ":                             0,
		"soon":                           0,
		"1.5":                            1500 * time.Millisecond,
		"7s":                             0,
		"NaN":                            0,
		"Inf":                            0,
		"99999999999999999999999":        0,
		"0":                              0,
		"7":                              7 * time.Second,
		" 7 ":                            7 * time.Second,
		"-7":                             0,
		"86399":                          86399 * time.Second,
		"9223372036854775807":            0,
		"Sun, 22 Nov 2026 12:01:30 GMT":  90 * time.Second,
		"Sunday, 22-Nov-26 12:01:30 GMT": 90 * time.Second,
		"Sun Nov 22 12:01:30 2026":       90 * time.Second,
		"Sun, 22 Nov 2026 11:59:59 GMT":  0,
		"Fri, 31 Dec 9999 23:59:59 GMT":  0,
	} {
		require.Equal(t, want, parseRetryAfter(http.Header{"Retry-After": {text}}, now), text)
	}
	require.Zero(t, (*Response)(nil).RetryAfter())
	require.Zero(t, (&Response{}).RetryAfter())
	require.Equal(t, 3*time.Second, (&Response{Header: http.Header{"Retry-After": {"3"}}}).RetryAfter())
}

func FuzzParseRetryAfter(f *testing.F) {
	for _, text := range []string{"7", "-1", "1e9", "99999999999", "Sun, 22 Nov 2026 12:01:30 GMT", "Sun, 22 Nov 0000 12:01:30 GMT", "soon", " 5\t"} {
		f.Add(text)
	}
	f.Fuzz(func(t *testing.T, text string) {
		h := http.Header{"Retry-After": {text}}
		now := time.Now()
		wait := parseRetryAfter(h, now)
		require.GreaterOrEqual(t, wait, time.Duration(0))
		require.LessOrEqual(t, wait, absurd)
	})
}

// A client whose calls all fail stops repeating them, and starts again when
// calls succeed.
func TestRetryBudget(t *testing.T) {
	var down atomic.Bool
	down.Store(true)
	s := serveTCP(t, func(c net.Conn, r *http.Request) bool {
		if down.Load() {
			return rawhttp.Respond(rawhttp.Response("503 Service Unavailable", "", ""))(c, r)
		}
		return rawhttp.Respond(okJSON("{}"))(c, r)
	})
	c := newClient(t, Config{BaseURL: s.URL(), Retry: noWait(5)})
	call := func() *Error {
		_, _, err := do(t.Context(), c, get(Safe))
		return failure(t, err)
	}
	for range budgetSize / retryCost / 4 {
		e := call()
		require.Equal(t, 5, e.Attempts)
		require.Equal(t, "try again later", e.Hint)
	}
	for range 3 {
		e := call()
		require.Equal(t, 1, e.Attempts)
		require.ErrorIs(t, e, ErrServer)
		require.ErrorContains(t, e, "the client's retry budget is used up")
	}
	require.EqualValues(t, budgetSize/retryCost+budgetSize/retryCost/4+3, s.Requests.Load())

	// One retry for each five first attempts that succeed.
	down.Store(false)
	for range 2 * retryCost {
		_, _, err := do(t.Context(), c, get(Safe))
		require.NoError(t, err)
	}
	down.Store(true)
	require.Equal(t, 3, call().Attempts)
	require.Equal(t, 1, call().Attempts)
}

func TestBudgetRefill(t *testing.T) {
	b := budget{tokens: budgetSize}
	b.refill(true)
	require.Equal(t, budgetSize, b.tokens, "never more than the first amount")
	require.True(t, b.take())
	b.refill(true)
	require.Equal(t, budgetSize, b.tokens, "a retry that helped is given back")
	b.tokens = retryCost - 1
	require.False(t, b.take())
	require.Equal(t, retryCost-1, b.tokens)
	b.refill(false)
	require.True(t, b.take())
	require.Zero(t, b.tokens)
}

// An attempt with another token is no retry, takes nothing and gives nothing back.
func TestRenewalLeavesTheBudget(t *testing.T) {
	s := serveTCP(t, sequence(rawhttp.Respond(rawhttp.Response("401 Unauthorized", "", "")), rawhttp.Respond(okJSON("{}"))))
	tokens := 0
	c := newClient(t, Config{BaseURL: s.URL(), Credentials: auth.Token(func(context.Context) (string, time.Time, error) {
		tokens++
		return fmt.Sprintf("token-%d", tokens), time.Time{}, nil
	}, "X-Auth-Token", "")})
	c.retry.budget.tokens = 100
	_, _, err := do(t.Context(), c, get(Safe))
	require.NoError(t, err)
	require.Equal(t, 2, tokens)
	require.Equal(t, 100+successGain, c.retry.budget.tokens)
}

// Between the attempts, and not before the first or after the last.
func TestBackoffTimes(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var at []time.Duration
		start := time.Now()
		c, _ := pipeClient(t, Config{}, func(c net.Conn, r *http.Request) bool {
			at = append(at, time.Since(start))
			return rawhttp.Respond(rawhttp.Response("503 Service Unavailable", "", ""))(c, r)
		})
		_, _, err := do(t.Context(), c, get(Safe))
		require.Equal(t, 5, failure(t, err).Attempts)
		require.Equal(t, at[4], time.Since(start))
		require.Len(t, at, 5)
		require.Zero(t, at[0])
		upper := time.Second
		for i := 1; i < 5; i++ {
			require.GreaterOrEqual(t, at[i]-at[i-1], DefaultMinWait)
			require.LessOrEqual(t, at[i]-at[i-1], upper)
			upper *= 2
		}
	})
}

// The body goes out again from its start, and whole.
func TestRetryRewindsTheBody(t *testing.T) {
	bodies := make(chan string, 5)
	read := func(_ net.Conn, r *http.Request) bool {
		data, err := io.ReadAll(r.Body)
		bodies <- string(data)
		return err == nil
	}
	then := func(text string) rawhttp.Handler {
		return func(c net.Conn, r *http.Request) bool { return read(c, r) && rawhttp.Respond(text)(c, r) }
	}
	s := serveTCP(t, sequence(
		then(rawhttp.Response("503 Service Unavailable", "", "")),
		func(c net.Conn, r *http.Request) bool { read(c, r); return false },
		then(okJSON("{}"))))
	c := newClient(t, Config{BaseURL: s.URL(), Retry: noWait(5)})
	text := strings.Repeat("image ", 20_000)
	_, _, err := do(t.Context(), c, post(Repeatable, BytesBody("text/plain", []byte(text))))
	require.NoError(t, err)
	require.Len(t, bodies, 3)
	for range 3 {
		require.Equal(t, text, <-bodies)
	}
}

// The loop closes all idle connections after a failure, if it can.
func TestFailureLeavesOtherConnectionsOpen(t *testing.T) {
	var both sync.WaitGroup
	both.Add(2)
	together := func(c net.Conn, r *http.Request) bool {
		both.Done()
		both.Wait()
		return rawhttp.Respond(okJSON("{}"))(c, r)
	}
	s := serveTCP(t, sequence([]rawhttp.Handler{together, together, drop, rawhttp.Respond(okJSON("{}"))}...))
	c := newClient(t, Config{BaseURL: s.URL(), Retry: noWait(1)})
	var wg sync.WaitGroup
	for range 2 {
		wg.Go(func() {
			_, _, err := do(t.Context(), c, get(Safe))
			assert.NoError(t, err)
		})
	}
	wg.Wait()
	_, _, err := do(t.Context(), c, post(Repeatable, BytesBody("text/plain", []byte("x"))))
	require.ErrorIs(t, err, io.EOF)
	_, _, err = do(t.Context(), c, get(Safe))
	require.NoError(t, err)
	require.EqualValues(t, 2, s.Accepted.Load(), "the last call takes the second connection")
}

// reusing returns a client's round tripper that is not known to be a transport
// of net/http, and so still uses its connections.
func reusing(t *testing.T) *http.Client {
	t.Helper()
	tr := wire.NewTransport(maxInFlight)
	t.Cleanup(tr.CloseIdleConnections)
	return &http.Client{Transport: struct{ http.RoundTripper }{tr}}
}

// net/http sends a GET again by itself when a reused connection dies. The
// server must not see one of class Once twice.
func TestReusedConnectionDies(t *testing.T) {
	for name, tt := range map[string]struct {
		call      *Call
		requests  int64 // beside the one that warms the connection up
		succeeds  bool
		ambiguous bool
	}{
		"once, GET":        {get(Once), 1, false, true},
		"once, POST":       {post(Once, BytesBody("text/plain", []byte("x"))), 1, false, true},
		"once, empty POST": {post(Once, nil), 1, false, true},
		"safe, GET":        {get(Safe), 2, true, false},
		"repeatable, POST": {post(Repeatable, BytesBody("text/plain", []byte("x"))), 2, true, false},
	} {
		t.Run(name, func(t *testing.T) {
			s := serveTCP(t, sequence([]rawhttp.Handler{rawhttp.Respond(okJSON("{}")), drop, rawhttp.Respond(okJSON("{}"))}...))
			c := newClient(t, Config{BaseURL: s.URL(), HTTPClient: reusing(t), Retry: noWait(5)})
			_, _, err := do(t.Context(), c, get(tt.call.Repeat))
			require.NoError(t, err)
			require.EqualValues(t, 1, s.Accepted.Load())

			_, _, err = do(t.Context(), c, tt.call)
			require.Equal(t, 1+tt.requests, s.Requests.Load())
			require.Equal(t, tt.ambiguous, errors.Is(err, ErrAmbiguous))
			if tt.succeeds {
				require.NoError(t, err)
			} else {
				require.Equal(t, 1, failure(t, err).Attempts)
			}
			require.Equal(t, tt.requests, s.Accepted.Load(), "the dead connection was the first one")
		})
	}
}

// Nor may it when the same call goes out again with another token.
func TestReusedConnectionDiesAfterRefusal(t *testing.T) {
	var asked atomic.Int64
	s := serveTCP(t, sequence(rawhttp.Respond(rawhttp.Response("401 Unauthorized", "", "")), drop, rawhttp.Respond(okJSON("{}"))))
	c := newClient(t, Config{
		BaseURL: s.URL(), HTTPClient: reusing(t), Credentials: counted(&asked, numbered), Retry: noWait(5),
	})
	_, _, err := do(t.Context(), c, get(Once))
	require.ErrorIs(t, err, ErrAmbiguous)
	require.Equal(t, 2, failure(t, err).Attempts)
	require.EqualValues(t, 2, s.Requests.Load())
	require.EqualValues(t, 1, s.Accepted.Load())
}

// A call of class Once goes out on a connection of its own, whatever connections
// there are: the far end may be about to close them.
func TestOnceTakesAFreshConnection(t *testing.T) {
	for name, given := range map[string]*http.Client{
		"own":    nil,
		"caller": {Transport: &http.Transport{}},
	} {
		t.Run(name, func(t *testing.T) {
			// The second request on any connection is not read.
			var mu sync.Mutex
			used := map[net.Conn]bool{}
			s := serveTCP(t, func(c net.Conn, r *http.Request) bool {
				mu.Lock()
				defer mu.Unlock()
				if used[c] {
					return false
				}
				used[c] = true
				return rawhttp.Respond(okJSON("{}"))(c, r)
			})
			c := newClient(t, Config{BaseURL: s.URL(), HTTPClient: given, Retry: noWait(1)})
			for _, call := range []*Call{
				get(Safe), get(Once), post(Once, nil), post(Once, BytesBody("text/plain", []byte("x"))),
			} {
				_, _, err := do(t.Context(), c, call)
				require.NoError(t, err)
			}
			require.EqualValues(t, 4, s.Accepted.Load())
		})
	}
}

// A context that ends under way leaves a call of class Once ambiguous, but not
// before its first byte was sent.
func TestContextEndsUnderWay(t *testing.T) {
	for name, tt := range map[string]struct {
		hang      bool // in dialing
		class     Repeat
		ambiguous bool
	}{
		"once":          {false, Once, true},
		"once, dialing": {true, Once, false},
		"safe":          {false, Safe, false},
		"repeatable":    {false, Repeatable, false},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				l := emulator.NewPipeListener()
				serve(t, l, stall(""))
				c := dialingClient(t, Config{}, func(ctx context.Context, network, addr string) (net.Conn, error) {
					if tt.hang {
						<-ctx.Done()
						return nil, ctx.Err()
					}
					return l.DialContext(ctx, network, addr)
				})
				ctx, cancel := context.WithTimeoutCause(t.Context(), 5*time.Second, errMaintenance)
				defer cancel()
				start := time.Now()
				_, _, err := do(ctx, c, get(tt.class))
				require.Equal(t, 5*time.Second, time.Since(start))
				require.ErrorIs(t, err, context.DeadlineExceeded)
				require.ErrorIs(t, err, errMaintenance)
				require.Equal(t, 1, strings.Count(err.Error(), errMaintenance.Error()))
				require.Equal(t, tt.ambiguous, errors.Is(err, ErrAmbiguous))
				require.Equal(t, 1, failure(t, err).Attempts)
			})
		})
	}
}

// The calls of one client do not wait for each other.
func TestConcurrentCalls(t *testing.T) {
	var mu sync.Mutex
	underWay, most := 0, 0
	count := func(more int) {
		mu.Lock()
		defer mu.Unlock()
		underWay += more
		most = max(most, underWay)
	}
	s := serveTCP(t, func(c net.Conn, r *http.Request) bool {
		count(1)
		runtime.Gosched() // to others that are under way
		count(-1)         // before the response makes room for another
		name := strings.TrimPrefix(r.URL.Path, "/")
		return rawhttp.Respond(okJSON(`{"name":"`+name+`"}`))(c, r)
	})
	c := newClient(t, Config{BaseURL: s.URL(), Credentials: bearer("token-1")})
	var wg sync.WaitGroup
	const callers, each = 100, 5
	for i := range callers {
		wg.Go(func() {
			name := fmt.Sprintf("job-%d", i)
			for range each {
				got, _, err := do(t.Context(), c, &Call{Operation: "Jobs.Get", Method: http.MethodGet, Path: []string{name}, Repeat: Safe})
				if assert.NoError(t, err) {
					assert.Equal(t, name, got.Name)
				}
			}
		})
	}
	wg.Wait()
	require.EqualValues(t, callers*each, s.Requests.Load())
	mu.Lock()
	defer mu.Unlock()
	require.LessOrEqual(t, most, maxInFlight)
	require.Less(t, s.Accepted.Load(), int64(callers*each/2), "connections are shared")
}
