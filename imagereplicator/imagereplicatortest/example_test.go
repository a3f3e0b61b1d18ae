package imagereplicatortest_test

import (
	"context"
	"errors"
	"fmt"

	"github.com/imagejobs/imagejobs-go/imagereplicator"
	"github.com/imagejobs/imagejobs-go/imagereplicator/imagereplicatortest"
)

// Test a program that copies images against a server of its own.
func Example() {
	server := imagereplicatortest.NewServer(imagereplicatortest.WithJobTime(0)) // jobs end at once
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
	fmt.Println(job.Status)
	fmt.Println("creates:", server.Processed(imagereplicatortest.OpCreate))
	// Output:
	// replicated
	// creates: 1
}

// The image storage of the destination region is down.
func ExampleServer_Inject() {
	server := imagereplicatortest.NewServer()
	defer server.Close()
	client := server.Client()
	server.Inject(imagereplicatortest.Fault{
		Operation: imagereplicatortest.OpCreate,
		Status:    409,
	})

	_, err := client.Jobs.Create(context.Background(), &imagereplicator.CreateJobRequest{
		ImageID:             imagereplicatortest.ImageID,
		DestinationTenantID: imagereplicatortest.DestinationTenantID,
	})
	fmt.Println(errors.Is(err, imagereplicator.ErrConflict))
	// Output:
	// true
}
