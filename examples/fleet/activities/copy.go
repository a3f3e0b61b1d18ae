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
	task workflows.CopyTask
}

// CopyImage creates the jobs of those copies that have none, or with Cancel
// cancels those under way, and gets all of them once: the next attempt does
// until they have ended, or with CancelOnFailure one has failed.
func (a *Activities) CopyImage(ctx context.Context, task workflows.CopyTask) (*workflows.CopyProgress, error) {
	return keep(ctx, a, a.Replicator, task.Progress,
		func(ctx context.Context, client *imagereplicator.Client, k *keeper[workflows.CopyProgress]) error {
			c := copying{k, client.Jobs, task}
			err := c.find(ctx)
			for _, one := range c.get().Copies {
				switch {
				case err != nil:
					return err
				case ctx.Err() != nil:
					return context.Cause(ctx)
				case task.Cancel:
					err = c.cancel(ctx, one)
				case one.JobID == "" && one.Error == "":
					// A call under way is not canceled: nobody would know what it did.
					err = c.create(context.WithoutCancel(ctx), one.TenantID)
				}
			}
			if err != nil {
				return err
			}
			return c.look(ctx)
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

// list returns the jobs that copy the image to a tenant.
func (c copying) list(ctx context.Context, tenantID string) ([]*imagereplicator.Job, error) {
	jobs, err := c.jobs.List(ctx)
	return slices.DeleteFunc(jobs, func(job *imagereplicator.Job) bool {
		return !strings.EqualFold(job.SourceImageID, c.task.Input.ImageID) || !strings.EqualFold(job.DestinationTenantID, tenantID)
	}), err
}

// find looks for the job that an earlier attempt may have created.
func (c copying) find(ctx context.Context) error {
	tenant := c.get().Creating
	found, err := lost(ctx, c.get().Creation, func() (ids []string, err error) {
		jobs, err := c.list(ctx, tenant)
		return jobIDs(jobs), err
	})
	switch {
	case err != nil || tenant == "":
		return err
	case len(found) > 1:
		return fmt.Errorf("a copy to tenant %s was requested, and its job may be any of %q: %w", tenant, found, imagereplicator.ErrAmbiguous)
	case len(found) == 1:
		c.change(tenant, func(one *workflows.Copy) { one.JobID = found[0] })
	}
	return c.save(ctx, func(p *workflows.CopyProgress) { p.Creation = workflows.Creation{} })
}

func jobIDs(jobs []*imagereplicator.Job) (ids []string) {
	for _, job := range jobs {
		ids = append(ids, job.ID)
	}
	return ids
}

func (c copying) create(ctx context.Context, tenant string) error {
	jobs, err := c.list(ctx, tenant)
	if err != nil {
		return err
	}
	if err := c.save(ctx, func(p *workflows.CopyProgress) {
		p.Creation = workflows.Creation{Creating: tenant, Before: jobIDs(jobs)}
	}); err != nil {
		return err
	}
	// Somebody else's, or one of this workflow before it was terminated or reset.
	other := slices.IndexFunc(jobs, func(job *imagereplicator.Job) bool { return job.Status.Cancelable() })
	if other >= 0 && c.get().Repeat != tenant {
		return fmt.Errorf("job %s copies the image to tenant %s already: %w", jobs[other].ID, tenant, imagereplicator.ErrAmbiguous)
	}
	id, err := c.jobs.Create(ctx, &imagereplicator.CreateJobRequest{ImageID: c.task.Input.ImageID, DestinationTenantID: tenant})
	kind := errorType(err)
	if kind == workflows.ErrorAmbiguous {
		return err
	}
	c.set(func(p *workflows.CopyProgress) { p.Creation = workflows.Creation{} })
	if kind == workflows.ErrorTransient { // it took no effect
		return err
	}
	c.change(tenant, func(one *workflows.Copy) { c.update(one, &imagereplicator.Job{ID: id}, err) })
	return c.send(ctx)
}

func (c copying) update(one *workflows.Copy, job *imagereplicator.Job, err error) {
	one.JobID, one.Status, one.DestinationImageID = job.ID, string(job.Status), job.DestinationImageID
	if err != nil {
		one.Error, one.ErrorType = err.Error(), errorType(err)
	}
}

// cancel requests that a job is canceled, unless it has ended or is being
// canceled.
func (c copying) cancel(ctx context.Context, one workflows.Copy) error {
	if one.JobID == "" || one.Status != "" && !imagereplicator.Status(one.Status).Cancelable() {
		return nil
	}
	err := c.jobs.Cancel(ctx, one.JobID)
	if errors.Is(err, imagereplicator.ErrConflict) || errors.Is(err, imagereplicator.ErrNotFound) {
		return nil
	}
	return err
}

// look finds out how the jobs are, with one list.
func (c copying) look(ctx context.Context) error {
	tenants, ids := map[string]string{}, []string(nil)
	for _, one := range c.get().Copies {
		if one.Error == "" && one.JobID != "" {
			tenants[one.JobID] = one.TenantID
			ids = append(ids, one.JobID)
		}
	}
	seen := map[string]bool{}
	for job, err := range c.jobs.WatchAll(ctx, ids) {
		if job == nil || err != nil && ctx.Err() != nil {
			return err
		}
		c.change(tenants[job.ID], func(one *workflows.Copy) { c.update(one, job, err) })
		// A job that ended badly comes twice, the second time with its error.
		if err != nil || !job.Status.Terminal() || job.Status == imagereplicator.StatusReplicated {
			seen[job.ID] = true
		}
		if len(seen) == len(ids) {
			break
		}
	}
	running := ""
	for _, one := range c.get().Copies {
		switch {
		case one.Error != "" && c.task.Input.CancelOnFailure && !c.task.Cancel:
			return nil
		case one.JobID != "" && one.Error == "" && !imagereplicator.Status(one.Status).Terminal():
			running = fmt.Sprintf("the copy to tenant %s is %s", one.TenantID, one.Status)
		}
	}
	if running != "" {
		return pending(ctx, "%s", running)
	}
	return nil
}
