package oraclemarkettest_test

import (
	"context"
	"fmt"
	"net/http"
	"strings"
	"time"

	"github.com/imagejobs/imagejobs-go/oraclemarket"
	"github.com/imagejobs/imagejobs-go/oraclemarket/oraclemarkettest"
)

// Each test of a program that uploads images starts its own server.
func Example() {
	server := oraclemarkettest.NewServer(oraclemarkettest.WithJobTime(0)) // jobs end at once
	defer server.Close()
	client := server.Client()

	image := "not much of an image"
	done, err := client.MachineImages.Upload(context.Background(), &oraclemarket.ImageUpload{
		Application: "wordpress", Version: "1.0", OperatingSystem: "Linux", FileName: "wordpress.tar.gz",
		File: strings.NewReader(image), Size: int64(len(image)), ChunkSize: 5,
	})
	if err != nil {
		fmt.Println(err)
		return
	}
	upload, _ := server.Upload(done.UploadRequestID)
	sum, err := upload.MD5()
	if err != nil {
		fmt.Println(err)
		return
	}
	fmt.Println(done.StatusName, upload.NumberOfChunks, sum)
	// Output: Completed 4 4396af6df7d18ada180b08e019ce63e3
}

// The response to the first chunk gets lost: the server has the chunk, but the
// client cannot know and sends it again.
func ExampleServer_Inject() {
	server := oraclemarkettest.NewServer(oraclemarkettest.WithJobTime(0))
	defer server.Close()
	client := server.Client(oraclemarket.WithRetry(3, time.Millisecond, time.Millisecond))
	server.Inject(oraclemarkettest.Fault{
		Operation: oraclemarkettest.OpUploadChunk,
		Match:     func(r *http.Request) bool { return r.Header.Get("X-Chunk-Number") == "1" },
		Drop:      oraclemarkettest.DropAfter,
	})

	image := "not much of an image"
	done, err := client.MachineImages.Upload(context.Background(), &oraclemarket.ImageUpload{
		Application: "wordpress", Version: "1.0", OperatingSystem: "Linux", FileName: "wordpress.tar.gz",
		File: strings.NewReader(image), Size: int64(len(image)), ChunkSize: 10,
	})
	if err != nil {
		fmt.Println(err)
		return
	}
	upload, _ := server.Upload(done.UploadRequestID)
	fmt.Println(done.StatusName, upload.Receipts)
	// Output: Completed map[1:2 2:1]
}
