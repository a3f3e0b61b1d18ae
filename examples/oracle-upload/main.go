// Command oracle-upload uploads a machine image to the Oracle Cloud Marketplace
// in chunks, resumes what an earlier run began, and follows the image until it
// is Completed.
//
// If nothing names the real service it runs against a built-in one, with an
// image that it makes up.
package main

import (
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
	file   string
	whole  bool
	upload oracle.Flags

	out    *cli.Output
	client *oraclemarket.Client
	image  *image
	shown  *oracle.Upload
}

func run(ctx context.Context, args []string, stdout, stderr io.Writer) int {
	p := &program{}
	command := &cli.Command{
		Name:      "oracle-upload",
		About:     "Uploads a machine image to the Oracle Cloud Marketplace in chunks, and resumes an interrupted upload.",
		Synopsis:  "-file FILE -application NAME -image-version VERSION -os SYSTEM",
		Help:      oracle.Help,
		Service:   oracle.Name,
		Operation: "upload",
		Variables: oracle.Variables(),
		Flags:     []string{"file", "application", "image-version", "os"},
		Pipeline:  true,
		Define:    p.define,
		Fields:    oracle.Fields("-file"),
		Classify:  oracle.Classify,
		Do:        p.do,
	}
	return command.Run(ctx, args, stdout, stderr)
}

func (p *program) define(flags *flag.FlagSet) {
	flags.StringVar(&p.file, "file", "", "image to upload")
	flags.BoolVar(&p.whole, "whole", false, "upload in one request, which cannot be resumed")
	p.upload.Define(flags)
}

func (p *program) do(ctx context.Context, out *cli.Output) (err error) {
	p.out, p.shown = out, &oracle.Upload{Out: out}
	if err := p.upload.Check(out.Demo); err != nil {
		return err
	}
	if p.image, err = openImage(p.file, out.Demo); err != nil {
		return err
	}
	defer p.image.close()
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
		return oracle.CheckAccount(ctx, out, client, p.request())
	}
	if p.file == "" {
		out.Line("no -file: the image is a sample of %s", cli.FormatSize(sampleSize))
	}

	began := time.Now()
	hashing, stopHashing := context.WithCancel(ctx)
	defer stopHashing()
	sum := p.image.startMD5(hashing)
	done, err := p.send(ctx)
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
