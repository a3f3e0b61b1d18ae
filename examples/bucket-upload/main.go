// Command bucket-upload uploads a machine image to the Oracle Cloud Marketplace
// from where it is stored: from an object of a bucket, or from an http(s) URL.
// The image is not copied to a disk, and an object that changes meanwhile does
// not become an image. An interrupted upload is resumed by the same command.
//
// If nothing names the real service it runs against a built-in one, with a
// bucket in memory.
package main

import (
	"cmp"
	"context"
	"flag"
	"io"
	"os"
	"time"

	"github.com/imagejobs/imagejobs-go/examples/internal/cli"
	"github.com/imagejobs/imagejobs-go/examples/internal/oracle"
	"github.com/imagejobs/imagejobs-go/oraclemarket"
)

func main() { cli.Main(run) }

const urlVariable = "BUCKET_UPLOAD_URL"

type program struct {
	bucket, key, url, name string
	once                   bool
	upload                 oracle.Flags
	minPause               time.Duration // between requests that fail; 0 is the default

	image *image
	shown *oracle.Upload
}

func run(ctx context.Context, args []string, stdout, stderr io.Writer) int {
	return new(program).run(ctx, args, stdout, stderr)
}

func (p *program) run(ctx context.Context, args []string, stdout, stderr io.Writer) int {
	command := &cli.Command{
		Name:  "bucket-upload",
		About: "Uploads a machine image from a bucket or URL to the Oracle Cloud Marketplace, and resumes an interrupted upload.",
		Synopsis: "-bucket URL -key KEY -application NAME -image-version VERSION -os SYSTEM\n" +
			"-url URL -application NAME -image-version VERSION -os SYSTEM",
		Help: oracle.Help + `  BUCKET_UPLOAD_URL                 the value of -url, if nobody is to see it in
                                    the list of processes
`,
		Service:   oracle.Name,
		Operation: "upload",
		Variables: append(oracle.Variables(), urlVariable),
		Flags:     []string{"bucket", "key", "url", "application", "image-version", "os"},
		Pipeline:  true,
		Define:    p.define,
		Fields:    oracle.Fields("-name"),
		Classify:  oracle.Classify,
		Do:        p.do,
	}
	return command.Run(ctx, args, stdout, stderr)
}

func (p *program) define(flags *flag.FlagSet) {
	flags.StringVar(&p.bucket, "bucket", "", "`URL` of a bucket, such as file:///images or s3://images?region=eu-west-1")
	flags.StringVar(&p.key, "key", "", "object in the bucket")
	flags.StringVar(&p.url, "url", "", "http(s) `URL` of the image, in place of -bucket and -key")
	flags.StringVar(&p.name, "name", "", "file name of the image; without it, the last part of the key or URL")
	flags.BoolVar(&p.once, "once", false, "fetch each byte once, not twice, and hold the chunks in flight in memory")
	p.upload.Define(flags)
}

func (p *program) do(ctx context.Context, out *cli.Output) (err error) {
	p.shown = &oracle.Upload{Out: out}
	if err := p.upload.Check(out.Demo); err != nil {
		return err
	}
	p.url = cmp.Or(p.url, os.Getenv(urlVariable))
	if p.image, err = p.openImage(ctx, out.Demo); err != nil {
		return err
	}
	defer p.image.close()
	req := p.request()
	if err := req.Validate(); err != nil {
		return err
	}
	client, stop, err := oracle.Open(out)
	if err != nil {
		return err
	}
	defer stop()
	if out.Check {
		return oracle.CheckAccount(ctx, out, client, req)
	}

	began := time.Now()
	if err := p.upload.Discard(ctx, client, req); err != nil {
		return p.shown.Explain(ctx, err, p.upload.CheckpointDir)
	}
	done, err := client.MachineImages.Upload(ctx, req)
	out.Finish()
	requests, received := p.image.source.Cost()
	if err != nil {
		return p.shown.Explain(ctx, err, p.upload.CheckpointDir)
	}
	took := time.Since(began)
	out.Emit(cli.Event{
		Event: cli.Result, IDs: p.shown.IDs(), State: string(done.StatusName), Detail: done,
		Progress: cli.BytesProgress(req.Size, req.Size, 0, 0), Seconds: took.Seconds(),
	}, "%s: %s, %d bytes, in %s\n  read with %d requests, %s in all",
		done.StatusName, req.FileName, req.Size, took.Round(time.Millisecond), requests, cli.FormatSize(received))
	return out.Keep(p.shown.IDs(), string(done.StatusName))
}

func (p *program) request() *oraclemarket.ImageUpload {
	req := p.upload.Request(p.shown)
	req.FileName, req.File, req.Size = p.image.name, p.image.source, p.image.source.Size()
	if p.once {
		req.File, req.Reader = nil, io.NewSectionReader(p.image.source, 0, req.Size)
	}
	return req
}
