// Command multiplay-release brings a build to the game servers: it updates an
// image, makes a diff and a version of it, and waits for the rollout. Ctrl-C
// stops it and prints how to resume.
//
// If nothing names the real service it runs against a built-in one.
package main

import (
	"cmp"
	"context"
	"errors"
	"flag"
	"io"
	"os"

	"github.com/imagejobs/imagejobs-go/examples/internal/clanforge"
	"github.com/imagejobs/imagejobs-go/examples/internal/cli"
	"github.com/imagejobs/imagejobs-go/multiplay"
	"github.com/imagejobs/imagejobs-go/multiplay/multiplaytest"
)

func main() { cli.Main(run) }

const sourceVariable = "MULTIPLAY_SOURCE_URL"

type program struct {
	req       multiplay.ReleaseRequest
	sourceURL string

	out    *cli.Output
	client *multiplay.Client
	flags  *flag.FlagSet
	bars   map[multiplay.ReleaseStep]*cli.Bar
}

func run(ctx context.Context, args []string, stdout, stderr io.Writer) int {
	p := &program{bars: map[multiplay.ReleaseStep]*cli.Bar{}}
	command := &cli.Command{
		Name:     "multiplay-release",
		About:    "Releases a game server image on Multiplay Clanforge, and resumes an interrupted release.",
		Synopsis: "-image ID -machine ID -description TEXT\n-image ID -machine ID -update ID [-diff ID [-version ID]]",
		Help: clanforge.Help + `  MULTIPLAY_SOURCE_URL          where the files are, as in
                                s3://key:secret@bucket/folder/, its credentials
                                percent-encoded; without it the image's own
`,
		Service:   clanforge.Name,
		Operation: "release",
		Variables: append(clanforge.Variables(), sourceVariable),
		Flags:     []string{"image", "game", "machine", "source-url", "update", "diff", "version"},
		Pipeline:  true,
		Define:    p.define,
		Fields: map[string]string{
			"ReleaseRequest.ImageID":               "-image",
			"ReleaseRequest.GameID":                "-game",
			"ReleaseRequest.MachineID":             "-machine",
			"ReleaseRequest.Description":           "-description",
			"ReleaseRequest.Retries":               "-retries",
			"ReleaseRequest.Resume.UpdateID":       "-update",
			"ReleaseRequest.Resume.DiffID":         "-diff",
			"ReleaseRequest.Resume.ImageVersionID": "-version",
		},
		Classify: clanforge.Classify,
		Do:       p.do,
	}
	return command.Run(ctx, args, stdout, stderr)
}

func (p *program) define(flags *flag.FlagSet) {
	p.flags = flags
	flags.Int64Var(&p.req.ImageID, "image", 0, "game image")
	flags.Int64Var(&p.req.GameID, "game", 0, "game of the image; with it, jobs are found even if the response to their creation was lost")
	flags.Int64Var(&p.req.MachineID, "machine", 0, "build machine that fetches the files")
	flags.StringVar(&p.sourceURL, "source-url", "", "where the files are; better in "+sourceVariable+",\nbecause others can see the arguments")
	flags.StringVar(&p.req.Description, "description", "", "what this update is, for people")
	flags.BoolVar(&p.req.Restart, "restart", false, "stop the servers, install and start them again")
	flags.BoolVar(&p.req.Full, "full", false, "make a full version, which an empty diff gets in any case")
	flags.BoolVar(&p.req.Force, "force", false, "release even if servers are allocated")
	flags.BoolVar(&p.req.RejectLocking, "reject-locking", false, "reject an outstanding diff that locks the image")
	flags.IntVar(&p.req.Retries, "retries", 0, "how many times a failed update, and a failed diff, is run again")
	flags.Int64Var(&p.req.Resume.UpdateID, "update", 0, "resume at this image update")
	flags.Int64Var(&p.req.Resume.DiffID, "diff", 0, "resume at this image diff")
	flags.Int64Var(&p.req.Resume.ImageVersionID, "version", 0, "resume at this image version")
}

func (p *program) do(ctx context.Context, out *cli.Output) (err error) {
	p.out = out
	p.req.OnEvent = p.event
	if err := p.complete(); err != nil {
		return err
	}
	if err := p.req.Validate(); err != nil {
		return err
	}
	client, stop, err := clanforge.Open(out)
	if err != nil {
		return err
	}
	defer stop()
	p.client = client
	if out.Check {
		return p.check(ctx)
	}
	out.Line("releasing image %d", p.req.ImageID)
	result, err := client.Release(ctx, &p.req)
	out.Finish()
	if stopped, ok := errors.AsType[*multiplay.ReleaseError](err); ok {
		p.stopped(stopped)
	}
	if err != nil {
		return err
	}
	ids := idsOf(result.ReleaseIDs)
	out.Emit(cli.Event{Event: cli.Result, IDs: ids, Detail: result},
		"released version %d of image %d to %d machines", result.ImageVersionID, p.req.ImageID, result.Rollout.Completed)
	return out.Keep(ids, "released")
}

// complete fills in the source and, for the built-in service, what it knows.
func (p *program) complete() (err error) {
	name := "-source-url"
	if p.sourceURL == "" && !p.out.Demo {
		name, p.sourceURL = sourceVariable, os.Getenv(sourceVariable)
	}
	if p.out.Demo {
		p.req.ImageID = cmp.Or(p.req.ImageID, multiplaytest.ImageID)
		p.req.MachineID = cmp.Or(p.req.MachineID, multiplaytest.MachineID)
		p.req.Description = cmp.Or(p.req.Description, "sample build")
		p.sourceURL = cmp.Or(p.sourceURL, "steam://anonymous:@install/740/")
	}
	if p.sourceURL == "" {
		return nil
	}
	p.req.Source, err = multiplay.ParseSourceURL(p.sourceURL)
	if wrong, ok := errors.AsType[*multiplay.ArgumentError](err); ok {
		return cli.UsageError("%s %s", name, wrong.Problem)
	}
	return err
}

func idsOf(ids multiplay.ReleaseIDs) cli.IDs {
	all := cli.IDs{}
	for name, id := range map[string]int64{"updateId": ids.UpdateID, "diffId": ids.DiffID, "imageVersionId": ids.ImageVersionID} {
		if id != 0 {
			all[name] = id
		}
	}
	return all
}
