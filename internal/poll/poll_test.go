package poll

import (
	"context"
	"errors"
	"math"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"
	"go.uber.org/goleak"

	"github.com/imagejobs/imagejobs-go/internal/outage"
	"github.com/imagejobs/imagejobs-go/internal/transport"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

var (
	errGone   = errors.New("the job is gone")
	errFailed = errors.New("the job failed")
	errWindow = errors.New("the maintenance window is over")

	errUnavailable = &transport.Error{Op: "jobs.Get", StatusCode: 503}
	errNotFound    = &transport.Error{Op: "jobs.Get", StatusCode: 404}
	errForbidden   = &transport.Error{Op: "jobs.Get", StatusCode: 403}
	errRefused     = &transport.Error{Op: "jobs.Get", StatusCode: 200}
)

// state is a job's, as a service shows it.
type state struct {
	status   string
	progress int
	seen     int // differs in each poll, and is no change
}

// script is a job that goes through states, one a poll, and stays in the last.
type script struct {
	states []state
	after  time.Duration // asked for by the service
	err    error         // after the states, nil to stay in the last
	polls  []time.Time
}

func (s *script) get(ctx context.Context) (state, time.Duration, error) {
	s.polls = append(s.polls, time.Now())
	if ctx.Err() != nil {
		return state{}, 0, ctx.Err()
	}
	n := len(s.polls)
	if n > len(s.states) {
		if s.err != nil {
			return state{}, 0, s.err
		}
		n = len(s.states)
	}
	now := s.states[n-1]
	now.seen = len(s.polls)
	return now, s.after, nil
}

// gaps returns the times between polls.
func (s *script) gaps() []time.Duration {
	var list []time.Duration
	for i := 1; i < len(s.polls); i++ {
		list = append(list, s.polls[i].Sub(s.polls[i-1]))
	}
	return list
}

func (s *script) job() *Job[state] {
	return &Job[state]{
		Package: "jobs",
		Name:    "job 7",
		Get:     s.get,
		Status:  func(s state) string { return s.status },
		Done:    func(s state) bool { return s.status == "done" || s.status == "failed" },
		Failed: func(s state) error {
			if s.status == "failed" {
				return errFailed
			}
			return nil
		},
		Same: func(older, newer state) bool { return older.status == newer.status && older.progress == newer.progress },
	}
}

func TestOptions(t *testing.T) {
	for name, tt := range map[string]struct {
		given, want Options
		problem     string
	}{
		"defaults":         {Options{}, Options{time.Second, 15 * time.Second}, ""},
		"both":             {Options{time.Minute, time.Hour}, Options{time.Minute, time.Hour}, ""},
		"equal":            {Options{time.Minute, time.Minute}, Options{time.Minute, time.Minute}, ""},
		"only initial":     {Options{Initial: 2 * time.Second}, Options{2 * time.Second, 15 * time.Second}, ""},
		"a high initial":   {Options{Initial: time.Hour}, Options{time.Hour, time.Hour}, ""},
		"only max":         {Options{Max: time.Minute}, Options{time.Second, time.Minute}, ""},
		"a low max":        {Options{Max: time.Millisecond}, Options{time.Millisecond, time.Millisecond}, ""},
		"negative initial": {Options{Initial: -1}, Options{}, "must not be negative"},
		"negative max":     {Options{Max: -1}, Options{}, "must not be negative"},
		"swapped":          {Options{Initial: 2, Max: 1}, Options{}, "max must not be below initial"},
	} {
		t.Run(name, func(t *testing.T) {
			require.Equal(t, tt.problem, tt.given.Problem())
			if tt.problem == "" {
				require.Equal(t, tt.want, tt.given.withDefaults())
			}
		})
	}
}

// The interval grows by half from the initial one to the maximum, each shortened
// by up to half so that waiters drift apart.
func TestIntervals(t *testing.T) {
	first := map[time.Duration]bool{}
	for range 20 {
		synctest.Test(t, func(t *testing.T) {
			s := &script{states: []state{{status: "running"}}}
			ctx, cancel := context.WithTimeout(t.Context(), 5*time.Minute)
			defer cancel()
			_, err := Wait(ctx, s.job())
			require.ErrorIs(t, err, context.DeadlineExceeded)
			gaps := s.gaps()
			require.Greater(t, len(gaps), 20)
			interval := float64(time.Second)
			for i, gap := range gaps {
				require.LessOrEqual(t, float64(gap), interval+1, "gap %d", i)
				require.GreaterOrEqual(t, float64(gap), interval/2-10, "gap %d", i)
				interval = min(interval*3/2, float64(15*time.Second))
			}
			first[gaps[0]] = true
		})
	}
	require.Greater(t, len(first), 10, "jitter")
}

// Waiters that began together, and were all asked to wait as long, do not poll
// together again.
func TestNoHerd(t *testing.T) {
	const waiters = 2_000
	for after, limit := range map[time.Duration]float64{0: 2, 20 * time.Second: 4} {
		t.Run(after.String(), func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				ctx, cancel := context.WithTimeout(t.Context(), 2*time.Minute)
				defer cancel()
				var polls [241]atomic.Int64 // in half a second each
				start := time.Now()
				var wg sync.WaitGroup
				for range waiters {
					wg.Go(func() {
						j := (&script{}).job()
						j.Get = func(context.Context) (state, time.Duration, error) {
							polls[time.Since(start)/(time.Second/2)].Add(1)
							return state{status: "running"}, after, nil
						}
						_, _ = Wait(ctx, j)
					})
				}
				wg.Wait()
				var worst, sum int64
				later := polls[120:240] // the second minute
				for i := range later {
					n := later[i].Load()
					worst, sum = max(worst, n), sum+n
				}
				ratio := float64(worst) * float64(len(later)) / float64(sum)
				require.Less(t, ratio, limit, "the worst half second against the mean")
			})
		})
	}
}

func TestFirstPollIsAtOnce(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		start := time.Now()
		s := &script{states: []state{{status: "done", progress: 100}}}
		got, err := Wait(t.Context(), s.job())
		require.NoError(t, err)
		require.Equal(t, state{"done", 100, 1}, got)
		require.Zero(t, time.Since(start))
		require.Len(t, s.polls, 1)
	})
}

// What the service asks for counts where it is longer, up to the outage limit.
func TestRetryAfter(t *testing.T) {
	for after, want := range map[time.Duration]struct{ shortest, longest time.Duration }{
		time.Millisecond: {500 * time.Millisecond, time.Second},
		time.Minute:      {time.Minute, time.Minute + DefaultMax/2},
		6 * time.Minute:  {outage.DefaultLimit, outage.DefaultLimit + DefaultMax/2},
		math.MaxInt64:    {outage.DefaultLimit, outage.DefaultLimit + DefaultMax/2},
	} {
		synctest.Test(t, func(t *testing.T) {
			s := &script{states: []state{{status: "running"}, {status: "done"}}, after: after}
			_, err := Wait(t.Context(), s.job())
			require.NoError(t, err)
			require.GreaterOrEqual(t, s.gaps()[0], want.shortest)
			require.LessOrEqual(t, s.gaps()[0], want.longest)
		})
	}
}

// broken is a job whose service fails between two times.
type broken struct {
	script

	from, to time.Duration
	err      error
	failed   []time.Time
}

func (b *broken) job(start time.Time) *Job[state] {
	j := b.script.job()
	j.Get = func(ctx context.Context) (state, time.Duration, error) {
		if at := time.Since(start); at >= b.from && at < b.to {
			b.failed = append(b.failed, time.Now())
			return state{}, b.after, b.err
		}
		s, _, err := b.get(ctx)
		return s, 0, err
	}
	return j
}

// Failures are ridden out from the first poll on; what lasts too long ends the
// wait, counted from the first failure, with what was seen last.
func TestOutages(t *testing.T) {
	const never = 0
	for name, tt := range map[string]struct {
		from, to     time.Duration
		err          error
		after, limit time.Duration
		options      Options
		ends         time.Duration // from the first failure, or never
	}{
		"four minutes":                 {from: time.Minute, to: 5 * time.Minute, err: errUnavailable},
		"for good":                     {from: time.Minute, to: time.Hour, err: errUnavailable, ends: 5 * time.Minute},
		"from the start":               {to: 4 * time.Minute, err: errUnavailable},
		"from the start for good":      {to: time.Hour, err: errUnavailable, ends: 5 * time.Minute},
		"another limit":                {to: time.Hour, err: errUnavailable, limit: time.Minute, ends: time.Minute},
		"with Retry-After":             {from: time.Minute, to: 5 * time.Minute, err: errUnavailable, after: 100 * time.Second},
		"with Retry-After for good":    {from: time.Minute, to: time.Hour, err: errUnavailable, after: 100 * time.Second, ends: 5 * time.Minute},
		"Retry-After above the limit":  {from: time.Minute, to: 4 * time.Minute, err: errUnavailable, after: 6 * time.Minute},
		"the same, for good":           {from: time.Minute, to: time.Hour, err: errUnavailable, after: math.MaxInt64, ends: 5 * time.Minute},
		"short, but few polls":         {from: time.Minute, to: 20 * time.Minute, err: errUnavailable, options: Options{Initial: 10 * time.Minute}, ends: 5 * time.Minute},
		"over at the next of few":      {from: time.Minute, to: 10 * time.Minute, err: errUnavailable, options: Options{Initial: 10 * time.Minute}},
		"unknown at first":             {to: 20 * time.Second, err: errNotFound},
		"unknown":                      {to: time.Hour, err: errNotFound, ends: outage.Lag},
		"unknown later":                {from: time.Minute, to: 70 * time.Second, err: errNotFound},
		"unknown later for good":       {from: time.Minute, to: time.Hour, err: errNotFound, ends: outage.Lag},
		"forbidden":                    {to: time.Hour, err: errForbidden, ends: time.Nanosecond},
		"forbidden later":              {from: time.Minute, to: 70 * time.Second, err: errForbidden},
		"forbidden later for good":     {from: time.Minute, to: time.Hour, err: errForbidden, ends: outage.Lag},
		"refused":                      {to: time.Hour, err: errRefused, ends: time.Nanosecond},
		"refused later for good":       {from: time.Minute, to: time.Hour, err: errRefused, ends: outage.Lag},
		"another failure":              {from: time.Minute, to: time.Hour, err: errGone, ends: time.Nanosecond},
		"another failure at the start": {to: time.Hour, err: errGone, ends: time.Nanosecond},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				b := &broken{script: script{states: []state{{status: "running"}}, after: tt.after}, from: tt.from, to: tt.to, err: tt.err}
				ctx, cancel := context.WithTimeout(t.Context(), 2*time.Hour)
				defer cancel()
				start := time.Now()
				j := b.job(start)
				j.Outage, j.Options = tt.limit, tt.options
				got, err := Wait(ctx, j)
				if tt.ends == never {
					require.ErrorIs(t, err, context.DeadlineExceeded)
					return
				}
				require.Equal(t, tt.err, errors.Unwrap(err))
				require.InDelta(t, tt.ends, time.Since(b.failed[0]), 1)
				if tt.from > 0 {
					require.ErrorContains(t, err, `jobs: waiting for job 7, last status "running": `)
					require.Equal(t, "running", got.status)
				} else {
					require.ErrorContains(t, err, "jobs: waiting for job 7, no status seen: ")
					require.Zero(t, got)
				}
				for i := 1; i < len(b.failed)-1; i++ { // the last poll comes at the limit
					require.GreaterOrEqual(t, b.failed[i].Sub(b.failed[i-1]), min(tt.after, 5*time.Minute))
				}
			})
		})
	}
}

// In an outage the interval of polls does not matter, and comes back after it.
func TestPaceInAnOutage(t *testing.T) {
	for _, interval := range []time.Duration{time.Millisecond, 10 * time.Minute} {
		synctest.Test(t, func(t *testing.T) {
			start := time.Now()
			b := &broken{script: script{states: []state{{status: "running"}}}, from: 1, to: time.Hour, err: errUnavailable}
			j := b.job(start)
			j.Options = Options{Initial: interval, Max: interval}
			_, err := Wait(t.Context(), j)
			require.ErrorIs(t, err, errUnavailable)
			require.InDelta(t, 25, len(b.failed), 10)
			for i := 1; i < len(b.failed)-1; i++ {
				gap := b.failed[i].Sub(b.failed[i-1])
				require.GreaterOrEqual(t, gap, DefaultInitial/2)
				require.LessOrEqual(t, gap, DefaultMax)
			}
		})
	}
}

// Each outage counts by itself.
func TestSuccessEndsAnOutage(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		start := time.Now()
		s := &script{states: []state{{status: "running"}}}
		j := s.job()
		j.Get = func(ctx context.Context) (state, time.Duration, error) {
			at := time.Since(start)
			if at > 2*time.Hour {
				return state{status: "done"}, 0, nil
			}
			if at%(5*time.Minute) < 4*time.Minute {
				return state{}, 0, errUnavailable
			}
			return s.get(ctx)
		}
		_, err := Wait(t.Context(), j)
		require.NoError(t, err)
	})
}

// A context that ends ends an outage's wait, too.
func TestContextEndsInAnOutage(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := &broken{script: script{states: []state{{status: "running"}}}, from: 1, to: time.Hour, err: errUnavailable}
		ctx, cancel := context.WithTimeoutCause(t.Context(), time.Minute, errWindow)
		defer cancel()
		start := time.Now()
		_, err := Wait(ctx, b.job(start))
		require.ErrorIs(t, err, context.DeadlineExceeded)
		require.ErrorIs(t, err, errWindow)
		require.ErrorContains(t, err, `last status "running"`)
		require.Equal(t, time.Minute, time.Since(start))
	})
}

// Watch yields changes and nothing else, the first state and the last included.
func TestWatchYieldsChanges(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := &script{states: []state{
			{status: "new"}, {status: "new"}, {status: "running"}, {status: "running", progress: 50}, {status: "running", progress: 50},
			{status: "running", progress: 50}, {status: "odd"}, {status: "running", progress: 50}, {status: "done", progress: 100}, {status: "never"},
		}}
		var got []state
		for st, err := range Watch(t.Context(), s.job()) {
			require.NoError(t, err)
			got = append(got, st)
		}
		require.Equal(t, []state{
			{"new", 0, 1},
			{"running", 0, 3},
			{"running", 50, 4},
			{"odd", 0, 7},
			{"running", 50, 8},
			{"done", 100, 9},
		}, got)
		require.Len(t, s.polls, 9, "a job that has ended is not polled")
	})
}

// A job whose state is known already yields only what differs from it, and bears
// what a replica that lags may respond from the first poll on.
func TestLast(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		j := (&script{states: []state{{status: "running"}, {status: "running"}, {status: "done"}}}).job()
		j.Last = &state{status: "running"}
		var seen []string
		for now, err := range Watch(t.Context(), j) {
			require.NoError(t, err)
			seen = append(seen, now.status)
		}
		require.Equal(t, []string{"done"}, seen)

		for _, err := range []error{errForbidden, errRefused} {
			start := time.Now()
			j = (&script{err: err}).job()
			j.Last = &state{status: "running"}
			last, got := Wait(t.Context(), j)
			require.ErrorIs(t, got, err)
			require.ErrorContains(t, got, `last status "running"`)
			require.Equal(t, "running", last.status)
			require.Equal(t, outage.Lag, time.Since(start))
		}

		j = (&script{states: []state{{status: "done"}}}).job()
		j.Last = &state{status: "done"}
		last, err := Wait(t.Context(), j)
		require.NoError(t, err)
		require.Equal(t, "done", last.status, "nothing changed")
	})
}

// An iterator may be used more than once: it starts anew.
func TestWatchTwice(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := &script{states: []state{{status: "done"}}}
		watch := Watch(t.Context(), s.job())
		for range 2 {
			n := 0
			for _, err := range watch {
				require.NoError(t, err)
				n++
			}
			require.Equal(t, 1, n)
		}
	})
}

// An error ends it, with the last state seen beside it.
func TestErrorEnds(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := &script{states: []state{{status: "running", progress: 5}, {status: "running", progress: 5}}, err: errGone}
		var states []state
		var errs []error
		for st, err := range Watch(t.Context(), s.job()) {
			states, errs = append(states, st), append(errs, err)
		}
		require.Equal(t, []state{{"running", 5, 1}, {"running", 5, 2}}, states)
		require.Len(t, errs, 2)
		require.NoError(t, errs[0])
		require.ErrorIs(t, errs[1], errGone)
		require.EqualError(t, errs[1], `jobs: waiting for job 7, last status "running": the job is gone`)

		s.polls = nil
		got, err := Wait(t.Context(), s.job())
		require.ErrorIs(t, err, errGone)
		require.Equal(t, state{"running", 5, 2}, got)

		none := &script{err: errGone}
		got, err = Wait(t.Context(), none.job())
		require.EqualError(t, err, "jobs: waiting for job 7, no status seen: the job is gone")
		require.Zero(t, got)

		invalid := &script{err: transport.ErrInvalidArgument}
		_, err = Wait(t.Context(), invalid.job())
		require.Equal(t, invalid.err, err, "nothing was waited for")
	})
}

// A job that ended badly yields its last state and then why.
func TestFailed(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := &script{states: []state{{status: "running"}, {status: "failed", progress: 3}}}
		var errs []error
		var last state
		for st, err := range Watch(t.Context(), s.job()) {
			errs, last = append(errs, err), st
		}
		require.Equal(t, []error{nil, nil, errFailed}, errs)
		require.Equal(t, state{"failed", 3, 2}, last)
		got, err := Wait(t.Context(), s.job())
		require.Equal(t, errFailed, err)
		require.Equal(t, "failed", got.status)
	})
}

// A loop that is left early leaves nothing behind: a bubble does not end before
// its goroutines and timers.
func TestAbandonedWatch(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := &script{states: []state{{status: "a"}, {status: "b"}, {status: "c"}}}
		start := time.Now()
		for st, err := range Watch(t.Context(), s.job()) {
			require.NoError(t, err)
			if st.status == "b" {
				break
			}
		}
		require.Len(t, s.polls, 2)
		require.LessOrEqual(t, time.Since(start), time.Second)
	})
}

// A context that ends is noticed at once, between two polls, too, with its own
// cause.
func TestContextEnds(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := &script{states: []state{{status: "running", progress: 7}}, after: time.Hour}
		ctx, cancel := context.WithTimeoutCause(t.Context(), 10*time.Second, errWindow)
		defer cancel()
		start := time.Now()
		got, err := Wait(ctx, s.job())
		require.Equal(t, 10*time.Second, time.Since(start))
		require.ErrorIs(t, err, context.DeadlineExceeded)
		require.ErrorIs(t, err, errWindow)
		require.Equal(t, state{"running", 7, 1}, got, "the last state known")
		require.Len(t, s.polls, 1)

		s.polls = nil
		_, err = Wait(ctx, s.job())
		require.ErrorIs(t, err, context.DeadlineExceeded, "one that has ended before")
	})
}
