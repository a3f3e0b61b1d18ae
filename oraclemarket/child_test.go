package oraclemarket_test

import (
	"cmp"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"os"
	"strings"
	"sync/atomic"
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
	// Piped has the file read once, as if it were a pipe.
	Piped          bool
	BytesPerSecond int64
	// Wait, if set, is the longest back-off, and Limit that of an attempt.
	Wait, Limit time.Duration
	// Lag, if set, replaces lag.
	Lag time.Duration
	// KillAtSync, if set, is the sync of a checkpoint at which the process ends
	// as by kill -9: the first of a save is that of a file with no name yet.
	KillAtSync int
}

func (c *childTask) request() *oraclemarket.ImageUpload {
	req := &oraclemarket.ImageUpload{
		Application: "wordpress", Version: "OL67", OperatingSystem: "Linux",
		ChunkSize: c.ChunkSize, Concurrency: c.Concurrency, DisableChecksum: c.NoChecksum, BytesPerSecond: c.BytesPerSecond,
		WaitOptions: []oraclemarket.WaitOption{oraclemarket.WithPollInterval(time.Millisecond, 20*time.Millisecond)},
	}
	if c.Checkpoints != "" {
		req.Checkpoints = oraclemarket.FileCheckpoints(c.Checkpoints)
	}
	return req
}

// child uploads a file and prints a line for each progress and each acknowledged
// chunk, and the peak of its memory at the end.
func child() int {
	var task childTask
	if err := json.Unmarshal([]byte(os.Getenv(childEnv)), &task); err != nil {
		fmt.Fprintln(os.Stderr, err)
		return 2
	}
	opts := []oraclemarket.Option{oraclemarket.WithBaseURL(task.URL), oraclemarket.WithLag(cmp.Or(task.Lag, lag))}
	opts = append(opts, oraclemarket.WithObserver(func(_ context.Context, a oraclemarket.Attempt) {
		if a.Op == "oraclemarket.MachineImages.UploadChunk" && a.StatusCode == http.StatusOK && a.Err == nil {
			fmt.Fprintln(os.Stdout, acknowledgedLine)
		}
	}))
	if task.Wait > 0 {
		opts = append(opts, oraclemarket.WithRetry(5, 0, task.Wait), oraclemarket.WithAttemptTimeout(task.Limit), oraclemarket.WithStallTimeout(task.Limit))
	}
	c, err := oraclemarket.New(task.User, oraclemarket.ClientCredentials(task.ID, task.Secret), opts...)
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		return 2
	}
	req := task.request()
	if store, ok := req.Checkpoints.(*oraclemarket.FileCheckpointStore); ok && task.KillAtSync > 0 {
		oraclemarket.OnSync(store, killSelfAt(task.KillAtSync))
	}
	req.Progress = func(p oraclemarket.UploadProgress) { fmt.Fprintln(os.Stdout, "chunks", p.Chunks) }
	if err := task.upload(c, req); err != nil {
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

const acknowledgedLine = "acknowledged"

func (c *childTask) upload(client *oraclemarket.Client, req *oraclemarket.ImageUpload) error {
	if !c.Piped {
		_, err := client.MachineImages.UploadFile(context.Background(), c.Path, req)
		return err
	}
	f, err := os.Open(c.Path)
	if err != nil {
		return err
	}
	defer func() { _ = f.Close() }()
	info, err := f.Stat()
	if err != nil {
		return err
	}
	req.Reader, req.Size, req.FileName = struct{ io.Reader }{f}, info.Size(), info.Name()
	_, err = client.MachineImages.Upload(context.Background(), req)
	return err
}

// killSelfAt returns a function whose nth call ends this process as kill -9
// does.
func killSelfAt(n int) func() {
	var calls atomic.Int64
	return func() {
		if calls.Add(1) < int64(n) {
			return
		}
		self, err := os.FindProcess(os.Getpid())
		if err == nil {
			err = self.Kill()
		}
		if err != nil {
			panic(err)
		}
		select {} // it is on its way
	}
}
