package multiplay

import (
	"context"
	"errors"
	"fmt"
	"iter"
)

// release is one call of Release under way.
type release struct {
	client *Client
	req    *ReleaseRequest
	opts   []WaitOption
	result ReleaseResult
	last   lastEvent
}

// lastEvent is the state of a job that OnEvent was called with.
type lastEvent struct {
	step  ReleaseStep
	retry int
	job   Job
}

func (r *release) update(ctx context.Context) error {
	if r.result.UpdateID == 0 {
		if err := r.withLockRejected(ctx, StepUpdate, func() error {
			update, err := r.client.ImageUpdates.Create(ctx, &CreateImageUpdateRequest{
				ImageID:     r.req.ImageID,
				MachineID:   r.req.MachineID,
				Description: r.req.Description,
				Source:      r.req.Source,
			})
			if err == nil {
				r.result.UpdateID = update.UpdateID
				r.emitJob(StepUpdate, 0, &update.Job)
			}
			return err
		}); err != nil {
			return err
		}
	}
	return followStep(ctx, r, StepUpdate, r.result.UpdateID, r.client.ImageUpdates.Watch, r.client.ImageUpdates.Retry)
}

func (r *release) diff(ctx context.Context) error {
	if r.result.DiffID == 0 {
		if err := r.withLockRejected(ctx, StepDiff, func() error {
			diff, err := r.client.ImageDiffs.Create(ctx, &CreateImageDiffRequest{
				ImageID:   r.req.ImageID,
				MachineID: r.req.MachineID,
			})
			if err == nil {
				r.result.DiffID = diff.DiffID
				r.emitJob(StepDiff, 0, &diff.Job)
			}
			return err
		}); err != nil {
			return err
		}
	}
	return followStep(ctx, r, StepDiff, r.result.DiffID, r.client.ImageDiffs.Watch, r.client.ImageDiffs.Retry)
}

func (r *release) version(ctx context.Context) error {
	if r.result.ImageVersionID == 0 {
		full, err := r.full(ctx)
		if err != nil {
			return err
		}
		version, err := r.client.ImageVersions.Create(ctx, r.req.version(r.result.DiffID, full))
		if err != nil {
			return err
		}
		r.result.Full = full
		r.result.ImageVersionID = version.ImageVersionID
		r.emitJob(StepVersion, 0, &version.Job)
	}
	return followStep(ctx, r, StepVersion, r.result.ImageVersionID, r.client.ImageVersions.Watch, nil)
}

// full reports whether the version has to be a full one.
func (r *release) full(ctx context.Context) (bool, error) {
	if r.req.Full {
		return true, nil
	}
	diff, err := r.client.ImageDiffs.Status(ctx, r.result.DiffID, &ImageDiffStatusOptions{Info: true})
	if errors.Is(err, ErrResponseTooLarge) {
		return false, nil // with more files than fit into a response it is not empty
	}
	if err != nil {
		return false, err
	}
	return diff.Empty(), nil
}

func (r *release) rollout(ctx context.Context) error {
	for now, err := range r.client.Images.WatchRollout(ctx, r.req.ImageID, r.result.ImageVersionID, r.opts...) {
		if err != nil {
			return err
		}
		r.result.Rollout = now
		r.emit(ReleaseEvent{Step: StepRollout, Rollout: now})
	}
	return nil
}

// withLockRejected runs create and, where a diff locks the image and the caller
// allowed it, rejects that diff and runs create once more.
func (r *release) withLockRejected(ctx context.Context, step ReleaseStep, create func() error) error {
	err := create()
	locked, ok := errors.AsType[*ImageLockedError](err)
	if !ok || !r.req.RejectLocking {
		return err
	}
	if _, err := r.client.ImageDiffs.Reject(ctx, locked.DiffID, nil); err != nil {
		return fmt.Errorf("image %d is locked by diff %d, which was to be rejected: %w", r.req.ImageID, locked.DiffID, err)
	}
	r.emit(ReleaseEvent{Step: step, RejectedDiffID: locked.DiffID})
	return create()
}

// followStep watches the job of a step to its end, and runs it again with
// retry as often as the request allows. A nil retry is a job that cannot be
// run again.
func followStep[S holdsJob](
	ctx context.Context, r *release, step ReleaseStep, id int64,
	watch func(context.Context, int64, ...WaitOption) iter.Seq2[S, error], retry func(context.Context, int64) (S, error),
) error {
	for runs := 0; ; runs++ {
		var err error
		for now, ended := range watch(ctx, id, r.opts...) {
			if err = ended; err == nil {
				r.emitJob(step, runs, now.job())
			}
		}
		failed, ok := errors.AsType[*StateError](err)
		if !ok || failed.State != JobFailed || retry == nil || runs == r.req.Retries {
			return err
		}
		if _, err := retry(ctx, id); err != nil {
			return fmt.Errorf("%w; running it again: %w", failed, err)
		}
	}
}

// emitJob emits the state of a step's job, unless it is the last that was
// emitted: the first poll of a new job finds what the response to its creation
// said already.
func (r *release) emitJob(step ReleaseStep, retry int, job *Job) {
	now := lastEvent{step, retry, *job}
	if now == r.last {
		return
	}
	r.last = now
	r.emit(ReleaseEvent{Step: step, Retry: retry, Job: job})
}

func (r *release) emit(event ReleaseEvent) {
	if r.req.OnEvent != nil {
		event.ReleaseIDs = r.result.ReleaseIDs
		r.req.OnEvent(event)
	}
}
