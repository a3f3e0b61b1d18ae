package oraclemarket_test

import (
	"context"
	"encoding/json"
	"fmt"
	"os"
	"strings"
	"time"

	"github.com/imagejobs/imagejobs-go/oraclemarket"
)

// childEnv has this binary upload instead of test; its value is a
// childTask.
const childEnv = "IMAGEJOBS_TEST_UPLOAD"

// childTask is what another process is to upload, and how.
type childTask struct {
	URL, User, ID, Secret string
	Path                  string
	Checkpoints           string
	ChunkSize             int64
	Concurrency           int
	NoChecksum            bool
	// Wait, if set, is the longest back-off.
	Wait time.Duration
}

func (c *childTask) request() *oraclemarket.ImageUpload {
	req := &oraclemarket.ImageUpload{
		Application: "wordpress", Version: "OL67", OperatingSystem: "Linux",
		ChunkSize: c.ChunkSize, Concurrency: c.Concurrency, DisableChecksum: c.NoChecksum,
		WaitOptions: []oraclemarket.WaitOption{oraclemarket.WithPollInterval(time.Millisecond, 20*time.Millisecond)},
	}
	if c.Checkpoints != "" {
		req.Checkpoints = oraclemarket.FileCheckpoints(c.Checkpoints)
	}
	return req
}

// child uploads a file and prints a line for each progress, and the peak of
// its memory at the end.
func child() int {
	var task childTask
	if err := json.Unmarshal([]byte(os.Getenv(childEnv)), &task); err != nil {
		fmt.Fprintln(os.Stderr, err)
		return 2
	}
	opts := []oraclemarket.Option{oraclemarket.WithBaseURL(task.URL), oraclemarket.WithLag(lag)}
	if task.Wait > 0 {
		opts = append(opts, oraclemarket.WithRetry(5, 0, task.Wait), oraclemarket.WithAttemptTimeout(2*time.Second), oraclemarket.WithStallTimeout(2*time.Second))
	}
	c, err := oraclemarket.New(task.User, oraclemarket.ClientCredentials(task.ID, task.Secret), opts...)
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		return 2
	}
	req := task.request()
	req.Progress = func(p oraclemarket.UploadProgress) { fmt.Fprintln(os.Stdout, "chunks", p.Chunks) }
	if _, err := c.MachineImages.UploadFile(context.Background(), task.Path, req); err != nil {
		fmt.Fprintln(os.Stderr, err)
		return 1
	}
	status, _ := os.ReadFile("/proc/self/status")
	for line := range strings.Lines(string(status)) {
		if value, ok := strings.CutPrefix(line, "VmHWM:"); ok {
			fmt.Fprintln(os.Stdout, "peak", strings.Fields(value)[0])
		}
	}
	return 0
}
