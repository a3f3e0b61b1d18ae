package keystone_test

import (
	"context"
	"fmt"

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
		fmt.Println(err)
		return
	}
	client, err := imagereplicator.New(endpoint, tokens)
	if err != nil {
		fmt.Println(err)
		return
	}
	job, err := client.Jobs.Get(ctx, imagereplicatortest.JobID)
	if err != nil {
		fmt.Println(err)
		return
	}
	fmt.Println(job.SourceImageName, job.Status)
	// Output:
	// Test-image-Ubuntu cancel_requested
}
