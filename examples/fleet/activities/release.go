package activities

import (
	"context"
	"errors"
	"fmt"
	"os"
	"time"

	"github.com/imagejobs/imagejobs-go/examples/fleet/workflows"
	"github.com/imagejobs/imagejobs-go/multiplay"
)

// rolloutSlice bounds an attempt that follows a rollout. It is longer than what
// Client.Release waits until it queues installs, and until it gives up on a
// rollout that does not start.
const rolloutSlice = 20 * time.Minute

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
		if k.get().Creating != "" {
			if err := r.find(ctx); err != nil {
				return err
			}
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
	if raw == "" {
		if r.in.Source != "" {
			return nil, &multiplay.ArgumentError{Field: "ReleaseImageInput.Source", Problem: variable + " is not set on this worker"}
		}
		return req, nil
	}
	source, err := multiplay.ParseSourceURL(raw)
	if wrong, ok := errors.AsType[*multiplay.ArgumentError](err); ok {
		return nil, &multiplay.ArgumentError{Field: variable, Problem: wrong.Problem}
	}
	req.Source = source
	return req, err
}

func (r *releasing) run(ctx context.Context, req *multiplay.ReleaseRequest, diffOnly bool) error {
	now := r.get()
	req.Resume = multiplay.ReleaseIDs(now.ReleaseIDs)
	req.Retries = max(r.in.Retries-now.Retried, 0)
	if err := req.Validate(); err != nil {
		return err
	}
	if now.ReleaseIDs == (workflows.ReleaseIDs{}) {
		if err := r.creating(ctx, multiplay.StepUpdate); err != nil {
			return err
		}
	}
	// A create call is not canceled: nobody would know what it did.
	slice, stop := context.WithTimeout(context.WithoutCancel(ctx), rolloutSlice)
	defer stop()
	defer context.AfterFunc(ctx, func() {
		if r.get().Creating == "" {
			stop()
		}
	})()
	var waiting string
	var failed error
	compared := false
	req.OnEvent = func(e multiplay.ReleaseEvent) {
		if failed == nil {
			failed = r.event(ctx, e, now.Retried)
		}
		switch {
		case e.Job != nil && !e.Job.State.Terminal():
			waiting = fmt.Sprintf("the image %s is %s", e.Step, e.Job.State)
		case e.Step == multiplay.StepDiff && e.Job != nil && e.Job.State == multiplay.JobCompleted && diffOnly:
			compared = true
		case e.Job != nil && e.Job.State == multiplay.JobCompleted && failed == nil:
			failed = r.completed(ctx, e.Step)
		case e.Rollout != nil:
			waiting = fmt.Sprintf("%d machines wait for the version", e.Rollout.Pending)
		}
		if failed != nil || compared || waiting != "" && e.Rollout == nil || ctx.Err() != nil && r.get().Creating == "" {
			stop()
		}
	}
	result, err := r.client.Release(slice, req)
	stopped := slice.Err() != nil && (errors.Is(err, context.Canceled) || errors.Is(err, context.DeadlineExceeded))
	if !errors.Is(err, multiplay.ErrAmbiguous) {
		r.set(func(p *workflows.ReleaseProgress) { p.Creating = "" })
	}
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

// event keeps what happened.
func (r *releasing) event(ctx context.Context, e multiplay.ReleaseEvent, retried int) error {
	ids := workflows.ReleaseIDs(e.ReleaseIDs)
	if now := r.get(); now.ReleaseIDs == ids && now.Retried == retried+e.Retry {
		return nil
	}
	return r.save(ctx, func(p *workflows.ReleaseProgress) {
		if p.ReleaseIDs != ids {
			p.ReleaseIDs, p.Creating, p.Retried = ids, "", 0
		} else {
			p.Retried = retried + e.Retry
		}
	})
}

// completed prepares the step after one that is complete.
func (r *releasing) completed(ctx context.Context, step multiplay.ReleaseStep) error {
	switch step {
	case multiplay.StepUpdate:
		return r.creating(ctx, multiplay.StepDiff)
	case multiplay.StepDiff:
		return r.creating(ctx, multiplay.StepVersion)
	default:
		return nil
	}
}

// creating keeps that a job is about to be created, and what there was before.
func (r *releasing) creating(ctx context.Context, step multiplay.ReleaseStep) error {
	var before workflows.ReleaseIDs
	if r.in.GameID != 0 {
		locks, err := r.client.Images.Options(ctx, &multiplay.ImageOptionsRequest{GameID: r.in.GameID, ImageID: r.in.ImageID})
		if err != nil {
			return err
		}
		before.UpdateID, before.DiffID = locks.UpdateID, locks.DiffID
	}
	return r.save(ctx, func(p *workflows.ReleaseProgress) { p.Creating, p.Before = string(step), before })
}

// find looks for the job that an attempt before may have created: one that
// locks the image and did not before.
func (r *releasing) find(ctx context.Context) error {
	now := r.get()
	for end := time.Now().Add(visible); r.in.GameID != 0; {
		locks, err := r.client.Images.Options(ctx, &multiplay.ImageOptionsRequest{GameID: r.in.GameID, ImageID: r.in.ImageID})
		if err != nil {
			return err
		}
		found := now.ReleaseIDs
		switch multiplay.ReleaseStep(now.Creating) {
		case multiplay.StepUpdate:
			if locks.UpdateID != now.Before.UpdateID {
				found.UpdateID = locks.UpdateID
			}
		case multiplay.StepDiff:
			if locks.DiffID != now.Before.DiffID {
				found.DiffID = locks.DiffID
			}
		}
		if found != now.ReleaseIDs {
			return r.save(ctx, func(p *workflows.ReleaseProgress) { p.ReleaseIDs, p.Creating, p.Retried = found, "", 0 })
		}
		if !time.Now().Before(end) {
			break
		}
		if err := sleep(ctx, 2*time.Second); err != nil {
			return err
		}
	}
	if now.Creating == string(multiplay.StepDiff) { // the service has one per image at most, and refuses another
		return r.save(ctx, func(p *workflows.ReleaseProgress) { p.Creating = "" })
	}
	return fmt.Errorf("the image %s may have been created, and is not known: look for it in the Clanforge panel: %w",
		now.Creating, multiplay.ErrAmbiguous)
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
