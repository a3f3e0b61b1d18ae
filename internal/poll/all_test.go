package poll

import (
	"context"
	"errors"
	"fmt"
	"runtime"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/imagejobs/imagejobs-go/internal/outage"
	"github.com/imagejobs/imagejobs-go/internal/transport"
)

func TestWaitAll(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := newService(10)
		s.end([]int{1, 2}, "done", time.Minute)
		s.end([]int{5}, "failed", 2*time.Minute)
		s.end([]int{3}, "failed", 3*time.Minute)
		got, err := WaitAll(t.Context(), s.jobs(5, 2, 3, 1, 2))
		require.ErrorIs(t, err, errFailed)
		require.EqualError(t, err, "task 5: the job failed\ntask 3: the job failed", "in the order of the ids")
		var ids []int
		for _, task := range got {
			ids = append(ids, task.id)
			require.Equal(t, 100, task.progress)
		}
		require.Equal(t, []int{5, 2, 3, 1, 2}, ids)
		require.Zero(t, s.gets)
		require.Less(t, s.lists, 30)
	})
}

func TestWaitAllForNone(t *testing.T) {
	s := newService(1)
	got, err := WaitAll(t.Context(), s.jobs())
	require.NoError(t, err)
	require.Empty(t, got)
	require.Zero(t, s.lists)
}

// Ten thousand jobs, of which a hundred change between polls, cost less than one
// request a second, one goroutine and little memory.
func TestWaitAllForTenThousand(t *testing.T) {
	const jobs = 10_000
	synctest.Test(t, func(t *testing.T) {
		s := newService(jobs)
		n := 0
		s.changes = func() {
			for range 100 {
				s.tasks[n%jobs].progress++
				n++
			}
		}
		s.end(numbers(0, jobs), "done", time.Hour)
		start, before := time.Now(), memory()
		goroutines := runtime.NumGoroutine()
		var during int64
		changes := 0
		for _, err := range WatchAll(t.Context(), s.jobs(numbers(0, jobs)...)) {
			require.NoError(t, err)
			changes++
			if changes == jobs+1 {
				during = memory()
				require.Equal(t, goroutines, runtime.NumGoroutine())
			}
		}
		each := float64(during-before) / jobs
		rate := float64(s.lists+s.gets) / time.Since(start).Seconds()
		t.Logf("%.2f requests a second, %.0f bytes a job", rate, each)
		require.Less(t, rate, 1.0)
		require.Less(t, each, 2048.0)
		require.Greater(t, changes, 2*jobs)
	})
}

// Jobs that the list does not show are asked for one by one, and not all at once.
func TestUnlistedJobs(t *testing.T) {
	const unlisted = 500
	synctest.Test(t, func(t *testing.T) {
		s := newService(1000)
		for i := range unlisted {
			s.hidden[i] = true
		}
		s.end(numbers(0, 1000), "done", 10*time.Minute)
		start := time.Now()
		_, err := WaitAll(t.Context(), s.jobs(numbers(0, 1000)...))
		require.NoError(t, err)
		took := time.Since(start)
		require.Less(t, took, 12*time.Minute)
		require.LessOrEqual(t, s.gets, int(took/getPause)+s.lists)
		require.Less(t, s.lists, 100, "lists keep their pace")
		firstRound := s.got[:unlisted]
		slices.Sort(firstRound)
		require.Equal(t, numbers(0, unlisted), firstRound, "each before any a second time")
	})
}

// A list may have only what changed.
func TestIncompleteLists(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := newService(10)
		s.hidden[7] = true
		s.end(numbers(0, 10), "done", 5*time.Minute)
		j := s.jobs(numbers(0, 10)...)
		list, last := j.List, map[int]task{}
		j.List = func(ctx context.Context) ([]*task, bool, time.Duration, error) {
			all, _, after, err := list(ctx)
			changed := slices.DeleteFunc(all, func(now *task) bool { return last[now.id] == *now })
			for _, task := range changed {
				last[task.id] = *task
			}
			return changed, false, after, err
		}
		got, err := WaitAll(t.Context(), j)
		require.NoError(t, err)
		for i, task := range got {
			require.Equal(t, i, task.id)
			require.Equal(t, "done", task.status)
		}
		require.Equal(t, []int{7}, slices.Compact(s.got), "one that a list has shown has not changed")
	})
}

// A job that nobody knows, or that vanished, is reported after half a minute and
// keeps none of the others from going on.
func TestVanishedJobs(t *testing.T) {
	for name, options := range map[string]Options{"by default": {}, "with few polls": {Initial: 10 * time.Minute}} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				s := newService(3)
				s.end([]int{1}, "done", 10*time.Minute)
				s.in(time.Minute, func() { delete(s.tasks, 2) })
				j := s.jobs(1, 99, 2)
				j.Options = options
				start := time.Now()
				var errs []string
				var after []time.Duration
				for _, err := range WatchAll(t.Context(), j) {
					if err != nil {
						errs, after = append(errs, err.Error()), append(after, time.Since(start))
						require.ErrorIs(t, err, transport.ErrNotFound)
					}
				}
				require.Equal(t, []string{
					"tasks: waiting for task 99, no status seen: jobs.Get: 404 Not Found",
					`tasks: waiting for task 2, last status "running": jobs.Get: 404 Not Found`,
				}, errs)
				require.GreaterOrEqual(t, after[0], outage.Lag)
				require.LessOrEqual(t, after[0], 2*outage.Lag)

				s.end([]int{1}, "running", 0)
				s.end([]int{1}, "failed", 2*time.Minute)
				<-time.After(time.Second)
				got, err := WaitAll(t.Context(), s.jobs(1, 99, 2))
				require.ErrorIs(t, err, errFailed)
				require.ErrorIs(t, err, transport.ErrNotFound)
				require.Equal(t, "failed", got[0].status)
				require.Equal(t, []*task{nil, nil}, got[1:])
			})
		})
	}
}

// A job that the list does not show yet is found all the same.
func TestNewJob(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := newService(0)
		s.in(20*time.Second, func() { s.tasks[1] = &task{id: 1, status: "running"} })
		s.end([]int{1}, "done", time.Minute)
		got, err := WaitAll(t.Context(), s.jobs(1))
		require.NoError(t, err)
		require.Equal(t, "done", got[0].status)
	})
}

// Lists that fail are ridden out as the polls of one job are.
func TestListOutages(t *testing.T) {
	const never = 0
	for name, tt := range map[string]struct {
		from, to     time.Duration
		err          error
		after, limit time.Duration
		ends         time.Duration // from the first failure
	}{
		"four minutes":            {from: time.Minute, to: 5 * time.Minute, err: errUnavailable},
		"from the start":          {to: 4 * time.Minute, err: errUnavailable},
		"for good":                {from: time.Minute, to: time.Hour, err: errUnavailable, ends: 5 * time.Minute},
		"from the start for good": {to: time.Hour, err: errUnavailable, ends: 5 * time.Minute},
		"another limit":           {to: time.Hour, err: errUnavailable, limit: time.Minute, ends: time.Minute},
		"with Retry-After":        {from: time.Minute, to: 4 * time.Minute, err: errUnavailable, after: 6 * time.Minute},
		"forbidden":               {to: time.Hour, err: errForbidden, ends: time.Nanosecond},
		"forbidden later":         {from: time.Minute, to: 80 * time.Second, err: errForbidden},
		"forbidden for good":      {from: time.Minute, to: time.Hour, err: errForbidden, ends: outage.Lag},
		"another failure":         {from: time.Minute, to: time.Hour, err: errGone, ends: time.Nanosecond},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				s := newService(3)
				s.end([]int{0, 1}, "done", 10*time.Second)
				s.end([]int{2}, "done", 20*time.Minute)
				start := time.Now()
				var failed time.Time
				s.listErr = func() error {
					if at := time.Since(start); at < tt.from || at >= tt.to {
						s.after = 0
						return nil
					}
					if failed.IsZero() {
						failed = time.Now()
					}
					s.after = tt.after
					return tt.err
				}
				j := s.jobs(2, 1, 0)
				j.Outage = tt.limit
				got, err := WaitAll(t.Context(), j)
				if tt.ends == never {
					require.NoError(t, err)
					return
				}
				require.ErrorIs(t, err, tt.err)
				require.InDelta(t, tt.ends, time.Since(failed), 1)
				if tt.from == 0 {
					require.ErrorContains(t, err, "tasks: waiting for 3 of 3 tasks: ")
					require.Equal(t, []*task{nil, nil, nil}, got)
				} else {
					require.ErrorContains(t, err, "tasks: waiting for 1 of 3 tasks: ")
					require.Equal(t, "running", got[0].status)
					require.Equal(t, "done", got[1].status)
				}
			})
		})
	}
}

// So are Gets, for their job alone.
func TestGetOutages(t *testing.T) {
	for name, tt := range map[string]struct {
		to   time.Duration
		err  error
		ends bool
	}{
		"four minutes":    {4 * time.Minute, errUnavailable, false},
		"for good":        {time.Hour, errUnavailable, true},
		"another failure": {time.Hour, errGone, true},
		"forbidden":       {time.Hour, errForbidden, true},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				s := newService(2)
				s.hidden[0] = true
				s.end([]int{0, 1}, "done", 10*time.Minute)
				start := time.Now()
				s.getErr = func(int) error {
					if time.Since(start) < tt.to {
						return tt.err
					}
					return nil
				}
				got, err := WaitAll(t.Context(), s.jobs(0, 1))
				require.Equal(t, "done", got[1].status)
				if tt.ends {
					require.ErrorIs(t, err, tt.err)
					require.ErrorContains(t, err, "tasks: waiting for task 0, no status seen: ")
					require.Nil(t, got[0])
					return
				}
				require.NoError(t, err)
				require.Equal(t, "done", got[0].status)
			})
		})
	}
}

func TestWaitAllObeysRetryAfter(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := newService(2)
		s.after = 2 * time.Minute
		s.hidden[1] = true
		s.end([]int{0, 1}, "done", 5*time.Minute)
		_, err := WaitAll(t.Context(), s.jobs(0, 1))
		require.NoError(t, err)
		for i := 1; i < len(s.listed); i++ {
			require.GreaterOrEqual(t, s.listed[i].Sub(s.listed[i-1]), 2*time.Minute)
		}
		require.LessOrEqual(t, s.gets, s.lists)
	})
}

func TestWaitAllContextEnds(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := newService(300)
		s.hidden[299] = true
		s.end([]int{0}, "failed", 10*time.Second)
		ctx, cancel := context.WithTimeoutCause(t.Context(), time.Minute, errWindow)
		defer cancel()
		start := time.Now()
		got, err := WaitAll(ctx, s.jobs(numbers(0, 300)...))
		require.Equal(t, time.Minute, time.Since(start))
		require.ErrorIs(t, err, context.DeadlineExceeded)
		require.ErrorIs(t, err, errWindow)
		require.ErrorIs(t, err, errFailed, "what was known of others is not lost")
		require.ErrorContains(t, err, "tasks: waiting for 299 of 300 tasks: ")
		require.Equal(t, 1, strings.Count(err.Error(), "waiting for"), "one error for all that had not ended")
		require.Equal(t, "running", got[299].status)

		lists := s.lists
		_, err = WaitAll(ctx, s.jobs(1, 2))
		require.ErrorIs(t, err, context.DeadlineExceeded)
		require.Equal(t, lists+1, s.lists)
	})
}

func TestWatchAllYieldsChanges(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := newService(3)
		s.in(time.Minute, func() { s.tasks[1].progress = 50 })
		s.end([]int{1}, "failed", 2*time.Minute)
		s.end([]int{2}, "done", 3*time.Minute)
		var got []string
		for task, err := range WatchAll(t.Context(), s.jobs(1, 2)) {
			got = append(got, fmt.Sprint(task.id, " ", task.status, " ", task.progress, " ", err))
		}
		slices.Sort(got[:2]) // of the first list
		require.Equal(t, []string{
			"1 running 0 <nil>", "2 running 0 <nil>", "1 running 50 <nil>",
			"1 failed 100 <nil>", "1 failed 100 task 1: the job failed", "2 done 100 <nil>",
		}, got)

		// It may be left at any time, and begun again.
		for _, stop := range []int{1, 2, 3} {
			lists, n := s.lists, 0
			for _, err := range WatchAll(t.Context(), s.jobs(1, 2)) {
				n++
				if n == stop {
					break
				}
				require.True(t, err == nil || errors.Is(err, errFailed))
			}
			require.Equal(t, lists+1, s.lists)
		}
	})
}

func TestWatchAllEndsWithAnError(t *testing.T) {
	s := newService(1)
	s.listErr = func() error { return errGone }
	var last error
	n := 0
	for task, err := range WatchAll(t.Context(), s.jobs(0)) {
		require.Nil(t, task)
		last = err
		n++
	}
	require.Equal(t, 1, n)
	require.EqualError(t, last, "tasks: waiting for 1 of 1 tasks: the job is gone")
}

func TestFollowNamesTheJob(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := newService(2)
		s.end([]int{1}, "failed", time.Minute)
		got := map[int]int{}
		err := Follow(t.Context(), s.jobs(1, 99), func(id int, task *task, err error) bool {
			got[id]++
			require.Equal(t, id == 99, task == nil)
			require.Equal(t, id == 99, errors.Is(err, errNotFound))
			return true
		})
		require.NoError(t, err)
		require.Equal(t, map[int]int{1: 3, 99: 1}, got)

		err = Follow(t.Context(), s.jobs(1), func(int, *task, error) bool { return false })
		require.NoError(t, err, "the caller knows")
	})
}
