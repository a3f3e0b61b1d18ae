package multiplay

import (
	"context"
	"errors"
	"fmt"
	"iter"
	"time"

	"github.com/imagejobs/imagejobs-go/internal/poll"
)

// status is the status of a job: a pointer to a struct with a Job in it.
type status interface{ job() *Job }

// follower is one job to watch or wait for.
type follower[T status] struct {
	resource string // as StateError has it
	id       int64
	get      func(context.Context, int64) (T, time.Duration, error)
}

// wait is the last status seen, and an error unless the job completed.
func (f *follower[T]) wait(ctx context.Context, opts []WaitOption) (T, error) {
	var last T
	for now, err := range f.watch(ctx, opts) {
		if err != nil {
			return last, err
		}
		last = now
	}
	return last, nil
}

// watch yields what poll does, and an error at the end unless the job
// completed.
func (f *follower[T]) watch(ctx context.Context, opts []WaitOption) iter.Seq2[T, error] {
	return func(yield func(T, error) bool) {
		var last T
		o, err := pollOptions(opts)
		if err != nil {
			yield(last, err)
			return
		}
		job := poll.Job[T]{
			Get:  func(ctx context.Context) (T, time.Duration, error) { return f.get(ctx, f.id) },
			Done: func(now T) bool { return now.job().State.Terminal() },
			Same: func(older, newer T) bool { return *older.job() == *newer.job() },
		}
		seen := "no status seen"
		for now, err := range job.Watch(ctx, o) {
			if err != nil {
				yield(last, waitError(f.resource, f.id, seen, err))
				return
			}
			last, seen = now, fmt.Sprintf("last status %q", now.job().State)
			if !yield(now, nil) {
				return
			}
		}
		if ended := last.job(); ended.State != JobCompleted {
			yield(last, &StateError{Resource: f.resource, ID: f.id, State: ended.State, Reason: ended.Error})
		}
	}
}

// waitError says what was known when waiting ended early.
func waitError(resource string, id int64, seen string, err error) error {
	if errors.Is(err, ErrInvalidArgument) {
		return err
	}
	return fmt.Errorf("%s: waiting for %s %d, %s: %w", pkg, resource, id, seen, err)
}
