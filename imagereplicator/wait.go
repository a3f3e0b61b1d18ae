package imagereplicator

import (
	"context"
	"fmt"
	"iter"
	"time"

	"github.com/imagejobs/imagejobs-go/internal/poll"
)

// Wait polls the job until it has ended and returns its last state. A nil error
// means replicated. If the job ended canceled or in error, the error is a
// [*StateError]; expect that after [JobsService.Cancel], unless the copy
// completed first.
//
// Wait runs until ctx is done. It rides out transient failures for the outage
// limit, see [WithOutageLimit]. For half a minute it also rides out a 404, as a
// new job may not be visible yet. An error names the last status known, and is
// returned with the last state seen, nil if there was none.
func (s *JobsService) Wait(ctx context.Context, jobID string, opts ...WaitOption) (*Job, error) {
	job, err := s.job(jobID, opts)
	if err != nil {
		return nil, err
	}
	return poll.Wait(ctx, job)
}

// Watch polls the job and yields its state, then again whenever it has changed,
// and ends with the job. If that ended canceled or in error, Watch yields its
// last state and then a [*StateError]. Any error ends the sequence and comes
// with the last state seen, nil if there was none. Failures are ridden out as by
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

// WaitAll polls the jobs until all have ended and returns their last states, in
// the order of the ids, nil for a job that was never seen. Each poll is one
// List, whatever the number of jobs, and a [JobsService.Get] for each job that
// List does not show, at most ten per second. That is each job if the user is not
// allowed to list jobs, or if there are too many for one response.
//
// The error joins the errors of all jobs: a [*StateError] for each that ended
// canceled or in error, and one that matches [ErrNotFound] for each that the
// service has not known for half a minute. Failures of List are ridden out as
// by [JobsService.Wait].
func (s *JobsService) WaitAll(ctx context.Context, jobIDs []string, opts ...WaitOption) ([]*Job, error) {
	jobs, err := s.jobs(opWaitAll, jobIDs, opts)
	if err != nil {
		return nil, err
	}
	return poll.WaitAll(ctx, jobs)
}

// WatchAll polls the jobs as [JobsService.WaitAll] does and yields the state of
// each, then again whenever it has changed, and ends with the last job. An
// error of one job comes with its last state, nil if it was never seen, and
// does not end the sequence. Any other error ends the sequence.
func (s *JobsService) WatchAll(ctx context.Context, jobIDs []string, opts ...WaitOption) iter.Seq2[*Job, error] {
	return func(yield func(*Job, error) bool) {
		jobs, err := s.jobs(opWatchAll, jobIDs, opts)
		if err != nil {
			yield(nil, err)
			return
		}
		poll.WatchAll(ctx, jobs)(yield)
	}
}

// singly returns the service for callers that repeat what fails.
func (s *JobsService) singly() *JobsService {
	one := *s
	one.client = s.client.SingleAttempts()
	return &one
}

func (s *JobsService) job(id string, opts []WaitOption) (*poll.Job[*Job], error) {
	o, err := pollOptions(opts)
	s = s.singly()
	return &poll.Job[*Job]{
		Options: o,
		Package: pkg,
		Name:    "job " + id,
		Outage:  s.outageLimit,
		Get:     func(ctx context.Context) (*Job, time.Duration, error) { return s.get(ctx, id) },
		Status:  (*Job).status,
		Done:    (*Job).done,
		Failed:  (*Job).failed,
		Same:    (*Job).same,
	}, err
}

func (s *JobsService) jobs(op string, ids []string, opts []WaitOption) (*poll.Jobs[string, *Job], error) {
	o, err := pollOptions(opts)
	if err != nil {
		return nil, err
	}
	for i, id := range ids {
		if err := checkID(fmt.Sprintf("%s: jobIDs[%d]", op, i), id); err != nil {
			return nil, err
		}
	}
	s = s.singly()
	listed := false
	return &poll.Jobs[string, *Job]{
		Options: o,
		Package: pkg,
		Noun:    "job",
		Outage:  s.outageLimit,
		IDs:     ids,
		List: func(ctx context.Context) ([]*Job, bool, time.Duration, error) {
			jobs, after, err := s.list(ctx)
			if noList(err) && !listed {
				return nil, true, after, nil // Get may do
			}
			listed = listed || err == nil
			return jobs, true, after, err
		},
		Get:    s.get,
		ID:     func(j *Job) string { return j.ID },
		Status: (*Job).status,
		Done:   (*Job).done,
		Failed: (*Job).failed,
		Same:   (*Job).same,
	}, nil
}

func (j *Job) status() string       { return string(j.Status) }
func (j *Job) done() bool           { return j.Status.Terminal() }
func (j *Job) same(newer *Job) bool { return *j == *newer }

func (j *Job) failed() error {
	if j.Status == StatusReplicated {
		return nil
	}
	return &StateError{JobID: j.ID, Status: j.Status}
}
