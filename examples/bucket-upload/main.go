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
	bucket, key, url, name   string
	application, version, os string
	chunkSize                cli.Size
	concurrency              int
	once, restart, noWait    bool
	overwrite                *bool
	checkpointDir            string
	minPause                 time.Duration // between requests that fail; 0 is the default

	image *image
	shown *oracle.Upload
}

func run(ctx context.Context, args []string, stdout, stderr io.Writer) int {
	return new(program).run(ctx, args, stdout, stderr)
}

func (p *program) run(ctx context.Context, args []string, stdout, stderr io.Writer) int {
	command := &cli.Command{
		Name: "bucket-upload",
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
		Fields: map[string]string{
			"ImageUpload.Application":     "-application",
			"ImageUpload.Version":         "-image-version",
			"ImageUpload.OperatingSystem": "-os",
			"ImageUpload.FileName":        "-name",
			"ImageUpload.ChunkSize":       "-chunk-size",
			"ImageUpload.Concurrency":     "-concurrency",
			"FileCheckpoints: dir":        "-checkpoint-dir",
		},
		Classify: oracle.Classify,
		Do:       p.do,
	}
	return command.Run(ctx, args, stdout, stderr)
}

func (p *program) define(flags *flag.FlagSet) {
	flags.StringVar(&p.bucket, "bucket", "", "`URL` of a bucket, such as file:///images or s3://images?region=eu-west-1")
	flags.StringVar(&p.key, "key", "", "object in the bucket")
	flags.StringVar(&p.url, "url", "", "http(s) `URL` of the image, in place of -bucket and -key")
	flags.StringVar(&p.name, "name", "", "file name of the image; without it, the last part of the key or URL")
	flags.StringVar(&p.application, "application", "", "name of the image")
	flags.StringVar(&p.version, "image-version", "", "version of the image")
	flags.StringVar(&p.os, "os", "", "operating system of the image")
	oracle.OverwriteFlag(flags, &p.overwrite)
	flags.Var(&p.chunkSize, "chunk-size", "`size` of a chunk; without it, 16 to 64 MiB as fits the image")
	flags.IntVar(&p.concurrency, "concurrency", oraclemarket.DefaultConcurrency, "chunks in flight")
	flags.BoolVar(&p.once, "once", false, "fetch each byte once, not twice, and hold the chunks in flight in memory")
	flags.StringVar(&p.checkpointDir, "checkpoint-dir", ".imagejobs", "folder for the state of interrupted uploads")
	flags.BoolVar(&p.restart, "restart", false, "discard what an interrupted upload left, and start over")
	flags.BoolVar(&p.noWait, "no-wait", false, "end when the image is received, not when it is Completed")
}

func (p *program) do(ctx context.Context, out *cli.Output) (err error) {
	p.shown = &oracle.Upload{Out: out}
	if out.Demo {
		p.application = cmp.Or(p.application, "sample-image")
		p.version = cmp.Or(p.version, "1.0")
		p.os = cmp.Or(p.os, "Linux")
	}
	if p.checkpointDir == "" {
		return cli.UsageError("-checkpoint-dir must not be empty")
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
		if _, err := client.MachineImages.List(ctx, &oraclemarket.ListMachineImagesOptions{Limit: 1}); err != nil {
			return err
		}
		out.Emit(cli.Event{Event: cli.Result}, "checked: arguments, %s of %s, and credentials; nothing was uploaded",
			req.FileName, cli.FormatSize(req.Size))
		return nil
	}

	began := time.Now()
	if p.restart && req.Checkpoints != nil {
		if err := client.MachineImages.DiscardUpload(ctx, req); err != nil {
			return p.shown.Explain(ctx, err, p.checkpointDir)
		}
	}
	done, err := client.MachineImages.Upload(ctx, req)
	out.Finish()
	requests, received := p.image.source.Cost()
	if err != nil {
		return p.shown.Explain(ctx, err, p.checkpointDir)
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
	req := &oraclemarket.ImageUpload{
		Application: p.application, Version: p.version, OperatingSystem: p.os, OverwriteStorageFile: p.overwrite,
		FileName: p.image.name, File: p.image.source, Size: p.image.source.Size(),
		ChunkSize: int64(p.chunkSize), Concurrency: p.concurrency, NoWait: p.noWait,
		Progress: p.shown.Progress, StatusChanged: p.shown.Status,
	}
	if p.once {
		req.File, req.Reader = nil, io.NewSectionReader(p.image.source, 0, req.Size)
	}
	if !p.shown.Out.Demo { // the built-in service forgets all uploads at its end
		req.Checkpoints = oraclemarket.FileCheckpoints(p.checkpointDir)
	}
	return req
}
