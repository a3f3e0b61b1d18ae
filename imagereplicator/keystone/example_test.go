package keystone_test

import (
	"context"
	"fmt"
	"log"

	"github.com/imagejobs/imagejobs-go/imagereplicator"
	"github.com/imagejobs/imagejobs-go/imagereplicator/imagereplicatortest"
	"github.com/imagejobs/imagejobs-go/imagereplicator/keystone"
)

func ExampleNew() {
	server := imagereplicatortest.NewServer()
	defer server.Close()
	ctx := context.Background()

	tokens, endpoint, err := keystone.New(ctx, keystone.Options{
		AuthURL:   server.AuthURL, // https://keystone-jp1-ecl.api.ntt.com/v3
		APIKey:    server.APIKey,
		APISecret: server.APISecret,
		TenantID:  imagereplicatortest.TenantID,
		Region:    imagereplicatortest.Region,
	})
	if err != nil {
		log.Fatal(err)
	}
	client, err := imagereplicator.New(endpoint, tokens)
	if err != nil {
		log.Fatal(err)
	}
	job, err := client.Jobs.Get(ctx, imagereplicatortest.JobID)
	if err != nil {
		log.Fatal(err)
	}
	fmt.Println(job.SourceImageName, job.Status)
	// Output:
	// Test-image-Ubuntu cancel_requested
}
