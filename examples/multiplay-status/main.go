// Command multiplay-status shows a Multiplay image update, once or until it
// has ended.
//
// With no endpoint it runs against a built-in service and shows a sample there.
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"time"

	"github.com/imagejobs/imagejobs-go/examples/internal/clanforge"
	"github.com/imagejobs/imagejobs-go/examples/internal/cli"
	"github.com/imagejobs/imagejobs-go/multiplay"
	"github.com/imagejobs/imagejobs-go/multiplay/multiplaytest"
)

func main() { cli.Main(run) }

func run(ctx context.Context, args []string, stdout, stderr io.Writer) error {
	flags := flag.NewFlagSet("multiplay-status", flag.ContinueOnError)
	id := flags.Int64("update", 0, "id of the image update to show; none makes one in the built-in service")
	watch := flags.Bool("watch", false, "follow it until it has ended")
	asJSON := flags.Bool("json", false, "print one JSON object a line")
	flags.Usage = func() {
		_, _ = fmt.Fprint(stderr, "multiplay-status -update ID [-watch]\n\n")
		flags.PrintDefaults()
		_, _ = fmt.Fprint(stderr, clanforge.Usage)
	}
	if err := cli.Parse(flags, args, stderr); err != nil {
		return err
	}
	out := cli.Output{W: stdout, JSON: *asJSON}
	service, err := clanforge.Open(out)
	if err != nil {
		return err
	}
	defer service.Close()
	switch {
	case *id != 0:
	case service.BuiltIn == nil:
		return errors.New("-update is required with an endpoint")
	default:
		if *id, err = sample(ctx, service.Client); err != nil {
			return err
		}
	}

	if !*watch {
		now, err := service.Client.ImageUpdates.Status(ctx, *id)
		if err != nil {
			return err
		}
		show(out, now)
		return nil
	}
	for now, err := range service.Client.ImageUpdates.Watch(ctx, *id) {
		if err != nil {
			return err
		}
		show(out, now)
	}
	return nil
}

// sample makes an update in the built-in service.
func sample(ctx context.Context, client *multiplay.Client) (int64, error) {
	update, err := client.ImageUpdates.Create(ctx, &multiplay.CreateImageUpdateRequest{
		ImageID:     multiplaytest.ImageID,
		MachineID:   multiplaytest.MachineID,
		Description: "sample build",
		Source:      multiplay.SteamSource{AppID: 740},
	})
	if err != nil {
		return 0, err
	}
	return update.UpdateID, nil
}

func show(out cli.Output, u *multiplay.ImageUpdateStatus) {
	out.Event(u)
	out.Line("update %d: %s, %d%%, changed %s", u.UpdateID, u.State, u.Progress, u.Updated.Format(time.RFC3339))
	if !u.ETA.IsZero() {
		out.Line("  expected to end %s", u.ETA.Format(time.RFC3339))
	}
	if u.Error != "" {
		out.Line("  %s", u.Error)
	}
}
