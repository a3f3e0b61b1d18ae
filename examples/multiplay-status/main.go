// Command multiplay-status shows a Multiplay image update, once or until it has
// ended.
//
// If nothing names the real service it runs against a built-in one and shows a
// sample there.
package main

import (
	"context"
	"flag"
	"io"
	"time"

	"github.com/imagejobs/imagejobs-go/examples/internal/clanforge"
	"github.com/imagejobs/imagejobs-go/examples/internal/cli"
	"github.com/imagejobs/imagejobs-go/multiplay"
	"github.com/imagejobs/imagejobs-go/multiplay/multiplaytest"
)

func main() { cli.Main(run) }

func run(ctx context.Context, args []string, stdout, stderr io.Writer) int {
	var id int64
	var watch bool
	command := &cli.Command{
		Name:      "multiplay-status",
		About:     "Shows an image update of Multiplay Clanforge.",
		Synopsis:  "-update ID [-watch]",
		Help:      clanforge.Help,
		Service:   clanforge.Name,
		Operation: "status",
		Variables: clanforge.Variables(),
		Flags:     []string{"update"},
		Define: func(flags *flag.FlagSet) {
			flags.Int64Var(&id, "update", 0, "image update to show")
			flags.BoolVar(&watch, "watch", false, "follow it until it has ended")
		},
		Fields:   map[string]string{"ImageUpdates.Status: updateID": "-update"},
		Classify: clanforge.Classify,
		Do:       func(ctx context.Context, out *cli.Output) error { return status(ctx, out, id, watch) },
	}
	return command.Run(ctx, args, stdout, stderr)
}

func status(ctx context.Context, out *cli.Output, id int64, watch bool) error {
	client, stop, err := clanforge.Open(out)
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
		now, err := client.ImageUpdates.Status(ctx, id)
		if err != nil {
			return err
		}
		show(out, cli.Result, now)
		return nil
	}
	var last *multiplay.ImageUpdateStatus
	for now, err := range client.ImageUpdates.Watch(ctx, id) {
		if err != nil {
			return err
		}
		show(out, cli.Status, now)
		last = now
	}
	show(out, cli.Result, last)
	return nil
}

// sample creates an update in the built-in service.
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

// show prints what has changed.
func show(out *cli.Output, event string, u *multiplay.ImageUpdateStatus) {
	out.Event(cli.Event{
		Event: event, IDs: cli.IDs{"updateId": u.UpdateID}, State: string(u.State), Detail: u,
		Progress: &cli.Progress{Percent: u.Progress},
	})
	out.Changed("update", "update %d: %s, %d%%, changed %s", u.UpdateID, u.State, u.Progress, u.Updated.Format(time.RFC3339))
	if !u.ETA.IsZero() {
		out.Changed("eta", "  expected to end %s", u.ETA.Format(time.RFC3339))
	}
	if u.Error != "" {
		out.Changed("error", "  %s", u.Error)
	}
}
