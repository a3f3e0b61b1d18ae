package main

import (
	"context"
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"os"
	"strings"

	"go.temporal.io/api/enums/v1"
	"go.temporal.io/api/serviceerror"
	"go.temporal.io/sdk/client"

	"github.com/imagejobs/imagejobs-go/examples/fleet/workflows"
	"github.com/imagejobs/imagejobs-go/examples/internal/cli"
)

// input is that of a workflow.
type input interface{ Validate() error }

// workflowOf returns the id and the name of the workflow that takes an input.
// The id is what the workflow makes.
func workflowOf(in input) (id, name string) {
	switch in := in.(type) {
	case *workflows.UploadImageInput:
		return workflows.UploadID(*in), "UploadImage"
	case *workflows.CopyImageInput:
		return workflows.CopyID(*in), "CopyImage"
	case *workflows.ReleaseImageInput:
		return workflows.ReleaseID(*in), "ReleaseImage"
	case *workflows.PublishFleetInput:
		return workflows.FleetID(*in), "PublishFleet"
	default:
		panic(fmt.Sprintf("no workflow takes a %T", in))
	}
}

// inputType is the Go name of what -input reads.
const inputType = "PublishFleetInput"

// flagOf has the flag of each Go name in errors about inputs.
var flagOf = map[string]string{
	"Application": "-application", "Version": "-version", "OperatingSystem": "-os", "Source": "-source", "FileName": "-file-name",
	"ChunkSize": "-chunk-size", "Concurrency": "-concurrency", "Parts": "-parts",
	"ImageID": "-image", "TenantIDs": "-tenants", "DestinationTenantID": "-tenants",
	"MachineID": "-machine", "Description": "-description", "GameBuild": "-build", inputType: "-input",
}

func uploadCommand(p *program) *cli.Command {
	var in workflows.UploadImageInput
	return p.starter(&in, "-application A -version V -os OS -source FILE|URL", func(flags *flag.FlagSet) {
		flags.StringVar(&in.Application, "application", "", "the application's `name`")
		flags.StringVar(&in.Version, "version", "", "its version")
		flags.StringVar(&in.OperatingSystem, "os", "", "operating system")
		flags.StringVar(&in.Source, "source", "", "`path` of the image where the workers run, best from the root, or URL")
		flags.StringVar(&in.FileName, "file-name", "", "the image's file name, if not that of the source")
		flags.Var((*cli.Size)(&in.ChunkSize), "chunk-size", "`size` of a chunk; without it, 16 to 64 MiB as fits the image")
		flags.IntVar(&in.Concurrency, "concurrency", 0, "chunks at once, per worker")
		flags.IntVar(&in.Parts, "parts", 0, "upload as many parts in parallel, on as many workers")
	})
}

func copyCommand(p *program) *cli.Command {
	var in workflows.CopyImageInput
	return p.starter(&in, "-image ID -tenants ID,ID…", func(flags *flag.FlagSet) {
		flags.StringVar(&in.ImageID, "image", "", "`id` of the image, a UUID")
		flags.Func("tenants", "`ids` of the tenants to copy to", func(s string) error {
			in.TenantIDs = strings.Split(s, ",")
			return nil
		})
		flags.BoolVar(&in.CancelOnFailure, "cancel-on-failure", false, "cancel the other copies once one has failed")
	})
}

func releaseCommand(p *program) *cli.Command {
	var in workflows.ReleaseImageInput
	return p.starter(&in, "-image N -machine N -description TEXT", func(flags *flag.FlagSet) {
		flags.Int64Var(&in.ImageID, "image", 0, "`id` of the image")
		flags.Int64Var(&in.MachineID, "machine", 0, "`id` of the build machine")
		flags.StringVar(&in.Description, "description", "", "what changes")
		flags.StringVar(&in.GameBuild, "build", "", "the game's build")
		flags.StringVar(&in.Source, "source", "", "files from the workers' MULTIPLAY_SOURCE_URL_`name`")
		flags.BoolVar(&in.Restart, "restart", false, "restart servers that are not empty")
		flags.BoolVar(&in.Approve, "approve", false, "release without asking: fleet approve is not needed")
	})
}

func publishCommand(p *program) *cli.Command {
	var in workflows.PublishFleetInput
	return p.starter(&in, "-input FILE", func(flags *flag.FlagSet) {
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
	})
}

// starter returns a command that starts a workflow, unless that runs or is done
// already, and follows it to its end.
func (p *program) starter(in input, synopsis string, define func(*flag.FlagSet)) *cli.Command {
	var detach, again bool
	command := p.remote(synopsis+" [-detach]", func(flags *flag.FlagSet) {
		define(flags)
		flags.BoolVar(&detach, "detach", false, "do not wait for the end")
		flags.BoolVar(&again, "again", false, "do it again although it was done")
	}, in.Validate, func(ctx context.Context) error {
		run, err := p.start(ctx, in, again)
		if err != nil {
			return err
		}
		ids := cli.IDs{"workflowId": run.GetID(), "runId": run.GetRunID()}
		p.out.Emit(cli.Event{Event: cli.Started, IDs: ids}, "%s", run.GetID())
		if detach {
			return nil
		}
		return p.follow(ctx, run)
	})
	command.Fields = flagOf
	return command
}

// start starts a workflow. Of one that runs, or that is done unless again is
// set, it returns that run.
func (p *program) start(ctx context.Context, in input, again bool) (client.WorkflowRun, error) {
	reuse := workflows.ReusePolicy
	if again {
		reuse = enums.WORKFLOW_ID_REUSE_POLICY_ALLOW_DUPLICATE
	}
	id, name := workflowOf(in)
	run, err := p.client.ExecuteWorkflow(ctx, client.StartWorkflowOptions{
		ID: id, TaskQueue: workflows.ControlQueue, WorkflowIDReusePolicy: reuse,
		WorkflowIDConflictPolicy: enums.WORKFLOW_ID_CONFLICT_POLICY_USE_EXISTING, WorkflowExecutionErrorWhenAlreadyStarted: true,
	}, name, in)
	if done, ok := errors.AsType[*serviceerror.WorkflowExecutionAlreadyStarted](err); ok {
		p.out.Line("it is done already; -again does it again")
		return p.client.GetWorkflow(ctx, id, done.RunId), nil
	}
	return run, err
}
