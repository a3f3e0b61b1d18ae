// Command image-copy copies a machine image to tenants in other regions of
// NTT's SDPF / Enterprise Cloud 2.0, all at once, and follows the copies. With
// -job it shows one copy, and with -watch follows it.
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
	"slices"
	"strings"

	"github.com/imagejobs/imagejobs-go/examples/internal/cli"
	"github.com/imagejobs/imagejobs-go/imagereplicator"
	"github.com/imagejobs/imagejobs-go/imagereplicator/imagereplicatortest"
	"github.com/imagejobs/imagejobs-go/imagereplicator/keystone"
)

func main() { cli.Main(run) }

type program struct {
	image, job          string
	tenants             []string
	cancel, watch, json bool
	endpoint, token     string
	login               string // where to log in

	stdout io.Writer
	client *imagereplicator.Client
	out    cli.Output
	bars   *cli.Bars
}

func run(ctx context.Context, args []string, stdout, stderr io.Writer) error {
	p := &program{
		stdout:   stdout,
		endpoint: os.Getenv("IMAGE_REPLICATOR_ENDPOINT"),
		token:    os.Getenv("IMAGE_REPLICATOR_TOKEN"),
		login:    cmp.Or(os.Getenv("OS_AUTH_URL"), os.Getenv("OS_CLOUD")),
	}
	if err := p.parse(args, stderr); err != nil {
		return err
	}
	p.bars = cli.NewBars(stdout, p.json)
	defer p.bars.Wait()
	p.out = cli.Output{W: p.bars, JSON: p.json}
	if p.json {
		p.out.W = stdout
	}
	if p.builtIn() {
		server := imagereplicatortest.NewServer() //nolint:contextcheck // it lives until Close
		defer server.Close()
		p.client = server.Client()
		p.out.Line("no endpoint given: using the built-in service at %s", server.URL)
	} else if err := p.connect(ctx); err != nil {
		return err
	}
	if p.job != "" {
		return p.show(ctx)
	}
	return p.copyAll(ctx)
}

func (p *program) builtIn() bool { return p.endpoint == "" && p.login == "" }

func (p *program) parse(args []string, stderr io.Writer) error {
	flags := flag.NewFlagSet("image-copy", flag.ContinueOnError)
	to := ""
	flags.StringVar(&p.image, "image", "", "id of the image to copy")
	flags.StringVar(&to, "to", "", "tenants to copy to, separated by commas; each belongs to one region")
	flags.BoolVar(&p.cancel, "cancel-on-interrupt", false, "cancel the copies on Ctrl-C; otherwise they go on")
	flags.StringVar(&p.job, "job", "", "show this job instead of copying")
	flags.BoolVar(&p.watch, "watch", false, "with -job: follow it until it has ended")
	flags.BoolVar(&p.json, "json", false, "print one JSON object a line")
	flags.Usage = func() {
		_, _ = fmt.Fprint(stderr, "image-copy -image ID -to TENANT[,TENANT…] | -job ID [-watch]\n\n"+
			"Logs in with OS_AUTH_URL, OS_USERNAME, OS_PASSWORD, OS_PROJECT_ID and OS_REGION_NAME,\n"+
			"or with the cloud OS_CLOUD of clouds.yaml, or uses IMAGE_REPLICATOR_ENDPOINT and IMAGE_REPLICATOR_TOKEN.\n\n")
		flags.PrintDefaults()
	}
	if err := cli.Parse(flags, args, stderr); err != nil {
		return err
	}
	for tenant := range strings.SplitSeq(to, ",") {
		if tenant = strings.TrimSpace(tenant); tenant != "" && !slices.Contains(p.tenants, tenant) {
			p.tenants = append(p.tenants, tenant)
		}
	}
	switch {
	case p.job != "" && (p.image != "" || len(p.tenants) > 0):
		return errors.New("-job goes without -image and -to")
	case p.watch && p.job == "":
		return errors.New("-watch goes with -job")
	case p.endpoint != "" && p.token == "":
		return errors.New("set IMAGE_REPLICATOR_TOKEN beside IMAGE_REPLICATOR_ENDPOINT")
	case p.job != "" || p.image != "" && len(p.tenants) > 0:
		return nil
	case !p.builtIn():
		return errors.New("-image and -to are required with an endpoint")
	}
	if p.image == "" {
		p.image = imagereplicatortest.ImageID
	}
	if len(p.tenants) == 0 {
		p.tenants = []string{imagereplicatortest.DestinationTenantID, imagereplicatortest.ThirdTenantID, imagereplicatortest.FourthTenantID}
	}
	return nil
}

func (p *program) connect(ctx context.Context) (err error) {
	const application = "imagejobs-example/1"
	if p.endpoint != "" {
		p.client, err = imagereplicator.New(p.endpoint, imagereplicator.StaticToken(p.token), imagereplicator.WithUserAgent(application))
		return err
	}
	options, err := keystone.FromEnv()
	if err != nil {
		return err
	}
	options.UserAgent = application
	p.out.Line("logging in")
	session, err := keystone.New(ctx, options)
	if err != nil {
		return err
	}
	p.client, err = session.Client()
	return err
}

// show shows one job, once or until it has ended.
func (p *program) show(ctx context.Context) error {
	if !p.watch {
		job, err := p.client.Jobs.Get(ctx, p.job)
		if err != nil {
			return err
		}
		p.line(job)
		return nil
	}
	for job, err := range p.client.Jobs.Watch(ctx, p.job) {
		if err != nil {
			return err
		}
		p.line(job)
	}
	return nil
}

func (p *program) line(job *imagereplicator.Job) {
	p.out.Event(job)
	p.out.Line("%s %s %3d%%: %s (%s) from %s to %s, tenant %s, image %s", job.ID, job.Status, job.CopyProgress,
		job.SourceImageName, job.SourceImageID, job.SourceRegionID, job.DestinationRegionID, job.DestinationTenantID, orDash(job.DestinationImageID))
}
