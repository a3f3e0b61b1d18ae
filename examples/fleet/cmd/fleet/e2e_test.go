package main

import (
	"fmt"
	"os"
	"slices"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"go.temporal.io/api/enums/v1"
	"go.temporal.io/api/workflow/v1"

	"github.com/imagejobs/imagejobs-go/examples/fleet/devserver"
	"github.com/imagejobs/imagejobs-go/examples/fleet/workflows"
	"github.com/imagejobs/imagejobs-go/examples/internal/cli"
	"github.com/imagejobs/imagejobs-go/imagereplicator"
	"github.com/imagejobs/imagejobs-go/imagereplicator/imagereplicatortest"
	"github.com/imagejobs/imagejobs-go/multiplay/multiplaytest"
	"github.com/imagejobs/imagejobs-go/oraclemarket/oraclemarkettest"
)

func oracleServer(t *testing.T, options ...oraclemarkettest.Option) *oraclemarkettest.Server {
	t.Helper()
	service := oraclemarkettest.NewServer(append([]oraclemarkettest.Option{oraclemarkettest.WithSpeed(10)}, options...)...)
	t.Cleanup(service.Close)
	return service
}

// Four workers are killed, one after the other, while they upload one image.
func TestFourKills(t *testing.T) {
	t.Parallel()
	const chunks, concurrency = 1024, 16
	r := newUpload(t, chunks, concurrency, 20*time.Millisecond)
	workers := r.workers(3)
	run := r.run(r.in)
	for n := range 4 {
		r.chunks(chunks * (n + 1) / 5)
		i := r.busy(run.GetID(), workers)
		kill(workers[i])
		killed, had := time.Now(), received(r.service)
		workers[i] = r.worker()
		r.chunks(had + concurrency + 1) // another worker goes on
		t.Logf("kill %d with %d chunks: taken over after %s", n+1, had, time.Since(killed).Round(100*time.Millisecond))
	}
	// Of each worker the chunks in flight, and those whose acknowledgement was about
	// to be saved: twice as many at most.
	require.LessOrEqual(t, r.uploaded(run), 4*3*concurrency)
	require.LessOrEqual(t, r.events(run.GetID()), int64(30))
}

// The parts of an image go on as well.
func TestPartsAndKill(t *testing.T) {
	t.Parallel()
	const chunks, concurrency, parts = 300, 4, 3
	r := newUpload(t, chunks, concurrency, 50*time.Millisecond)
	r.in.Parts = parts
	workers := r.workers(parts, "-transfers", "1")
	run := r.run(r.in)
	r.chunks(chunks / 3)
	kill(workers[r.busy(run.GetID(), workers)])
	require.LessOrEqual(t, r.uploaded(run), parts*concurrency)
	require.LessOrEqual(t, r.events(run.GetID()), int64(30+8*parts))
}

// The engine is killed while an image is uploaded, and goes on with its file.
func TestEngineKilled(t *testing.T) {
	t.Parallel()
	const chunks, concurrency = 256, 8
	r := newUpload(t, chunks, concurrency, 50*time.Millisecond)
	r.workers(2)
	run := r.run(r.in)
	r.chunks(chunks / 4)
	_, err := devserver.Start(r.ctx, r.binary, r.database, r.port, 0)
	require.ErrorIs(t, err, syscall.EADDRINUSE, "it takes no other server for itself")
	r.temporal.Kill()
	r.pause(2 * time.Second)
	r.startTemporal()
	had := 0
	r.until("another attempt begins, or none is needed", func() bool {
		had = received(r.service)
		return had == chunks || slices.ContainsFunc(r.describe(run.GetID()).PendingActivities, func(a *workflow.PendingActivityInfo) bool {
			return a.GetAttempt() > 1 && a.GetState() == enums.PENDING_ACTIVITY_STATE_STARTED
		})
	})
	t.Logf("%d chunks when it was killed, %d when the upload went on", chunks/4, had)
	// What was acknowledged while no heartbeat reached the engine is in none.
	require.LessOrEqual(t, r.uploaded(run), had-chunks/4+2*concurrency)
}

// The network between workers and service is cut for a while.
func TestNetworkCut(t *testing.T) {
	t.Parallel()
	const chunks, concurrency = 256, 8
	r := newUpload(t, chunks, concurrency, 30*time.Millisecond)
	r.workers(2)
	run := r.run(r.in)
	r.chunks(chunks / 3)
	end := r.service.StartOutage(oraclemarkettest.Outage{})
	r.pause(8 * time.Second) // longer than the heartbeat timeout
	end()
	require.LessOrEqual(t, r.uploaded(run), concurrency)
}

// A deploy ends the worker that has 16 chunks in flight: the other one goes on
// at once.
func TestDeploy(t *testing.T) {
	t.Parallel()
	const chunks, concurrency = 256, 16
	r := newUpload(t, chunks, concurrency, 200*time.Millisecond)
	workers := r.workers(2)
	run := r.run(r.in)
	r.chunks(chunks / 4)
	old := workers[r.busy(run.GetID(), workers)]
	require.NoError(t, old.Process.Signal(syscall.SIGTERM))
	began := time.Now()
	require.NoError(t, old.Wait(), "exit code 0")
	stopped, had := time.Since(began), received(r.service)
	r.chunks(had + 1)
	t.Logf("stopped after %s, taken over after %s", stopped.Round(10*time.Millisecond), time.Since(began).Round(10*time.Millisecond))
	pending := r.describe(run.GetID()).PendingActivities
	require.Len(t, pending, 1)
	require.NotNil(t, pending[0].GetLastFailure())
	require.Nil(t, pending[0].GetLastFailure().GetTimeoutFailureInfo(), "as if it had been killed")
	require.LessOrEqual(t, r.uploaded(run), concurrency)
}

// The response to an initiate is lost, with its worker the second time: the
// upload request is found again.
func TestLostCreate(t *testing.T) {
	t.Parallel()
	for name, fault := range map[string]oraclemarkettest.Fault{
		"response": {Operation: oraclemarkettest.OpInitiate, Drop: oraclemarkettest.DropAfter},
		"worker":   {Operation: oraclemarkettest.OpInitiate, Stall: oraclemarkettest.StallResponse, Process: true},
	} {
		t.Run(name, func(t *testing.T) {
			r := newUpload(t, 16, 4, 0)
			r.service.Inject(fault)
			workers := r.workers(2)
			run := r.run(r.in)
			if name == "worker" {
				r.until("there is an upload request", func() bool { return r.service.Processed(oraclemarkettest.OpInitiate) == 1 })
				kill(workers[r.busy(run.GetID(), workers)])
			}
			require.Zero(t, r.uploaded(run))
		})
	}
}

// Requests to upload the same image are one run, also when it is done.
func TestOneRunPerImage(t *testing.T) {
	t.Parallel()
	r := newUpload(t, 16, 4, 20*time.Millisecond)
	r.workers(2)
	runs := make([]string, 8)
	var starting sync.WaitGroup
	for i := range runs {
		starting.Go(func() {
			if run, err := r.start(r.ctx, r.in, false); err == nil {
				runs[i] = run.GetRunID()
			}
		})
	}
	starting.Wait()
	run := r.run(r.in)
	for _, id := range runs {
		require.Equal(t, run.GetRunID(), id)
	}
	require.Zero(t, r.uploaded(run))
	same := []string{"upload", "-application", r.in.Application, "-version", r.in.Version, "-os", r.in.OperatingSystem, "-source", r.in.Source}
	events, code := r.command(same...)
	require.Zero(t, code)
	require.Contains(t, events[0].Message, "done already")
	require.Equal(t, run.GetRunID(), events[1].IDs["runId"])
	events, _ = r.command(append(same, "-again", "-detach")...)
	require.NotEqual(t, run.GetRunID(), events[0].IDs["runId"])
}

// canceled cancels a job with fleet cancel and requires that it ends so.
func (r *rig) canceled(id string) (left string) {
	r.t.Helper()
	events, code := r.command("cancel", "-id", id)
	require.Zero(r.t, code)
	last := events[len(events)-2]
	require.Equal(r.t, string(workflows.StateCanceled), last.State)
	require.NotNil(r.t, last.Error)
	r.t.Log(last.Error.Message)
	return last.Error.Message
}

// A job is canceled in each of its steps. What is left on the service is what
// it says.
func TestCancel(t *testing.T) {
	t.Parallel()
	oracle := oracleServer(t, oraclemarkettest.WithJobTime(time.Hour))
	replicator := imagereplicatortest.NewServer(imagereplicatortest.WithJobTime(time.Hour))
	t.Cleanup(replicator.Close)
	clanforge := multiplaytest.NewServer(multiplaytest.WithJobTime(time.Hour))
	t.Cleanup(clanforge.Close)
	r := newRig(t, testLimit, oracle.Env(), replicator.Env(), clanforge.Env())
	r.worker()

	in := image(t, 64<<10, 1<<10, 2)
	slow(oracle, 500*time.Millisecond)
	r.service = oracle
	id := r.run(in).GetID()
	r.chunks(4)
	r.canceled(id)
	require.Equal(t, oraclemarkettest.Deleted, oracle.Uploads()[0].Status, "uploading")

	fleet := &workflows.PublishFleetInput{Name: "night", MaxRunning: 2}
	for i := range 3 {
		one := *in
		one.Version = fmt.Sprintf("fleet %d", i)
		fleet.Images = append(fleet.Images, workflows.FleetImage{Upload: &one})
	}
	id = r.run(fleet).GetID()
	r.chunks(12) // two of three images are being uploaded
	r.canceled(id)
	require.Len(t, oracle.Uploads(), 3)
	for _, u := range oracle.Uploads() {
		require.Equal(t, oraclemarkettest.Deleted, u.Status, "a fleet")
	}

	oracle.ClearFaults()
	in.Version = "2.0"
	id = r.run(in).GetID()
	r.state(id, workflows.StateProcessing)
	require.Contains(t, r.canceled(id), "upload request", "processing")

	tenants := &workflows.CopyImageInput{
		ImageID: imagereplicatortest.ImageID, TenantIDs: []string{imagereplicatortest.DestinationTenantID, imagereplicatortest.ThirdTenantID},
	}
	id = r.run(tenants).GetID()
	r.until("there are copies", func() bool { return replicator.Processed(imagereplicatortest.OpCreate) == 2 })
	r.canceled(id)
	for _, j := range replicator.Jobs() {
		if j.ID != imagereplicatortest.JobID { // which was there before
			require.Equal(t, imagereplicator.StatusCanceled, j.Status, "copying")
		}
	}

	release := &workflows.ReleaseImageInput{ImageID: multiplaytest.ImageID, MachineID: multiplaytest.MachineID, Description: "1"}
	id = r.run(release).GetID()
	r.until("there is an update", func() bool { return clanforge.Processed(multiplaytest.OpUpdateCreate) == 1 })
	require.Contains(t, r.canceled(id), "update", "updating")
}

// A release is canceled while it waits for approval, and while it rolls out.
func TestCancelRelease(t *testing.T) {
	t.Parallel()
	clanforge := multiplaytest.NewServer(multiplaytest.WithSpeed(100)) // installs do not start by themselves
	t.Cleanup(clanforge.Close)
	r := newRig(t, testLimit, clanforge.Env())
	r.worker()
	in := &workflows.ReleaseImageInput{ImageID: multiplaytest.ImageID, MachineID: multiplaytest.MachineID, Description: "first"}
	id := r.run(in).GetID()
	r.state(id, workflows.StateNeedsApproval)
	r.canceled(id)
	require.Equal(t, 1, clanforge.Processed(multiplaytest.OpDiffReject), "else it locks the image")
	in.Description, in.Approve = "second", true
	id = r.run(in).GetID()
	r.state(id, workflows.StateRollingOut)
	r.until("there is a version", func() bool { return len(clanforge.Versions()) == 1 })
	require.Contains(t, r.canceled(id), "version")
	clanforge.Inject(multiplaytest.Fault{Operation: multiplaytest.OpUpdateCreate, Drop: multiplaytest.DropAfter})
	in.Description = "third"
	id = r.run(in).GetID()
	r.state(id, workflows.StateNeedsDecision)
	require.Contains(t, r.canceled(id), "perhaps an image update")
}

// A release waits for a person: because a call was lost, and for approval.
func TestReleaseWaitsForPeople(t *testing.T) {
	t.Parallel()
	clanforge := multiplaytest.NewServer(multiplaytest.WithSpeed(50), multiplaytest.WithDialect(multiplaytest.Dialect{StartInstalls: true}))
	t.Cleanup(clanforge.Close)
	r := newRig(t, testLimit, clanforge.Env())
	worker := r.worker()
	clanforge.Inject(multiplaytest.Fault{Operation: multiplaytest.OpUpdateCreate, Drop: multiplaytest.DropAfter})
	in := &workflows.ReleaseImageInput{ImageID: multiplaytest.ImageID, MachineID: multiplaytest.MachineID, Description: "first", Restart: true}
	run := r.run(in)
	r.state(run.GetID(), workflows.StateNeedsDecision)
	kill(worker) // a decision outlives workers
	r.worker()

	events, code := r.command("status")
	require.Zero(t, code)
	require.Equal(t, string(workflows.StateNeedsDecision), events[0].State)
	detail, _ := events[0].Detail.(map[string]any)
	require.NotEmpty(t, detail["problem"], "what it waits for")
	require.Len(t, clanforge.Updates(), 1)

	_, code = r.command("resolve", "-id", run.GetID(), "-action", "adopt", "-by", "test")
	require.NotZero(t, code, "adopting needs an id")
	_, code = r.command("resolve", "-id", run.GetID(), "-action", "adopt", "-adopt", strconv.FormatInt(clanforge.Updates()[0].ID, 10), "-by", "test")
	require.Zero(t, code)
	r.state(run.GetID(), workflows.StateNeedsApproval)
	_, code = r.command("approve", "-id", run.GetID(), "-by", "test")
	require.Zero(t, code)
	var result workflows.ReleaseImageResult
	require.NoError(t, run.Get(r.ctx, &result))
	require.Equal(t, "test", result.ApprovedBy)
	require.Len(t, clanforge.Updates(), 1)
	require.Len(t, clanforge.Versions(), 1)
}

// A file that changes while its upload changes workers is uploaded no further.
func TestChangedSource(t *testing.T) {
	t.Parallel()
	r := newUpload(t, 64, 2, 200*time.Millisecond)
	worker := r.worker()
	run := r.run(r.in)
	r.chunks(10)
	kill(worker)
	require.NoError(t, os.WriteFile(r.in.Source, make([]byte, 64<<10), 0o600))
	r.worker()
	require.Error(t, run.Get(r.ctx, nil))
	e := r.failed(run.GetID())
	require.Contains(t, e.Message, "changed")
	require.NotContains(t, e.Message, "left")
	require.Equal(t, oraclemarkettest.Deleted, r.service.Uploads()[0].Status)
}

// failed returns why a job failed, as fleet status has it.
func (r *rig) failed(id string) *cli.Failure {
	r.t.Helper()
	events, code := r.command("status", "-id", id)
	require.Zero(r.t, code)
	require.Equal(r.t, string(workflows.StateFailed), events[0].State)
	require.NotNil(r.t, events[0].Error)
	r.t.Log(events[0].Error.Message)
	return events[0].Error
}

// What is wrong is named, and nothing is left.
func TestBadInput(t *testing.T) {
	t.Parallel()
	service, replicator := oracleServer(t), imagereplicatortest.NewServer()
	t.Cleanup(replicator.Close)
	r := newRig(t, testLimit, service.Env(), replicator.Env())
	r.worker()
	good := image(t, 8<<10, 4<<10, 2)
	unreadable, nameless := *good, *good
	unreadable.Source += ".missing"
	nameless.Application = ""
	copyOf := func(image, tenant string) input {
		return &workflows.CopyImageInput{ImageID: image, TenantIDs: []string{tenant}}
	}
	const usage, failed, unknown = "usage", "failed", "00000000-0000-4000-8000-000000000000"
	for _, c := range []struct {
		in            input
		message, kind string
	}{
		{&unreadable, "UploadImageInput.Source: open ", usage},
		{&nameless, "UploadImageInput.Application: must not be empty", usage},
		{copyOf("a/b", imagereplicatortest.DestinationTenantID), "ImageID", usage},
		{copyOf(unknown, imagereplicatortest.DestinationTenantID), "image", failed},
		{copyOf(imagereplicatortest.ImageID, "a"), "tenant", failed},
		{&workflows.ReleaseImageInput{ImageID: 1, MachineID: 1, Description: "1"}, "MULTIPLAY_ACCESS_KEY must be set", usage},
	} {
		run := r.run(c.in)
		require.Error(t, run.Get(r.ctx, nil))
		e := r.failed(run.GetID())
		require.Contains(t, e.Message, c.message)
		require.Equal(t, c.kind, e.Kind, run.GetID())
		require.NotContains(t, e.Message, "left")
	}
	require.Empty(t, service.Uploads())

	for _, c := range []struct {
		flag string
		code int
		args []string
	}{
		{"", cli.Done, []string{"-source", good.Source}},
		{"-source", cli.Usage, []string{"-source", unreadable.Source}},
		{"-concurrency", cli.Usage, []string{"-source", good.Source, "-file-name", "b", "-concurrency", "-1"}},
	} {
		events, code := r.command(append([]string{"upload", "-application", "A", "-version", "1", "-os", "Linux"}, c.args...)...)
		require.Equal(t, c.code, code)
		if wrong := events[len(events)-2].Error; wrong != nil {
			require.Equal(t, c.flag, wrong.Flag, wrong.Message)
			require.Contains(t, wrong.Message, c.flag+" ")
		}
	}
	events, _ := r.command("status")
	require.Len(t, events, 6+3+1, "the jobs and the end")
}

func TestDemo(t *testing.T) {
	t.Parallel()
	r := newRig(t, testLimit) // or skip
	r.temporal.Kill()
	// How to log in to another Temporal is not for this one.
	r.env = append(r.env, "TEMPORAL_API_KEY=key", "TEMPORAL_NAMESPACE=elsewhere")
	events, code := r.command("demo")
	require.Zero(t, code)
	require.True(t, slices.ContainsFunc(events, func(e cli.Event) bool { return strings.HasPrefix(e.Message, "killed worker") }))
	require.Contains(t, events[len(events)-2].Message, "nothing was lost: 10 upload requests for 10 images, all Completed")
}
