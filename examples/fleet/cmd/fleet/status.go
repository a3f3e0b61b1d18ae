package main

import (
	"cmp"
	"context"
	"errors"
	"flag"
	"fmt"
	"slices"
	"strings"
	"time"

	"go.temporal.io/api/common/v1"
	"go.temporal.io/api/enums/v1"
	"go.temporal.io/api/serviceerror"
	"go.temporal.io/api/workflow/v1"
	"go.temporal.io/api/workflowservice/v1"
	"go.temporal.io/sdk/client"
	"go.temporal.io/sdk/converter"
	"go.temporal.io/sdk/temporal"
	"google.golang.org/protobuf/types/known/timestamppb"

	"github.com/imagejobs/imagejobs-go/examples/fleet/workflows"
	"github.com/imagejobs/imagejobs-go/examples/internal/cli"
)

func statusCommand(p *program) *cli.Command {
	limit := 50
	return p.remote("[-id ID] [-limit N]", func(flags *flag.FlagSet) {
		p.defineID(flags)
		flags.IntVar(&limit, "limit", limit, "how many of the newest jobs")
	}, unchecked, func(ctx context.Context) error {
		runs := []*workflow.WorkflowExecutionInfo{{Execution: &common.WorkflowExecution{WorkflowId: p.id}}}
		if p.id == "" {
			list, err := p.client.ListWorkflow(ctx, &workflowservice.ListWorkflowExecutionsRequest{
				PageSize: int32(min(max(limit, 1), 1000)),
				Query:    "WorkflowType IN ('UploadImage', 'CopyImage', 'ReleaseImage', 'PublishFleet')",
			})
			if err != nil {
				return err
			}
			if runs = list.Executions; len(runs) == 0 {
				p.out.Line("there are no jobs")
			}
		}
		for _, run := range runs {
			s, err := p.look(ctx, run.Execution.WorkflowId, run.Execution.RunId)
			if err != nil {
				return err
			}
			if s.Error != nil {
				s.lines = append(s.lines, s.Error.Message)
			}
			p.out.Emit(s.Event, "%s", strings.Join(s.lines, "\n  "))
		}
		return nil
	})
}

func unchecked() error { return nil }

// follow shows what changes until a workflow ends, and returns its error.
func (p *program) follow(ctx context.Context, run client.WorkflowRun) error {
	kind, _, _ := strings.Cut(run.GetID(), "/")
	bar := p.out.Bar(kind)
	ticker := time.NewTicker(time.Second)
	defer ticker.Stop()
	for {
		select {
		case <-ticker.C:
		case <-ctx.Done():
		}
		p.alone = false // a worker may have come
		s, err := p.look(ctx, run.GetID(), run.GetRunID())
		_, unknown := errors.AsType[*serviceerror.NotFound](err)
		switch {
		case ctx.Err() != nil:
			return cli.WithCode(fmt.Errorf("interrupted; it goes on: see fleet status -id %s", run.GetID()), cli.Interrupted)
		case unknown:
			return err
		case err != nil:
			p.out.Changed("", "no word from Temporal: %v", err)
		case s.ended:
			p.out.Finish()
			p.out.Emit(s.Event, "%s", strings.Join(s.lines, "\n  "))
			return s.err
		case s.Progress != nil:
			s.Event.Event = cli.Moved
			bar.Set(s.Event)
		default:
			s.Event.Event = cli.Status
			p.out.Event(s.Event)
			p.out.Changed("", "%s", strings.Join(s.lines, "\n  "))
		}
	}
}

// status is how a workflow is.
type status struct {
	cli.Event // with what the workflow says as Detail

	lines []string // for people: the state and the id, and what there is to know
	ended bool
	err   error // of the workflow
}

// look finds out how a workflow is. Only what Temporal does not know itself is
// asked of the workflow, and so needs a worker.
func (p *program) look(ctx context.Context, id, runID string) (*status, error) {
	d, err := p.client.DescribeWorkflowExecution(ctx, id, runID)
	if err != nil {
		return nil, err
	}
	info := d.WorkflowExecutionInfo
	began := info.StartTime.AsTime()
	s := &status{ended: info.Status != enums.WORKFLOW_EXECUTION_STATUS_RUNNING}
	s.Event = cli.Event{Event: cli.Result, IDs: cli.IDs{"workflowId": id, "runId": info.Execution.RunId}, Seconds: time.Since(began).Seconds()}
	var says any = &workflows.Status{}
	if info.Type.Name == "PublishFleet" {
		says = &workflows.FleetStatus{}
	}
	var notes []string
	if s.ended {
		s.State, s.Seconds, s.Detail = info.Status.String(), info.CloseTime.AsTime().Sub(began).Seconds(), says
		if info.Status == enums.WORKFLOW_EXECUTION_STATUS_COMPLETED {
			s.State = string(workflows.StateDone)
		}
		if s.err = p.client.GetWorkflow(ctx, id, info.Execution.RunId).Get(ctx, says); s.err != nil {
			s.Error = p.out.Failure(ctx, s.err)
			_ = details(s.err, says) // there are none if it was terminated
		}
	} else {
		if a := info.SearchAttributes.GetIndexedFields()[workflows.StateAttribute.GetName()]; a != nil {
			err = converter.GetDefaultDataConverter().FromPayload(a, &s.State)
		}
		if task := d.PendingWorkflowTask; task.GetState() == enums.PENDING_WORKFLOW_TASK_STATE_SCHEDULED {
			notes = append(notes, waits(task.ScheduledTime))
		}
		for _, a := range d.PendingActivities {
			notes = append(notes, p.pending(s, a))
		}
		s.State = cmp.Or(s.State, string(workflows.StateRunning))
		asked := []workflows.State{workflows.StatePublishing, workflows.StateNeedsDecision, workflows.StateNeedsApproval}
		if slices.Contains(asked, workflows.State(s.State)) {
			notes = append(notes, p.query(ctx, s, info.Execution, says))
		}
	}
	switch said := s.Detail.(type) {
	case *workflows.Status:
		notes = append(notes, said.Problem)
	case *workflows.FleetStatus:
		s.Progress = &cli.Progress{Percent: int64(said.Done * 100 / max(said.Total, 1))}
		notes = append(notes, fmt.Sprintf("%d of %d done, %d running, %d failed", said.Done, said.Total, said.Running, said.Failed))
		for _, image := range said.Images {
			if image.Error != "" {
				notes = append(notes, image.WorkflowID+": "+image.Error)
			}
		}
	}
	line := fmt.Sprintf("%-13s  %s  %s", s.State, began.Local().Format("Jan 02 15:04"), id)
	s.lines = slices.DeleteFunc(append([]string{line}, notes...), func(line string) bool { return line == "" })
	return s, err
}

// details decodes what the error of a workflow has beside its message.
func details(err error, into any) error {
	if canceled, ok := errors.AsType[*temporal.CanceledError](err); ok {
		return canceled.Details(into)
	}
	if application, ok := errors.AsType[*temporal.ApplicationError](err); ok {
		return application.Details(into)
	}
	return err
}

func waits(since *timestamppb.Timestamp) string {
	if time.Since(since.AsTime()) < 2*time.Second {
		return ""
	}
	return "waits for a worker"
}

// pending adds how far an activity is, and returns what it waits for.
func (p *program) pending(s *status, a *workflow.PendingActivityInfo) string {
	var sent workflows.UploadProgress
	if a.HeartbeatDetails != nil && p.converter.FromPayloads(a.HeartbeatDetails, &sent) == nil && sent.Total > 0 {
		before := cmp.Or(s.Progress, &cli.Progress{}) // another part
		s.Progress = cli.BytesProgress(before.Bytes+sent.Bytes, sent.Total, 0, 0)
		s.Progress.Chunks, s.Progress.TotalChunks = before.Chunks+sent.Chunks, sent.TotalChunks
	}
	switch last := a.LastFailure; {
	case last != nil && last.GetApplicationFailureInfo().GetType() != workflows.ErrorPending:
		return fmt.Sprintf("attempt %d of %s: %s", a.Attempt, a.ActivityType.Name, last.Message)
	case a.State == enums.PENDING_ACTIVITY_STATE_SCHEDULED && a.Attempt == 1:
		return waits(a.ScheduledTime)
	case sent.Total > 0:
		return fmt.Sprintf("%d%% of %s", s.Progress.Percent, cli.FormatSize(sent.Total))
	}
	return ""
}

// query asks the workflow, and returns why it does not say anything. That no
// worker responds is no error: after one was killed it can take 10 seconds until
// another one is asked.
func (p *program) query(ctx context.Context, s *status, run *common.WorkflowExecution, into any) string {
	ctx, cancel := context.WithTimeout(ctx, 15*time.Second)
	defer cancel()
	if p.alone {
		return "no worker responds"
	}
	response, err := p.client.QueryWorkflow(ctx, run.WorkflowId, run.RunId, workflows.StatusQuery)
	if err != nil {
		p.alone = true // nor does one for the next job
		return "no worker responds"
	}
	if err := response.Get(into); err != nil {
		return err.Error() // it is encrypted, with another key than ours
	}
	s.Detail = into
	return ""
}
