package activities

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"go.temporal.io/sdk/activity"

	"github.com/imagejobs/imagejobs-go/examples/fleet/workflows"
	"github.com/imagejobs/imagejobs-go/imagereplicator"
)

// visible is how long a new job may be missing in a response, as in the SDK.
const visible = 30 * time.Second

type copying struct {
	*keeper[workflows.CopyProgress]

	client  *imagereplicator.Client
	imageID string
}

func (a *Activities) keepCopies(
	ctx context.Context, task workflows.CopyTask, run func(context.Context, *copying) error,
) (*workflows.CopyProgress, error) {
	return keep(ctx, a, task.Progress, func(ctx context.Context, k *keeper[workflows.CopyProgress]) error {
		client, err := a.Replicator(ctx)
		if err != nil {
			return err
		}
		return run(ctx, &copying{k, client, task.Input.ImageID})
	})
}

// CreateCopies creates the jobs of those copies that have none. A job that was
// created by an attempt whose worker was lost is found, and not created again.
func (a *Activities) CreateCopies(ctx context.Context, task workflows.CopyTask) (*workflows.CopyProgress, error) {
	return a.keepCopies(ctx, task, func(ctx context.Context, c *copying) error {
		for i, one := range c.get().Copies {
			if one.JobID != "" || one.Error != "" {
				continue
			}
			if ctx.Err() != nil {
				return context.Cause(ctx)
			}
			// A call under way is not canceled: nobody would know what it did.
			id, err := c.create(context.WithoutCancel(ctx), one.TenantID)
			switch kind := errorType(err); {
			case err == nil, kind == workflows.ErrorRefused, kind == workflows.ErrorArgument:
				err = c.done(ctx, i, id, err)
			case kind == workflows.ErrorTransient:
				c.set(func(p *workflows.CopyProgress) { p.Creating = "" }) // it took no effect
			}
			if err != nil {
				return err
			}
		}
		return nil
	})
}

// done keeps the outcome of a create call.
func (c *copying) done(ctx context.Context, i int, jobID string, err error) error {
	return c.save(ctx, func(p *workflows.CopyProgress) {
		p.Creating, p.Before = "", nil
		p.Copies = slices.Clone(p.Copies)
		p.Copies[i].JobID = jobID
		setError(&p.Copies[i], err)
	})
}

func setError(one *workflows.Copy, err error) {
	if err != nil {
		one.Error, one.ErrorType = err.Error(), errorType(err)
	}
}

func (c *copying) create(ctx context.Context, tenantID string) (string, error) {
	if c.get().Creating == tenantID {
		if id, err := c.find(ctx); id != "" || err != nil {
			return id, err
		}
	}
	jobs, err := c.client.Jobs.List(ctx)
	if err != nil && !errors.Is(err, imagereplicator.ErrForbidden) {
		return "", err
	}
	if err := c.save(ctx, func(p *workflows.CopyProgress) {
		p.Creating, p.Before = tenantID, nil
		if err == nil {
			p.Before = make([]string, 0, len(jobs))
		}
		for _, job := range jobs {
			p.Before = append(p.Before, job.ID)
		}
	}); err != nil {
		return "", err
	}
	return c.client.Jobs.Create(ctx, &imagereplicator.CreateJobRequest{ImageID: c.imageID, DestinationTenantID: tenantID})
}

// find returns the job that an attempt before has created, "" if it has not.
func (c *copying) find(ctx context.Context) (string, error) {
	now := c.get()
	for end := time.Now().Add(visible); ; {
		jobs, err := c.client.Jobs.List(ctx)
		if err != nil && !errors.Is(err, imagereplicator.ErrForbidden) {
			return "", err
		}
		var found []string
		for _, job := range jobs {
			if strings.EqualFold(job.SourceImageID, c.imageID) && strings.EqualFold(job.DestinationTenantID, now.Creating) &&
				!slices.Contains(now.Before, job.ID) {
				found = append(found, job.ID)
			}
		}
		switch {
		case now.Before == nil, err != nil, len(found) > 1:
			return "", fmt.Errorf("a copy to tenant %s was requested, and its job may be one of %q: %w",
				now.Creating, found, imagereplicator.ErrAmbiguous)
		case len(found) == 1:
			return found[0], nil
		case !time.Now().Before(end):
			return "", nil
		}
		if err := sleep(ctx, 2*time.Second); err != nil {
			return "", err
		}
	}
}

// CheckCopies waits for the jobs: each attempt looks once. With CancelOnFailure
// it returns as soon as one has failed.
func (a *Activities) CheckCopies(ctx context.Context, task workflows.CopyTask) (*workflows.CopyProgress, error) {
	return a.keepCopies(ctx, task, func(ctx context.Context, c *copying) error {
		jobs, err := c.client.Jobs.List(ctx)
		if err != nil && !errors.Is(err, imagereplicator.ErrForbidden) {
			return err
		}
		copies := slices.Clone(c.get().Copies)
		var running []string
		failed := false
		for i := range copies {
			one := &copies[i]
			if one.JobID != "" && one.Error == "" && !imagereplicator.Status(one.Status).Terminal() {
				if err := c.look(ctx, jobs, one); err != nil {
					return err
				}
				if one.Error == "" && !imagereplicator.Status(one.Status).Terminal() {
					running = append(running, fmt.Sprintf("job %s to tenant %s is %s", one.JobID, one.TenantID, one.Status))
				}
			}
			failed = failed || one.Error != ""
		}
		c.set(func(p *workflows.CopyProgress) { p.Copies = copies })
		if len(running) == 0 || failed && task.Input.CancelOnFailure {
			return nil
		}
		return pending(ctx, "%s", strings.Join(running, "; "))
	})
}

// look brings a copy up to date.
func (c *copying) look(ctx context.Context, jobs []*imagereplicator.Job, one *workflows.Copy) error {
	i := slices.IndexFunc(jobs, func(job *imagereplicator.Job) bool { return job.ID == one.JobID })
	var job *imagereplicator.Job
	var err error
	if i >= 0 {
		job = jobs[i]
	} else if job, err = c.client.Jobs.Get(ctx, one.JobID); err != nil {
		if !errors.Is(err, imagereplicator.ErrNotFound) {
			return err
		}
		if time.Since(activity.GetInfo(ctx).ScheduledTime) > visible {
			setError(one, err)
		}
		return nil
	}
	one.Status, one.DestinationImageID = string(job.Status), job.DestinationImageID
	if job.Status.Terminal() && job.Status != imagereplicator.StatusReplicated {
		setError(one, &imagereplicator.StateError{JobID: job.ID, Status: job.Status})
	}
	return nil
}

// CancelCopies requests that the jobs under way are canceled, for CheckCopies to
// wait for.
func (a *Activities) CancelCopies(ctx context.Context, task workflows.CopyTask) (*workflows.CopyProgress, error) {
	return a.keepCopies(ctx, task, func(ctx context.Context, c *copying) error {
		for i, one := range c.get().Copies {
			if one.TenantID == c.get().Creating && one.JobID == "" {
				id, err := c.find(ctx)
				if err == nil {
					err = c.done(ctx, i, id, nil)
				}
				if err != nil {
					return err
				}
				one.JobID = id
			}
			if one.JobID == "" || one.Error != "" || imagereplicator.Status(one.Status).Terminal() {
				continue
			}
			err := c.client.Jobs.Cancel(ctx, one.JobID)
			if err != nil && !errors.Is(err, imagereplicator.ErrConflict) && !errors.Is(err, imagereplicator.ErrNotFound) {
				return err
			}
		}
		return nil
	})
}
