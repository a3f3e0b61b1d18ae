package oraclemarket_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"net/http"
	"os"
	"path/filepath"
	"strings"
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
		fmt.Println(err)
		return
	}
	_ = client

	_, err = oraclemarket.New("partner@example.com", oraclemarket.StaticToken("t"),
		oraclemarket.WithBaseURL("ftp://example.com"))
	fmt.Println(err)
	// Output:
	// oraclemarket: WithBaseURL: must have the scheme https, not "ftp"
}

func ExampleMachineImagesService_Upload() {
	server := oraclemarkettest.NewServer(oraclemarkettest.WithJobTime(0))
	defer server.Close()
	client := server.Client()

	file := bytes.NewReader(make([]byte, 10<<20))
	var last oraclemarket.UploadProgress
	image, err := client.MachineImages.Upload(context.Background(), &oraclemarket.ImageUpload{
		Application: "wordpress", Version: "6.9", OperatingSystem: "Linux",
		FileName: "wordpress.tar.gz", File: file, Size: file.Size(),
		ChunkSize: 4 << 20,
		Progress:  func(p oraclemarket.UploadProgress) { last = p }, // for a bar
	})
	if err != nil {
		fmt.Println(err)
		return
	}
	fmt.Printf("%s: %d bytes in %d chunks\n", image.StatusName, last.Bytes, last.Chunks)
	// Output:
	// Completed: 10485760 bytes in 3 chunks
}

// Standard input or a pipe is uploaded as it comes, if its size is known.
func ExampleMachineImagesService_Upload_reader() {
	server := oraclemarkettest.NewServer(oraclemarkettest.WithJobTime(time.Hour))
	defer server.Close()
	client := server.Client()

	stdin := strings.NewReader(strings.Repeat("image", 1000))
	image, err := client.MachineImages.Upload(context.Background(), &oraclemarket.ImageUpload{
		Application: "wordpress", Version: "6.9", OperatingSystem: "Linux",
		FileName: "wordpress.tar.gz", Reader: stdin, Size: 5000,
		NoWait: true, // another program waits for it
	})
	if err != nil {
		fmt.Println(err)
		return
	}
	fmt.Println(image.FileName, image.StatusName)
	// Output: wordpress.tar.gz Pending
}

// Two machines share an image. What UploadRange returns travels from them to a
// third as JSON.
func ExampleMachineImagesService_MergeRanges() {
	server := oraclemarkettest.NewServer(oraclemarkettest.WithJobTime(0))
	defer server.Close()
	images, ctx := server.Client().MachineImages, context.Background()

	file := bytes.NewReader(make([]byte, 10<<20))
	image := oraclemarket.ImageUpload{
		Application: "wordpress", Version: "6.9", OperatingSystem: "Linux",
		FileName: "wordpress.tar.gz", File: file, Size: file.Size(),
		ChunkSize: 4 << 20,
	}
	created, err := images.Initiate(ctx, &oraclemarket.InitiateUploadRequest{
		Application: image.Application, Version: image.Version, OperatingSystem: image.OperatingSystem,
		FileName: image.FileName, NumberOfChunks: 3,
	})
	if err != nil {
		fmt.Println(err)
		return
	}
	var sent []oraclemarket.UploadedRange
	for _, part := range []oraclemarket.ChunkRange{
		{UploadRequestID: created.EntityID, First: 0, Count: 2},
		{UploadRequestID: created.EntityID, First: 2, Count: 1},
	} {
		uploaded, err := images.UploadRange(ctx, &image, part) // on any machine
		if err != nil {
			fmt.Println(err)
			return
		}
		sent = append(sent, *uploaded)
	}
	done, err := images.MergeRanges(ctx, &image, sent)
	if err != nil {
		fmt.Println(err)
		return
	}
	fmt.Println(done.FileName, done.StatusName)
	// Output: wordpress.tar.gz Completed
}

// Several images are uploaded, then awaited together.
func ExampleMachineImagesService_WaitAll() {
	server := oraclemarkettest.NewServer(oraclemarkettest.WithJobTime(0))
	defer server.Close()
	client := server.Client()

	var ids []int64
	for _, version := range []string{"6.8", "6.9"} {
		image, err := client.MachineImages.Upload(context.Background(), &oraclemarket.ImageUpload{
			Application: "wordpress", Version: version, OperatingSystem: "Linux",
			FileName: "wordpress.tar.gz", File: strings.NewReader("image"), Size: 5, NoWait: true,
		})
		if err != nil {
			fmt.Println(err)
			return
		}
		ids = append(ids, image.UploadRequestID)
	}
	images, err := client.MachineImages.WaitAll(context.Background(), ids)
	if err != nil {
		fmt.Println(err)
	}
	for _, image := range images {
		fmt.Println(image.Version, image.StatusName)
	}
	// Output:
	// 6.8 Completed
	// 6.9 Completed
}

// An interrupted upload is resumed by the same call, also in another process.
func ExampleMachineImagesService_UploadFile() {
	server := oraclemarkettest.NewServer(oraclemarkettest.WithJobTime(0))
	defer server.Close()
	client := server.Client()
	dir, err := os.MkdirTemp("", "example")
	if err != nil {
		fmt.Println(err)
		return
	}
	defer func() { _ = os.RemoveAll(dir) }()
	path := filepath.Join(dir, "wordpress.tar.gz")
	if err := os.WriteFile(path, make([]byte, 9<<20), 0o600); err != nil {
		fmt.Println(err)
		return
	}

	ctx, interrupt := context.WithCancel(context.Background())
	upload := &oraclemarket.ImageUpload{
		Application: "wordpress", Version: "6.9", OperatingSystem: "Linux",
		ChunkSize: 1 << 20, Concurrency: 1,
		Checkpoints: oraclemarket.FileCheckpoints(filepath.Join(dir, "state")),
		Progress: func(p oraclemarket.UploadProgress) {
			if p.Chunks == 4 {
				interrupt()
			}
		},
	}
	_, err = client.MachineImages.UploadFile(ctx, path, upload)
	fmt.Println("interrupted:", errors.Is(err, context.Canceled))

	resumed := false
	upload.Progress = func(p oraclemarket.UploadProgress) { resumed = p.Resumed && p.Chunks >= 4 }
	image, err := client.MachineImages.UploadFile(context.Background(), path, upload)
	if err != nil {
		fmt.Println(err)
		return
	}
	fmt.Println("resumed:", resumed, image.StatusName)
	// Output:
	// interrupted: true
	// resumed: true Completed
}

func ExampleMachineImagesService_Create() {
	server := oraclemarkettest.NewServer(oraclemarkettest.WithJobTime(0))
	defer server.Close()
	client := server.Client()

	ctx := context.Background()
	file := bytes.NewReader([]byte("a small image"))
	created, err := client.MachineImages.Create(ctx, &oraclemarket.CreateMachineImageRequest{
		Application: "wordpress", Version: "6.9", OperatingSystem: "Linux",
		FileName: "wordpress.tar.gz", File: file, Size: file.Size(),
		OverwriteStorageFile: new(true),
	})
	if errors.Is(err, oraclemarket.ErrAmbiguous) {
		fmt.Println("the service may have the image, check List before trying again:", err)
		return
	}
	if err != nil {
		fmt.Println(err)
		return
	}
	image, err := client.MachineImages.Wait(ctx, created.EntityID)
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

	ctx := context.Background()
	for image, err := range client.MachineImages.Watch(ctx, oraclemarkettest.SampleID) {
		if err != nil {
			fmt.Println(err)
			return
		}
		fmt.Println(image.StatusName)
		for _, dc := range image.DataCenterImageUploadRequests {
			fmt.Println(dc.DataCenterName, dc.UploadProgress)
		}
	}
	// Output:
	// Completed
	// US2 COMMERCIAL CHERRY 100%
}

func ExampleMachineImagesService_All() {
	server := oraclemarkettest.NewServer()
	defer server.Close()
	server.AddImage(oraclemarkettest.Image{
		Application: "wordpress", Version: "6.9", OperatingSystem: "Linux",
		FileName: "wordpress.tar.gz", Size: 5 << 20,
	})
	client := server.Client()

	newest := &oraclemarket.ListMachineImagesOptions{
		Statuses:  []oraclemarket.Status{oraclemarket.StatusCompleted},
		OrderBy:   oraclemarket.OrderByLastUpdateDate,
		SortOrder: oraclemarket.SortDescending,
	}
	for image, err := range client.MachineImages.All(context.Background(), newest) {
		if err != nil {
			fmt.Println(err)
			return
		}
		fmt.Println(image.FileName, image.StatusName)
	}
	// Output: wordpress.tar.gz Completed
}

func ExampleMachineImagesService_List() {
	server := oraclemarkettest.NewServer()
	defer server.Close()
	server.AddImage(oraclemarkettest.Image{
		Application: "wordpress", Version: "6.9", OperatingSystem: "Linux",
		FileName: "wordpress.tar.gz", Size: 5 << 20,
	})
	client := server.Client()

	page, err := client.MachineImages.List(context.Background(), nil)
	if err != nil {
		fmt.Println(err)
		return
	}
	fmt.Println(len(page.Items), "on this page, more:", page.HasMore)
	// Output: 1 on this page, more: false
}

func ExampleMachineImagesService_Delete() {
	server := oraclemarkettest.NewServer()
	defer server.Close()
	client := server.Client()

	ctx := context.Background()
	const id = oraclemarkettest.SampleID
	deleted, err := client.MachineImages.Delete(ctx, id, "US2 COMMERCIAL CHERRY")
	if err != nil {
		fmt.Println(err)
		return
	}
	fmt.Println(deleted.Message)

	_, err = client.MachineImages.Delete(ctx, id)
	fmt.Println(err)
	// Output:
	// 2797087 was deleted successfully from US2 COMMERCIAL CHERRY.
	// oraclemarket: Delete: dataCenters: must not be empty: DeleteEverywhere deletes from all of them
}

func ExampleStorageImagesService_Get() {
	server := oraclemarkettest.NewServer()
	defer server.Close()
	client := server.Client()

	const path = "mi/APS1826_WWP_061218/OL67/Linux/wordpress.tar.gz"
	image, err := client.StorageImages.Get(context.Background(), path)
	if err != nil {
		fmt.Println(err)
		return
	}
	for _, dc := range image.StorageDataCenterImageStatuses {
		fmt.Println(dc.DataCenterName, dc.IsAvailable)
	}
	// Output: US2 COMMERCIAL CHERRY true
}

// The request id, the number of attempts and the rate limits of a call that
// succeeded.
func ExampleCaptureAttempt() {
	server := oraclemarkettest.NewServer()
	defer server.Close()
	server.Inject(oraclemarkettest.Fault{
		Operation: oraclemarkettest.OpList, Status: 429, RetryAfter: "0.01",
	})
	server.Inject(oraclemarkettest.Fault{
		Operation: oraclemarkettest.OpList,
		Header:    http.Header{"Opc-Request-Id": {"a1b2"}, "X-Ratelimit-Remaining": {"42"}},
	})
	client := server.Client()

	var last oraclemarket.Attempt
	ctx := oraclemarket.CaptureAttempt(context.Background(), &last)
	if _, err := client.MachineImages.List(ctx, nil); err != nil {
		fmt.Println(err)
		return
	}
	fmt.Printf("status %d, request id %s, attempt %d, %s requests left\n",
		last.StatusCode, last.RequestID, last.Number, last.RateLimit.Get("X-Ratelimit-Remaining"))
	// Output: status 200, request id a1b2, attempt 2, 42 requests left
}

func ExampleStateError() {
	server := oraclemarkettest.NewServer(oraclemarkettest.WithJobTime(time.Millisecond))
	defer server.Close()
	client := server.Client()
	server.SetNextOutcome(oraclemarkettest.IsRejected)

	file := bytes.NewReader([]byte("not an image"))
	_, err := client.MachineImages.Upload(context.Background(), &oraclemarket.ImageUpload{
		Application: "wordpress", Version: "6.9", OperatingSystem: "Linux",
		FileName: "wordpress.tar.gz", File: file, Size: file.Size(),
	})
	if ended, ok := errors.AsType[*oraclemarket.StateError](err); ok {
		fmt.Println(ended.Status)
	}
	// Output: Rejected
}

func ExampleError() {
	server := oraclemarkettest.NewServer()
	defer server.Close()
	client := server.Client()

	_, err := client.MachineImages.Get(context.Background(), 1)
	if e, ok := errors.AsType[*oraclemarket.Error](err); ok {
		fmt.Println(e.Op, e.StatusCode, errors.Is(err, oraclemarket.ErrNotFound))
	}
	// Output: oraclemarket.MachineImages.Get 404 true
}
