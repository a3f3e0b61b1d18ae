package multiplay

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/imagejobs/imagejobs-go/internal/poll"
	"github.com/imagejobs/imagejobs-go/internal/transport"
)

// ReleaseStep is one of the steps of a release.
type ReleaseStep string

// The steps of a release, in their order.
const (
	StepUpdate  ReleaseStep = "update"  // fetch the files onto the build machine
	StepDiff    ReleaseStep = "diff"    // compare them with the latest version
	StepVersion ReleaseStep = "version" // make a version of the difference
	StepRollout ReleaseStep = "rollout" // install it on the machines
)

// ReleaseIDs are the jobs of a release so far; 0 for those not made yet. They
// are all it takes to go on with one: keep them, as JSON for example.
type ReleaseIDs struct {
	UpdateID       int64 `json:"update_id,omitempty"`
	DiffID         int64 `json:"diff_id,omitempty"`
	ImageVersionID int64 `json:"image_version_id,omitempty"`
}

// ReleaseRequest says what to release and how. It prints, and marshals to JSON,
// without the secrets of Source.
type ReleaseRequest struct {
	// Resume goes on with a release at the furthest job that is set: it is
	// waited for, not made again. The zero value starts one.
	Resume ReleaseIDs

	// ImageID, MachineID, Description and Source are as in
	// CreateImageUpdateRequest. ImageID is always required, MachineID until
	// there is a diff, Description and Source until there is an update.
	ImageID     int64
	MachineID   int64
	Description string
	Source      Source

	// Restart, Force, GameBuild and the four below are as in
	// CreateImageVersionRequest, and not looked at where Resume has a version.
	Restart   bool
	Force     bool
	GameBuild string
	// InstallAt is when to install, InstallNow at once: one of them, or none.
	InstallAt  time.Time
	InstallNow bool
	// DisableTimeout and DisablePercentage are how long to wait for servers to
	// become free, and for how many of them. Zero leaves both out.
	DisableTimeout    time.Duration
	DisablePercentage float64
	// Full makes a full version in any case. An empty diff, of which no other
	// can be made, gets one by itself.
	Full bool

	// RejectLocking allows to reject an outstanding diff that locks the image,
	// whoever made it, once before the update and once before the diff.
	// Without it a lock ends the release with an *ImageLockedError.
	RejectLocking bool
	// Retries is how often a failed update and a failed diff are run again,
	// each. The service cannot run a failed version again.
	Retries int

	// OnEvent is called from Release's own goroutine, for each new job and each
	// change of one. Keep the event's ReleaseIDs to be able to go on after a
	// crash. nil for no calls.
	OnEvent func(ReleaseEvent) `json:"-"`
}

// Format implements fmt.Formatter, as that of CreateImageUpdateRequest does.
func (req ReleaseRequest) Format(f fmt.State, verb rune) {
	type fields ReleaseRequest
	_, _ = fmt.Fprintf(f, fmt.FormatString(f, verb), fields(req))
}

// ReleaseEvent is something that happened in a release.
type ReleaseEvent struct {
	Step ReleaseStep `json:"step"`
	ReleaseIDs

	// Job is the state of the step's job; nil for the events below.
	Job *Job `json:"job,omitempty"`
	// Retry counts, from 1, how often the job was run again.
	Retry int `json:"retry,omitempty"`
	// Rollout is how far the rollout is.
	Rollout *RolloutStatus `json:"rollout,omitempty"`
	// RejectedDiffID is the diff that locked the image and was rejected.
	RejectedDiffID int64 `json:"rejected_diff_id,omitempty"`
}

// ReleaseResult is a finished release.
type ReleaseResult struct {
	ReleaseIDs

	// Full tells that a full version was asked for, by the request or because
	// the diff was empty. Unknown, and false, if Resume began at the version.
	Full    bool           `json:"full"`
	Rollout *RolloutStatus `json:"rollout"`
}

// ReleaseError is a release that stopped: at which step, with which jobs made,
// and why. Err may be any error of this package. To go on, call Release again
// with Resume set to the ReleaseIDs; where errors.Is finds ErrAmbiguous, look
// first with Images.Options what became of the call.
type ReleaseError struct {
	Step ReleaseStep
	ReleaseIDs

	Err error
}

// Error says step, jobs and cause.
func (e *ReleaseError) Error() string {
	var made []string
	for _, job := range []struct {
		name string
		id   int64
	}{{"update", e.UpdateID}, {"diff", e.DiffID}, {"version", e.ImageVersionID}} {
		if job.id != 0 {
			made = append(made, fmt.Sprintf("%s %d", job.name, job.id))
		}
	}
	text := fmt.Sprintf("multiplay: release stopped at step %s", e.Step)
	if len(made) > 0 {
		text += ", after " + strings.Join(made, ", ")
	}
	return text + ": " + e.Err.Error()
}

// Unwrap gives Err.
func (e *ReleaseError) Unwrap() error { return e.Err }

// Release updates an image, makes a diff and a version of it, and waits for
// the rollout: the documented workflow from the files to the game servers. Bad
// input is an error that matches ErrInvalidArgument; all that happens later is
// a *ReleaseError.
//
// Each job is made at most once. A release that stopped goes on with Resume.
//
// Source: "Update your game via the Clanforge API".
func (c *Client) Release(ctx context.Context, req *ReleaseRequest, opts ...WaitOption) (*ReleaseResult, error) {
	if err := checkRelease(req); err != nil {
		return nil, err
	}
	if err := poll.Check(pkg, opts); err != nil {
		return nil, err
	}
	r := &release{client: c, req: req, opts: opts}
	r.result.ReleaseIDs = req.Resume
	for _, step := range []struct {
		name ReleaseStep
		skip bool
		run  func(context.Context) error
	}{
		{StepUpdate, req.Resume.DiffID != 0 || req.Resume.ImageVersionID != 0, r.update},
		{StepDiff, req.Resume.ImageVersionID != 0, r.diff},
		{StepVersion, false, r.version},
		{StepRollout, false, r.rollout},
	} {
		if step.skip {
			continue
		}
		if err := step.run(ctx); err != nil {
			return nil, &ReleaseError{Step: step.name, ReleaseIDs: r.result.ReleaseIDs, Err: err}
		}
	}
	return &r.result, nil
}

func checkRelease(req *ReleaseRequest) error {
	const field = "ReleaseRequest"
	if req == nil {
		return transport.Invalid(pkg, field, "must not be nil")
	}
	ids := req.Resume
	for _, id := range []struct {
		name  string
		value int64
	}{{"UpdateID", ids.UpdateID}, {"DiffID", ids.DiffID}, {"ImageVersionID", ids.ImageVersionID}} {
		if id.value < 0 {
			return transport.Invalid(pkg, field+".Resume."+id.name, "must not be negative")
		}
	}
	if err := checkID(field+".ImageID", req.ImageID); err != nil {
		return err
	}
	if req.Retries < 0 {
		return transport.Invalid(pkg, field+".Retries", "must not be negative")
	}
	if ids.DiffID == 0 && ids.ImageVersionID == 0 {
		if err := checkID(field+".MachineID", req.MachineID); err != nil {
			return err
		}
	}
	if ids.ImageVersionID == 0 {
		if err := new(createImageVersionQuery).schedule(field, versionRequest(req, ids.DiffID, req.Full)); err != nil {
			return err
		}
	}
	if ids == (ReleaseIDs{}) {
		if req.Description == "" {
			return transport.Invalid(pkg, field+".Description", "must not be empty")
		}
		if req.Source != nil {
			if _, err := req.Source.URL(); err != nil {
				return err
			}
		}
	}
	return nil
}

// versionRequest is what a release asks for the version of a diff with.
func versionRequest(req *ReleaseRequest, diffID int64, full bool) *CreateImageVersionRequest {
	return &CreateImageVersionRequest{
		DiffID:            diffID,
		Restart:           req.Restart,
		Full:              full,
		Force:             req.Force,
		GameBuild:         req.GameBuild,
		InstallAt:         req.InstallAt,
		InstallNow:        req.InstallNow,
		DisableTimeout:    req.DisableTimeout,
		DisablePercentage: req.DisablePercentage,
	}
}

// release is one call of Release under way.
type release struct {
	client *Client
	req    *ReleaseRequest
	opts   []WaitOption
	result ReleaseResult
	told   toldJob
}

// toldJob is the state of a job that OnEvent was called with.
type toldJob struct {
	step  ReleaseStep
	retry int
	job   Job
}

func (r *release) update(ctx context.Context) error {
	if r.result.UpdateID == 0 {
		if err := r.unlocking(ctx, StepUpdate, func() error {
			update, err := r.client.ImageUpdates.Create(ctx, &CreateImageUpdateRequest{
				ImageID:     r.req.ImageID,
				MachineID:   r.req.MachineID,
				Description: r.req.Description,
				Source:      r.req.Source,
			})
			if err == nil {
				r.result.UpdateID = update.UpdateID
				r.tellJob(StepUpdate, 0, &update.Job)
			}
			return err
		}); err != nil {
			return err
		}
	}
	return followStep(ctx, r, StepUpdate, r.result.UpdateID, r.client.ImageUpdates.job(r.result.UpdateID), r.client.ImageUpdates.Retry)
}

func (r *release) diff(ctx context.Context) error {
	if r.result.DiffID == 0 {
		if err := r.unlocking(ctx, StepDiff, func() error {
			diff, err := r.client.ImageDiffs.Create(ctx, &CreateImageDiffRequest{
				ImageID:   r.req.ImageID,
				MachineID: r.req.MachineID,
			})
			if err == nil {
				r.result.DiffID = diff.DiffID
				r.tellJob(StepDiff, 0, &diff.Job)
			}
			return err
		}); err != nil {
			return err
		}
	}
	return followStep(ctx, r, StepDiff, r.result.DiffID, r.client.ImageDiffs.job(r.result.DiffID), r.client.ImageDiffs.Retry)
}

func (r *release) version(ctx context.Context) error {
	if r.result.ImageVersionID == 0 {
		full, err := r.full(ctx)
		if err != nil {
			return err
		}
		version, err := r.client.ImageVersions.Create(ctx, versionRequest(r.req, r.result.DiffID, full))
		if err != nil {
			return err
		}
		r.result.Full = full
		r.result.ImageVersionID = version.ImageVersionID
		r.tellJob(StepVersion, 0, &version.Job)
	}
	return followStep(ctx, r, StepVersion, r.result.ImageVersionID, r.client.ImageVersions.job(r.result.ImageVersionID), nil)
}

// full tells whether the version has to be a full one.
func (r *release) full(ctx context.Context) (bool, error) {
	if r.req.Full {
		return true, nil
	}
	diff, err := r.client.ImageDiffs.Status(ctx, r.result.DiffID, &ImageDiffStatusOptions{Info: true})
	if errors.Is(err, ErrResponseTooLarge) {
		return false, nil // with more files than fit into an answer it is not empty
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
		r.tell(ReleaseEvent{Step: StepRollout, Rollout: now})
	}
	return nil
}

// unlocking runs create and, where a diff locks the image and the caller
// allowed it, rejects that diff and runs create once more.
func (r *release) unlocking(ctx context.Context, step ReleaseStep, create func() error) error {
	err := create()
	locked, ok := errors.AsType[*ImageLockedError](err)
	if !ok || !r.req.RejectLocking {
		return err
	}
	if _, err := r.client.ImageDiffs.Reject(ctx, locked.DiffID, nil); err != nil {
		return fmt.Errorf("image %d is locked by diff %d, which was to be rejected: %w", r.req.ImageID, locked.DiffID, err)
	}
	r.tell(ReleaseEvent{Step: step, RejectedDiffID: locked.DiffID})
	return create()
}

// followStep watches the job of a step to its end, and runs it again with
// retry as often as the request allows. A nil retry is a job that cannot be
// run again.
func followStep[T status](ctx context.Context, r *release, step ReleaseStep, id int64, job *poll.Job[T], retry func(context.Context, int64) (T, error)) error {
	for runs := 0; ; runs++ {
		var err error
		for now, ended := range poll.Watch(ctx, job, r.opts) {
			if err = ended; err == nil {
				r.tellJob(step, runs, now.job())
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

// tellJob tells the state of a step's job, unless it was told last: the first
// look at a new job finds what the answer to its making said already.
func (r *release) tellJob(step ReleaseStep, retry int, job *Job) {
	now := toldJob{step, retry, *job}
	if now == r.told {
		return
	}
	r.told = now
	r.tell(ReleaseEvent{Step: step, Retry: retry, Job: job})
}

func (r *release) tell(event ReleaseEvent) {
	if r.req.OnEvent != nil {
		event.ReleaseIDs = r.result.ReleaseIDs
		r.req.OnEvent(event)
	}
}
