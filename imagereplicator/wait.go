package imagereplicator

import (
	"context"
	"iter"
	"time"

	"github.com/imagejobs/imagejobs-go/internal/poll"
)

// Wait polls the job until it has ended and returns its last state. A nil error
// means replicated. A job that ended canceled or in error is a [*StateError];
// after [JobsService.Cancel] that is the end to expect, unless the copy was
// complete first.
//
// Wait runs until ctx is done. It rides out transient failures for the outage
// limit, see [WithOutageLimit], and a job that the service does not know for
// half a minute, so that it can follow Create. An error has the last status
// known, and comes with the last state seen, nil if there was none.
func (s *JobsService) Wait(ctx context.Context, jobID string, opts ...WaitOption) (*Job, error) {
	job, err := s.job(jobID, opts)
	if err != nil {
		return nil, err
	}
	return poll.Wait(ctx, job)
}

// Watch polls the job and yields its state, then again whenever it has changed,
// and ends with the job. A job that ended canceled or in error yields its last
// state and then a [*StateError]. Any error ends the sequence; it comes with the
// last state seen, nil if there was none. Failures are ridden out as by
// [JobsService.Wait].
func (s *JobsService) Watch(ctx context.Context, jobID string, opts ...WaitOption) iter.Seq2[*Job, error] {
	return func(yield func(*Job, error) bool) {
		job, err := s.job(jobID, opts)
		if err != nil {
			yield(nil, err)
			return
		}
		poll.Watch(ctx, job)(yield)
	}
}

func (s *JobsService) job(id string, opts []WaitOption) (*poll.Job[*Job], error) {
	o, err := pollOptions(opts)
	return &poll.Job[*Job]{
		Options: o,
		Package: pkg,
		Name:    "job " + id,
		Outage:  s.outageLimit,
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
	}, err
}
