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

	"github.com/imagejobs/imagejobs-go/internal/transport"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

var (
	errGone   = errors.New("the job is gone")
	errFailed = errors.New("the job failed")
	errWindow = errors.New("the maintenance window is over")
)

// state is a job's, as a service tells it.
type state struct {
	status   string
	progress int
	seen     int // differs in each look, and is nothing worth telling
}

// script is a job that goes through states, one a look, and stays in the last.
type script struct {
	states []state
	after  time.Duration // asked for by the service
	err    error         // after the states, nil to stay in the last
	looks  []time.Time
}

func (s *script) get(ctx context.Context) (state, time.Duration, error) {
	s.looks = append(s.looks, time.Now())
	if ctx.Err() != nil {
		return state{}, 0, ctx.Err()
	}
	n := len(s.looks)
	if n > len(s.states) {
		if s.err != nil {
			return state{}, 0, s.err
		}
		n = len(s.states)
	}
	now := s.states[n-1]
	now.seen = len(s.looks)
	return now, s.after, nil
}

// gaps are the times between two looks.
func (s *script) gaps() []time.Duration {
	var list []time.Duration
	for i := 1; i < len(s.looks); i++ {
		list = append(list, s.looks[i].Sub(s.looks[i-1]))
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

type option func(*Options)

func interval(first, most time.Duration) []option {
	return []option{func(o *Options) { o.First, o.Max = first, most }}
}

func TestOptions(t *testing.T) {
	for name, tt := range map[string]struct {
		given, want Options
		err         string
	}{
		"defaults":       {Options{}, Options{time.Second, 15 * time.Second}, ""},
		"both":           {Options{time.Minute, time.Hour}, Options{time.Minute, time.Hour}, ""},
		"equal":          {Options{time.Minute, time.Minute}, Options{time.Minute, time.Minute}, ""},
		"only first":     {Options{First: 2 * time.Second}, Options{2 * time.Second, 15 * time.Second}, ""},
		"a high first":   {Options{First: time.Hour}, Options{time.Hour, time.Hour}, ""},
		"only max":       {Options{Max: time.Minute}, Options{time.Second, time.Minute}, ""},
		"a low max":      {Options{Max: time.Millisecond}, Options{time.Millisecond, time.Millisecond}, ""},
		"negative first": {Options{First: -1}, Options{}, "must not be negative"},
		"negative max":   {Options{Max: -1}, Options{}, "must not be negative"},
		"swapped":        {Options{First: 2, Max: 1}, Options{}, "must not be below the first"},
	} {
		t.Run(name, func(t *testing.T) {
			opts := interval(tt.given.First, tt.given.Max)
			o, err := parse("jobs", opts)
			if tt.err != "" {
				require.ErrorIs(t, err, transport.ErrInvalidArgument)
				require.ErrorContains(t, err, "jobs: WithPollInterval: ")
				require.ErrorContains(t, err, tt.err)
				require.Equal(t, err, Check("jobs", opts))
				s := &script{states: []state{{status: "done"}}}
				_, waitErr := Wait(t.Context(), s.job(), opts)
				require.Equal(t, err, waitErr)
				require.Empty(t, s.looks)
				return
			}
			require.NoError(t, err)
			require.Equal(t, tt.want, o)
			require.NoError(t, Check("jobs", opts))
		})
	}
}

// The time between two looks grows by half from the first interval to the
// longest, each shortened by up to half so that waiters drift apart.
func TestIntervals(t *testing.T) {
	firsts := map[time.Duration]bool{}
	for range 20 {
		synctest.Test(t, func(t *testing.T) {
			s := &script{states: []state{{status: "running"}}}
			ctx, cancel := context.WithTimeout(t.Context(), 5*time.Minute)
			defer cancel()
			_, err := Wait(ctx, s.job(), []option(nil))
			require.ErrorIs(t, err, context.DeadlineExceeded)
			gaps := s.gaps()
			require.Greater(t, len(gaps), 20)
			interval := float64(time.Second)
			for i, gap := range gaps {
				require.LessOrEqual(t, float64(gap), interval+1, "gap %d", i)
				require.GreaterOrEqual(t, float64(gap), interval/2-10, "gap %d", i)
				interval = min(interval*3/2, float64(15*time.Second))
			}
			firsts[gaps[0]] = true
		})
	}
	require.Greater(t, len(firsts), 10, "jitter")
}

// Waiters that began together, and that were all told to wait as long, do not
// come together again.
func TestNoHerd(t *testing.T) {
	const waiters = 2_000
	for told, most := range map[time.Duration]float64{0: 2, 20 * time.Second: 4} {
		t.Run(told.String(), func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				ctx, cancel := context.WithTimeout(t.Context(), 2*time.Minute)
				defer cancel()
				var looks [241]atomic.Int64 // in half a second each
				start := time.Now()
				var wg sync.WaitGroup
				for range waiters {
					wg.Go(func() {
						j := (&script{}).job()
						j.Get = func(context.Context) (state, time.Duration, error) {
							looks[time.Since(start)/(time.Second/2)].Add(1)
							return state{status: "running"}, told, nil
						}
						_, _ = Wait(ctx, j, []option(nil))
					})
				}
				wg.Wait()
				var worst, sum int64
				later := looks[120:240] // the second minute
				for i := range later {
					n := later[i].Load()
					worst, sum = max(worst, n), sum+n
				}
				ratio := float64(worst) * float64(len(later)) / float64(sum)
				t.Logf("%.2f", ratio)
				require.Less(t, ratio, most, "the worst half second against the mean")
			})
		})
	}
}

func TestFirstLookIsAtOnce(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		start := time.Now()
		s := &script{states: []state{{status: "done", progress: 100}}}
		got, err := Wait(t.Context(), s.job(), []option(nil))
		require.NoError(t, err)
		require.Equal(t, state{"done", 100, 1}, got)
		require.Zero(t, time.Since(start))
		require.Len(t, s.looks, 1)
	})
}

// What the service asks for counts where it is longer.
func TestRetryAfter(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := &script{states: []state{{status: "running"}, {status: "running"}, {status: "done"}}, after: time.Minute}
		_, err := Wait(t.Context(), s.job(), []option(nil))
		require.NoError(t, err)
		for _, gap := range s.gaps() {
			require.GreaterOrEqual(t, gap, time.Minute)
			require.LessOrEqual(t, gap, time.Minute+DefaultMax/2)
		}
		require.Len(t, s.looks, 3)
	})
	synctest.Test(t, func(t *testing.T) {
		s := &script{states: []state{{status: "running"}, {status: "done"}}, after: time.Millisecond}
		_, err := Wait(t.Context(), s.job(), []option(nil))
		require.NoError(t, err)
		require.GreaterOrEqual(t, s.gaps()[0], 500*time.Millisecond)
	})
}

// However long the service asks for, that is no reason to ask at once.
func TestRetryAfterForEver(t *testing.T) {
	for _, after := range []time.Duration{math.MaxInt64, math.MaxInt64 - 1, math.MaxInt64 / 2} {
		synctest.Test(t, func(t *testing.T) {
			s := &script{states: []state{{status: "running"}}, after: after}
			ctx, cancel := context.WithTimeout(t.Context(), 365*24*time.Hour)
			defer cancel()
			_, err := Wait(ctx, s.job(), []option{func(o *Options) { *o = Options{First: 1, Max: math.MaxInt64} }})
			require.ErrorIs(t, err, context.DeadlineExceeded)
			require.Len(t, s.looks, 1)
		})
	}
}

// outage is a job whose service cannot be asked between two times.
type outage struct {
	script

	from, to time.Duration
	err      error
	failed   []time.Time
}

func (o *outage) job(start time.Time) *Job[state] {
	j := o.script.job()
	j.Get = func(ctx context.Context) (state, time.Duration, error) {
		if at := time.Since(start); at >= o.from && at < o.to {
			o.failed = append(o.failed, time.Now())
			return state{}, o.after, o.err
		}
		s, _, err := o.get(ctx)
		return s, 0, err
	}
	return j
}

// An outage that passes is gone through, at the pace of the looks; one that
// does not is told after a while, with what was seen last.
func TestOutage(t *testing.T) {
	passing := &transport.Error{Operation: "jobs.Jobs.Get", StatusCode: 503}
	for name, tt := range map[string]struct {
		from, to, after time.Duration
		err             error
		ends            time.Duration // 0 for never
	}{
		"four minutes":                {from: time.Minute, to: 5 * time.Minute, err: passing},
		"for good":                    {from: time.Minute, to: time.Hour, err: passing, ends: 6 * time.Minute},
		"the service asks to wait":    {from: time.Minute, to: 4 * time.Minute, err: passing, after: time.Minute},
		"longer than waiting goes on": {from: time.Minute, to: time.Hour, err: passing, after: 6 * time.Minute, ends: time.Minute},
		"for ever":                    {from: time.Minute, to: time.Hour, err: passing, after: math.MaxInt64, ends: time.Minute},
		"from the start":              {to: 10 * time.Second, err: passing, ends: time.Nanosecond},
		"none":                        {from: time.Minute, to: 2 * time.Minute, err: &transport.Error{StatusCode: 404}, ends: time.Minute},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				o := &outage{from: tt.from, to: tt.to, err: tt.err}
				o.after = tt.after
				for range 1000 {
					o.states = append(o.states, state{status: "running"})
				}
				start := time.Now()
				ctx, cancel := context.WithTimeout(t.Context(), 20*time.Minute)
				defer cancel()
				_, err := Wait(ctx, o.job(start), []option(nil))
				if tt.ends == 0 {
					require.ErrorIs(t, err, context.DeadlineExceeded)
					require.Greater(t, len(o.failed), 2)
				} else {
					require.Equal(t, tt.err, errors.Unwrap(err))
					// The last good look may have been that long before.
					require.GreaterOrEqual(t, time.Since(start), tt.ends-DefaultMax)
					require.LessOrEqual(t, time.Since(start), tt.ends+2*DefaultMax)
				}
				if tt.from > 0 {
					require.ErrorContains(t, err, `last status "running"`)
				}
				for i := 1; i < len(o.failed); i++ {
					require.GreaterOrEqual(t, o.failed[i].Sub(o.failed[i-1]), max(tt.after, DefaultMax/2-time.Second))
				}
			})
		})
	}
}

// Who waits through an outage is not kept in it.
func TestOutageIsLeft(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		o := &outage{script: script{states: []state{{status: "running"}}}, from: 1, to: time.Hour, err: &transport.Error{StatusCode: 503}}
		ctx, cancel := context.WithTimeoutCause(t.Context(), time.Minute, errWindow)
		defer cancel()
		start := time.Now()
		_, err := Wait(ctx, o.job(start), []option(nil))
		require.ErrorIs(t, err, context.DeadlineExceeded)
		require.ErrorIs(t, err, errWindow)
		require.ErrorContains(t, err, `last status "running"`)
		require.Equal(t, time.Minute, time.Since(start))
	})
}

// Watch tells changes and nothing else, the first state and the last included.
func TestWatchYieldsChanges(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := &script{states: []state{
			{status: "new"}, {status: "new"}, {status: "running"}, {status: "running", progress: 50}, {status: "running", progress: 50},
			{status: "running", progress: 50}, {status: "odd"}, {status: "running", progress: 50}, {status: "done", progress: 100}, {status: "never"},
		}}
		var got []state
		for st, err := range Watch(t.Context(), s.job(), []option(nil)) {
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
		require.Len(t, s.looks, 9, "nobody looks at a job that has ended")
	})
}

// An iterator may be used more than once: it starts anew.
func TestWatchTwice(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := &script{states: []state{{status: "done"}}}
		watch := Watch(t.Context(), s.job(), []option(nil))
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
		for st, err := range Watch(t.Context(), s.job(), []option(nil)) {
			states, errs = append(states, st), append(errs, err)
		}
		require.Equal(t, []state{{"running", 5, 1}, {"running", 5, 2}}, states)
		require.Len(t, errs, 2)
		require.NoError(t, errs[0])
		require.ErrorIs(t, errs[1], errGone)
		require.EqualError(t, errs[1], `jobs: waiting for job 7, last status "running": the job is gone`)

		s.looks = nil
		got, err := Wait(t.Context(), s.job(), []option(nil))
		require.ErrorIs(t, err, errGone)
		require.Equal(t, state{"running", 5, 2}, got)

		none := &script{err: errGone}
		got, err = Wait(t.Context(), none.job(), []option(nil))
		require.EqualError(t, err, "jobs: waiting for job 7, no status seen: the job is gone")
		require.Zero(t, got)

		bad := &script{err: transport.Invalid("jobs", "id", "must be positive")}
		_, err = Wait(t.Context(), bad.job(), []option(nil))
		require.Equal(t, bad.err, err, "nobody waited for anything")
	})
}

// A job that ended badly tells its last state and then why.
func TestFailed(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := &script{states: []state{{status: "running"}, {status: "failed", progress: 3}}}
		var errs []error
		var last state
		for st, err := range Watch(t.Context(), s.job(), []option(nil)) {
			errs, last = append(errs, err), st
		}
		require.Equal(t, []error{nil, nil, errFailed}, errs)
		require.Equal(t, state{"failed", 3, 2}, last)
		got, err := Wait(t.Context(), s.job(), []option(nil))
		require.Equal(t, errFailed, err)
		require.Equal(t, "failed", got.status)
	})
}

// A loop that is left early leaves nothing behind: a bubble does not end
// before its goroutines and timers.
func TestAbandonedWatch(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := &script{states: []state{{status: "a"}, {status: "b"}, {status: "c"}}}
		start := time.Now()
		for st, err := range Watch(t.Context(), s.job(), []option(nil)) {
			require.NoError(t, err)
			if st.status == "b" {
				break
			}
		}
		require.Len(t, s.looks, 2)
		require.LessOrEqual(t, time.Since(start), time.Second)
	})
}

// A context that ends is noticed at once, between two looks, too, and its own
// cause is told.
func TestContextEnds(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := &script{states: []state{{status: "running", progress: 7}}, after: time.Hour}
		ctx, cancel := context.WithTimeoutCause(t.Context(), 10*time.Second, errWindow)
		defer cancel()
		start := time.Now()
		got, err := Wait(ctx, s.job(), []option(nil))
		require.Equal(t, 10*time.Second, time.Since(start))
		require.ErrorIs(t, err, context.DeadlineExceeded)
		require.ErrorIs(t, err, errWindow)
		require.Equal(t, state{"running", 7, 1}, got, "the last state known")
		require.Len(t, s.looks, 1)

		s.looks = nil
		_, err = Wait(ctx, s.job(), []option(nil))
		require.ErrorIs(t, err, context.DeadlineExceeded, "one that has ended before")
	})
}
