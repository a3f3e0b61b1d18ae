package oraclemarket_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"log"
	"time"

	"github.com/imagejobs/imagejobs-go/oraclemarket"
	"github.com/imagejobs/imagejobs-go/oraclemarket/oraclemarkettest"
)

func ExampleNew() {
	client, err := oraclemarket.New("partner@example.com",
		oraclemarket.ClientCredentials("client id", "secret key"),
		oraclemarket.WithUserAgent("release-bot/1.0"),
		oraclemarket.WithRetry(8, time.Second, time.Minute))
	if err != nil {
		log.Fatal(err)
	}
	_ = client

	_, err = oraclemarket.New("partner@example.com", oraclemarket.StaticToken("t"), oraclemarket.WithBaseURL("http://example.com"))
	fmt.Println(err)
	// Output:
	// oraclemarket: WithBaseURL: plain http would send the credentials unencrypted: use https, or WithInsecureHTTP() in a trusted network
}

func ExampleMachineImagesService_Upload() {
	server := oraclemarkettest.NewServer(oraclemarkettest.WithJobTime(0))
	defer server.Close()
	client := server.Client()

	file := bytes.NewReader(make([]byte, 10<<20))
	image, err := client.MachineImages.Upload(context.Background(), &oraclemarket.UploadRequest{
		Application: "wordpress", Version: "6.9", OperatingSystem: "Linux",
		FileName: "wordpress.tar.gz", File: file, Size: file.Size(),
		ChunkSize: 4 << 20, Concurrency: 1,
		Progress: func(p oraclemarket.UploadProgress) {
			fmt.Printf("%d of %d chunks\n", p.Chunks, p.TotalChunks)
		},
	})
	if err != nil {
		fmt.Println(err)
		return
	}
	fmt.Println(image.FileName, image.StatusName)
	// Output:
	// 0 of 3 chunks
	// 1 of 3 chunks
	// 2 of 3 chunks
	// 3 of 3 chunks
	// wordpress.tar.gz Completed
}

func ExampleMachineImagesService_Create() {
	server := oraclemarkettest.NewServer(oraclemarkettest.WithJobTime(0))
	defer server.Close()
	client := server.Client()

	ctx := context.Background()
	file := bytes.NewReader([]byte("a small image"))
	ack, err := client.MachineImages.Create(ctx, &oraclemarket.CreateMachineImageRequest{
		Application: "wordpress", Version: "6.9", OperatingSystem: "Linux",
		FileName: "wordpress.tar.gz", File: file, Size: file.Size(),
	})
	if errors.Is(err, oraclemarket.ErrAmbiguous) {
		fmt.Println("the service may have the image: look with List before trying again:", err)
		return
	}
	if err != nil {
		fmt.Println(err)
		return
	}
	image, err := client.MachineImages.Wait(ctx, ack.EntityID)
	if err != nil {
		fmt.Println(err)
		return
	}
	fmt.Println(image.StatusName)
	// Output: Completed
}

func ExampleMachineImagesService_Watch() {
	server := oraclemarkettest.NewServer()
	defer server.Close()
	client := server.Client()

	for image, err := range client.MachineImages.Watch(context.Background(), oraclemarkettest.SampleID) {
		if err != nil {
			fmt.Println(err)
			return
		}
		fmt.Println(image.StatusName)
		for _, dc := range image.DataCenterImageUploadRequests {
			fmt.Printf("%s: %d%%\n", dc.DataCenterName, dc.UploadProgress)
		}
	}
	// Output:
	// Completed
	// US2 COMMERCIAL CHERRY: 100%
}

func ExampleError() {
	server := oraclemarkettest.NewServer()
	defer server.Close()
	client := server.Client()

	_, err := client.MachineImages.Get(context.Background(), 1)
	if e, ok := errors.AsType[*oraclemarket.Error](err); ok {
		fmt.Println(e.Operation, e.StatusCode, errors.Is(err, oraclemarket.ErrNotFound))
	}
	// Output: oraclemarket.MachineImages.Get 404 true
}
