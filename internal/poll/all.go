package poll

import (
	"context"
	"errors"
	"fmt"
	"iter"
	"time"

	"github.com/imagejobs/imagejobs-go/internal/outage"
	"github.com/imagejobs/imagejobs-go/internal/transport"
)

// getPause is the time between two Gets for jobs that the list does not show, so
// that many of them are no burst.
const getPause = 100 * time.Millisecond

// Jobs is how to follow any number of jobs with one list a poll.
type Jobs[K comparable, T any] struct {
	Options

	// Package and Noun are for errors, such as "oraclemarket" and "upload
	// request".
	Package, Noun string
	// Outage is how long transient failures are ridden out, 0 for the default.
	Outage time.Duration
	// IDs are the jobs to follow. A repeated id is one job.
	IDs []K
	// List returns the newest states, and how long the service asks to wait
	// before the next poll, or zero. complete reports whether a job that is not
	// among them is not listed; otherwise it has not changed.
	List func(context.Context) (states []T, complete bool, after time.Duration, err error)
	// Get returns a job that was not listed.
	Get func(context.Context, K) (T, time.Duration, error)
	// ID returns the job's.
	ID func(T) K
	// Status, Done, Failed and Same are those of Job.
	Status func(T) string
	Done   func(T) bool
	Failed func(T) error
	Same   func(older, newer T) bool
}

// WatchAll yields the first state of each job and each that differs from the one
// before, and ends with the last job. An error of one job comes with its last
// state and does not end the sequence: Failed of a job that ended badly, or what
// Get returned for a job that is not listed. Any other error ends it and comes
// with a zero T.
func WatchAll[K comparable, T any](ctx context.Context, j *Jobs[K, T]) iter.Seq2[T, error] {
	return func(yield func(T, error) bool) {
		stopped := false
		err := Follow(ctx, j, func(_ K, state T, err error) bool {
			stopped = !yield(state, err)
			return !stopped
		})
		if err != nil && !stopped {
			var none T
			yield(none, err)
		}
	}
}

// WaitAll returns the last states seen, in the order of the ids, and the errors
// of all jobs, joined in the same order.
func WaitAll[K comparable, T any](ctx context.Context, j *Jobs[K, T]) ([]T, error) {
	f := j.follow()
	ended := f.run(ctx, func(K, T, error) bool { return true })
	var errs []error
	for _, job := range f.order {
		errs = append(errs, job.err)
	}
	states := make([]T, len(j.IDs))
	for i, id := range j.IDs {
		states[i] = f.jobs[id].state
	}
	return states, errors.Join(append(errs, ended)...)
}

// Follow calls emit for each change and each error of one job, as WatchAll
// yields them, until all have ended or emit returns false. Its error is the one
// that ended it.
func Follow[K comparable, T any](ctx context.Context, j *Jobs[K, T], emit func(id K, state T, err error) bool) error {
	if err := j.follow().run(ctx, emit); !errors.Is(err, errStopped) {
		return err
	}
	return nil
}

// errStopped is that emit returned false.
var errStopped = errors.New("stopped")

// followed is one of the jobs.
type followed[K comparable, T any] struct {
	id     K
	state  T
	err    error
	seen   bool
	shown  bool // by any list
	listed bool // by the last list, or unchanged by it
	ended  bool
	rule   outage.Rule // of Gets
}

type follower[K comparable, T any] struct {
	*Jobs[K, T]

	jobs    map[K]*followed[K, T]
	order   []*followed[K, T]
	pending int
	next    int // of order, for Gets
	emit    func(K, T, error) bool
}

func (j *Jobs[K, T]) follow() *follower[K, T] {
	f := &follower[K, T]{Jobs: j, jobs: make(map[K]*followed[K, T], len(j.IDs))}
	for _, id := range j.IDs {
		if f.jobs[id] == nil {
			job := &followed[K, T]{id: id, rule: outage.Rule{Limit: j.Outage}}
			f.jobs[id], f.order = job, append(f.order, job)
		}
	}
	f.pending = len(f.order)
	return f
}

func (f *follower[K, T]) run(ctx context.Context, emit func(K, T, error) bool) error {
	f.emit = emit
	o, rule := f.withDefaults(), outage.Rule{Limit: f.Outage}
	seen := false
	for interval := o.Initial; f.pending > 0; interval = min(interval*3/2, o.Max) {
		states, complete, after, err := f.List(ctx)
		after = min(after, rule.Bound())
		if err == nil {
			rule.Success()
			seen = true
			if err = f.update(states, complete); err == nil && f.pending > 0 {
				err = f.getOthers(ctx, time.Now().Add(outage.WithJitter(interval, after, o.Max)))
			}
		} else if left, goOn := rule.Left(ctx, err, outage.Lagging(err, seen)); goOn {
			err = transport.Sleep(ctx, min(rule.Pause(after), left))
		}
		if err != nil {
			return f.interrupted(err)
		}
	}
	return nil
}

// update takes over a list.
func (f *follower[K, T]) update(states []T, complete bool) error {
	for _, job := range f.order {
		job.listed = !complete && job.shown
	}
	for _, state := range states {
		if job := f.jobs[f.ID(state)]; job != nil && !job.ended {
			job.shown, job.listed = true, true
			if err := f.change(job, state); err != nil {
				return err
			}
		}
	}
	return nil
}

// change takes over a state of one job.
func (f *follower[K, T]) change(job *followed[K, T], state T) error {
	job.rule.Success()
	changed := !job.seen || !f.Same(job.state, state)
	job.state, job.seen = state, true
	if changed && !f.emit(job.id, state, nil) {
		return errStopped
	}
	if !f.Done(state) {
		return nil
	}
	return f.end(job, f.Failed(state))
}

func (f *follower[K, T]) end(job *followed[K, T], err error) error {
	job.ended, job.err = true, err
	f.pending--
	if err != nil && !f.emit(job.id, job.state, err) {
		return errStopped
	}
	return nil
}

// getOthers asks for the jobs that are not listed, one after the other, and
// returns at the time of the next list. Those that it does not get to are the
// first the next time.
func (f *follower[K, T]) getOthers(ctx context.Context, next time.Time) error {
	for range f.order {
		job := f.order[f.next]
		if job.ended || job.listed {
			f.next = (f.next + 1) % len(f.order)
			continue
		}
		if !time.Now().Before(next) {
			return nil
		}
		f.next = (f.next + 1) % len(f.order)
		again, after, err := f.get(ctx, job)
		if err != nil || f.pending == 0 {
			return err
		}
		if lag := time.Now().Add(outage.Lag); again && lag.Before(next) {
			next = lag
		}
		if err := transport.Sleep(ctx, min(max(getPause, after), time.Until(next))); err != nil {
			return err
		}
	}
	return transport.Sleep(ctx, time.Until(next))
}

// get asks for one job. again reports whether that failed, and is repeated. The
// error is the end of all.
func (f *follower[K, T]) get(ctx context.Context, job *followed[K, T]) (again bool, after time.Duration, err error) {
	state, after, err := f.Get(ctx, job.id)
	if err == nil {
		return false, after, f.change(job, state)
	}
	if _, goOn := job.rule.Left(ctx, err, outage.Lagging(err, job.seen)); goOn {
		return true, after, nil
	}
	if ctx.Err() != nil {
		return false, after, err
	}
	return false, after, f.end(job, f.waitingFor(job, err))
}

// waitingFor adds what was known of a job when waiting for it ended.
func (f *follower[K, T]) waitingFor(job *followed[K, T], err error) error {
	name := fmt.Sprintf("%s %v", f.Noun, job.id)
	one := Job[T]{Package: f.Package, Name: name, Status: f.Status}
	return one.interrupted(job.state, job.seen, err)
}

// interrupted adds how many jobs had not ended when waiting did.
func (f *follower[K, T]) interrupted(err error) error {
	if errors.Is(err, errStopped) || errors.Is(err, transport.ErrInvalidArgument) {
		return err
	}
	return fmt.Errorf("%s: waiting for %d of %d %ss: %w", f.Package, f.pending, len(f.order), f.Noun, err)
}
