package multiplay

import (
	"cmp"
	"context"
	"fmt"
	"strings"
	"time"
)

// ReleaseStep is one of the steps of a release.
type ReleaseStep string

// Steps of a release, in their order.
const (
	// StepUpdate fetches the files onto the build machine.
	StepUpdate ReleaseStep = "update"
	// StepDiff compares them with the image's latest version.
	StepDiff ReleaseStep = "diff"
	// StepVersion makes a version of the difference.
	StepVersion ReleaseStep = "version"
	// StepRollout installs it on the machines.
	StepRollout ReleaseStep = "rollout"
)

// ReleaseIDs are the ids of a release's jobs, 0 for those not created yet. They
// are all that is needed to resume it: store them, for example as JSON.
type ReleaseIDs struct {
	// UpdateID is the image update.
	UpdateID int64 `json:"update_id,omitempty"`
	// DiffID is the image diff.
	DiffID int64 `json:"diff_id,omitempty"`
	// ImageVersionID is the image version.
	ImageVersionID int64 `json:"image_version_id,omitempty"`
}

// ReleaseRequest names what to release, and how.
type ReleaseRequest struct {
	// Resume resumes a release at the furthest job that is set: Release waits
	// for that one and does not create it again. The zero value starts a release.
	Resume ReleaseIDs

	// ImageID is the game image. Required.
	ImageID int64
	// GameID is the image's game. Optional: with it, Release can find an update or
	// a version whose create call got no response.
	GameID int64
	// MachineID is the build machine. Required until there is a diff.
	MachineID int64
	// Description is free text for people. Required until there is an update.
	Description string
	// Source is where the files are. nil uses the image's default source. It is
	// not used once there is an update.
	Source Source

	// Restart stops the servers, installs and starts them again. Without it
	// the version takes effect when a server exits or changes its profile.
	Restart bool
	// Force continues while servers are allocated, which fails otherwise.
	Force bool
	// GameBuild becomes the name of the game version. Optional.
	GameBuild string
	// Install chooses when the machines install the version; InstallNow if empty.
	// With InstallManual, Release itself queues each install. With InstallNow, it
	// queues those that still wait after five minutes, so that the machines get
	// the version whatever the service makes of install_at.
	Install InstallMode
	// InstallAt is when to install, to the second. It implies [InstallScheduled].
	InstallAt time.Time
	// DisableTimeout disables machines that do not install in time; see
	// [CreateImageVersionRequest].
	DisableTimeout time.Duration
	// DisablePercentage is when DisableTimeout begins; see
	// [CreateImageVersionRequest].
	DisablePercentage float64
	// Full makes a full version. Without it, only an empty diff gets one, as the
	// service allows no other.
	Full bool

	// RejectLocking lets Release reject an outstanding diff that locks the image,
	// even another client's: once before the update and once before the diff.
	// Without it, a lock ends the release with an [*ImageLockedError].
	RejectLocking bool
	// Retries is how many times a failed update, and how many times a failed diff,
	// is run again. The service cannot run a failed version again.
	Retries int

	// OnEvent is called from Release's own goroutine for each new job and each
	// change of a job. Store the event's ReleaseIDs to resume after a crash. May
	// be nil.
	OnEvent func(ReleaseEvent) `json:"-"`
}

// ReleaseEvent is something that happened in a release.
type ReleaseEvent struct {
	// Step is where the release is.
	Step ReleaseStep `json:"step"`
	// ReleaseIDs are the jobs so far.
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
	// ReleaseIDs are the jobs of the release.
	ReleaseIDs

	// Full reports whether a full version was requested: by the ReleaseRequest, or
	// because the diff was empty. It is unknown, and false, if the release was
	// resumed at its version.
	Full bool `json:"full"`
	// Rollout counts the machines that the version was installed on.
	Rollout *RolloutStatus `json:"rollout"`
}

// ReleaseError reports a release that stopped. To resume, call Release again
// with Resume set to its ReleaseIDs. If it matches [ErrAmbiguous], first find
// out whether the last call took effect; the text says where to look.
type ReleaseError struct {
	// Step is where the release stopped.
	Step ReleaseStep
	// ReleaseIDs are the jobs that were created.
	ReleaseIDs

	// Err is the reason, any error of this package.
	Err error
}

// Error implements error.
func (e *ReleaseError) Error() string {
	var created []string
	for _, job := range []struct {
		name string
		id   int64
	}{{"update", e.UpdateID}, {"diff", e.DiffID}, {"version", e.ImageVersionID}} {
		if job.id != 0 {
			created = append(created, fmt.Sprintf("%s %d", job.name, job.id))
		}
	}
	text := fmt.Sprintf("multiplay: release stopped at step %s", e.Step)
	if len(created) > 0 {
		text += ", after " + strings.Join(created, ", ")
	}
	return text + ": " + e.Err.Error()
}

// Unwrap returns e.Err.
func (e *ReleaseError) Unwrap() error { return e.Err }

// Release updates an image, makes a diff and a version of it, and waits for the
// rollout: the documented workflow from the files to the game servers. A wrong
// request is an [*ArgumentError]. Anything that stops the release later is a
// [*ReleaseError], from which it can be resumed.
//
// Each job is created at most once. Release runs until ctx is done and rides
// out transient failures in every step, see [WithOutageLimit]. If the response
// to a create call is lost, Release searches for the job:
//
//   - An update is the new one that [ImagesService.Options] shows for the image.
//     That needs GameID.
//   - A diff is the one that now locks the image.
//   - A version is the new one that [ImageInstallsService.List] shows while the
//     diff no longer locks the image. That needs GameID.
//
// A job that existed before is never mistaken for the release's own. If none is
// found, the error matches [ErrAmbiguous] and says where to look.
//
// Source: [Update your game via the Clanforge API].
//
// [Update your game via the Clanforge API]: https://docs.unity.com/en-us/clanforge/legacy/update-your-game-via-the-clanforge-api
func (c *Client) Release(ctx context.Context, req *ReleaseRequest, opts ...WaitOption) (*ReleaseResult, error) {
	if err := req.Validate(); err != nil {
		return nil, err
	}
	o, err := waitOptions(opts)
	if err := cmp.Or(err, c.Images.client.checkProject("Release")); err != nil {
		return nil, err
	}
	r := &release{client: c.Images.client.singly(), req: req, options: o}
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

// Validate returns the [*ArgumentError] that [Client.Release] would, so that a
// pipeline can fail before it builds the image.
func (req *ReleaseRequest) Validate() error {
	const name = "ReleaseRequest"
	if req == nil {
		return invalid(name, "must not be nil")
	}
	ids := req.Resume
	switch {
	case ids.UpdateID < 0:
		return invalid(name+".Resume.UpdateID", "must not be negative")
	case ids.DiffID < 0:
		return invalid(name+".Resume.DiffID", "must not be negative")
	case ids.ImageVersionID < 0:
		return invalid(name+".Resume.ImageVersionID", "must not be negative")
	case req.ImageID <= 0:
		return invalid(name+".ImageID", "must be positive")
	case req.GameID < 0:
		return invalid(name+".GameID", "must not be negative")
	case req.Retries < 0:
		return invalid(name+".Retries", "must not be negative")
	case ids.DiffID == 0 && ids.ImageVersionID == 0 && req.MachineID <= 0:
		return invalid(name+".MachineID", "must be positive")
	}
	if ids.ImageVersionID == 0 {
		if err := req.version(ids.DiffID, req.Full).checkInstall(name); err != nil {
			return err
		}
	}
	if ids != (ReleaseIDs{}) {
		return nil
	}
	return cmp.Or(required(name+".Description", req.Description), checkSource(req.Source))
}

// version returns what a release asks for the version of a diff with.
func (req *ReleaseRequest) version(diffID int64, full bool) *CreateImageVersionRequest {
	return &CreateImageVersionRequest{
		DiffID:            diffID,
		Restart:           req.Restart,
		Full:              full,
		Force:             req.Force,
		GameBuild:         req.GameBuild,
		Install:           req.Install,
		InstallAt:         req.InstallAt,
		DisableTimeout:    req.DisableTimeout,
		DisablePercentage: req.DisablePercentage,
	}
}
