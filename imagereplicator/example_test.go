package imagereplicator_test

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"os"
	"time"

	"github.com/imagejobs/imagejobs-go/imagereplicator"
	"github.com/imagejobs/imagejobs-go/imagereplicator/imagereplicatortest"
)

func ExampleNew() {
	client, err := imagereplicator.New("https://glance-jp1-ecl.api.ntt.com",
		imagereplicator.StaticToken(os.Getenv("OS_TOKEN")),
		imagereplicator.WithUserAgent("image-farm/1.0"),
		imagereplicator.WithRetry(8, time.Second, time.Minute))
	if err != nil {
		fmt.Println(err)
		return
	}
	_ = client

	_, err = imagereplicator.New("glance.example.com", imagereplicator.StaticToken("t"))
	fmt.Println(err)
	// Output:
	// imagereplicator: New: endpoint: must be absolute, like https://host
}

func ExampleJobsService_Create() {
	server := imagereplicatortest.NewServer(imagereplicatortest.WithJobTime(0))
	defer server.Close()
	client := server.Client()
	ctx := context.Background()

	id, err := client.Jobs.Create(ctx, &imagereplicator.CreateJobRequest{
		ImageID:             imagereplicatortest.ImageID,
		DestinationTenantID: imagereplicatortest.DestinationTenantID,
	})
	if err != nil {
		fmt.Println(err)
		return
	}
	job, err := client.Jobs.Wait(ctx, id)
	if err != nil {
		fmt.Println(err)
		return
	}
	fmt.Println(job.SourceImageName, job.Status, "to", job.DestinationRegionID)
	// Output:
	// Test-image-Ubuntu replicated to ot2
}

// When the response to Create is lost, Create finds the new job.
func ExampleJobsService_Create_lostResponse() {
	server := imagereplicatortest.NewServer()
	defer server.Close()
	client := server.Client()
	server.Inject(imagereplicatortest.Fault{
		Operation: imagereplicatortest.OpCreate,
		Drop:      imagereplicatortest.DropAfter,
	})

	id, err := client.Jobs.Create(context.Background(), &imagereplicator.CreateJobRequest{
		ImageID:             imagereplicatortest.OtherImageID,
		DestinationTenantID: imagereplicatortest.DestinationTenantID,
	})
	if err != nil {
		fmt.Println(err) // a job may exist if it matches ErrAmbiguous
		return
	}
	fmt.Println("found:", id != "")
	fmt.Println("created:", server.Processed(imagereplicatortest.OpCreate))
	// Output:
	// found: true
	// created: 1
}

// Each tenant has its own result. One that is not known does not keep the image
// from the others.
func ExampleJobsService_CopyToTenants() {
	server := imagereplicatortest.NewServer(imagereplicatortest.WithJobTime(0))
	defer server.Close()
	client := server.Client()

	results, err := client.Jobs.CopyToTenants(context.Background(), imagereplicatortest.ImageID,
		[]string{
			imagereplicatortest.DestinationTenantID,
			"00000000000000000000000000000001",
			imagereplicatortest.ThirdTenantID,
		})
	for _, result := range results {
		switch {
		case result.Err == nil:
			fmt.Println("copied to", result.Job.DestinationRegionID)
		case result.JobID != "":
			fmt.Println("look after job", result.JobID)
		default:
			fmt.Println("no copy to tenant", result.TenantID)
		}
	}
	fmt.Println("not found:", errors.Is(err, imagereplicator.ErrNotFound))
	// Output:
	// copied to ot2
	// no copy to tenant 00000000000000000000000000000001
	// copied to ot3
	// not found: true
}

// Jobs that a program has stored are followed with one request a poll.
func ExampleJobsService_WatchAll() {
	server := imagereplicatortest.NewServer(imagereplicatortest.WithJobTime(0))
	defer server.Close()
	client := server.Client()
	ctx := context.Background()

	var ids []string
	for _, tenant := range []string{
		imagereplicatortest.DestinationTenantID, imagereplicatortest.ThirdTenantID,
	} {
		id, err := client.Jobs.Create(ctx, &imagereplicator.CreateJobRequest{
			ImageID:             imagereplicatortest.ImageID,
			DestinationTenantID: tenant,
		})
		if err != nil {
			fmt.Println(err)
			return
		}
		ids = append(ids, id)
	}
	for job, err := range client.Jobs.WatchAll(ctx, ids) {
		if err != nil {
			fmt.Println(err) // of one job, or at the end of all
			continue
		}
		fmt.Println(job.DestinationRegionID, job.Status)
	}
	// Output:
	// ot2 replicated
	// ot3 replicated
}

// A cancellation is accepted long before the job ends, and may come too late.
func ExampleJobsService_Cancel() {
	server := imagereplicatortest.NewServer(
		imagereplicatortest.WithJobTime(time.Hour), imagereplicatortest.WithCancelLag(0))
	defer server.Close()
	client := server.Client()
	ctx := context.Background()

	id, err := client.Jobs.Create(ctx, &imagereplicator.CreateJobRequest{
		ImageID:             imagereplicatortest.ImageID,
		DestinationTenantID: imagereplicatortest.DestinationTenantID,
	})
	if err != nil {
		fmt.Println(err)
		return
	}
	if err := client.Jobs.Cancel(ctx, id); err != nil {
		fmt.Println(err)
		return
	}
	_, err = client.Jobs.Wait(ctx, id)
	ended := new(imagereplicator.StateError)
	switch {
	case errors.As(err, &ended):
		fmt.Println("the job ended", ended.Status)
	case err != nil:
		fmt.Println(err)
		return
	default:
		fmt.Println("the copy was complete first")
	}
	// Output:
	// the job ended canceled
}

func ExampleJobsService_Watch() {
	server := imagereplicatortest.NewServer(imagereplicatortest.WithJobTime(0))
	defer server.Close()
	client := server.Client()
	ctx := context.Background()

	id, err := client.Jobs.Create(ctx, &imagereplicator.CreateJobRequest{
		ImageID:             imagereplicatortest.ImageID,
		DestinationTenantID: imagereplicatortest.ThirdTenantID,
	})
	if err != nil {
		fmt.Println(err)
		return
	}
	interval := imagereplicator.WithPollInterval(5*time.Second, time.Minute)
	for job, err := range client.Jobs.Watch(ctx, id, interval) {
		if err != nil {
			fmt.Println(err)
			return
		}
		fmt.Printf("%s %d%%\n", job.Status, job.CopyProgress)
	}
	// Output:
	// replicated 100%
}

// List has the jobs of all states.
func ExampleJobsService_List() {
	server := imagereplicatortest.NewServer()
	defer server.Close()
	client := server.Client()

	jobs, err := client.Jobs.List(context.Background())
	if err != nil {
		fmt.Println(err)
		return
	}
	for _, job := range jobs {
		if !job.Status.Terminal() {
			fmt.Println(job.SourceImageName, "to", job.DestinationRegionID, job.Status)
		}
	}
	// Output:
	// Test-image-Ubuntu to ot2 cancel_requested
}

// A job that failed is an error of its own type.
// The request id and the rate limits of a call that succeeded.
func ExampleCaptureAttempt() {
	server := imagereplicatortest.NewServer()
	defer server.Close()
	server.Inject(imagereplicatortest.Fault{
		Operation: imagereplicatortest.OpList,
		Header:    http.Header{"X-Openstack-Request-Id": {"req-7"}, "X-Ratelimit-Remaining": {"42"}},
	})
	client := server.Client()

	var last imagereplicator.Attempt
	ctx := imagereplicator.CaptureAttempt(context.Background(), &last)
	if _, err := client.Jobs.List(ctx); err != nil {
		fmt.Println(err)
		return
	}
	fmt.Printf("status %d, request id %s, attempt %d, %s requests left\n",
		last.StatusCode, last.RequestID, last.Number, last.RateLimit.Get("X-Ratelimit-Remaining"))
	// Output: status 200, request id req-7, attempt 1, 42 requests left
}

func ExampleStateError() {
	server := imagereplicatortest.NewServer(
		imagereplicatortest.WithJobTime(0), imagereplicatortest.WithOutcome(imagereplicator.StatusError))
	defer server.Close()
	client := server.Client()
	ctx := context.Background()

	id, err := client.Jobs.Create(ctx, &imagereplicator.CreateJobRequest{
		ImageID:             imagereplicatortest.ImageID,
		DestinationTenantID: imagereplicatortest.DestinationTenantID,
	})
	if err != nil {
		fmt.Println(err)
		return
	}
	job, err := client.Jobs.Wait(ctx, id)
	if ended, ok := errors.AsType[*imagereplicator.StateError](err); ok {
		fmt.Println("the copy to", job.DestinationRegionID, "ended with status", ended.Status)
	}
	// Output:
	// the copy to ot2 ended with status error
}
