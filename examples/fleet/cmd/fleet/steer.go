package main

import (
	"context"
	"flag"
	"io"

	"go.temporal.io/sdk/client"

	"github.com/imagejobs/imagejobs-go/examples/fleet/workflows"
	"github.com/imagejobs/imagejobs-go/examples/internal/cli"
)

// onJob returns a command about one job, which gets its workflow id.
func onJob(synopsis string, define func(*flag.FlagSet), do func(ctx context.Context, f *fleet, id string) error) *cli.Command {
	var id string
	return remote("-id ID "+synopsis, func(flags *flag.FlagSet) {
		flags.StringVar(&id, "id", "", "workflow `id` of the job")
		define(flags)
	}, func() error {
		if id == "" {
			return cli.UsageError("-id is missing: fleet status has it")
		}
		return nil
	}, func(ctx context.Context, f *fleet) error { return do(ctx, f, id) })
}

func approveCommand(io.Writer) *cli.Command {
	var refuse bool
	var in workflows.Approval
	return onJob("-by NAME [-refuse]", func(flags *flag.FlagSet) {
		flags.StringVar(&in.By, "by", "", "who approves")
		flags.BoolVar(&refuse, "refuse", false, "end the release instead")
		flags.StringVar(&in.Comment, "comment", "", "why")
	}, func(ctx context.Context, f *fleet, id string) error {
		in.Approved = !refuse
		return f.update(ctx, id, workflows.ApproveUpdate, in)
	})
}

func resolveCommand(io.Writer) *cli.Command {
	var in workflows.Decision
	return onJob("-action adopt|repeat|give-up [-adopt ID]", func(flags *flag.FlagSet) {
		flags.StringVar((*string)(&in.Action), "action", "", "adopt, if the call took effect; repeat, if it did not; give-up")
		flags.StringVar(&in.ID, "adopt", "", "`id` of what the call made")
		flags.StringVar(&in.By, "by", "", "who found out")
	}, func(ctx context.Context, f *fleet, id string) error {
		return f.update(ctx, id, workflows.DecideUpdate, in)
	})
}

// update sends something to a workflow, which accepts or refuses it.
func (f *fleet) update(ctx context.Context, id, name string, in any) error {
	handle, err := f.client.UpdateWorkflow(ctx, client.UpdateWorkflowOptions{
		WorkflowID: id, UpdateName: name, Args: []any{in}, WaitForStage: client.WorkflowUpdateStageCompleted,
	})
	if err == nil {
		err = handle.Get(ctx, nil)
	}
	if err == nil {
		f.out.Emit(cli.Event{Event: cli.Result, IDs: cli.IDs{"workflowId": id}}, "%s goes on", id)
	}
	return err
}

func cancelCommand(io.Writer) *cli.Command {
	return onJob("", func(*flag.FlagSet) {}, func(ctx context.Context, f *fleet, id string) error {
		if err := f.client.CancelWorkflow(ctx, id, ""); err != nil {
			return err
		}
		run := f.client.GetWorkflow(ctx, id, "")
		_ = run.Get(ctx, nil) // how it ended is shown below
		if ctx.Err() != nil {
			return ctx.Err()
		}
		j, err := f.look(ctx, id, run.GetRunID())
		if err == nil {
			f.show(cli.Result, j)
		}
		return err
	})
}
