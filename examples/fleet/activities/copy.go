package activities

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"

	"github.com/imagejobs/imagejobs-go/examples/fleet/workflows"
	"github.com/imagejobs/imagejobs-go/imagereplicator"
)

type copying struct {
	*keeper[workflows.CopyProgress]

	jobs *imagereplicator.JobsService
	in   workflows.CopyImageInput
}

func (a *Activities) copies(ctx context.Context, task workflows.CopyTask, run func(context.Context, copying) error) (*workflows.CopyProgress, error) {
	return keep(ctx, a, task.Progress, func(ctx context.Context, k *keeper[workflows.CopyProgress]) error {
		client, err := a.Replicator(ctx)
		if err != nil {
			return err
		}
		return run(ctx, copying{k, client.Jobs, task.Input})
	})
}

// CreateCopies creates the jobs of those copies that have none. A job that was
// created by an attempt whose worker was lost is found, and not created again.
func (a *Activities) CreateCopies(ctx context.Context, task workflows.CopyTask) (*workflows.CopyProgress, error) {
	return a.copies(ctx, task, func(ctx context.Context, c copying) error {
		for _, one := range c.get().Copies {
			if one.JobID != "" || one.Error != "" {
				continue
			}
			if ctx.Err() != nil {
				return context.Cause(ctx)
			}
			// A call under way is not canceled: nobody would know what it did.
			if err := c.create(context.WithoutCancel(ctx), one); err != nil {
				return err
			}
		}
		return nil
	})
}

// change changes one copy.
func (c copying) change(tenantID string, change func(*workflows.Copy)) {
	c.set(func(p *workflows.CopyProgress) {
		p.Copies = slices.Clone(p.Copies)
		i := slices.IndexFunc(p.Copies, func(one workflows.Copy) bool { return one.TenantID == tenantID })
		change(&p.Copies[i])
	})
}

func setError(one *workflows.Copy, err error) { one.Error, one.ErrorType = err.Error(), errorType(err) }

func (c copying) create(ctx context.Context, one workflows.Copy) error {
	if c.get().Creating == one.TenantID {
		if found, err := c.find(ctx); found || err != nil {
			return err
		}
	}
	jobs, err := c.jobs.List(ctx)
	if err != nil {
		return err
	}
	if err := c.save(ctx, func(p *workflows.CopyProgress) {
		p.Creating, p.Before = one.TenantID, nil
		for _, job := range jobs {
			p.Before = append(p.Before, job.ID)
		}
	}); err != nil {
		return err
	}
	// Somebody else's, or one of this workflow before it was terminated or reset.
	if other := slices.IndexFunc(jobs, func(job *imagereplicator.Job) bool {
		return c.matches(job, one.TenantID) && job.Status.Cancelable()
	}); other >= 0 && c.get().Repeat != one.TenantID {
		return fmt.Errorf("job %s copies the image to tenant %s already: %w", jobs[other].ID, one.TenantID, imagereplicator.ErrAmbiguous)
	}
	one.JobID, err = c.jobs.Create(ctx, &imagereplicator.CreateJobRequest{ImageID: c.in.ImageID, DestinationTenantID: one.TenantID})
	switch errorType(err) {
	case workflows.ErrorAmbiguous:
		return err
	case workflows.ErrorTransient:
		c.set(func(p *workflows.CopyProgress) { p.Creating = "" }) // it took no effect
		return err
	}
	c.change(one.TenantID, func(now *workflows.Copy) {
		if now.JobID = one.JobID; err != nil {
			setError(now, err)
		}
	})
	return c.save(ctx, func(p *workflows.CopyProgress) { p.Creating, p.Before = "", nil })
}

func (c copying) matches(job *imagereplicator.Job, tenantID string) bool {
	return strings.EqualFold(job.SourceImageID, c.in.ImageID) && strings.EqualFold(job.DestinationTenantID, tenantID)
}

// find looks for the job that an earlier attempt may have created.
func (c copying) find(ctx context.Context) (bool, error) {
	now := c.get()
	return search(ctx, func() (bool, error) {
		jobs, err := c.jobs.List(ctx)
		var found []string
		for _, job := range jobs {
			if c.matches(job, now.Creating) && !slices.Contains(now.Before, job.ID) {
				found = append(found, job.ID)
			}
		}
		switch {
		case err != nil || len(found) == 0:
			return false, err
		case len(found) > 1:
			return false, fmt.Errorf("a copy to tenant %s was requested, and its job may be any of %q: %w",
				now.Creating, found, imagereplicator.ErrAmbiguous)
		}
		c.change(now.Creating, func(one *workflows.Copy) { one.JobID = found[0] })
		return true, c.save(ctx, func(p *workflows.CopyProgress) { p.Creating, p.Before = "", nil })
	})
}

// WaitCopies waits for the jobs, with one list per poll. With CancelOnFailure it
// returns as soon as one has failed.
func (a *Activities) WaitCopies(ctx context.Context, task workflows.CopyTask) (*workflows.CopyProgress, error) {
	return a.copies(ctx, task, func(ctx context.Context, c copying) error {
		tenants, ids := map[string]string{}, []string(nil)
		for _, one := range c.get().Copies {
			if one.JobID != "" && one.Error == "" {
				tenants[one.JobID] = one.TenantID
				ids = append(ids, one.JobID)
			}
		}
		if len(ids) == 0 {
			return nil
		}
		ctx, stop := context.WithTimeout(ctx, slice)
		defer stop()
		for job, err := range c.jobs.WatchAll(ctx, ids) {
			if job == nil || err != nil && ctx.Err() != nil {
				return err
			}
			c.change(tenants[job.ID], func(one *workflows.Copy) {
				one.Status, one.DestinationImageID = string(job.Status), job.DestinationImageID
				if err != nil {
					setError(one, err)
				}
			})
			if err != nil && task.Input.CancelOnFailure {
				return nil
			}
		}
		return nil
	})
}

// CancelCopies requests that the jobs under way are canceled, which WaitCopies
// then waits for.
func (a *Activities) CancelCopies(ctx context.Context, task workflows.CopyTask) (*workflows.CopyProgress, error) {
	return a.copies(ctx, task, func(ctx context.Context, c copying) error {
		if c.get().Creating != "" {
			if _, err := c.find(ctx); err != nil {
				return err
			}
			c.set(func(p *workflows.CopyProgress) { p.Creating = "" })
		}
		for _, one := range c.get().Copies {
			if one.JobID == "" || one.Error != "" || imagereplicator.Status(one.Status).Terminal() {
				continue
			}
			err := c.jobs.Cancel(ctx, one.JobID) // a 409 is one that has ended, or is being canceled
			if err != nil && !errors.Is(err, imagereplicator.ErrConflict) && !errors.Is(err, imagereplicator.ErrNotFound) {
				return err
			}
		}
		return nil
	})
}
