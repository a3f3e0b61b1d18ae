// Command multiplay-release brings a build to the game servers: it updates an
// image, makes a diff and a version of it, and waits for the rollout. Ctrl-C
// stops it and says how to go on.
//
// With no endpoint it runs against a built-in service.
package main

import (
	"cmp"
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"os"

	"github.com/imagejobs/imagejobs-go/examples/internal/clanforge"
	"github.com/imagejobs/imagejobs-go/examples/internal/cli"
	"github.com/imagejobs/imagejobs-go/multiplay"
	"github.com/imagejobs/imagejobs-go/multiplay/multiplaytest"
)

func main() { cli.Main(run) }

func run(ctx context.Context, args []string, stdout, stderr io.Writer) error {
	var req multiplay.ReleaseRequest
	flags := flag.NewFlagSet("multiplay-release", flag.ContinueOnError)
	flags.Int64Var(&req.ImageID, "image", 0, "id of the game image")
	flags.Int64Var(&req.MachineID, "machine", 0, "id of the build machine that fetches the files")
	sourceURL := flags.String("source-url", "", "where the files are, as in s3://key:secret@bucket/folder/, its credentials percent-encoded;\n"+
		"better in MULTIPLAY_SOURCE_URL, because others can see the arguments; none uses the image's own")
	flags.StringVar(&req.Description, "description", "", "what this update is, for people")
	flags.BoolVar(&req.Restart, "restart", false, "stop the servers, install and start them again")
	flags.BoolVar(&req.Full, "full", false, "make a full version, which an empty diff gets in any case")
	flags.BoolVar(&req.Force, "force", false, "go on while servers are allocated")
	flags.BoolVar(&req.RejectLocking, "reject-locking", false, "reject an outstanding diff that locks the image")
	flags.IntVar(&req.Retries, "retries", 0, "how often a failed update and a failed diff are run again")
	flags.Int64Var(&req.Resume.UpdateID, "update", 0, "go on with this image update")
	flags.Int64Var(&req.Resume.DiffID, "diff", 0, "go on with this image diff")
	flags.Int64Var(&req.Resume.ImageVersionID, "version", 0, "go on with this image version")
	asJSON := flags.Bool("json", false, "print one JSON object a line")
	flags.Usage = func() {
		_, _ = fmt.Fprint(stderr, "multiplay-release -image ID -machine ID -description TEXT\n\n")
		flags.PrintDefaults()
		_, _ = fmt.Fprint(stderr, clanforge.Usage)
	}
	if err := cli.Parse(flags, args, stderr); err != nil {
		return err
	}

	p := &printer{flags: flags, bars: cli.NewBars(stdout, *asJSON), steps: map[multiplay.ReleaseStep]*cli.Bar{}}
	defer p.bars.Wait()
	p.out = cli.Output{W: p.bars, JSON: *asJSON}
	if *asJSON {
		p.out.W = stdout
	}
	service, err := clanforge.Open(p.out)
	if err != nil {
		return err
	}
	defer service.Close()
	*sourceURL = cmp.Or(*sourceURL, os.Getenv("MULTIPLAY_SOURCE_URL"))
	switch {
	case service.BuiltIn != nil:
		sample(&req, sourceURL)
	case req.ImageID == 0:
		return errors.New("-image is required with an endpoint")
	case req.MachineID == 0:
		return errors.New("-machine is required with an endpoint")
	}
	if *sourceURL != "" {
		if req.Source, err = multiplay.ParseSourceURL(*sourceURL); err != nil {
			return err
		}
	}

	req.OnEvent = p.event
	p.out.Line("releasing image %d", req.ImageID)
	result, err := service.Client.Release(ctx, &req)
	if stopped, ok := errors.AsType[*multiplay.ReleaseError](err); ok {
		p.stopped(&req, stopped)
	}
	if err != nil {
		return err
	}
	p.out.Event(result)
	p.out.Line("released version %d of image %d to %d machines", result.ImageVersionID, req.ImageID, result.Rollout.Completed)
	return nil
}

// sample fills in what the built-in service knows.
func sample(req *multiplay.ReleaseRequest, sourceURL *string) {
	req.ImageID = cmp.Or(req.ImageID, multiplaytest.ImageID)
	req.MachineID = cmp.Or(req.MachineID, multiplaytest.MachineID)
	req.Description = cmp.Or(req.Description, "sample build")
	*sourceURL = cmp.Or(*sourceURL, "steam://anonymous:@install/740/")
}

// printer shows a release: a bar for each step, or JSON.
type printer struct {
	flags *flag.FlagSet
	out   cli.Output
	bars  *cli.Bars
	steps map[multiplay.ReleaseStep]*cli.Bar
}

func (p *printer) event(e multiplay.ReleaseEvent) {
	p.out.Event(e)
	if e.RejectedDiffID != 0 {
		p.out.Line("rejected diff %d, which locked the image", e.RejectedDiffID)
		return
	}
	bar := p.steps[e.Step]
	if bar == nil {
		bar = p.bars.Percent(fmt.Sprintf("%-7s", e.Step))
		p.steps[e.Step] = bar
	}
	if r := e.Rollout; r != nil {
		all := r.Pending + r.Failed + r.Completed
		bar.Set((all-r.Pending)*100/max(all, 1), fmt.Sprintf("%d of %d machines", r.Completed, all), 0)
		return
	}
	text := fmt.Sprintf("%s (%d)", e.Job.State, map[multiplay.ReleaseStep]int64{
		multiplay.StepUpdate: e.UpdateID, multiplay.StepDiff: e.DiffID, multiplay.StepVersion: e.ImageVersionID,
	}[e.Step])
	if e.Retry > 0 {
		text += fmt.Sprintf(", retry %d", e.Retry)
	}
	if e.Job.Error != "" {
		text += ": " + e.Job.Error
	}
	bar.Set(e.Job.Progress, text, 0)
}

// stopped says how to go on. The source is not needed any more once there is
// an update, so that no secret has to be repeated.
func (p *printer) stopped(req *multiplay.ReleaseRequest, stopped *multiplay.ReleaseError) {
	p.out.Event(struct {
		Stopped multiplay.ReleaseStep `json:"stopped"`
		multiplay.ReleaseIDs
		Error string `json:"error"`
	}{stopped.Step, stopped.ReleaseIDs, stopped.Err.Error()})
	if errors.Is(stopped, multiplay.ErrAmbiguous) {
		p.out.Line("it is not known whether the service carried out the last call: look before going on")
	}
	if stopped.ReleaseIDs == (multiplay.ReleaseIDs{}) {
		p.out.Line("stopped before there was an update")
		return
	}
	line := fmt.Sprintf("to go on: multiplay-release -image %d -machine %d -update %d -diff %d -version %d",
		req.ImageID, req.MachineID, stopped.UpdateID, stopped.DiffID, stopped.ImageVersionID)
	p.flags.Visit(func(f *flag.Flag) {
		switch f.Name {
		case "restart", "full", "force", "reject-locking", "retries":
			line += fmt.Sprintf(" -%s=%s", f.Name, f.Value)
		}
	})
	p.out.Line("%s", line)
}
