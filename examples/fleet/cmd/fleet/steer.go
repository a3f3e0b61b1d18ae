package main

import (
	"cmp"
	"context"
	"errors"
	"flag"

	"go.temporal.io/sdk/client"
	"go.temporal.io/sdk/temporal"

	"github.com/imagejobs/imagejobs-go/examples/fleet/workflows"
	"github.com/imagejobs/imagejobs-go/examples/internal/cli"
)

// missing returns an error unless a flag has a value.
func missing(name, value string) error {
	if value != "" {
		return nil
	}
	return cli.UsageError("%s must not be empty", name)
}

func (p *program) defineID(flags *flag.FlagSet) {
	flags.StringVar(&p.id, "id", "", "workflow `id` of the job, which fleet status has")
}

func approveCommand(p *program) *cli.Command {
	var refuse bool
	var in workflows.Approval
	return p.remote("-id ID -by NAME [-refuse]", func(flags *flag.FlagSet) {
		p.defineID(flags)
		flags.StringVar(&in.By, "by", "", "who approves")
		flags.BoolVar(&refuse, "refuse", false, "end the release instead")
		flags.StringVar(&in.Comment, "comment", "", "why")
	}, func() error { return cmp.Or(missing("-id", p.id), missing("-by", in.By)) }, func(ctx context.Context) error {
		in.Approved = !refuse
		return p.update(ctx, workflows.ApproveUpdate, in)
	})
}

func resolveCommand(p *program) *cli.Command {
	var in workflows.Decision
	return p.remote("-id ID -action adopt|repeat|give-up [-adopt ID]", func(flags *flag.FlagSet) {
		p.defineID(flags)
		flags.StringVar((*string)(&in.Action), "action", "", "adopt, if the call took effect; repeat, if it did not; give-up")
		flags.StringVar(&in.ID, "adopt", "", "`id` of what the call made")
		flags.StringVar(&in.By, "by", "", "who found out")
	}, func() error {
		wrong := missing("-id", p.id)
		switch in.Action {
		case workflows.Adopt:
			wrong = cmp.Or(wrong, missing("-adopt", in.ID))
		case workflows.Repeat, workflows.GiveUp:
		default:
			wrong = cli.UsageError("-action must be %s, %s or %s", workflows.Adopt, workflows.Repeat, workflows.GiveUp)
		}
		return wrong
	}, func(ctx context.Context) error { return p.update(ctx, workflows.DecideUpdate, in) })
}

// update sends something to a workflow, which accepts or refuses it.
func (p *program) update(ctx context.Context, name string, in any) error {
	handle, err := p.client.UpdateWorkflow(ctx, client.UpdateWorkflowOptions{
		WorkflowID: p.id, UpdateName: name, Args: []any{in}, WaitForStage: client.WorkflowUpdateStageCompleted,
	})
	if err == nil {
		err = handle.Get(ctx, nil)
	}
	if err == nil {
		p.out.Emit(cli.Event{Event: cli.Result, IDs: cli.IDs{"workflowId": p.id}}, "%s goes on", p.id)
	}
	return err
}

func cancelCommand(p *program) *cli.Command {
	return p.remote("-id ID", p.defineID, func() error { return missing("-id", p.id) }, func(ctx context.Context) error {
		if err := p.client.CancelWorkflow(ctx, p.id, ""); err != nil {
			return err
		}
		err := p.follow(ctx, p.client.GetWorkflow(ctx, p.id, ""))
		if _, ended := errors.AsType[*temporal.WorkflowExecutionError](err); ended {
			p.out.Changed("", "  %s", p.out.Failure(ctx, err).Message)
			return nil
		}
		return err
	})
}
