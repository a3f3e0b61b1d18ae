package imagereplicator_test

import (
	"context"
	"errors"
	"fmt"
	"log"
	"os"
	"os/signal"
	"time"

	"github.com/imagejobs/imagejobs-go/imagereplicator"
	"github.com/imagejobs/imagejobs-go/imagereplicator/imagereplicatortest"
)

// Copy an image to a tenant of another region and wait for it.
func Example() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt)
	defer stop()

	client, err := imagereplicator.New("https://glance-jp1-ecl.api.ntt.com",
		imagereplicator.StaticToken(os.Getenv("OS_TOKEN"))) // or log in, see package keystone
	if err != nil {
		log.Fatal(err)
	}
	id, err := client.Jobs.Create(ctx, &imagereplicator.CreateJobRequest{
		ImageID:             os.Getenv("IMAGE_ID"),
		DestinationTenantID: os.Getenv("DESTINATION_TENANT_ID"),
	})
	if err != nil {
		log.Fatal(err)
	}
	job, err := client.Jobs.Wait(ctx, id)
	if err != nil {
		log.Fatal(err)
	}
	fmt.Println("copied to image", job.DestinationImageID, "in", job.DestinationRegionID)
}

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

// When the response to Create is lost, List shows whether there is a job.
func ExampleJobsService_Create_ambiguous() {
	server := imagereplicatortest.NewServer()
	defer server.Close()
	client := server.Client()
	ctx := context.Background()
	server.Inject(imagereplicatortest.Fault{
		Operation: imagereplicatortest.OpCreate,
		Drop:      imagereplicatortest.DropAfter,
	})

	req := &imagereplicator.CreateJobRequest{
		ImageID:             imagereplicatortest.OtherImageID,
		DestinationTenantID: imagereplicatortest.DestinationTenantID,
	}
	before, err := client.Jobs.List(ctx)
	if err != nil {
		fmt.Println(err)
		return
	}
	known := map[string]bool{}
	for _, job := range before {
		known[job.ID] = true
	}
	id, err := client.Jobs.Create(ctx, req)
	if errors.Is(err, imagereplicator.ErrAmbiguous) {
		jobs, err := client.Jobs.List(ctx)
		if err != nil {
			fmt.Println(err)
			return
		}
		for _, job := range jobs {
			if !known[job.ID] && job.SourceImageID == req.ImageID &&
				job.DestinationTenantID == req.DestinationTenantID {
				id = job.ID
			}
		}
		// No id here means that there is no job: it is safe to create one.
	} else if err != nil {
		fmt.Println(err)
		return
	}
	fmt.Println("found:", id != "")
	// Output:
	// found: true
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
