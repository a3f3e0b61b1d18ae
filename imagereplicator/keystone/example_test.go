package keystone_test

import (
	"context"
	"fmt"
	"log"

	"github.com/gophercloud/gophercloud/v2/openstack/image/v2/images"

	"github.com/imagejobs/imagejobs-go/imagereplicator"
	"github.com/imagejobs/imagejobs-go/imagereplicator/imagereplicatortest"
	"github.com/imagejobs/imagejobs-go/imagereplicator/keystone"
)

func ExampleNew() {
	server := imagereplicatortest.NewServer()
	defer server.Close()
	ctx := context.Background()

	session, err := keystone.New(ctx, keystone.Options{
		AuthURL:     server.AuthURL, // https://keystone-jp1-ecl.api.ntt.com/v3
		Credentials: keystone.APIKey(server.APIKey, server.APISecret),
		TenantID:    imagereplicatortest.TenantID,
		Region:      imagereplicatortest.Region,
	})
	if err != nil {
		fmt.Println(err)
		return
	}
	client, err := session.Client()
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

// Log in as the OS_ variables of an openrc file say.
func ExampleFromEnv() {
	options, err := keystone.FromEnv()
	if err != nil {
		log.Fatal(err)
	}
	session, err := keystone.New(context.Background(), options)
	if err != nil {
		log.Fatal(err)
	}
	client, err := session.Client(imagereplicator.WithUserAgent("image-farm/1.0"))
	if err != nil {
		log.Fatal(err)
	}
	_ = client
}

// Log in to a cloud of clouds.yaml, for another tenant than the file's.
func ExampleFromCloud() {
	options, err := keystone.FromCloud("studio")
	if err != nil {
		log.Fatal(err)
	}
	options.TenantID = "236ae314ef6944f4ab98fa7519e54325"
	session, err := keystone.New(context.Background(), options)
	if err != nil {
		log.Fatal(err)
	}
	client, err := session.Client()
	if err != nil {
		log.Fatal(err)
	}
	_ = client
}

// Find an image by its name, copy it, and find it on the other side.
func ExampleSession_ImageService() {
	ctx := context.Background()
	source, err := logInTo(ctx, "studio-jp1")
	if err != nil {
		log.Fatal(err)
	}
	image, err := findImage(ctx, source, "build-1234")
	if err != nil {
		log.Fatal(err)
	}
	client, err := source.Client()
	if err != nil {
		log.Fatal(err)
	}
	id, err := client.Jobs.Create(ctx, &imagereplicator.CreateJobRequest{
		ImageID:             image.ID,
		DestinationTenantID: "91b5c7c09cbd45caa3c146fd67ae471e",
	})
	if err != nil {
		log.Fatal(err)
	}
	if _, err := client.Jobs.Wait(ctx, id); err != nil {
		log.Fatal(err)
	}
	destination, err := logInTo(ctx, "studio-jp2")
	if err != nil {
		log.Fatal(err)
	}
	copied, err := findImage(ctx, destination, image.Name)
	if err != nil {
		log.Fatal(err)
	}
	fmt.Println("copied", image.ID, "to", copied.ID)
}

// logInTo logs in to a cloud of clouds.yaml.
func logInTo(ctx context.Context, cloud string) (*keystone.Session, error) {
	options, err := keystone.FromCloud(cloud)
	if err != nil {
		return nil, err
	}
	return keystone.New(ctx, options)
}

// findImage returns the only image of that name if it is active.
func findImage(
	ctx context.Context, session *keystone.Session, name string,
) (*images.Image, error) {
	service, err := session.ImageService()
	if err != nil {
		return nil, err
	}
	pages, err := images.List(service, images.ListOpts{Name: name}).AllPages(ctx)
	if err != nil {
		return nil, err
	}
	found, err := images.ExtractImages(pages)
	switch {
	case err != nil:
		return nil, err
	case len(found) != 1:
		return nil, fmt.Errorf("there are %d images %q", len(found), name)
	case found[0].Status != images.ImageStatusActive:
		return nil, fmt.Errorf("image %q is %s", name, found[0].Status)
	}
	return &found[0], nil
}
