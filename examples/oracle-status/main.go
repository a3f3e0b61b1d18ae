// Command oracle-status shows an upload request of the Oracle Cloud
// Marketplace, once or until it has ended.
//
// With no endpoint it runs against a built-in service and shows a small upload
// there.
package main

import (
	"bytes"
	"context"
	"errors"
	"flag"
	"io"
	"time"

	"github.com/imagejobs/imagejobs-go/examples/internal/cli"
	"github.com/imagejobs/imagejobs-go/examples/internal/oracle"
	"github.com/imagejobs/imagejobs-go/oraclemarket"
	"github.com/imagejobs/imagejobs-go/oraclemarket/oraclemarkettest"
)

func main() { cli.Main(run) }

func run(ctx context.Context, args []string, stdout, stderr io.Writer) (err error) {
	var f oracle.Flags
	flags := flag.NewFlagSet("oracle-status", flag.ContinueOnError)
	f.Add(flags)
	id := flags.Int64("id", 0, "upload request to show; none makes one in the built-in service")
	watch := flags.Bool("watch", false, "follow it until it has ended")
	if err := cli.Parse(flags, args, stderr); err != nil {
		return err
	}
	out := cli.Output{W: stdout, JSON: f.JSON}
	var client *oraclemarket.Client
	switch {
	case f.BuiltIn():
		server := oraclemarkettest.NewServer()
		defer server.Close()
		client = server.Client()
		out.Line("no endpoint given: using the built-in service at %s", server.URL)
		if *id == 0 {
			if *id, err = sample(ctx, client); err != nil {
				return err
			}
		}
	case *id == 0:
		return errors.New("-id is required with an endpoint")
	default:
		if client, err = f.Connect(); err != nil {
			return err
		}
	}

	if !*watch {
		now, err := client.MachineImages.Get(ctx, *id)
		if err != nil {
			return err
		}
		show(out, now)
		return nil
	}
	for now, err := range client.MachineImages.Watch(ctx, *id) {
		if err != nil {
			return err
		}
		show(out, now)
	}
	return nil
}

func sample(ctx context.Context, client *oraclemarket.Client) (int64, error) {
	image := bytes.NewReader([]byte("a very small machine image"))
	ack, err := client.MachineImages.Create(ctx, &oraclemarket.CreateMachineImageRequest{
		Application: "sample-image", Version: "1.0", OperatingSystem: "Linux",
		FileName: "sample.tar.gz", File: image, Size: image.Size(),
	})
	if err != nil {
		return 0, err
	}
	return ack.EntityID, nil
}

func show(out cli.Output, r *oraclemarket.MachineImageUploadRequest) {
	out.Event(r)
	out.Line("%d %s: %s %s %s, %s", r.UploadRequestID, r.StatusName, r.Application, r.Version, r.OperatingSystem, r.FileName)
	if n := r.UploadedChunks + r.PendingChunks; n > 0 {
		out.Line("  chunks: %d of %d", r.UploadedChunks, n)
	}
	for _, d := range r.DataCenterImageUploadRequests {
		out.Line("  %s: %s, %d%%, %s", d.DataCenterName, d.StatusName, d.UploadProgress.Int(), d.LastUpdatedDate.Format(time.RFC3339))
	}
}
