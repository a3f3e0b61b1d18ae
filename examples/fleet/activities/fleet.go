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
	status := now.GetWorkflowExecutionInfo().GetStatus()
	if status == enums.WORKFLOW_EXECUTION_STATUS_RUNNING {
		return pending(ctx, "workflow %s is running", workflowID)
	}
	if err := c.GetWorkflow(ctx, workflowID, "").Get(ctx, nil); err != nil {
		return temporal.NewNonRetryableApplicationError(fmt.Sprintf("%s: %v", status, err), workflows.ErrorRefused, nil)
	}
	return nil
}
