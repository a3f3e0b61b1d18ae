package main

import (
	"context"
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"io"
	"os"
	"strings"
	"time"

	"go.temporal.io/api/enums/v1"
	"go.temporal.io/sdk/client"

	"github.com/imagejobs/imagejobs-go/examples/fleet/workflows"
	"github.com/imagejobs/imagejobs-go/examples/internal/cli"
)

func uploadCommand(io.Writer) *cli.Command {
	var in workflows.UploadImageInput
	return starter("-application A -version V -os OS -source FILE|URL", func(flags *flag.FlagSet) {
		flags.StringVar(&in.Application, "application", "", "the application's `name`")
		flags.StringVar(&in.Version, "version", "", "its version")
		flags.StringVar(&in.OperatingSystem, "os", "", "operating system")
		flags.StringVar(&in.Source, "source", "", "`path` that all workers see, or URL")
		flags.StringVar(&in.FileName, "file-name", "", "the image's file name, if not that of the source")
		flags.Int64Var(&in.ChunkSize, "chunk-size", 0, "`bytes`")
		flags.IntVar(&in.Concurrency, "concurrency", 0, "chunks at once, per worker")
		flags.IntVar(&in.Parts, "parts", 0, "upload as many parts in parallel, on as many workers")
	}, func() (string, any, any) { return workflows.UploadID(in), workflows.UploadImage, in }, func() error { return check(in) })
}

func copyCommand(io.Writer) *cli.Command {
	var in workflows.CopyImageInput
	return starter("-image ID -tenants ID,ID…", func(flags *flag.FlagSet) {
		flags.StringVar(&in.ImageID, "image", "", "`id` of the image, a UUID")
		flags.Func("tenants", "`ids` of the tenants to copy to", func(s string) error {
			in.TenantIDs = strings.Split(s, ",")
			return nil
		})
		flags.BoolVar(&in.CancelOnFailure, "cancel-on-failure", false, "cancel the other copies once one has failed")
	}, func() (string, any, any) { return workflows.CopyID(in), workflows.CopyImage, in }, func() error { return check(in) })
}

func releaseCommand(io.Writer) *cli.Command {
	var in workflows.ReleaseImageInput
	return starter("-image N -machine N -description TEXT", func(flags *flag.FlagSet) {
		flags.Int64Var(&in.ImageID, "image", 0, "`id` of the image")
		flags.Int64Var(&in.MachineID, "machine", 0, "`id` of the build machine")
		flags.StringVar(&in.Description, "description", "", "what changes")
		flags.StringVar(&in.GameBuild, "build", "", "the game's build")
		flags.StringVar(&in.Source, "source", "", "files from the workers' MULTIPLAY_SOURCE_URL_`name`")
		flags.BoolVar(&in.Restart, "restart", false, "restart servers that are not empty")
		flags.BoolVar(&in.Approve, "approve", false, "release without asking: fleet approve is not needed")
	}, func() (string, any, any) { return workflows.ReleaseID(in), workflows.ReleaseImage, in }, func() error { return check(in) })
}

func publishCommand(io.Writer) *cli.Command {
	var in workflows.PublishFleetInput
	return starter("-input FILE", func(flags *flag.FlagSet) {
		flags.Func("input", "`file` of JSON: a PublishFleetInput, with all fields that jobs have", func(path string) error {
			file, err := os.Open(path)
			if err != nil {
				return err
			}
			defer func() { _ = file.Close() }() // only read
			decoder := json.NewDecoder(file)
			decoder.DisallowUnknownFields()
			return decoder.Decode(&in)
		})
	}, func() (string, any, any) { return workflows.FleetID(in), workflows.PublishFleet, in }, func() error { return check(in) })
}

// check is called with what the flags have made of the input.
func check(in interface{ Validate() error }) error { return in.Validate() }

// starter returns a command that starts a workflow, unless that runs or is done
// already, and follows it to its end.
func starter(synopsis string, define func(*flag.FlagSet), job func() (id string, workflow, in any), check func() error) *cli.Command {
	var detach, again bool
	return remote(synopsis+" [-detach]", func(flags *flag.FlagSet) {
		define(flags)
		flags.BoolVar(&detach, "detach", false, "do not wait for the end")
		flags.BoolVar(&again, "again", false, "do it again although it was done")
	}, check, func(ctx context.Context, f *fleet) error {
		id, workflow, in := job()
		run, err := f.start(ctx, id, workflow, in, again)
		if err != nil {
			return err
		}
		f.out.Emit(cli.Event{Event: cli.Started, IDs: cli.IDs{"workflowId": id, "runId": run.GetRunID()}}, "%s", id)
		if detach {
			return nil
		}
		err = f.follow(ctx, run)
		if ctx.Err() != nil {
			return cli.WithCode(fmt.Errorf("interrupted; %s goes on: see fleet status -id %s", id, id), cli.Interrupted)
		}
		return err
	})
}

// start starts a workflow. Of one that runs, or that is done unless again is
// set, it returns that run.
func (f *fleet) start(ctx context.Context, id string, workflow, in any, again bool) (client.WorkflowRun, error) {
	reuse := workflows.ReusePolicy
	if again {
		reuse = enums.WORKFLOW_ID_REUSE_POLICY_ALLOW_DUPLICATE
	}
	return f.client.ExecuteWorkflow(ctx, client.StartWorkflowOptions{
		ID: id, TaskQueue: workflows.ControlQueue, WorkflowIDReusePolicy: reuse,
		WorkflowIDConflictPolicy: enums.WORKFLOW_ID_CONFLICT_POLICY_USE_EXISTING,
	}, workflow, in)
}

// follow prints what changes until the workflow ends, and returns its error.
func (f *fleet) follow(ctx context.Context, run client.WorkflowRun) error {
	ended := make(chan error, 1)
	go func() { ended <- run.Get(ctx, nil) }()
	ticker := time.NewTicker(time.Second)
	defer ticker.Stop()
	for {
		select {
		case err := <-ended:
			job, lookErr := f.look(context.WithoutCancel(ctx), run.GetID(), run.GetRunID())
			if ctx.Err() == nil && lookErr == nil {
				f.show(cli.Result, job)
			}
			return errors.Join(err, lookErr)
		case <-ticker.C:
			if job, err := f.look(ctx, run.GetID(), run.GetRunID()); err == nil { // else the next time
				f.show(cli.Status, job)
			}
		}
	}
}
