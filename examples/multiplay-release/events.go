package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"slices"
	"strings"

	"github.com/imagejobs/imagejobs-go/examples/internal/cli"
	"github.com/imagejobs/imagejobs-go/multiplay"
)

// check finds out whether the credentials are accepted, and whether there are
// the image and the machine.
func (p *program) check(ctx context.Context) error {
	options, err := p.client.Images.Options(ctx, nil)
	if err != nil {
		return err
	}
	if !slices.ContainsFunc(options.Images, func(i multiplay.ImageOption) bool { return i.ImageID == p.req.ImageID }) {
		return cli.UsageError("-image %d is not an image of the account service", p.req.ImageID)
	}
	if p.req.MachineID != 0 && !slices.ContainsFunc(options.Machines, func(m multiplay.MachineOption) bool { return m.MachineID == p.req.MachineID }) {
		return cli.UsageError("-machine %d is not a build machine of the account service", p.req.MachineID)
	}
	p.out.Emit(cli.Event{Event: cli.Result}, "checked: arguments, image %d, machine %d, and credentials; nothing was released",
		p.req.ImageID, p.req.MachineID)
	return nil
}

func (p *program) event(e multiplay.ReleaseEvent) {
	ids := idsOf(e.ReleaseIDs)
	_ = p.out.Keep(ids, string(e.Step)) // the last call reports a file that cannot be written
	if e.RejectedDiffID != 0 {
		p.out.Emit(cli.Event{Event: cli.Notice, IDs: ids, Detail: e}, "rejected diff %d, which locked the image", e.RejectedDiffID)
		return
	}
	bar := p.bars[e.Step]
	if bar == nil {
		bar = p.out.Bar(fmt.Sprintf("%-7s", e.Step))
		p.bars[e.Step] = bar
	}
	event := cli.Event{Event: cli.Status, IDs: ids, State: string(e.Step), Detail: e}
	if r := e.Rollout; r != nil {
		all := r.Pending + r.Failed + r.Completed
		event.Progress = &cli.Progress{Percent: (all - r.Pending) * 100 / max(all, 1)}
		event.Message = fmt.Sprintf("%d of %d machines", r.Completed, all)
		bar.Set(event)
		return
	}
	event.State, event.Progress = string(e.Job.State), &cli.Progress{Percent: e.Job.Progress}
	event.Message = fmt.Sprintf("%s (%d)", e.Job.State, map[multiplay.ReleaseStep]int64{
		multiplay.StepUpdate: e.UpdateID, multiplay.StepDiff: e.DiffID, multiplay.StepVersion: e.ImageVersionID,
	}[e.Step])
	if e.Retry > 0 {
		event.Message += fmt.Sprintf(", retry %d", e.Retry)
	}
	if e.Job.Error != "" {
		event.Message += ": " + e.Job.Error
	}
	bar.Set(event)
}

// stopped prints how to resume. The source is not needed any more once there is
// an update, so that no secret has to be repeated.
func (p *program) stopped(stopped *multiplay.ReleaseError) {
	ids := idsOf(stopped.ReleaseIDs)
	_ = p.out.Keep(ids, string(stopped.Step)) // the failure is reported anyway
	if errors.Is(stopped, multiplay.ErrAmbiguous) {
		p.out.Line("it is not known whether the last call took effect: check before you resume")
	}
	if len(ids) == 0 {
		p.out.Line("stopped before there was an update")
		return
	}
	command := []string{"multiplay-release"}
	for _, f := range []struct {
		name string
		id   int64
	}{
		{"image", p.req.ImageID}, {"game", p.req.GameID}, {"machine", p.req.MachineID},
		{"update", stopped.UpdateID}, {"diff", stopped.DiffID}, {"version", stopped.ImageVersionID},
	} {
		if f.id != 0 {
			command = append(command, fmt.Sprintf("-%s %d", f.name, f.id))
		}
	}
	p.flags.Visit(func(f *flag.Flag) {
		switch f.Name {
		case "restart", "full", "force", "reject-locking", "retries":
			command = append(command, fmt.Sprintf("-%s=%s", f.Name, f.Value))
		}
	})
	p.out.Emit(cli.Event{Event: cli.Notice, IDs: ids, State: string(stopped.Step)}, "to resume: %s", strings.Join(command, " "))
}
