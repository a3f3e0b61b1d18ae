package workflows

import (
	"cmp"
	"errors"
	"fmt"

	"go.temporal.io/api/enums/v1"
	"go.temporal.io/sdk/temporal"
	"go.temporal.io/sdk/workflow"
)

const (
	maxImages         = 1000
	defaultMaxRunning = 10
)

// ReusePolicy is for everybody who starts the workflows of images: what is done
// is not done again, and what failed may be.
const ReusePolicy = enums.WORKFLOW_ID_REUSE_POLICY_ALLOW_DUPLICATE_FAILED_ONLY

// workflow returns the function, the id and the input of an image's workflow.
func (i FleetImage) workflow() (run any, id string, in interface{ Validate() error }, ok bool) {
	switch {
	case i.Upload != nil && i.Copy == nil && i.Release == nil:
		return UploadImage, UploadID(*i.Upload), *i.Upload, true
	case i.Copy != nil && i.Upload == nil && i.Release == nil:
		return CopyImage, CopyID(*i.Copy), *i.Copy, true
	case i.Release != nil && i.Upload == nil && i.Copy == nil:
		return ReleaseImage, ReleaseID(*i.Release), *i.Release, true
	default:
		return nil, "", nil, false
	}
}

// Validate returns an error that names a wrong field.
func (in PublishFleetInput) Validate() error {
	switch {
	case in.Name == "":
		return wrong("PublishFleetInput.Name", "must not be empty")
	case in.MaxRunning < 0:
		return wrong("PublishFleetInput.MaxRunning", "must not be negative")
	case len(in.Images) == 0 || len(in.Images) > maxImages:
		return wrong("PublishFleetInput.Images", fmt.Sprintf("must be 1 to %d", maxImages))
	}
	ids := map[string]int{}
	for i, image := range in.Images {
		_, id, input, ok := image.workflow()
		if !ok {
			return wrong(fmt.Sprintf("PublishFleetInput.Images[%d]", i), "must have one of upload, copy and release")
		}
		if err := input.Validate(); err != nil {
			return wrong(fmt.Sprintf("PublishFleetInput.Images[%d]", i), message(err))
		}
		if first, twice := ids[id]; twice {
			return wrong(fmt.Sprintf("PublishFleetInput.Images[%d]", i), fmt.Sprintf("is Images[%d] again", first))
		}
		ids[id] = i
	}
	return nil
}

// PublishFleet runs a workflow for each image, some at once, and ends when all
// have. An image that failed does not end the others. If it is canceled, so are
// they. A workflow that somebody else has started for the same image counts as
// its own.
func PublishFleet(ctx workflow.Context, in PublishFleetInput) (*FleetStatus, error) {
	f := &fleet{in: in, state: StatePublishing, status: FleetStatus{Total: len(in.Images), Images: make([]FleetImageStatus, len(in.Images))}}
	if err := workflow.SetQueryHandler(ctx, StatusQuery, func() (FleetStatus, error) { return f.status, nil }); err != nil {
		return nil, err
	}
	if err := in.Validate(); err != nil {
		return nil, err
	}
	if err := f.count(ctx); err != nil {
		return nil, err
	}
	places := workflow.NewSemaphore(ctx, int64(cmp.Or(in.MaxRunning, defaultMaxRunning)))
	running := workflow.NewWaitGroup(ctx)
	for i := range in.Images {
		_, f.status.Images[i].WorkflowID, _, _ = in.Images[i].workflow()
	}
	for i := range in.Images {
		if places.Acquire(ctx, 1) != nil || in.StopOnFailure && f.status.Failed > 0 {
			break
		}
		running.Add(1)
		workflow.Go(ctx, func(ctx workflow.Context) {
			f.run(ctx, i)
			running.Done()
			places.Release(1)
		})
	}
	all, stop := workflow.NewDisconnectedContext(ctx)
	defer stop()
	running.Wait(all) // also for those that are being canceled
	notStarted := f.status.Total - f.status.Done - f.status.Failed
	switch {
	case ctx.Err() != nil:
		f.state = StateCanceled
	case f.status.Failed > 0:
		f.state = StateFailed
	default:
		f.state = StateDone
	}
	if err := f.count(all); err != nil {
		return nil, err
	}
	switch f.state {
	case StateCanceled:
		return nil, temporal.NewCanceledError(f.status)
	case StateFailed:
		return nil, temporal.NewApplicationErrorWithOptions(
			fmt.Sprintf("%d of %d images failed, %d were not started", f.status.Failed, f.status.Total, notStarted),
			ErrorFleet, temporal.ApplicationErrorOptions{NonRetryable: true, Details: []any{f.status}})
	default:
		return &f.status, nil
	}
}

type fleet struct {
	in     PublishFleetInput
	state  State
	status FleetStatus
}

func (f *fleet) count(ctx workflow.Context) error {
	return workflow.UpsertTypedSearchAttributes(ctx, StateAttribute.ValueSet(string(f.state)),
		DoneAttribute.ValueSet(int64(f.status.Done)), FailedAttribute.ValueSet(int64(f.status.Failed)))
}

// run runs the workflow of an image to its end.
func (f *fleet) run(ctx workflow.Context, i int) {
	image := &f.status.Images[i]
	image.State = StateRunning
	f.status.Running++
	err := f.child(ctx, i)
	f.status.Running--
	switch {
	case err == nil:
		f.status.Done++
		image.State = StateDone
	case temporal.IsCanceledError(err):
		f.status.Failed++
		image.State, image.Error = StateCanceled, "canceled"
	default:
		f.status.Failed++
		image.State, image.Error = StateFailed, message(err)
	}
	own, stop := workflow.NewDisconnectedContext(ctx)
	defer stop()
	if err := f.count(own); err != nil {
		workflow.GetLogger(ctx).Warn("cannot set search attributes", "Error", err)
	}
}

func (f *fleet) child(ctx workflow.Context, i int) error {
	run, id, in, _ := f.in.Images[i].workflow()
	err := workflow.ExecuteChildWorkflow(workflow.WithChildOptions(ctx, workflow.ChildWorkflowOptions{
		WorkflowID: id, TaskQueue: ControlQueue, WaitForCancellation: true, WorkflowIDReusePolicy: ReusePolicy,
		ParentClosePolicy: enums.PARENT_CLOSE_POLICY_REQUEST_CANCEL,
	}), run, in).Get(ctx, nil)
	if _, started := errors.AsType[*temporal.ChildWorkflowExecutionAlreadyStartedError](err); started {
		return workflow.ExecuteActivity(control(ctx), followRun, id).Get(ctx, nil)
	}
	return err
}
