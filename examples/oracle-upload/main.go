// Command oracle-upload uploads a machine image to the Oracle Cloud Marketplace
// in chunks, resumes what an earlier run began, and follows the image until it
// is Completed.
//
// If nothing names the real service it runs against a built-in one, with an
// image that it makes up.
package main

import (
	"cmp"
	"context"
	"flag"
	"io"
	"path/filepath"
	"time"

	"github.com/imagejobs/imagejobs-go/examples/internal/cli"
	"github.com/imagejobs/imagejobs-go/examples/internal/oracle"
	"github.com/imagejobs/imagejobs-go/oraclemarket"
)

func main() { cli.Main(run) }

type program struct {
	file, application, version, os string
	overwrite                      *bool
	whole                          bool
	chunkSize                      cli.Size
	concurrency                    int
	checkpointDir                  string
	restart, noWait                bool

	out    *cli.Output
	client *oraclemarket.Client
	image  *image
	shown  *oracle.Upload
}

func run(ctx context.Context, args []string, stdout, stderr io.Writer) int {
	p := &program{}
	command := &cli.Command{
		Name:      "oracle-upload",
		Synopsis:  "-file FILE -application NAME -image-version VERSION -os SYSTEM",
		Help:      oracle.Help,
		Service:   oracle.Name,
		Operation: "upload",
		Variables: oracle.Variables(),
		Flags:     []string{"file", "application", "image-version", "os"},
		Pipeline:  true,
		Define:    p.define,
		Fields: map[string]string{
			"ImageUpload.Application":     "-application",
			"ImageUpload.Version":         "-image-version",
			"ImageUpload.OperatingSystem": "-os",
			"ImageUpload.FileName":        "-file",
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
	flags.StringVar(&p.file, "file", "", "image to upload")
	flags.StringVar(&p.application, "application", "", "name of the image")
	flags.StringVar(&p.version, "image-version", "", "version of the image")
	flags.StringVar(&p.os, "os", "", "operating system of the image")
	oracle.OverwriteFlag(flags, &p.overwrite)
	flags.BoolVar(&p.whole, "whole", false, "upload in one request, which cannot be resumed")
	flags.Var(&p.chunkSize, "chunk-size", "`size` of a chunk; without it, 16 to 64 MiB as fits the file")
	flags.IntVar(&p.concurrency, "concurrency", 0, "chunks in flight; without it, up to 4 as the line carries them")
	flags.StringVar(&p.checkpointDir, "checkpoint-dir", ".imagejobs", "folder for the state of interrupted uploads")
	flags.BoolVar(&p.restart, "restart", false, "discard what an interrupted upload left, and start over")
	flags.BoolVar(&p.noWait, "no-wait", false, "end when the image is received, not when it is Completed")
}

func (p *program) do(ctx context.Context, out *cli.Output) (err error) {
	p.out, p.shown = out, &oracle.Upload{Out: out}
	if out.Demo {
		p.application = cmp.Or(p.application, "sample-image")
		p.version = cmp.Or(p.version, "1.0")
		p.os = cmp.Or(p.os, "Linux")
	}
	if p.image, err = openImage(p.file, out.Demo); err != nil {
		return err
	}
	defer p.image.close()
	if p.checkpointDir == "" {
		return cli.UsageError("-checkpoint-dir must not be empty")
	}
	if err := p.request().Validate(); err != nil {
		return err
	}
	client, stop, err := oracle.Open(out)
	if err != nil {
		return err
	}
	defer stop()
	p.client = client
	if out.Check {
		return p.check(ctx)
	}
	if p.file == "" {
		out.Line("no -file: the image is a sample of %s", cli.FormatSize(sampleSize))
	}

	began := time.Now()
	hashing, stopHashing := context.WithCancel(ctx)
	defer stopHashing()
	sum := p.image.startMD5(hashing)
	done, err := p.upload(ctx)
	if err != nil {
		return p.explain(ctx, err)
	}
	md5, err := sum()
	if err != nil {
		return err
	}
	took := time.Since(began)
	out.Finish()
	out.Emit(cli.Event{
		Event: cli.Result, IDs: p.shown.IDs(), State: string(done.StatusName), Detail: done,
		Progress: cli.BytesProgress(p.image.size, p.image.size, 0, 0), Checksum: md5, Seconds: took.Seconds(),
	}, "%s: %s, %d bytes, in %s\n  MD5 %s", done.StatusName, filepath.Base(p.image.name), p.image.size, took.Round(time.Millisecond), md5)
	return p.out.Keep(p.shown.IDs(), string(done.StatusName))
}

// check finds out whether the credentials are accepted.
func (p *program) check(ctx context.Context) error {
	if _, err := p.client.MachineImages.List(ctx, &oraclemarket.ListMachineImagesOptions{Limit: 1}); err != nil {
		return err
	}
	p.out.Emit(cli.Event{Event: cli.Result}, "checked: arguments, %s of %s, and credentials; nothing was uploaded",
		filepath.Base(p.image.name), cli.FormatSize(p.image.size))
	return nil
}
