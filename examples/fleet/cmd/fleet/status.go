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

// status is what is known about a workflow.
type status struct {
	WorkflowID string          `json:"workflowId"`
	RunID      string          `json:"runId"`
	Type       string          `json:"type"`
	State      workflows.State `json:"state"`
	Started    time.Time       `json:"started"`
	Ended      time.Time       `json:"ended,omitzero"`
	Events     int64           `json:"events"` // of its history
	// Progress is that of a running upload, and Waiting what it waits for or why
	// something is tried again.
	Progress *workflows.UploadProgress `json:"progress,omitempty"`
	Waiting  string                    `json:"waiting,omitempty"`
	// Status is what the workflow says, a *workflows.Status or a
	// *workflows.FleetStatus.
	Status any `json:"status,omitempty"`

	Error *cli.Failure `json:"-"` // the event has it
	err   error
}

func statusCommand(p *program) *cli.Command {
	limit := 50
	return p.remote("[-id ID] [-limit N]", func(flags *flag.FlagSet) {
		p.defineID(flags)
		flags.IntVar(&limit, "limit", limit, "how many of the newest jobs")
	}, unchecked, func(ctx context.Context) error {
		runs := []*common.WorkflowExecution{{WorkflowId: p.id}}
		if p.id == "" {
			list, err := p.client.ListWorkflow(ctx, &workflowservice.ListWorkflowExecutionsRequest{
				PageSize: int32(min(max(limit, 1), 1000)),
				Query:    "WorkflowType IN ('UploadImage', 'CopyImage', 'ReleaseImage', 'PublishFleet')",
			})
			if err != nil {
				return err
			}
			if runs = nil; len(list.Executions) == 0 {
				p.out.Line("there are no jobs")
			}
			for _, e := range list.Executions {
				runs = append(runs, e.Execution)
			}
		}
		for _, run := range runs {
			s, err := p.look(ctx, run.WorkflowId, run.RunId)
			if err != nil {
				return err
			}
			p.show(cli.Result, s, nil)
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
		case s.Ended.IsZero():
			p.show(cli.Status, s, bar)
		default:
			p.out.Finish()
			p.show(cli.Result, s, bar)
			return s.err
		}
	}
}

// look finds out how a workflow is. Only what Temporal does not know itself is
// asked of the workflow, and so needs a worker.
func (p *program) look(ctx context.Context, id, runID string) (*status, error) {
	d, err := p.client.DescribeWorkflowExecution(ctx, id, runID)
	if err != nil {
		return nil, err
	}
	info := d.WorkflowExecutionInfo
	s := &status{
		WorkflowID: id, RunID: info.Execution.RunId, Type: info.Type.Name, Started: info.StartTime.AsTime(), Events: info.HistoryLength,
	}
	var says any = &workflows.Status{}
	if s.Type == "PublishFleet" {
		says = &workflows.FleetStatus{}
	}
	if info.Status != enums.WORKFLOW_EXECUTION_STATUS_RUNNING {
		s.Ended, s.State = info.CloseTime.AsTime(), workflows.State(info.Status.String())
		if s.err = p.client.GetWorkflow(ctx, id, s.RunID).Get(ctx, says); s.err == nil {
			s.State = workflows.StateDone
		} else {
			s.Error = p.out.Failure(ctx, s.err)
			_ = details(s.err, says) // there are none if it was terminated
		}
		s.Status = says
		return s, nil
	}
	if attribute := info.SearchAttributes.GetIndexedFields()[workflows.StateAttribute.GetName()]; attribute != nil {
		err = converter.GetDefaultDataConverter().FromPayload(attribute, &s.State)
	}
	if task := d.PendingWorkflowTask; task.GetState() == enums.PENDING_WORKFLOW_TASK_STATE_SCHEDULED {
		s.waitsForWorker(task.ScheduledTime)
	}
	for _, a := range d.PendingActivities {
		s.pending(a, p.converter.FromPayloads)
	}
	if s.State == workflows.StatePublishing || s.State == workflows.StateNeedsDecision || s.State == workflows.StateNeedsApproval {
		p.query(ctx, s, says)
	}
	s.State = cmp.Or(s.State, workflows.StateRunning)
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

func (s *status) waitsForWorker(since *timestamppb.Timestamp) {
	if time.Since(since.AsTime()) > 2*time.Second {
		s.Waiting = cmp.Or(s.Waiting, "waits for a worker")
	}
}

// pending adds what an activity is doing.
func (s *status) pending(a *workflow.PendingActivityInfo, decode func(*common.Payloads, ...any) error) {
	if progress := new(workflows.UploadProgress); a.HeartbeatDetails != nil && decode(a.HeartbeatDetails, progress) == nil && progress.Total > 0 {
		progress.Checkpoint = nil
		if s.Progress == nil {
			s.Progress = progress
		} else { // another part
			s.Progress.Bytes, s.Progress.Chunks = s.Progress.Bytes+progress.Bytes, s.Progress.Chunks+progress.Chunks
		}
	}
	if last := a.LastFailure; last != nil && last.GetApplicationFailureInfo().GetType() != workflows.ErrorPending {
		s.Waiting = fmt.Sprintf("attempt %d of %s: %s", a.Attempt, a.ActivityType.Name, last.Message)
	} else if a.State == enums.PENDING_ACTIVITY_STATE_SCHEDULED && a.Attempt == 1 {
		s.waitsForWorker(a.ScheduledTime)
	}
}

// query asks the workflow. That no worker responds is no error: after one was
// killed it can take 10 seconds until another one is asked.
func (p *program) query(ctx context.Context, s *status, into any) {
	ctx, cancel := context.WithTimeout(ctx, 15*time.Second)
	defer cancel()
	if !p.alone {
		response, err := p.client.QueryWorkflow(ctx, s.WorkflowID, s.RunID, workflows.StatusQuery)
		if err == nil {
			if err = response.Get(into); err != nil { // it is encrypted, with another key than ours
				s.Waiting = err.Error()
			}
			s.Status = into
			return
		}
		p.alone = true // nor does one for the next job
	}
	s.Waiting = cmp.Or(s.Waiting, "no worker responds")
}

// show prints what there is to know, if that is new. With a bar, progress moves
// that, and why a job failed is left to the end of the command.
func (p *program) show(event string, s *status, bar *cli.Bar) {
	e := cli.Event{
		Event: event, IDs: cli.IDs{"workflowId": s.WorkflowID, "runId": s.RunID}, State: string(s.State), Detail: s, Error: s.Error,
	}
	lines := []string{fmt.Sprintf("%-13s  %s  %s", s.State, s.Started.Local().Format("Jan 02 15:04"), s.WorkflowID), s.Waiting}
	switch said := s.Status.(type) {
	case *workflows.Status:
		lines = append(lines, said.Problem)
	case *workflows.FleetStatus:
		e.Progress = &cli.Progress{Percent: int64(said.Done * 100 / max(said.Total, 1))}
		e.Message = fmt.Sprintf("%d of %d done, %d running, %d failed", said.Done, said.Total, said.Running, said.Failed)
		for _, image := range said.Images {
			if image.Error != "" && bar != nil && event == cli.Result {
				lines = append(lines, image.WorkflowID+": "+image.Error)
			}
		}
	}
	if u := s.Progress; u != nil {
		e.Progress = cli.BytesProgress(u.Bytes, u.Total, 0, 0)
		e.Progress.Chunks, e.Progress.TotalChunks = u.Chunks, u.TotalChunks
	}
	if e.Progress != nil && bar == nil {
		lines = append(lines, cmp.Or(e.Message, fmt.Sprintf("%d%% of %s", e.Progress.Percent, cli.FormatSize(e.Progress.Total))))
	}
	if s.Error != nil && bar == nil {
		lines = append(lines, s.Error.Message)
	}
	lines = slices.DeleteFunc(lines, func(line string) bool { return line == "" })
	p.out.Changed(s.RunID, "%s", strings.Join(lines, "\n  "))
	if e.Progress != nil && bar != nil && event != cli.Result {
		bar.Set(e)
	} else {
		p.out.Event(e)
	}
}
