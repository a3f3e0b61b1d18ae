// Command image-copy copies a machine image to tenants in other regions of NTT's
// SDPF / Enterprise Cloud 2.0, all at once, and follows the copies. With -job it
// shows one copy, and with -watch follows it.
//
// If nothing names the real service it runs against a built-in one.
package main

import (
	"cmp"
	"context"
	"flag"
	"io"
	"slices"
	"strings"

	"github.com/imagejobs/imagejobs-go/examples/internal/cli"
	"github.com/imagejobs/imagejobs-go/imagereplicator"
	"github.com/imagejobs/imagejobs-go/imagereplicator/imagereplicatortest"
)

func main() { cli.Main(run) }

type program struct {
	image, to, job string
	tenants        []string
	cancel, watch  bool

	out    *cli.Output
	client *imagereplicator.Client
}

func run(ctx context.Context, args []string, stdout, stderr io.Writer) int {
	p := &program{}
	command := &cli.Command{
		Name:      "image-copy",
		About:     "Copies a machine image to tenants in other regions of NTT's SDPF / Enterprise Cloud, or shows a copy.",
		Synopsis:  "-image ID -to TENANT[,TENANT…]\n-job ID [-watch]",
		Help:      help,
		Service:   "imagereplicator",
		Operation: "copy",
		Variables: variables(),
		Flags:     []string{"image", "to", "job"},
		Pipeline:  true,
		Define:    p.define,
		Fields: map[string]string{
			"CreateJobRequest.ImageID":             "-image",
			"CreateJobRequest.DestinationTenantID": "-to",
			"Jobs.Get: jobID":                      "-job",
		},
		Classify: classify,
		Do:       p.do,
	}
	return command.Run(ctx, args, stdout, stderr)
}

func (p *program) define(flags *flag.FlagSet) {
	flags.StringVar(&p.image, "image", "", "image to copy")
	flags.StringVar(&p.to, "to", "", "tenants to copy to, separated by commas; each belongs to one region")
	flags.BoolVar(&p.cancel, "cancel-on-interrupt", false, "cancel the copies on Ctrl-C; without it they continue")
	flags.StringVar(&p.job, "job", "", "show this job and copy nothing")
	flags.BoolVar(&p.watch, "watch", false, "with -job: follow it until it has ended")
}

func (p *program) do(ctx context.Context, out *cli.Output) error {
	p.out = out
	if err := p.complete(); err != nil {
		return err
	}
	client, stop, err := open(ctx, out)
	if err != nil {
		return err
	}
	defer stop()
	p.client = client
	switch {
	case out.Check:
		return p.check(ctx)
	case p.job != "":
		return p.show(ctx)
	default:
		return p.copyAll(ctx)
	}
}

// complete finds what is wrong before the login, and fills in what the built-in
// service knows.
func (p *program) complete() error {
	for tenant := range strings.SplitSeq(p.to, ",") {
		if tenant = strings.TrimSpace(tenant); tenant != "" && !slices.Contains(p.tenants, tenant) {
			p.tenants = append(p.tenants, tenant)
		}
	}
	if p.out.Demo && p.job == "" {
		p.image = cmp.Or(p.image, imagereplicatortest.ImageID)
		if len(p.tenants) == 0 {
			p.tenants = []string{
				imagereplicatortest.DestinationTenantID, imagereplicatortest.ThirdTenantID, imagereplicatortest.FourthTenantID,
			}
		}
	}
	switch {
	case p.job != "" && (p.image != "" || len(p.tenants) > 0):
		return cli.UsageError("-job must not be set together with -image or -to")
	case p.watch && p.job == "":
		return cli.UsageError("-watch requires -job")
	case p.job == "" && p.image == "":
		return cli.UsageError("-image must not be empty")
	case p.job == "" && len(p.tenants) == 0:
		return cli.UsageError("-to must not be empty")
	}
	return nil
}

// check finds out whether the tokens are accepted.
func (p *program) check(ctx context.Context) error {
	if _, err := p.client.Jobs.List(ctx); err != nil {
		return err
	}
	p.out.Emit(cli.Event{Event: cli.Result}, "checked: arguments and credentials; nothing was copied")
	return nil
}

// show shows one job, once or until it has ended.
func (p *program) show(ctx context.Context) error {
	if !p.watch {
		job, err := p.client.Jobs.Get(ctx, p.job)
		if err != nil {
			return err
		}
		return p.print(cli.Result, job)
	}
	var last *imagereplicator.Job
	for job, err := range p.client.Jobs.Watch(ctx, p.job) {
		if err != nil {
			return err
		}
		if err := p.print(cli.Status, job); err != nil {
			return err
		}
		last = job
	}
	return p.print(cli.Result, last)
}

func (p *program) print(event string, job *imagereplicator.Job) error {
	ids := cli.IDs{"jobId": job.ID, "imageId": job.DestinationImageID}
	p.out.Event(cli.Event{
		Event: event, IDs: ids, State: string(job.Status), Detail: job, Progress: &cli.Progress{Percent: job.CopyProgress},
	})
	p.out.Changed("job", "%s\n  %s, %d%%\n  from %s: image %s (%s)\n  to %s: tenant %s, image %s",
		job.ID, job.Status, job.CopyProgress, job.SourceRegionID, job.SourceImageID, job.SourceImageName,
		job.DestinationRegionID, job.DestinationTenantID, orDash(job.DestinationImageID))
	return p.out.Keep(ids, string(job.Status))
}
