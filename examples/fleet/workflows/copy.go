package workflows

import (
	"fmt"
	"slices"

	"go.temporal.io/sdk/temporal"
	"go.temporal.io/sdk/workflow"
)

// Validate returns an error that names a wrong field.
func (in CopyImageInput) Validate() error {
	return check("CopyImageInput", []rule{
		{"ImageID", in.ImageID != "", "must not be empty"},
		{"TenantIDs", len(in.TenantIDs) > 0 && !slices.Contains(in.TenantIDs, ""), "must not be empty"},
	})
}

// CopyImage copies an image to tenants, once to each, and waits until all have
// it. If it is canceled, it cancels the copies under way.
func CopyImage(ctx workflow.Context, in CopyImageInput) (*Status, error) {
	c := &copies{task: CopyTask{Input: in}}
	for _, tenant := range in.TenantIDs {
		if c.task.Progress.find(tenant) == nil {
			c.task.Progress.Copies = append(c.task.Progress.Copies, Copy{TenantID: tenant})
		}
	}
	return c.do(ctx, c, in.Validate(), false)
}

type copies struct {
	run

	task CopyTask
}

func (c *copies) show(s *Status) { s.Copies = c.task.Progress.Copies }

// find returns the copy to a tenant, nil if there is none.
func (p *CopyProgress) find(tenant string) *Copy {
	if i := slices.IndexFunc(p.Copies, func(one Copy) bool { return one.TenantID == tenant }); i >= 0 {
		return &p.Copies[i]
	}
	return nil
}

func (c *copies) work(ctx workflow.Context) error {
	p := &c.task.Progress
	// To give up the copy whose job may exist does not end the others.
	if err := c.decided(ctx, func() error { return keep(control(ctx), copyImage, p, c.task) }, func(d Decision, problem string) error {
		one := p.find(p.Creating)
		p.Creation = Creation{}
		switch d.Action {
		case Adopt:
			one.JobID = d.ID
		case GiveUp:
			one.Error, one.ErrorType = message(givenUp(d, problem)), ErrorGivenUp
		case Repeat:
			p.Repeat = one.TenantID
		}
		return nil
	}); err != nil {
		return err
	}
	var failed []Copy
	for _, one := range p.Copies {
		if one.Error != "" {
			failed = append(failed, one)
		}
	}
	if len(failed) == 0 {
		return nil
	}
	text := fmt.Sprintf("tenant %s: %s", failed[0].TenantID, failed[0].Error)
	if len(failed) > 1 {
		text = fmt.Sprintf("%d of %d copies failed; %s", len(failed), len(p.Copies), text)
	}
	return temporal.NewNonRetryableApplicationError(text, failed[0].ErrorType, nil)
}

// cleanUp cancels the copies that run.
func (c *copies) cleanUp(ctx workflow.Context) (left []string) {
	p := &c.task.Progress
	if p.Creating == "" && !slices.ContainsFunc(p.Copies, Copy.open) {
		return nil
	}
	c.task.Cancel = true
	err := keep(briefly(ctx), copyImage, p, c.task)
	if p.Creating != "" && err != nil {
		left = append(left, fmt.Sprintf("perhaps a copy to tenant %s: %s", p.Creating, message(err)))
	}
	for _, one := range p.Copies {
		switch {
		case one.Status == "replicated":
			left = append(left, fmt.Sprintf("copy job %s to tenant %s, which is complete", one.JobID, one.TenantID))
		case err != nil && one.open():
			left = append(left, fmt.Sprintf("copy job %s to tenant %s: %s", one.JobID, one.TenantID, message(err)))
		}
	}
	return left
}

// open reports whether there is a job that has not ended as far as is known.
func (one Copy) open() bool { return one.JobID != "" && one.Error == "" && one.Status != "replicated" }
