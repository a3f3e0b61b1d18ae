package imagereplicator

import (
	"context"
	"errors"
	"fmt"
	"iter"
	"time"

	"github.com/imagejobs/imagejobs-go/internal/poll"
)

// Wait follows the job until it has ended and returns its last state. A nil
// error means replicated. A job that ended canceled or in error is a
// *StateError, so after Cancel that is the end to expect, unless the copy was
// complete first. When the context ends first, or Get fails beyond its retries,
// the error says the last status known and the state, if any was seen, is
// returned with it.
//
// There is no time limit but the context's: copies and cancellations take as
// long as they take, and a token that expires meanwhile is replaced.
func (s *JobsService) Wait(ctx context.Context, jobID string, opts ...WaitOption) (*Job, error) {
	var last *Job
	for job, err := range s.Watch(ctx, jobID, opts...) {
		if err != nil {
			return last, err
		}
		last = job
	}
	return last, nil
}

// Watch yields the job's state, then again whenever something in it has
// changed, and ends with the job. A job that ended canceled or in error yields
// its last state and then a *StateError. Any error ends the sequence; it comes
// with the last state seen, which is nil when there was none.
func (s *JobsService) Watch(ctx context.Context, jobID string, opts ...WaitOption) iter.Seq2[*Job, error] {
	return func(yield func(*Job, error) bool) {
		o, err := pollOptions(opts)
		if err != nil {
			yield(nil, err)
			return
		}
		follow := poll.Job[*Job]{
			Get:  func(ctx context.Context) (*Job, time.Duration, error) { return s.get(ctx, jobID) },
			Done: func(j *Job) bool { return j.Status.Terminal() },
			Same: func(older, newer *Job) bool { return *older == *newer },
		}
		var last *Job
		for job, err := range follow.Watch(ctx, o) {
			if err != nil {
				yield(last, waitError(jobID, last, err))
				return
			}
			last = job
			if !yield(job, nil) {
				return
			}
		}
		if last.Status != StatusReplicated {
			yield(last, &StateError{JobID: jobID, Status: last.Status})
		}
	}
}

// waitError says what was known when waiting ended early.
func waitError(jobID string, last *Job, err error) error {
	switch {
	case errors.Is(err, ErrInvalidArgument):
		return err
	case last == nil:
		return fmt.Errorf("%s: waiting for job %s, no status seen: %w", pkg, jobID, err)
	default:
		return fmt.Errorf("%s: waiting for job %s, last status %q: %w", pkg, jobID, last.Status, err)
	}
}
