package multiplay

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/imagejobs/imagejobs-go/internal/outage"
	"github.com/imagejobs/imagejobs-go/internal/poll"
)

// release is one call of Release under way.
type release struct {
	client  *Client
	req     *ReleaseRequest
	options waitConfig
	result  ReleaseResult
	last    lastEvent
	// seen is the newest state of the newest job, nil before there is one.
	seen *Job
	// before is a moment before the job of the step was created, by the service's
	// clock; zero if it is not known.
	before time.Time
	// counts are those of the machines before there was a version, nil if they are
	// not known or may have moved on with another one.
	counts *MachineCounts
}

// lastEvent is the state of a job that OnEvent was called with.
type lastEvent struct {
	step  ReleaseStep
	retry int
	job   Job
}

func (r *release) update(ctx context.Context) error {
	updates := r.client.ImageUpdates
	if r.result.UpdateID == 0 {
		before, err := r.locksBefore(ctx)
		if err != nil {
			return err
		}
		send := func(ctx context.Context) (int64, *Job, error) {
			update, err := updates.Create(ctx, &CreateImageUpdateRequest{
				ImageID:     r.req.ImageID,
				MachineID:   r.req.MachineID,
				Description: r.req.Description,
				Source:      r.req.Source,
			})
			if err != nil {
				return 0, nil, err
			}
			return update.UpdateID, &update.Job, nil
		}
		if err := r.create(ctx, StepUpdate, &r.result.UpdateID, send, func(lost error) (int64, error) {
			return r.findUpdate(ctx, before, lost)
		}); err != nil {
			return err
		}
	}
	job, err := updates.follow(r.result.UpdateID, nil)
	if err != nil {
		return err
	}
	status := func(j Job) *ImageUpdateStatus { return &ImageUpdateStatus{Job: j} }
	return followStep(ctx, r, StepUpdate, job, status, func(ctx context.Context) error {
		_, err := updates.Retry(ctx, r.result.UpdateID)
		return err
	})
}

func (r *release) diff(ctx context.Context) error {
	diffs := r.client.ImageDiffs
	if r.result.DiffID == 0 {
		before, err := r.locksBefore(ctx)
		if err != nil {
			return err
		}
		send := func(ctx context.Context) (int64, *Job, error) {
			diff, err := diffs.Create(ctx, &CreateImageDiffRequest{ImageID: r.req.ImageID, MachineID: r.req.MachineID})
			if err != nil {
				return 0, nil, err
			}
			return diff.DiffID, &diff.Job, nil
		}
		if err := r.create(ctx, StepDiff, &r.result.DiffID, send, func(lost error) (int64, error) {
			return r.findDiff(ctx, before, send, lost)
		}); err != nil {
			return err
		}
	}
	job, err := diffs.follow(r.result.DiffID, nil)
	if err != nil {
		return err
	}
	status := func(j Job) *ImageDiffStatus { return &ImageDiffStatus{Job: j} }
	return followStep(ctx, r, StepDiff, job, status, func(ctx context.Context) error {
		_, err := diffs.Retry(ctx, r.result.DiffID)
		return err
	})
}

func (r *release) version(ctx context.Context) error {
	versions := r.client.ImageVersions
	if r.result.ImageVersionID == 0 {
		full, err := r.full(ctx)
		if err != nil {
			return err
		}
		before, err := r.installedBefore(ctx)
		if err != nil {
			return err
		}
		if now, err := r.client.Images.RolloutStatus(ctx, r.req.ImageID, nil); err == nil && now.Pending == 0 {
			r.counts = &now.MachineCounts
		}
		send := func(ctx context.Context) (int64, *Job, error) {
			version, err := versions.Create(ctx, r.req.version(r.result.DiffID, full))
			if err != nil {
				return 0, nil, err
			}
			return version.ImageVersionID, &version.Job, nil
		}
		if err := r.create(ctx, StepVersion, &r.result.ImageVersionID, send, func(lost error) (int64, error) {
			return r.findVersion(ctx, before, lost)
		}); err != nil {
			return err
		}
		r.result.Full = full
	}
	job, err := versions.follow(r.result.ImageVersionID, nil)
	if err != nil {
		return err
	}
	return followStep(ctx, r, StepVersion, job, func(j Job) *ImageVersionStatus { return &ImageVersionStatus{Job: j} }, nil)
}

// full reports whether the version has to be a full one.
func (r *release) full(ctx context.Context) (bool, error) {
	if r.req.Full {
		return true, nil
	}
	var diff *ImageDiffStatus
	known, err := r.repeat(ctx, outage.Lag, true, func(ctx context.Context) (id int64, err error) {
		diff, err = r.client.ImageDiffs.Status(ctx, r.result.DiffID, &ImageDiffStatusOptions{Info: true})
		if err != nil || diff.State != JobCompleted { // a replica that lags
			return 0, err
		}
		return diff.DiffID, nil
	})
	switch {
	case errors.Is(err, ErrResponseTooLarge):
		return false, nil // with more files than fit into a response it is not empty
	case err != nil:
		return false, err
	case known == 0:
		return false, &StateError{Resource: "image diff", ID: r.result.DiffID, State: diff.State, Reason: diff.Error}
	default:
		return diff.Empty(), nil
	}
}

// queueLate is how long installs that should start at once may wait.
const queueLate = 5 * time.Minute

func (r *release) rollout(ctx context.Context) error {
	now := &rollout{
		images: r.client.Images, imageID: r.req.ImageID, versionID: r.result.ImageVersionID,
		limit: r.options.startLimit, first: r.counts,
	}
	switch {
	case r.req.Install == InstallManual:
	case !r.req.InstallAt.IsZero():
		now.queueAfter, now.due = never, r.req.InstallAt
	default:
		now.queueAfter = queueLate
	}
	job := now.follow(r.options)
	for status, err := range poll.Watch(ctx, job) {
		if err != nil {
			return err
		}
		r.result.Rollout = status
		r.emit(ReleaseEvent{Step: StepRollout, Rollout: status})
	}
	return nil
}

// create creates the job of a step and puts its id where it belongs. If a diff
// locks the image and the caller allowed it, it rejects that diff and
// continues. find searches for a job whose create call got no response.
func (r *release) create(
	ctx context.Context, step ReleaseStep, id *int64,
	send func(context.Context) (int64, *Job, error), find func(lost error) (int64, error),
) error {
	r.before = r.client.Images.client.clock.time()
	if r.seen != nil {
		if at := cmp.Or(r.seen.Updated, r.seen.Created); at.After(r.before) {
			r.before = at
		}
	}
	r.seen = nil
	rejected := false
	for rejections := 0; ; rejections++ {
		var job *Job
		created, err := r.repeat(ctx, 0, false, func(ctx context.Context) (created int64, err error) {
			created, job, err = send(ctx)
			return created, err
		})
		if errors.Is(err, ErrAmbiguous) && ctx.Err() == nil {
			created, err = find(err)
		}
		if err == nil {
			*id = created
			if r.seen = job; job != nil {
				r.emitJob(step, 0, job)
			}
			return nil
		}
		const limit = 3
		locked, ok := errors.AsType[*ImageLockedError](err)
		if !ok || !r.req.RejectLocking || rejected || rejections == limit {
			return err
		}
		if rejected, err = r.reject(ctx, step, locked.DiffID); err != nil {
			return fmt.Errorf("image %d is locked by diff %d, which was to be rejected: %w", r.req.ImageID, locked.DiffID, err)
		}
	}
}

// reject rejects a diff that locks the image. It reports whether that certainly
// happened: if it got no response, the next creation shows.
func (r *release) reject(ctx context.Context, step ReleaseStep, diffID int64) (bool, error) {
	_, err := r.repeat(ctx, 0, false, func(ctx context.Context) (int64, error) {
		_, err := r.client.ImageDiffs.Reject(ctx, diffID, nil)
		return diffID, err
	})
	switch {
	case err == nil:
		r.emit(ReleaseEvent{Step: step, RejectedDiffID: diffID})
		return true, nil
	case errors.Is(err, ErrAmbiguous) && ctx.Err() == nil:
		return false, nil
	default:
		return false, err
	}
}

// followStep watches the job of a step to its end, and runs it again with
// retry as often as the request allows. A nil retry is a job that cannot be
// run again.
func followStep[S holdsJob](
	ctx context.Context, r *release, step ReleaseStep, job *poll.Job[S], status func(Job) S, retry func(context.Context) error,
) error {
	job.Options = r.options.Options
	var failed Job
	var retried time.Time
	done := job.Done
	job.Done = func(now S) bool {
		// What a retry left as it was may come from a replica that lags.
		stale := time.Since(retried) < outage.Lag && *now.job() == failed
		return done(now) && !stale
	}
	for runs := 0; ; runs++ {
		if r.seen != nil {
			job.Last = new(status(*r.seen))
		}
		var err error
		for now, ended := range poll.Watch(ctx, job) {
			if err = ended; err == nil {
				r.seen = now.job()
				r.emitJob(step, runs, r.seen)
			}
		}
		ended, ok := errors.AsType[*StateError](err)
		if !ok {
			return err
		}
		r.emitJob(step, runs, r.seen)
		if ended.State != JobFailed || retry == nil || runs == r.req.Retries {
			return err
		}
		failed, retried = *r.seen, time.Now()
		_, err = r.repeat(ctx, 0, false, func(ctx context.Context) (int64, error) { return 1, retry(ctx) })
		if err != nil && (!errors.Is(err, ErrAmbiguous) || ctx.Err() != nil) {
			return fmt.Errorf("%w; running it again: %w", ended, err)
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
