// Command oracle-status shows an upload request of the Oracle Cloud
// Marketplace, once or until it has ended.
//
// If nothing names the real service it runs against a built-in one and shows a
// small upload there.
package main

import (
	"bytes"
	"context"
	"flag"
	"io"
	"strings"
	"time"

	"github.com/imagejobs/imagejobs-go/examples/internal/cli"
	"github.com/imagejobs/imagejobs-go/examples/internal/oracle"
	"github.com/imagejobs/imagejobs-go/oraclemarket"
)

func main() { cli.Main(run) }

func run(ctx context.Context, args []string, stdout, stderr io.Writer) int {
	var id int64
	var watch bool
	command := &cli.Command{
		Name:      "oracle-status",
		About:     "Shows an upload request of the Oracle Cloud Marketplace.",
		Synopsis:  "-id ID [-watch]",
		Help:      oracle.Help,
		Service:   oracle.Name,
		Operation: "status",
		Variables: oracle.Variables(),
		Flags:     []string{"id"},
		Define: func(flags *flag.FlagSet) {
			flags.Int64Var(&id, "id", 0, "upload request to show")
			flags.BoolVar(&watch, "watch", false, "follow it until it has ended")
		},
		Fields:   map[string]string{"uploadRequestID": "-id"},
		Classify: oracle.Classify,
		Do:       func(ctx context.Context, out *cli.Output) error { return status(ctx, out, id, watch) },
	}
	return command.Run(ctx, args, stdout, stderr)
}

func status(ctx context.Context, out *cli.Output, id int64, watch bool) error {
	client, stop, err := oracle.Open(out)
	if err != nil {
		return err
	}
	defer stop()
	if id == 0 && out.Demo {
		if id, err = sample(ctx, client); err != nil {
			return err
		}
	}
	if !watch {
		now, err := client.MachineImages.Get(ctx, id)
		if err != nil {
			return err
		}
		show(out, cli.Result, now)
		return nil
	}
	var last *oraclemarket.MachineImageUploadRequest
	for now, err := range client.MachineImages.Watch(ctx, id) {
		if err != nil {
			return err
		}
		show(out, cli.Status, now)
		last = now
	}
	show(out, cli.Result, last)
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

// show prints what has changed.
func show(out *cli.Output, event string, r *oraclemarket.MachineImageUploadRequest) {
	out.Event(cli.Event{
		Event: event, IDs: cli.IDs{"uploadRequestId": r.UploadRequestID}, State: string(r.StatusName), Detail: r,
	})
	out.Changed("request", "%d %s: %s, %s", r.UploadRequestID, r.StatusName,
		strings.Join([]string{r.Application, r.Version, r.OperatingSystem}, " "), r.FileName)
	if n := r.UploadedChunks + r.PendingChunks; n > 0 {
		out.Changed("chunks", "  chunks: %d of %d", r.UploadedChunks, n)
	}
	for _, d := range r.DataCenterImageUploadRequests {
		out.Changed(d.DataCenterName, "  %s: %s, %d%%, %s",
			d.DataCenterName, d.StatusName, d.UploadProgress.Int(), d.LastUpdatedDate.Format(time.RFC3339))
	}
}
