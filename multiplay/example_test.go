package multiplay_test

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"os"
	"time"

	"github.com/imagejobs/imagejobs-go/multiplay"
	"github.com/imagejobs/imagejobs-go/multiplay/multiplaytest"
)

// Clanforge's successor takes a bearer token, from any source of tokens.
func ExampleBearerToken() {
	tokens := multiplay.TokenSourceFunc(func(context.Context) (multiplay.Token, error) {
		value, err := os.ReadFile("/run/secrets/multiplay-token")
		return multiplay.NewToken(string(value), time.Now().Add(time.Hour)), err
	})
	client, err := multiplay.New(multiplay.BearerToken(tokens), multiplay.WithAccountServiceID(1337))
	if err != nil {
		fmt.Println(err)
		return
	}
	_ = client

	_, err = multiplay.New(multiplay.Credentials{})
	fmt.Println(err)
	// Output:
	// multiplay: New: credentials: must come from AccessKey or BearerToken
}

func ExampleClient_Release() {
	server := multiplaytest.NewServer(multiplaytest.WithSpeed(1000))
	defer server.Close()

	result, err := server.Client().Release(context.Background(), &multiplay.ReleaseRequest{
		ImageID:     1249,
		MachineID:   95394,
		Description: "build 42",
		Source:      multiplay.SteamSource{AppID: 740},
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

// A release that stopped is resumed with the jobs that it created.
func ExampleReleaseError() {
	server := multiplaytest.NewServer(multiplaytest.WithJobTime(0))
	defer server.Close()
	client := server.Client()
	server.Next(multiplaytest.Update, multiplaytest.Outcome{
		State: multiplay.JobFailed, Error: "no such bucket",
	})
	quickly := multiplay.WithPollInterval(time.Millisecond, time.Millisecond)

	request := &multiplay.ReleaseRequest{
		ImageID: 1249, MachineID: 95394, Description: "build 42",
		Source: multiplay.SteamSource{AppID: 740},
	}
	_, err := client.Release(context.Background(), request, quickly)
	if stopped, ok := errors.AsType[*multiplay.ReleaseError](err); ok {
		fmt.Println("stopped at", stopped.Step, stopped.UpdateID)
		request.Resume = stopped.ReleaseIDs
	}

	request.Retries = 1 // runs the failed update again
	_, err = client.Release(context.Background(), request, quickly)
	fmt.Println(err)
	// Output:
	// stopped at update 4711
	// <nil>
}

// Installs that wait to be queued by hand.
func ExampleImageInstallsService_Queue() {
	server := multiplaytest.NewServer(multiplaytest.WithJobTime(0))
	defer server.Close()
	client := server.Client()
	ctx := context.Background()

	version, err := client.ImageVersions.Create(ctx, &multiplay.CreateImageVersionRequest{
		DiffID:  server.LockImage(1249),
		Install: multiplay.InstallManual,
	})
	if err != nil {
		fmt.Println(err)
		return
	}
	installs, err := client.ImageInstalls.List(ctx)
	if err != nil {
		fmt.Println(err)
		return
	}
	for _, install := range installs {
		if install.TargetImageVersionID != version.ImageVersionID {
			continue
		}
		_, err := client.ImageInstalls.Queue(ctx, &multiplay.QueueImageInstallRequest{
			JobID: install.JobID, Mirroring: install.Mirroring,
		})
		fmt.Println(install.Machine, install.State, err)
	}
	rollout, err := client.Images.WaitRollout(ctx, 1249, version.ImageVersionID)
	if err != nil {
		fmt.Println(err)
		return
	}
	fmt.Println(rollout.Completed, "machines")
	// Output:
	// machine-1 Pending <nil>
	// machine-2 Pending <nil>
	// machine-3 Pending <nil>
	// 3 machines
}

// The steps of a release, one by one.
func ExampleImageVersionsService_Create() {
	server := multiplaytest.NewServer(multiplaytest.WithJobTime(0))
	defer server.Close()
	client := server.Client()
	ctx := context.Background()

	version, err := func() (*multiplay.ImageVersionStatus, error) {
		update, err := client.ImageUpdates.Create(ctx, &multiplay.CreateImageUpdateRequest{
			ImageID: 1249, MachineID: 95394, Description: "build 42",
			Source: multiplay.SteamSource{AppID: 740},
		})
		if err != nil {
			return nil, err
		}
		if _, err := client.ImageUpdates.Wait(ctx, update.UpdateID); err != nil {
			return nil, err
		}
		diff, err := client.ImageDiffs.Create(ctx, &multiplay.CreateImageDiffRequest{
			ImageID: 1249, MachineID: 95394,
		})
		if err != nil {
			return nil, err
		}
		if _, err := client.ImageDiffs.Wait(ctx, diff.DiffID); err != nil {
			return nil, err
		}
		files, err := client.ImageDiffs.Status(ctx, diff.DiffID,
			&multiplay.ImageDiffStatusOptions{Info: true})
		if err != nil {
			return nil, err
		}
		version, err := client.ImageVersions.Create(ctx, &multiplay.CreateImageVersionRequest{
			DiffID: diff.DiffID, Full: files.Empty(), Restart: true,
		})
		if err != nil {
			return nil, err
		}
		return client.ImageVersions.Wait(ctx, version.ImageVersionID)
	}()
	if err != nil {
		fmt.Println(err)
		return
	}
	_, err = client.Images.WaitRollout(ctx, 1249, version.ImageVersionID)
	fmt.Println(version.State, err)
	// Output:
	// Completed <nil>
}

// An outstanding diff locks its image.
func ExampleImageLockedError() {
	server := multiplaytest.NewServer(multiplaytest.WithJobTime(0))
	defer server.Close()
	client := server.Client()
	server.LockImage(1249) // another client's diff

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
	fmt.Println("created", diff.DiffID)
	// Output:
	// locked by 4711
	// created 4712
}

// Watch yields each change until the job has ended.
func ExampleImageUpdatesService_Watch() {
	server := multiplaytest.NewServer(multiplaytest.WithJobTime(0))
	defer server.Close()
	client := server.Client()

	ctx := context.Background()
	update, err := client.ImageUpdates.Create(ctx, &multiplay.CreateImageUpdateRequest{
		ImageID: 1249, MachineID: 95394, Description: "build 42",
		Source: multiplay.SteamSource{AppID: 740},
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
	// Output:
	// Completed 100
}

// A source prints without its credentials.
// The request id and the rate limits of a call that succeeded.
func ExampleCaptureAttempt() {
	server := multiplaytest.NewServer()
	defer server.Close()
	server.Inject(multiplaytest.Fault{
		Operation: multiplaytest.OpInstallList,
		Header:    http.Header{"X-Request-Id": {"a1b2"}, "X-Ratelimit-Remaining": {"42"}},
	})
	client := server.Client()

	var last multiplay.Attempt
	ctx := multiplay.CaptureAttempt(context.Background(), &last)
	if _, err := client.ImageInstalls.List(ctx); err != nil {
		fmt.Println(err)
		return
	}
	fmt.Printf("status %d, request id %s, attempt %d, %s requests left\n",
		last.StatusCode, last.RequestID, last.Number, last.RateLimit.Get("X-Ratelimit-Remaining"))
	// Output: status 200, request id a1b2, attempt 1, 42 requests left
}

func ExampleS3Source() {
	source := multiplay.S3Source{
		AccessKey: multiplay.NewSecret("AKIAEXAMPLE"),
		SecretKey: multiplay.NewSecret("wJalr/XUtn"),
		Bucket:    "builds",
		Folder:    "server/42",
	}
	fmt.Println(source)
	// Output:
	// {REDACTED REDACTED builds server/42  0 0s}
}

func ExampleGoogleStorageSource() {
	key, err := os.ReadFile("testdata/service_account.json")
	if err != nil {
		fmt.Println(err)
		return
	}
	source := multiplay.GoogleStorageSource{
		Bucket:          "builds",
		Folder:          "server/42",
		CredentialsJSON: multiplay.NewSecret(string(key)),
	}
	request := &multiplay.ReleaseRequest{
		ImageID: 1249, MachineID: 95394, Description: "build 42", Source: source,
	}
	fmt.Println(request.Validate())
	// Output:
	// <nil>
}

// A source may come as a URL, with its credentials percent-encoded.
func ExampleParseSourceURL() {
	source, err := multiplay.ParseSourceURL("s3://AKIAEXAMPLE:wJalr%2FXUtn@builds/server/42/")
	fmt.Println(source, err)

	_, err = multiplay.ParseSourceURL("s3://AKIAEXAMPLE:wJalr/XUtn@builds/server/42/")
	fmt.Println(err)
	// Output:
	// REDACTED <nil>
	// multiplay: ParseSourceURL: is not a URL: percent-encode the credentials in it
}
