package main

import (
	"cmp"
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"time"

	"go.temporal.io/api/common/v1"
	"go.temporal.io/api/enums/v1"
	"go.temporal.io/api/workflow/v1"
	"go.temporal.io/api/workflowservice/v1"

	"github.com/imagejobs/imagejobs-go/examples/fleet/workflows"
	"github.com/imagejobs/imagejobs-go/examples/internal/cli"
)

// job is what is known about a workflow.
type job struct {
	WorkflowID string          `json:"workflowId"`
	RunID      string          `json:"runId"`
	Type       string          `json:"type"`
	State      workflows.State `json:"state"`
	Started    time.Time       `json:"started"`
	Ended      time.Time       `json:"ended,omitzero"`
	Events     int64           `json:"events"` // of its history
	// Progress is that of a running upload, and Retrying why something is tried
	// again.
	Progress *workflows.UploadProgress `json:"progress,omitempty"`
	Retrying string                    `json:"retrying,omitempty"`
	// Status and Fleet are what the workflow says.
	Status *workflows.Status      `json:"status,omitempty"`
	Fleet  *workflows.FleetStatus `json:"fleet,omitempty"`
	Error  *cli.Failure           `json:"error,omitempty"`
}

func statusCommand(io.Writer) *cli.Command {
	var id string
	limit := 50
	return remote("[-id ID] [-limit N]", func(flags *flag.FlagSet) {
		flags.StringVar(&id, "id", "", "workflow `id` of one job")
		flags.IntVar(&limit, "limit", limit, "how many of the newest jobs")
	}, unchecked, func(ctx context.Context, f *fleet) error {
		if id != "" {
			one, err := f.look(ctx, id, "")
			if err == nil {
				f.show(cli.Result, one)
			}
			return err
		}
		list, err := f.client.ListWorkflow(ctx, &workflowservice.ListWorkflowExecutionsRequest{
			PageSize: int32(min(max(limit, 1), 1000)),
			Query:    "WorkflowType IN ('UploadImage', 'CopyImage', 'ReleaseImage', 'PublishFleet')",
		})
		if err != nil {
			return err
		}
		if len(list.Executions) == 0 {
			f.out.Line("there are no jobs")
		}
		for _, e := range list.Executions {
			one, err := f.look(ctx, e.Execution.WorkflowId, e.Execution.RunId)
			if err != nil {
				return err
			}
			f.show(cli.Result, one)
		}
		return nil
	})
}

// look finds out how a workflow is. Only what Temporal does not know itself is
// asked of the workflow, and so needs a worker.
func (f *fleet) look(ctx context.Context, id, runID string) (*job, error) {
	d, err := f.client.DescribeWorkflowExecution(ctx, id, runID)
	if err != nil {
		return nil, err
	}
	info := d.WorkflowExecutionInfo
	j := &job{
		WorkflowID: id, RunID: info.Execution.RunId, Type: info.Type.Name, Started: info.StartTime.AsTime(), Events: info.HistoryLength,
	}
	if p := info.SearchAttributes.GetIndexedFields()[workflows.StateAttribute.GetName()]; p != nil {
		err = f.converter.FromPayload(p, &j.State)
	}
	for _, a := range d.PendingActivities {
		j.pending(a, f.converter.FromPayloads)
	}
	switch info.Status {
	case enums.WORKFLOW_EXECUTION_STATUS_RUNNING:
	case enums.WORKFLOW_EXECUTION_STATUS_COMPLETED:
		j.State = workflows.StateDone
	case enums.WORKFLOW_EXECUTION_STATUS_FAILED:
		j.State = workflows.StateFailed
	case enums.WORKFLOW_EXECUTION_STATUS_CANCELED:
		j.State = workflows.StateCanceled
	default: // it was terminated
		j.State = workflows.State(info.Status.String())
	}
	if info.Status != enums.WORKFLOW_EXECUTION_STATUS_RUNNING {
		j.Ended = info.CloseTime.AsTime()
		if ended := f.client.GetWorkflow(ctx, id, j.RunID).Get(ctx, nil); ended != nil {
			j.Error = f.out.Failure(ctx, ended)
		}
	}
	if j.Type == "PublishFleet" {
		err = errors.Join(err, f.query(ctx, j, &j.Fleet))
	} else if j.State == workflows.StateNeedsDecision || j.State == workflows.StateNeedsApproval || j.Error != nil {
		err = errors.Join(err, f.query(ctx, j, &j.Status))
	}
	if err != nil { // it is encrypted, with another key than ours
		j.Retrying = err.Error()
	}
	return j, nil
}

// pending adds what an activity is doing.
func (j *job) pending(a *workflow.PendingActivityInfo, decode func(*common.Payloads, ...any) error) {
	if progress := new(workflows.UploadProgress); a.HeartbeatDetails != nil && decode(a.HeartbeatDetails, progress) == nil && progress.Total > 0 {
		progress.Checkpoint = nil
		if j.Progress == nil {
			j.Progress = progress
		} else { // another part
			j.Progress.Bytes, j.Progress.Chunks = j.Progress.Bytes+progress.Bytes, j.Progress.Chunks+progress.Chunks
		}
	}
	if last := a.LastFailure; last != nil && last.GetApplicationFailureInfo().GetType() != workflows.ErrorPending {
		j.Retrying = fmt.Sprintf("attempt %d of %s: %s", a.Attempt, a.ActivityType.Name, last.Message)
	}
}

// query asks the workflow. That no worker responds is no error: after one was
// killed it can take 10 seconds until another one is asked.
func (f *fleet) query(ctx context.Context, j *job, into any) error {
	ctx, cancel := context.WithTimeout(ctx, 15*time.Second)
	defer cancel()
	if !f.alone {
		response, err := f.client.QueryWorkflow(ctx, j.WorkflowID, j.RunID, workflows.StatusQuery)
		if err == nil {
			return response.Get(into)
		}
		f.alone = true // nor does one for the next job
	}
	j.Retrying = cmp.Or(j.Retrying, "no worker responds")
	return nil
}

// show prints what there is to know in a line, if that is new.
func (f *fleet) show(event string, j *job) {
	e := cli.Event{
		Event: event, IDs: cli.IDs{"workflowId": j.WorkflowID, "runId": j.RunID}, State: string(j.State), Detail: j, Error: j.Error,
	}
	line := fmt.Sprintf("%-16s %s", j.State, j.WorkflowID)
	if p := j.Progress; p != nil {
		e.Progress = cli.BytesProgress(p.Bytes, p.Total, 0, 0)
		e.Progress.Chunks, e.Progress.TotalChunks = p.Chunks, p.TotalChunks
		line += fmt.Sprintf(", %d%%", e.Progress.Percent)
	}
	if s := j.Fleet; s != nil {
		line += fmt.Sprintf(", %d of %d done, %d running, %d failed", s.Done, s.Total, s.Running, s.Failed)
	}
	if s := j.Status; s != nil && s.Problem != "" {
		line += ": " + s.Problem
	}
	if j.Error != nil {
		line += ": " + j.Error.Message
	} else if j.Retrying != "" {
		line += " (" + j.Retrying + ")"
	}
	if f.shown[j.WorkflowID] != line || event == cli.Result {
		f.shown[j.WorkflowID] = line
		f.out.Emit(e, "%s", line)
	}
}
