package activities

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"os"
	"strconv"

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
	return keep(ctx, a, a.Multiplay, task.Progress,
		func(ctx context.Context, client *multiplay.Client, k *keeper[workflows.ReleaseProgress]) error {
			r := &releasing{k, client, task.Input}
			req, err := r.request()
			if err == nil {
				err = r.find(ctx)
			}
			if err == nil {
				err = r.run(ctx, req, task.DiffOnly)
			}
			return err
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

// errCompared ends Release at the diff.
var errCompared = errors.New("the diff is complete")

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
	limited, limit := context.WithTimeout(context.WithoutCancel(ctx), slice)
	defer limit()
	limited, stop := context.WithCancelCause(limited)
	defer stop(nil)
	defer context.AfterFunc(ctx, func() {
		if r.get().Creating == "" {
			stop(context.Cause(ctx))
		}
	})()
	req.OnEvent = func(e multiplay.ReleaseEvent) {
		if err := r.event(ctx, e, began.Retried, diffOnly); err != nil {
			stop(err)
		}
	}
	result, err := r.client.Release(limited, req)
	if !errors.Is(err, multiplay.ErrAmbiguous) {
		r.set(func(p *workflows.ReleaseProgress) { p.Creation = workflows.Creation{} }) // it is known, or took no effect
	}
	switch why := context.Cause(limited); {
	case err == nil:
		r.set(func(p *workflows.ReleaseProgress) { p.Machines = result.Rollout.Completed })
		return nil
	case why == nil || !errors.Is(err, limited.Err()) && !errors.Is(err, why):
		return err
	case errors.Is(why, errCompared):
		return nil
	case ctx.Err() != nil:
		return context.Cause(ctx)
	case errors.Is(why, context.DeadlineExceeded):
		return pending(ctx, "the image is rolled out")
	default:
		return why
	}
}

// event keeps what a release has done, and what it is about to do. Its error ends
// the attempt.
func (r *releasing) event(ctx context.Context, e multiplay.ReleaseEvent, retried int, diffOnly bool) (err error) {
	ids, now := workflows.ReleaseIDs(e.ReleaseIDs), r.get()
	switch {
	case now.ReleaseIDs != ids:
		err = r.save(ctx, func(p *workflows.ReleaseProgress) {
			p.Creation, p.ReleaseIDs, p.Retried = workflows.Creation{}, ids, 0
		})
	case now.Retried < retried+e.Retry:
		err = r.save(ctx, func(p *workflows.ReleaseProgress) { p.Retried = retried + e.Retry })
	}
	switch {
	case err != nil || e.Job == nil:
		return err
	case !e.Job.State.Terminal():
		return pending(ctx, "the image %s is %s", e.Step, e.Job.State)
	case e.Job.State != multiplay.JobCompleted || e.Step == multiplay.StepVersion:
		return nil
	case e.Step == multiplay.StepUpdate:
		return r.creating(ctx, multiplay.StepDiff)
	case diffOnly:
		return errCompared
	default:
		return r.creating(ctx, multiplay.StepVersion)
	}
}

// creating keeps that a job is about to be created, and what there was before.
func (r *releasing) creating(ctx context.Context, step multiplay.ReleaseStep) error {
	before, err := r.locks(ctx, string(step))
	if err != nil {
		return err
	}
	return r.save(ctx, func(p *workflows.ReleaseProgress) {
		p.Creation = workflows.Creation{Creating: string(step), Before: before}
	})
}

// locks returns the job of a step that locks the image, none if there is no way
// to know.
func (r *releasing) locks(ctx context.Context, step string) ([]string, error) {
	if r.in.GameID == 0 || step == string(multiplay.StepVersion) {
		return nil, nil
	}
	now, err := r.client.Images.Options(ctx, &multiplay.ImageOptionsRequest{GameID: r.in.GameID, ImageID: r.in.ImageID})
	if err != nil {
		return nil, err
	}
	id := now.UpdateID
	if step == string(multiplay.StepDiff) {
		id = now.DiffID
	}
	if id == 0 {
		return nil, nil
	}
	return []string{strconv.FormatInt(id, 10)}, nil
}

// find looks for the job that an earlier attempt may have created.
func (r *releasing) find(ctx context.Context) error {
	was := r.get().Creation
	found, err := lost(ctx, was, func() ([]string, error) { return r.locks(ctx, was.Creating) })
	switch {
	case err != nil || was.Creating == "":
		return err
	case len(found) > 0:
		id, err := strconv.ParseInt(found[0], 10, 64)
		return cmp.Or(err, r.save(ctx, func(p *workflows.ReleaseProgress) { p.Set(was.Creating, id) }))
	case was.Creating == string(multiplay.StepDiff): // the service refuses a second one
		return r.save(ctx, func(p *workflows.ReleaseProgress) { p.Creation = workflows.Creation{} })
	}
	return fmt.Errorf("the image %s may have been created, and its id is not known; look for it in the Clanforge panel: %w",
		was.Creating, multiplay.ErrAmbiguous)
}

// RejectDiff rejects a diff once it has ended, which unlocks its image.
func (a *Activities) RejectDiff(ctx context.Context, diffID int64) error {
	_, err := keep(ctx, a, a.Multiplay, struct{}{}, func(ctx context.Context, client *multiplay.Client, _ *keeper[struct{}]) error {
		now, err := client.ImageDiffs.Status(ctx, diffID, nil)
		switch {
		case err != nil:
			return err
		case !now.State.Terminal():
			return pending(ctx, "image diff %d is %s", diffID, now.State)
		}
		_, err = client.ImageDiffs.Reject(context.WithoutCancel(ctx), diffID, nil)
		return err
	})
	return err
}
