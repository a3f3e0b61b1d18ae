package oraclemarket_test

import (
	"context"
	"fmt"
	"log"
	"os"
	"os/signal"
	"path/filepath"

	"github.com/imagejobs/imagejobs-go/oraclemarket"
	"github.com/imagejobs/imagejobs-go/oraclemarket/oraclemarkettest"
)

// publish uploads an image and follows it to its end. After Ctrl-C or a crash,
// the same call resumes, also in another process.
func publish(ctx context.Context, client *oraclemarket.Client, file, state string) error {
	image, err := client.MachineImages.UploadFile(ctx, file, &oraclemarket.ImageUpload{
		Application:     "wordpress",
		Version:         "6.9",
		OperatingSystem: "Linux",
		Checkpoints:     oraclemarket.FileCheckpoints(state),
		Progress: func(p oraclemarket.UploadProgress) {
			log.Printf("%d of %d MiB, %.1f MiB/s", p.SentBytes>>20, p.Total>>20, p.BytesPerSecond/(1<<20))
		},
		StatusChanged: func(image *oraclemarket.MachineImageUploadRequest) { log.Print(image.StatusName) },
	})
	if err != nil {
		return err // a *StateError if the service rejected the image
	}
	fmt.Println(image.StatusName, image.ImageFilePath)
	return nil
}

// Publish an image, through interruptions.
func Example_publish() {
	server := oraclemarkettest.NewServer(oraclemarkettest.WithJobTime(0))
	defer server.Close()
	client := server.Client() // of the service itself: oraclemarket.FromEnv()

	dir, err := os.MkdirTemp("", "example")
	if err != nil {
		log.Print(err)
		return
	}
	defer func() { _ = os.RemoveAll(dir) }()
	file, state := filepath.Join(dir, "wordpress.tar.gz"), filepath.Join(dir, "state")
	if err := os.WriteFile(file, make([]byte, 9<<20), 0o600); err != nil {
		log.Print(err)
		return
	}

	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt)
	defer stop()
	if err := publish(ctx, client, file, state); err != nil {
		log.Print(err)
	}
	// Output: Completed oracle_pdc2/mi/wordpress/6.9/Linux/wordpress.tar.gz
}
