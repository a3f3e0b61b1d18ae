// Command oracle-upload uploads a machine image to the Oracle Cloud
// Marketplace in chunks, goes on where an earlier run was interrupted, and
// follows the image until it is Completed.
//
// With no endpoint it runs against a built-in service, and with no file it
// makes one, so that it shows all of it without an account.
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"os"
	"time"

	"github.com/imagejobs/imagejobs-go/examples/internal/cli"
	"github.com/imagejobs/imagejobs-go/examples/internal/oracle"
	"github.com/imagejobs/imagejobs-go/oraclemarket"
	"github.com/imagejobs/imagejobs-go/oraclemarket/oraclemarkettest"
)

func main() { cli.Main(run) }

type program struct {
	oracle.Flags

	file, application, version, os string
	overwrite, whole               bool
	chunkSize                      int64
	concurrency                    int
	checkpointDir                  string

	client *oraclemarket.Client
	out    cli.Output
	bars   *cli.Bars
	bar    *cli.Bar
	id     int64
}

func run(ctx context.Context, args []string, stdout, stderr io.Writer) (err error) {
	p := &program{}
	if err := p.parse(args, stderr); err != nil {
		return err
	}
	p.bars = cli.NewBars(stdout, p.JSON)
	defer p.bars.Wait()
	p.out = cli.Output{W: p.bars, JSON: p.JSON}
	if p.JSON {
		p.out.W = stdout
	}
	if p.BuiltIn() {
		server := oraclemarkettest.NewServer()
		defer server.Close()
		p.client = server.Client()
		p.out.Line("no endpoint given: using the built-in service at %s", server.URL)
	} else if p.client, err = p.Connect(); err != nil {
		return err
	}
	if info, err := os.Stat(p.file); p.file != "" && err == nil && !info.Mode().IsRegular() { // opening a pipe could wait for ever
		return fmt.Errorf("-file %s: must be a regular file", p.file)
	}
	if p.file == "" {
		name, err := makeSample()
		if err != nil {
			return err
		}
		defer func() { _ = os.Remove(name) }()
		p.file = name
		p.out.Line("no file given: made a sample image of %s", cli.Size(sampleSize))
	}

	start := time.Now()
	sum, sumErr := "", make(chan error, 1)
	sumCtx, stopSum := context.WithCancel(ctx)
	defer stopSum()
	go func() {
		var err error
		sum, err = fileMD5(sumCtx, p.file)
		sumErr <- err
	}()
	image, err := p.upload(ctx)
	if err != nil {
		return p.explain(ctx, err)
	}
	if err := <-sumErr; err != nil {
		return err
	}
	info, err := os.Stat(p.file)
	if err != nil {
		return err
	}
	took := time.Since(start)
	p.out.Line("%s: %d bytes, MD5 %s, %s", image.StatusName, info.Size(), sum, took.Round(time.Millisecond))
	if p.BuiltIn() {
		p.out.Line("this was the built-in service: nothing has left this machine")
	}
	p.out.Event(map[string]any{
		"event": "result", "status": image.StatusName, "uploadRequestId": image.UploadRequestID,
		"bytes": info.Size(), "md5": sum, "seconds": took.Seconds(), "request": image,
	})
	return nil
}

func (p *program) parse(args []string, stderr io.Writer) error {
	flags := flag.NewFlagSet("oracle-upload", flag.ContinueOnError)
	p.Add(flags)
	flags.StringVar(&p.file, "file", "", "image to upload; none makes a sample of 256 MiB for the built-in service")
	flags.StringVar(&p.application, "application", "", "name of the image")
	flags.StringVar(&p.version, "image-version", "", "version of the image")
	flags.StringVar(&p.os, "os", "", "operating system of the image")
	flags.BoolVar(&p.overwrite, "overwrite", false, "replace a stored file of the same path")
	flags.BoolVar(&p.whole, "whole", false, "upload in one request, which cannot be resumed")
	flags.Int64Var(&p.chunkSize, "chunk-size", oraclemarket.DefaultChunkSize, "bytes in a chunk")
	flags.IntVar(&p.concurrency, "concurrency", oraclemarket.DefaultConcurrency, "chunks under way at once")
	flags.StringVar(&p.checkpointDir, "checkpoint-dir", ".imagejobs", "folder for the state of interrupted uploads")
	if err := cli.Parse(flags, args, stderr); err != nil {
		return err
	}
	switch {
	case p.chunkSize < 1:
		return fmt.Errorf("-chunk-size must be positive, not %d", p.chunkSize)
	case p.concurrency < 1:
		return fmt.Errorf("-concurrency must be positive, not %d", p.concurrency)
	case p.checkpointDir == "":
		return errors.New("-checkpoint-dir must not be empty")
	case p.file == "" && !p.BuiltIn():
		return errors.New("-file is required with an endpoint")
	}
	for _, f := range []struct {
		name    string
		value   *string
		builtIn string
	}{{"-application", &p.application, "sample-image"}, {"-image-version", &p.version, "1.0"}, {"-os", &p.os, "Linux"}} {
		if *f.value == "" && !p.BuiltIn() {
			return fmt.Errorf("%s is required with an endpoint", f.name)
		} else if *f.value == "" {
			*f.value = f.builtIn
		}
	}
	return nil
}
