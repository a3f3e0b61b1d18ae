package multiplaytest_test

import (
	"context"
	"errors"
	"fmt"

	"github.com/imagejobs/imagejobs-go/multiplay"
	"github.com/imagejobs/imagejobs-go/multiplay/multiplaytest"
)

// Each test of a program that updates images starts its own server.
func Example() {
	server := multiplaytest.NewServer(multiplaytest.WithJobTime(0)) // jobs end at once
	defer server.Close()
	client := server.Client()

	ctx := context.Background()
	update, err := client.ImageUpdates.Create(ctx, &multiplay.CreateImageUpdateRequest{
		ImageID:     multiplaytest.ImageID,
		MachineID:   multiplaytest.MachineID,
		Description: "alpha-build",
		Source:      multiplay.SteamSource{AppID: 740},
	})
	if err != nil {
		fmt.Println(err)
		return
	}
	done, err := client.ImageUpdates.Wait(ctx, update.UpdateID)
	if err != nil {
		fmt.Println(err)
		return
	}
	fmt.Println(done.State, server.Updates()[0].SourceURL)
	// Output: Completed steam://anonymous:@install/740/
}

// The next update fails, and the response to its retry gets lost: the server
// has carried it out, but the client cannot know and does not send it again.
func ExampleServer_Inject() {
	server := multiplaytest.NewServer(multiplaytest.WithJobTime(0))
	defer server.Close()
	client := server.Client()
	server.Next(multiplaytest.Update, multiplaytest.Outcome{
		State: multiplay.JobFailed, Error: "no such bucket",
	})
	server.Inject(multiplaytest.Fault{
		Operation: multiplaytest.OpUpdateRetry, Drop: multiplaytest.DropAfter,
	})

	ctx := context.Background()
	update, err := client.ImageUpdates.Create(ctx, &multiplay.CreateImageUpdateRequest{
		ImageID:     multiplaytest.ImageID,
		MachineID:   multiplaytest.MachineID,
		Description: "alpha-build",
		Source:      multiplay.SteamSource{AppID: 740},
	})
	if err != nil {
		fmt.Println(err)
		return
	}
	_, err = client.ImageUpdates.Wait(ctx, update.UpdateID)
	fmt.Println(err)
	_, err = client.ImageUpdates.Retry(ctx, update.UpdateID)
	fmt.Println(errors.Is(err, multiplay.ErrAmbiguous), server.Count(multiplaytest.OpUpdateRetry))
	// Output:
	// multiplay: image update 4711 ended with state "Failed": no such bucket
	// true 1
}
