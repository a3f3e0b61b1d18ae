package imagereplicator_test

import (
	"context"
	"fmt"
	"log"
	"os"
	"os/signal"

	"github.com/imagejobs/imagejobs-go/imagereplicator"
	"github.com/imagejobs/imagejobs-go/imagereplicator/imagereplicatortest"
)

// copyImage copies an image to tenants, each in its region. On Ctrl-C, or if one
// copy fails, it cancels the others, so that nothing is left running unknown.
func copyImage(ctx context.Context, client *imagereplicator.Client, image string, tenants []string) error {
	results, err := client.Jobs.CopyToTenants(ctx, image, tenants,
		imagereplicator.WithCancelOnFailure(),
		imagereplicator.WithCopyProgress(func(job *imagereplicator.Job) {
			if !job.Status.Terminal() {
				log.Printf("%s: %s, %d%%", job.DestinationRegionID, job.Status, job.CopyProgress)
			}
		}))
	for _, copied := range results {
		if copied.Err == nil {
			fmt.Println("copied to", copied.Job.DestinationRegionID)
		}
	}
	return err // names each tenant whose copy failed, and why
}

// Copy an image to five tenants at once.
func Example_copy() {
	const fifthTenant, sixthTenant = "0b6d2c1dd5f24e0c9d3f0f7a6e2b8c41", "c1f4a9e7a83b4d5f8e6a2b9c0d1e3f52"
	server := imagereplicatortest.NewServer(
		imagereplicatortest.WithJobTime(0),
		imagereplicatortest.WithTenant(fifthTenant, "ot5"),
		imagereplicatortest.WithTenant(sixthTenant, "ot6"))
	defer server.Close()
	client := server.Client() // of the service itself: see package keystone

	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt)
	defer stop()
	err := copyImage(ctx, client, imagereplicatortest.ImageID, []string{
		imagereplicatortest.DestinationTenantID,
		imagereplicatortest.ThirdTenantID,
		imagereplicatortest.FourthTenantID,
		fifthTenant,
		sixthTenant,
	})
	if err != nil {
		log.Print(err)
	}
	// Output:
	// copied to ot2
	// copied to ot3
	// copied to ot4
	// copied to ot5
	// copied to ot6
}
