package workflows

import (
	"fmt"
	"slices"

	"go.temporal.io/sdk/temporal"
	"go.temporal.io/sdk/workflow"
)

// Validate returns an error that names a wrong field.
func (in CopyImageInput) Validate() error {
	switch {
	case in.ImageID == "":
		return wrong("CopyImageInput.ImageID", "must not be empty")
	case len(in.TenantIDs) == 0 || slices.Contains(in.TenantIDs, ""):
		return wrong("CopyImageInput.TenantIDs", "must not be empty")
	}
	return nil
}

// CopyImage copies an image to tenants, once to each, and waits until all have
// it. If it is canceled, it cancels the copies under way.
func CopyImage(ctx workflow.Context, in CopyImageInput) (*CopyImageResult, error) {
	r, err := newRun(ctx, false)
	if err != nil {
		return nil, err
	}
	c := &copies{run: r, task: CopyTask{Input: in}}
	for _, tenant := range in.TenantIDs {
		if !slices.ContainsFunc(c.task.Progress.Copies, func(one Copy) bool { return one.TenantID == tenant }) {
			c.task.Progress.Copies = append(c.task.Progress.Copies, Copy{TenantID: tenant})
		}
	}
	if err = in.Validate(); err == nil {
		err = c.do(ctx)
	}
	if err != nil {
		return nil, c.end(ctx, err, c.cancel)
	}
	return &CopyImageResult{c.task.Progress.Copies}, c.enter(ctx, StateDone)
}

type copies struct {
	*run

	task CopyTask
}

func (c *copies) do(ctx workflow.Context) error {
	if err := c.enter(ctx, StateCopying); err != nil {
		return err
	}
	for {
		err := c.step(control(ctx), createCopies)
		if err == nil {
			break
		}
		if !ambiguous(err) {
			return err
		}
		d, err := c.decide(ctx, err)
		if d.Action == "" { // canceled
			return err
		}
		c.decided(d, err)
	}
	if err := c.step(control(ctx), waitCopies); err != nil {
		return err
	}
	var failed []error
	for _, one := range c.task.Progress.Copies {
		if one.Error != "" {
			failed = append(failed, temporal.NewNonRetryableApplicationError(
				fmt.Sprintf("tenant %s: %s", one.TenantID, one.Error), one.ErrorType, nil))
		}
	}
	switch len(failed) {
	case 0:
		return nil
	case 1:
		return failed[0]
	default:
		return temporal.NewNonRetryableApplicationError(
			fmt.Sprintf("%d of %d copies failed; %s", len(failed), len(c.task.Progress.Copies), message(failed[0])), errorType(failed[0]), failed[0])
	}
}

// step executes an activity that brings the copies further.
func (c *copies) step(ctx workflow.Context, activity string) error {
	err := keep(ctx, activity, &c.task.Progress, c.task)
	c.status.Copies = c.task.Progress.Copies
	return err
}

// decided does what a person decided about the copy whose job may exist. To give
// it up does not end the others.
func (c *copies) decided(d Decision, givenUp error) {
	i := slices.IndexFunc(c.task.Progress.Copies, func(one Copy) bool { return one.TenantID == c.task.Progress.Creating })
	c.task.Progress.Creating, c.task.Progress.Before = "", nil
	if i < 0 {
		return
	}
	one := &c.task.Progress.Copies[i]
	switch d.Action {
	case Adopt:
		one.JobID = d.ID
	case GiveUp:
		one.Error, one.ErrorType = message(givenUp), ErrorGivenUp
	case Repeat:
		c.task.Progress.Repeat = one.TenantID
	}
	c.status.Copies = c.task.Progress.Copies
}

// cancel cancels the copies that run, and names those that it could not cancel.
func (c *copies) cancel(ctx workflow.Context) (left []string) {
	open := func(one Copy) bool { return one.JobID != "" && one.Error == "" && one.Status != "replicated" }
	if c.task.Progress.Creating == "" && !slices.ContainsFunc(c.task.Progress.Copies, open) {
		return nil
	}
	c.task.Input.CancelOnFailure = false // wait for all of them
	err := c.step(briefly(ctx), cancelCopies)
	if err == nil {
		err = c.step(briefly(ctx), waitCopies)
	}
	if tenant := c.task.Progress.Creating; tenant != "" {
		left = append(left, fmt.Sprintf("perhaps a copy to tenant %s: %s", tenant, message(rootCause(err))))
	}
	for _, one := range c.task.Progress.Copies {
		switch {
		case one.JobID == "" || one.Error != "":
		case one.Status == "replicated":
			left = append(left, fmt.Sprintf("copy job %s to tenant %s, which is complete", one.JobID, one.TenantID))
		case err != nil:
			left = append(left, fmt.Sprintf("copy job %s to tenant %s: %s", one.JobID, one.TenantID, message(rootCause(err))))
		}
	}
	return left
}
