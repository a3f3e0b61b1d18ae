package workflows

import (
	"errors"
	"fmt"
	"strings"

	"go.temporal.io/sdk/temporal"
	"go.temporal.io/sdk/workflow"
)

// Validate returns an error that names a wrong field.
func (in ReleaseImageInput) Validate() error {
	return check("ReleaseImageInput", []rule{
		{"ImageID", in.ImageID > 0, "must be positive"},
		{"MachineID", in.MachineID > 0, "must be positive"},
		{"Description", in.Description != "", "must not be empty"},
	})
}

// ReleaseImage updates an image, has its diff approved by a person, and rolls it
// out. If it is canceled or not approved, it rejects the diff.
func ReleaseImage(ctx workflow.Context, in ReleaseImageInput) (*Status, error) {
	r := &releasing{task: ReleaseTask{Input: in}}
	var err error
	if r.approvals, err = newQuestion(ctx, &r.run, ApproveUpdate, StateNeedsApproval, func(a Approval) error {
		if a.By == "" {
			return errors.New("it does not say who approves or refuses")
		}
		return nil
	}); err != nil {
		return nil, err
	}
	return r.do(ctx, r, in.Validate(), true)
}

type releasing struct {
	run

	task      ReleaseTask
	approvals *question[Approval]
}

func (r *releasing) show(s *Status) {
	s.Machines = r.task.Progress.Machines
	if ids := r.task.Progress.ReleaseIDs; ids != (ReleaseIDs{}) {
		s.Release = &ids
	}
}

func (r *releasing) work(ctx workflow.Context) error {
	if !r.task.Input.Approve {
		r.task.DiffOnly = true
		if err := r.release(ctx); err != nil {
			return err
		}
		if err := r.approve(ctx); err != nil {
			return err
		}
		r.task.DiffOnly = false
	}
	if err := r.enter(ctx, StateRollingOut); err != nil {
		return err
	}
	return r.release(ctx)
}

// release goes on with the release as far as DiffOnly says.
func (r *releasing) release(ctx workflow.Context) error {
	p := &r.task.Progress
	return r.decided(ctx, func() error { return keep(control(ctx), release, p, r.task) }, func(d Decision, problem string) error {
		if d.Action == GiveUp {
			return givenUp(d, problem)
		}
		if d.Action == Adopt {
			n, _ := number(d.ID) // it was validated
			p.Set(p.Creating, n)
		}
		p.Creation = Creation{}
		return nil
	})
}

// approve waits for an approval.
func (r *releasing) approve(ctx workflow.Context) error {
	limit := r.task.Input.ApprovalTimeout
	a, err := r.approvals.ask(ctx,
		fmt.Sprintf("approve image diff %d of image %d, or refuse it", r.task.Progress.DiffID, r.task.Input.ImageID), limit)
	switch {
	case err != nil:
		return err
	case a == nil:
		return temporal.NewNonRetryableApplicationError(fmt.Sprintf("nobody approved within %s", limit), ErrorNotApproved, nil)
	case !a.Approved:
		return temporal.NewNonRetryableApplicationError(strings.TrimSuffix(a.By+" refused: "+a.Comment, ": "), ErrorNotApproved, nil)
	}
	r.status.ApprovedBy = a.By
	return nil
}

// cleanUp rejects the diff.
func (r *releasing) cleanUp(ctx workflow.Context) (left []string) {
	p := r.task.Progress
	if p.Creating != "" {
		left = append(left, "perhaps an image "+p.Creating)
	}
	if p.UpdateID != 0 {
		left = append(left, fmt.Sprintf("image update %d on build machine %d", p.UpdateID, r.task.Input.MachineID))
	}
	switch {
	case p.ImageVersionID != 0:
		left = append(left, fmt.Sprintf("image version %d, which rolls out", p.ImageVersionID))
	case p.DiffID != 0:
		if err := workflow.ExecuteActivity(briefly(ctx), rejectDiff, p.DiffID).Get(ctx, nil); err != nil {
			left = append(left, fmt.Sprintf("image diff %d, which locks the image: %s", p.DiffID, message(err)))
		}
	}
	return left
}
