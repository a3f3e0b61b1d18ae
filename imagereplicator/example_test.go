package imagereplicator_test

import (
	"context"
	"errors"
	"fmt"
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

	_, err = imagereplicator.New("http://glance.example.com", imagereplicator.StaticToken("t"))
	fmt.Println(err)
	// Output:
	// imagereplicator: New: endpoint: plain http would send the credentials unencrypted: use https, or WithInsecureHTTP() in a trusted network
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
	fmt.Printf("%s: %s, %s to %s\n", job.SourceImageName, job.Status, job.SourceRegionID, job.DestinationRegionID)
	// Output:
	// Test-image-Ubuntu: replicated, ot1 to ot2
}

// When the answer to Create is lost, List tells whether there is a job.
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
			if !known[job.ID] && job.SourceImageID == req.ImageID && job.DestinationTenantID == req.DestinationTenantID {
				id = job.ID
			}
		}
		// No id here means that there is no job: it is safe to ask again.
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
	server := imagereplicatortest.NewServer(imagereplicatortest.WithJobTime(time.Hour), imagereplicatortest.WithCancelLag(0))
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
		fmt.Println("it is", ended.Status)
	case err != nil:
		fmt.Println(err)
		return
	default:
		fmt.Println("it was copied before")
	}
	// Output:
	// it is canceled
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
	for job, err := range client.Jobs.Watch(ctx, id, imagereplicator.WithPollInterval(5*time.Second, time.Minute)) {
		if err != nil {
			fmt.Println(err)
			return
		}
		fmt.Printf("%s %d%%\n", job.Status, job.CopyProgress)
	}
	// Output:
	// replicated 100%
}
