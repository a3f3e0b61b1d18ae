package imagereplicator

import (
	"context"
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
	return poll.Wait(ctx, s.job(jobID), opts)
}

// Watch yields the job's state, then again whenever something in it has
// changed, and ends with the job. A job that ended canceled or in error yields
// its last state and then a *StateError. Any error ends the sequence; it comes
// with the last state seen, which is nil when there was none.
func (s *JobsService) Watch(ctx context.Context, jobID string, opts ...WaitOption) iter.Seq2[*Job, error] {
	return poll.Watch(ctx, s.job(jobID), opts)
}

func (s *JobsService) job(id string) *poll.Job[*Job] {
	return &poll.Job[*Job]{
		Package: pkg,
		Name:    "job " + id,
		Get:     func(ctx context.Context) (*Job, time.Duration, error) { return s.get(ctx, id) },
		Status:  func(j *Job) string { return string(j.Status) },
		Done:    func(j *Job) bool { return j.Status.Terminal() },
		Failed: func(j *Job) error {
			if j.Status == StatusReplicated {
				return nil
			}
			return &StateError{JobID: id, Status: j.Status}
		},
		Same: func(older, newer *Job) bool { return *older == *newer },
	}
}
