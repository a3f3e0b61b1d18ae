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
	switch {
	case in.ImageID <= 0:
		return wrong("ReleaseImageInput.ImageID", "must be positive")
	case in.MachineID <= 0:
		return wrong("ReleaseImageInput.MachineID", "must be positive")
	case in.Description == "":
		return wrong("ReleaseImageInput.Description", "must not be empty")
	}
	return nil
}

// ReleaseImage updates an image, has its diff approved by a person, and rolls it
// out. If it is canceled or not approved, it rejects the diff.
func ReleaseImage(ctx workflow.Context, in ReleaseImageInput) (*ReleaseImageResult, error) {
	r, err := newRun(ctx, true)
	if err != nil {
		return nil, err
	}
	w := &releasing{run: r, task: ReleaseTask{Input: in}}
	if err := w.takeApprovals(ctx); err != nil {
		return nil, err
	}
	if err = in.Validate(); err == nil {
		err = w.do(ctx)
	}
	if err != nil {
		return nil, w.end(ctx, err, w.reject)
	}
	result := &ReleaseImageResult{ReleaseIDs: w.task.Progress.ReleaseIDs, Machines: w.task.Progress.Machines}
	if w.approval != nil {
		result.ApprovedBy = w.approval.By
	}
	return result, w.enter(ctx, StateDone)
}

type releasing struct {
	*run

	task     ReleaseTask
	approval *Approval
}

func (r *releasing) takeApprovals(ctx workflow.Context) error {
	return workflow.SetUpdateHandlerWithOptions(ctx, ApproveUpdate, func(_ workflow.Context, a Approval) error {
		r.approval = &a
		return nil
	}, workflow.UpdateHandlerOptions{Validator: func(a Approval) error {
		switch {
		case r.status.State != StateNeedsApproval || r.approval != nil:
			return fmt.Errorf("the release is %s: there is nothing to approve", r.status.State)
		case a.By == "":
			return errors.New("it does not say who approves or refuses")
		}
		return nil
	}})
}

func (r *releasing) do(ctx workflow.Context) error {
	if err := r.enter(ctx, StateUpdating); err != nil {
		return err
	}
	if !r.task.Input.Approve {
		r.task.DiffOnly = true
		if err := r.release(ctx); err != nil {
			return err
		}
		if err := r.ask(ctx); err != nil {
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
	for {
		err := keep(control(ctx), release, &r.task.Progress, r.task)
		ids := r.task.Progress.ReleaseIDs
		r.status.Release = &ids
		if !ambiguous(err) {
			return err
		}
		d, err := r.decide(ctx, err)
		if err != nil {
			return err
		}
		if d.Action == Adopt {
			r.adopt(d.ID)
		}
		r.task.Progress.Creating = ""
	}
}

func (r *releasing) adopt(id string) {
	p := &r.task.Progress
	n, _ := number(id) // it was validated
	switch p.Creating {
	case "update":
		p.UpdateID = n
	case "diff":
		p.DiffID = n
	case "version":
		p.ImageVersionID = n
	}
	p.Retried = 0
}

// ask waits for an approval.
func (r *releasing) ask(ctx workflow.Context) error {
	r.status.Problem = fmt.Sprintf("approve image diff %d of image %d, or refuse it", r.task.Progress.DiffID, r.task.Input.ImageID)
	if err := r.enter(ctx, StateNeedsApproval); err != nil {
		return err
	}
	given := func() bool { return r.approval != nil }
	var err error
	if limit := r.task.Input.ApprovalTimeout; limit > 0 {
		_, err = workflow.AwaitWithTimeout(ctx, limit, given)
	} else {
		err = workflow.Await(ctx, given)
	}
	r.status.Problem = ""
	switch {
	case err != nil:
		return err
	case r.approval == nil:
		return temporal.NewNonRetryableApplicationError(
			fmt.Sprintf("nobody approved within %s", r.task.Input.ApprovalTimeout), ErrorNotApproved, nil)
	case !r.approval.Approved:
		return temporal.NewNonRetryableApplicationError(
			strings.TrimSuffix(r.approval.By+" refused: "+r.approval.Comment, ": "), ErrorNotApproved, nil)
	}
	return nil
}

// reject rejects the diff, and names what stays.
func (r *releasing) reject(ctx workflow.Context) (left []string) {
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
			left = append(left, fmt.Sprintf("image diff %d, which locks the image: %s", p.DiffID, message(rootCause(err))))
		}
	}
	return left
}
