package activities

import (
	"context"
	"fmt"

	"go.temporal.io/api/enums/v1"
	"go.temporal.io/sdk/activity"
	"go.temporal.io/sdk/temporal"

	"github.com/imagejobs/imagejobs-go/examples/fleet/workflows"
)

// FollowRun waits for the newest run of a workflow that somebody else has
// started: each attempt looks once.
func (a *Activities) FollowRun(ctx context.Context, workflowID string) error {
	c := activity.GetClient(ctx)
	now, err := c.DescribeWorkflowExecution(ctx, workflowID, "")
	if err != nil {
		return err
	}
	switch status := now.GetWorkflowExecutionInfo().GetStatus(); status {
	case enums.WORKFLOW_EXECUTION_STATUS_RUNNING:
		return pending(ctx, "workflow %s is running", workflowID)
	case enums.WORKFLOW_EXECUTION_STATUS_COMPLETED:
		return nil
	default:
		err := c.GetWorkflow(ctx, workflowID, "").Get(ctx, nil)
		return temporal.NewNonRetryableApplicationError(fmt.Sprintf("%s: %v", status, err), workflows.ErrorRefused, nil)
	}
}
