package main

import (
	"bytes"
	"context"
	"crypto/md5"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"math/rand/v2"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"go.temporal.io/api/enums/v1"
	"go.temporal.io/api/workflowservice/v1"
	"go.temporal.io/sdk/client"
	"go.temporal.io/sdk/converter"
	"go.temporal.io/sdk/log"
	"go.uber.org/goleak"

	"github.com/imagejobs/imagejobs-go/examples/fleet/devserver"
	"github.com/imagejobs/imagejobs-go/examples/fleet/workflows"
	"github.com/imagejobs/imagejobs-go/examples/internal/cli"
	"github.com/imagejobs/imagejobs-go/oraclemarket/oraclemarkettest"
)

// asProgram makes the test binary the program itself.
const asProgram = "FLEET_TEST_AS_PROGRAM"

func TestMain(m *testing.M) {
	if os.Getenv(asProgram) != "" {
		main()
	}
	goleak.VerifyTestMain(m)
}

// testLimit bounds each test on a real server, which takes up to half a minute
// on an idle machine.
const testLimit = 5 * time.Minute

// rig is a Temporal server, to which workers in processes of their own connect.
type rig struct {
	*program

	t        *testing.T
	ctx      context.Context //nolint:containedctx // that of the test
	temporal *devserver.Server
	binary   string
	database string
	port     int
	env      []string // of the workers

	service *oraclemarkettest.Server
	in      *workflows.UploadImageInput // of an image to upload there
}

// newRig starts a server and skips the test if there is none, unless
// IMAGEJOBS_REQUIRE_TEMPORAL is set.
func newRig(t *testing.T, limit time.Duration, env ...[]string) *rig {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), limit)
	t.Cleanup(cancel)
	binary, err := devserver.Find()
	if errors.Is(err, devserver.ErrMissing) && os.Getenv("IMAGEJOBS_REQUIRE_TEMPORAL") == "" {
		t.Skip(err)
	}
	require.NoError(t, err)
	r := &rig{t: t, ctx: ctx, binary: binary, database: filepath.Join(t.TempDir(), "temporal.db")}
	r.startTemporal()
	r.env = append(slices.Concat(env...), asProgram+"=1", addressVariable+"="+r.temporal.Address)
	c, err := client.DialContext(ctx, client.Options{
		HostPort: r.temporal.Address, Logger: log.NewStructuredLogger(slog.New(slog.DiscardHandler)),
	})
	require.NoError(t, err)
	t.Cleanup(c.Close)
	r.program = &program{client: c, out: &cli.Output{}}
	return r
}

// newUpload has an image of so many chunks of 1 KiB, for each of which the
// service takes its time.
func newUpload(t *testing.T, chunks, concurrency int, each time.Duration) *rig {
	t.Helper()
	service := oracleServer(t)
	r := newRig(t, testLimit, service.Env())
	r.service, r.in = service, image(t, int64(chunks)<<10, 1<<10, concurrency)
	slow(service, each)
	return r
}

// startTemporal starts the server, or one that goes on with its database at the
// same port.
func (r *rig) startTemporal() {
	r.t.Helper()
	var err error
	r.temporal, err = devserver.Start(r.ctx, r.binary, r.database, r.port, 0)
	require.NoError(r.t, err)
	r.t.Cleanup(r.temporal.Kill)
	_, err = fmt.Sscanf(r.temporal.Address, "127.0.0.1:%d", &r.port)
	require.NoError(r.t, err)
}

// worker starts a worker, which is killed at the end of the test.
func (r *rig) worker(args ...string) *exec.Cmd {
	r.t.Helper()
	w, err := startWorker(r.t.Output(), r.env, args...)
	require.NoError(r.t, err)
	r.t.Cleanup(func() { kill(w) })
	return w
}

// workers starts some workers.
func (r *rig) workers(n int, args ...string) []*exec.Cmd {
	r.t.Helper()
	all := make([]*exec.Cmd, n)
	for i := range all {
		all[i] = r.worker(args...)
	}
	return all
}

// run starts a workflow.
func (r *rig) run(in input) client.WorkflowRun {
	r.t.Helper()
	run, err := r.start(r.ctx, in, false)
	require.NoError(r.t, err)
	return run
}

// until waits for something to become true.
func (r *rig) until(what string, done func() bool) {
	r.t.Helper()
	for !done() {
		select {
		case <-r.ctx.Done():
			r.t.Fatalf("waiting until %s: %v", what, r.ctx.Err())
		case <-time.After(20 * time.Millisecond):
		}
	}
}

// chunks waits until the service has received so many.
func (r *rig) chunks(n int) {
	r.t.Helper()
	r.until(fmt.Sprint(n, " chunks have arrived"), func() bool { return received(r.service) >= n })
}

// pause lets a fault last.
func (r *rig) pause(d time.Duration) {
	select {
	case <-time.After(d):
	case <-r.ctx.Done():
	}
}

// describe returns what Temporal knows about a workflow.
func (r *rig) describe(id string) *workflowservice.DescribeWorkflowExecutionResponse {
	r.t.Helper()
	d, err := r.client.DescribeWorkflowExecution(r.ctx, id, "")
	require.NoError(r.t, err)
	return d
}

// busy waits for a worker to run an activity of the workflow and returns it.
func (r *rig) busy(id string, workers []*exec.Cmd) (index int) {
	r.t.Helper()
	r.until("a worker runs "+id, func() bool {
		for _, a := range r.describe(id).PendingActivities {
			var pid int
			if _, err := fmt.Sscanf(a.LastWorkerIdentity, "%d@", &pid); err != nil || a.State != enums.PENDING_ACTIVITY_STATE_STARTED {
				continue
			}
			for i, w := range workers {
				if w.Process.Pid == pid {
					index = i
					return true
				}
			}
		}
		return false
	})
	return index
}

// state waits until a workflow is in a state.
func (r *rig) state(id string, want workflows.State) {
	r.t.Helper()
	r.until(id+" is "+string(want), func() bool {
		var now workflows.State
		p := r.describe(id).WorkflowExecutionInfo.SearchAttributes.GetIndexedFields()[workflows.StateAttribute.GetName()]
		return p != nil && converter.GetDefaultDataConverter().FromPayload(p, &now) == nil && now == want
	})
}

// events returns the length of a workflow's history.
func (r *rig) events(id string) int64 { return r.describe(id).WorkflowExecutionInfo.HistoryLength }

// command runs the program and returns its events and exit code.
func (r *rig) command(args ...string) ([]cli.Event, int) {
	r.t.Helper()
	program, err := os.Executable()
	require.NoError(r.t, err)
	c := exec.CommandContext(r.ctx, program, append(args, "-json")...)
	c.Env = append(os.Environ(), r.env...)
	out, err := c.Output()
	if exit, ok := errors.AsType[*exec.ExitError](err); !ok {
		require.NoError(r.t, err)
	} else {
		r.t.Logf("%v: exit code %d, %s", args, exit.ExitCode(), exit.Stderr)
	}
	var events []cli.Event
	for line := range bytes.Lines(out) {
		var e cli.Event
		require.NoError(r.t, json.Unmarshal(line, &e), string(line))
		events = append(events, e)
	}
	return events, c.ProcessState.ExitCode()
}

// image writes an image of so many bytes and returns its upload.
func image(t *testing.T, size, chunk int64, concurrency int) *workflows.UploadImageInput {
	t.Helper()
	path := filepath.Join(t.TempDir(), "image.tar.gz")
	file, err := os.Create(path)
	require.NoError(t, err)
	_, err = io.CopyN(file, rand.NewChaCha8([32]byte{byte(size)}), size)
	require.NoError(t, errors.Join(err, file.Close()))
	return &workflows.UploadImageInput{
		Application: "Game", Version: "1.0", OperatingSystem: "Linux", Source: path, ChunkSize: chunk, Concurrency: concurrency,
	}
}

// slow has the service take its time for each chunk.
func slow(service *oraclemarkettest.Server, d time.Duration) {
	service.Inject(oraclemarkettest.Fault{Operation: oraclemarkettest.OpUploadChunk, Delay: d, Times: -1})
}

// uploaded waits for the end of an upload, requires that the service has one
// upload request with the very bytes, initiated and merged once, and returns how
// many chunks it received more than once.
func (r *rig) uploaded(run client.WorkflowRun) (twice int) {
	r.t.Helper()
	var result workflows.UploadImageResult
	require.NoError(r.t, run.Get(r.ctx, &result))
	uploads := r.service.Uploads()
	require.Len(r.t, uploads, 1, "upload requests")
	require.Equal(r.t, uploads[0].ID, result.UploadRequestID)
	require.Equal(r.t, oraclemarkettest.Completed, uploads[0].Status)
	data, err := os.ReadFile(r.in.Source)
	require.NoError(r.t, err)
	got, err := uploads[0].MD5()
	require.NoError(r.t, err)
	require.Equal(r.t, fmt.Sprintf("%x", md5.Sum(data)), got)
	for _, n := range uploads[0].Receipts {
		twice += n - 1
	}
	require.Equal(r.t, 1, r.service.Processed(oraclemarkettest.OpInitiate))
	require.Equal(r.t, 1, r.service.Processed(oraclemarkettest.OpMerge))
	r.t.Logf("%d chunks, %d received twice, %d events", len(uploads[0].Chunks), twice, r.events(run.GetID()))
	return twice
}
