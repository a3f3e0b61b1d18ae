package activities

import (
	"context"
	"errors"
	"fmt"
	"os"

	"github.com/imagejobs/imagejobs-go/examples/fleet/workflows"
	"github.com/imagejobs/imagejobs-go/multiplay"
)

type releasing struct {
	*keeper[workflows.ReleaseProgress]

	client *multiplay.Client
	in     workflows.ReleaseImageInput
}

// Release releases an image with Client.Release, or with DiffOnly goes as far as
// the diff. An attempt ends as soon as it has to wait for a job; the next one
// resumes. Only a rollout is followed for longer.
func (a *Activities) Release(ctx context.Context, task workflows.ReleaseTask) (*workflows.ReleaseProgress, error) {
	return keep(ctx, a, task.Progress, func(ctx context.Context, k *keeper[workflows.ReleaseProgress]) error {
		client, err := a.Multiplay(ctx)
		if err != nil {
			return err
		}
		r := &releasing{k, client, task.Input}
		req, err := r.request()
		if err != nil {
			return err
		}
		if err := r.find(ctx); err != nil {
			return err
		}
		return r.run(ctx, req, task.DiffOnly)
	})
}

func (r *releasing) request() (*multiplay.ReleaseRequest, error) {
	req := &multiplay.ReleaseRequest{
		ImageID: r.in.ImageID, GameID: r.in.GameID, MachineID: r.in.MachineID, Description: r.in.Description,
		Restart: r.in.Restart, Force: r.in.Force, Full: r.in.Full, GameBuild: r.in.GameBuild,
		Install: multiplay.InstallMode(r.in.Install), InstallAt: r.in.InstallAt,
		DisableTimeout: r.in.DisableTimeout, DisablePercentage: r.in.DisablePercentage,
		RejectLocking: r.in.RejectLocking,
	}
	variable := "MULTIPLAY_SOURCE_URL"
	if r.in.Source != "" {
		variable += "_" + r.in.Source
	}
	raw := os.Getenv(variable)
	if raw == "" && r.in.Source == "" {
		return req, nil // the image's default source
	}
	source, err := multiplay.ParseSourceURL(raw)
	if wrong, ok := errors.AsType[*multiplay.ArgumentError](err); ok {
		return nil, &multiplay.ArgumentError{Field: variable, Problem: wrong.Problem}
	}
	req.Source = source
	return req, err
}

func (r *releasing) run(ctx context.Context, req *multiplay.ReleaseRequest, diffOnly bool) error {
	began := r.get()
	req.Resume = multiplay.ReleaseIDs(began.ReleaseIDs)
	req.Retries = max(r.in.Retries-began.Retried, 0)
	if err := req.Validate(); err != nil {
		return err
	}
	if began.ReleaseIDs == (workflows.ReleaseIDs{}) {
		if err := r.creating(ctx, multiplay.StepUpdate); err != nil {
			return err
		}
	}
	// A create call under way is not canceled: nobody would know what it did.
	limited, stop := context.WithTimeout(context.WithoutCancel(ctx), slice)
	defer stop()
	defer context.AfterFunc(ctx, func() {
		if r.get().Creating == "" {
			stop()
		}
	})()
	waiting, compared := "the image is rolled out", false
	var failed error
	req.OnEvent = func(e multiplay.ReleaseEvent) {
		if failed != nil {
			return
		}
		failed = r.keepIDs(ctx, workflows.ReleaseIDs(e.ReleaseIDs), began.Retried+e.Retry)
		switch {
		case e.Job == nil:
			return
		case !e.Job.State.Terminal():
			waiting = fmt.Sprintf("the image %s is %s", e.Step, e.Job.State)
			stop()
		case e.Job.State != multiplay.JobCompleted || failed != nil || e.Step == multiplay.StepVersion:
		case e.Step == multiplay.StepUpdate:
			failed = r.creating(ctx, multiplay.StepDiff)
		case diffOnly:
			compared = true
			stop()
		default:
			failed = r.creating(ctx, multiplay.StepVersion)
		}
		if failed != nil {
			stop()
		}
	}
	result, err := r.client.Release(limited, req)
	if !errors.Is(err, multiplay.ErrAmbiguous) {
		r.set(func(p *workflows.ReleaseProgress) { p.Creating = "" }) // it is known, or took no effect
	}
	stopped := limited.Err() != nil && (errors.Is(err, context.Canceled) || errors.Is(err, context.DeadlineExceeded))
	switch {
	case failed != nil:
		return failed
	case err == nil:
		r.set(func(p *workflows.ReleaseProgress) { p.Machines = result.Rollout.Completed })
		return nil
	case !stopped:
		return err
	case compared:
		return nil
	case ctx.Err() != nil:
		return context.Cause(ctx)
	default:
		return pending(ctx, "%s", waiting)
	}
}

// keepIDs keeps a new job, and how often the newest one was run again.
func (r *releasing) keepIDs(ctx context.Context, ids workflows.ReleaseIDs, retried int) error {
	switch now := r.get(); {
	case now.ReleaseIDs != ids:
		return r.save(ctx, func(p *workflows.ReleaseProgress) { p.ReleaseIDs, p.Creating, p.Retried = ids, "", 0 })
	case now.Retried < retried:
		return r.save(ctx, func(p *workflows.ReleaseProgress) { p.Retried = retried })
	default:
		return nil
	}
}

// creating keeps that a job is about to be created, and what there was before.
func (r *releasing) creating(ctx context.Context, step multiplay.ReleaseStep) error {
	before, err := r.locks(ctx)
	if err != nil {
		return err
	}
	return r.save(ctx, func(p *workflows.ReleaseProgress) { p.Creating, p.Before = string(step), before })
}

// locks returns what locks the image, nothing if there is no way to know.
func (r *releasing) locks(ctx context.Context) (ids workflows.ReleaseIDs, err error) {
	if r.in.GameID == 0 {
		return ids, nil
	}
	now, err := r.client.Images.Options(ctx, &multiplay.ImageOptionsRequest{GameID: r.in.GameID, ImageID: r.in.ImageID})
	if err == nil {
		ids.UpdateID, ids.DiffID = now.UpdateID, now.DiffID
	}
	return ids, err
}

// find looks for the job that an earlier attempt may have created: one that
// locks the image and did not before.
func (r *releasing) find(ctx context.Context) error {
	was := r.get()
	if was.Creating == "" {
		return nil
	}
	found, err := search(ctx, func() (bool, error) {
		now, err := r.locks(ctx)
		ids := was.ReleaseIDs
		switch {
		case err != nil:
			return false, err
		case was.Creating == string(multiplay.StepUpdate) && now.UpdateID != was.Before.UpdateID:
			ids.UpdateID = now.UpdateID
		case was.Creating == string(multiplay.StepDiff) && now.DiffID != was.Before.DiffID:
			ids.DiffID = now.DiffID
		}
		return ids != was.ReleaseIDs, r.keepIDs(ctx, ids, 0)
	})
	switch {
	case found || err != nil:
		return err
	case was.Creating == string(multiplay.StepDiff): // the service refuses a second one
		return r.save(ctx, func(p *workflows.ReleaseProgress) { p.Creating = "" })
	}
	return fmt.Errorf("the image %s may have been created, and its id is not known; look for it in the Clanforge panel: %w",
		was.Creating, multiplay.ErrAmbiguous)
}

// RejectDiff rejects a diff once it has ended, which unlocks its image.
func (a *Activities) RejectDiff(ctx context.Context, diffID int64) error {
	_, err := keep(ctx, a, struct{}{}, func(ctx context.Context, _ *keeper[struct{}]) error {
		client, err := a.Multiplay(ctx)
		if err != nil {
			return err
		}
		now, err := client.ImageDiffs.Status(ctx, diffID, nil)
		if err != nil {
			return err
		}
		if !now.State.Terminal() {
			return pending(ctx, "image diff %d is %s", diffID, now.State)
		}
		_, err = client.ImageDiffs.Reject(context.WithoutCancel(ctx), diffID, nil)
		return err
	})
	return err
}
