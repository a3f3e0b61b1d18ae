package multiplay_test

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/imagejobs/imagejobs-go/multiplay"
	"github.com/imagejobs/imagejobs-go/multiplay/multiplaytest"
)

// From the files of a build to the game servers in one call.
func ExampleClient_Release() {
	server := multiplaytest.NewServer(multiplaytest.WithSpeed(1000)) // stands in for the service
	defer server.Close()

	client, err := multiplay.New(multiplay.AccessKey(server.AccountServiceID, server.AccessKey, server.SecretKey), multiplay.WithBaseURL(server.URL))
	if err != nil {
		fmt.Println(err)
		return
	}
	result, err := client.Release(context.Background(), &multiplay.ReleaseRequest{
		ImageID:     1249,
		MachineID:   95394,
		Description: "build 42",
		Source:      multiplay.S3Source{AccessKey: multiplay.NewSecret("key"), SecretKey: multiplay.NewSecret("secret"), Bucket: "builds", Folder: "server/42"},
		Restart:     true,
		OnEvent: func(e multiplay.ReleaseEvent) {
			if e.Job != nil && e.Job.State == multiplay.JobCompleted {
				fmt.Println(e.Step, "completed")
			}
		},
	}, multiplay.WithPollInterval(time.Millisecond, 10*time.Millisecond))
	if err != nil {
		fmt.Println(err)
		return
	}
	fmt.Println(result.Rollout.Completed, "machines")
	// Output:
	// update completed
	// diff completed
	// version completed
	// 3 machines
}

// A release that stopped goes on with the jobs it has made.
func ExampleReleaseError() {
	server := multiplaytest.NewServer(multiplaytest.WithJobTime(0))
	defer server.Close()
	client := server.Client()
	server.Next(multiplaytest.Update, multiplaytest.Outcome{State: multiplay.JobFailed, Error: "no such bucket"})

	request := &multiplay.ReleaseRequest{
		ImageID: 1249, MachineID: 95394, Description: "build 42", Source: multiplay.SteamSource{AppID: 740},
	}
	_, err := client.Release(context.Background(), request)
	fmt.Println(err)

	if stopped, ok := errors.AsType[*multiplay.ReleaseError](err); ok {
		request.Resume = stopped.ReleaseIDs
		request.Retries = 1
		_, err = client.Release(context.Background(), request)
	}
	fmt.Println(err)
	// Output:
	// multiplay: release stopped at step update, after update 4711: multiplay: image update 4711 ended with state "Failed": no such bucket
	// <nil>
}

// An outstanding diff locks its image.
func ExampleImageLockedError() {
	server := multiplaytest.NewServer(multiplaytest.WithJobTime(0))
	defer server.Close()
	client := server.Client()
	server.LockImage(1249) // somebody else made a diff

	ctx := context.Background()
	request := &multiplay.CreateImageDiffRequest{ImageID: 1249, MachineID: 95394}
	diff, err := client.ImageDiffs.Create(ctx, request)
	if locked, ok := errors.AsType[*multiplay.ImageLockedError](err); ok {
		fmt.Println("locked by", locked.DiffID)
		if _, err = client.ImageDiffs.Reject(ctx, locked.DiffID, nil); err == nil {
			diff, err = client.ImageDiffs.Create(ctx, request)
		}
	}
	if err != nil {
		fmt.Println(err)
		return
	}
	fmt.Println("made", diff.DiffID)
	// Output:
	// locked by 4711
	// made 4712
}

// Watch yields each change until the job has ended.
func ExampleImageUpdatesService_Watch() {
	server := multiplaytest.NewServer(multiplaytest.WithJobTime(0))
	defer server.Close()
	client := server.Client()

	ctx := context.Background()
	update, err := client.ImageUpdates.Create(ctx, &multiplay.CreateImageUpdateRequest{
		ImageID: 1249, MachineID: 95394, Description: "build 42", Source: multiplay.SteamSource{AppID: 740},
	})
	if err != nil {
		fmt.Println(err)
		return
	}
	for status, err := range client.ImageUpdates.Watch(ctx, update.UpdateID) {
		if err != nil {
			fmt.Println(err)
			return
		}
		fmt.Println(status.State, status.Progress)
	}
	// Output: Completed 100
}

// A source prints without its credentials.
func ExampleS3Source() {
	source := multiplay.S3Source{
		AccessKey: multiplay.NewSecret("AKIAEXAMPLE"),
		SecretKey: multiplay.NewSecret("wJalr/XUtn"),
		Bucket:    "builds",
		Folder:    "server/42",
	}
	fmt.Printf("%+v\n", source)
	// Output:
	// {AccessKey:REDACTED SecretKey:REDACTED Bucket:builds Folder:server/42 Region: Handlers:0 RequestTimeout:0s}
}
