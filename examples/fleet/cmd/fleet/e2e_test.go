package main

import (
	"bytes"
	"fmt"
	"os"
	"strconv"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

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
	service := oracleServer(t)
	r := newRig(t, testLimit, service.Env())
	const chunks, concurrency = 1024, 16
	in := image(t, chunks<<10, 1<<10, concurrency)
	slow(service, 20*time.Millisecond)
	workers := []*process{r.worker(), r.worker(), r.worker()}
	run := r.start(workflows.UploadID(in), workflows.UploadImage, in)
	for kill := range 4 {
		share := chunks * (kill + 1) / 5
		r.until("chunks arrive", func() bool { return received(service) >= share })
		i := r.busy(run.GetID(), workers)
		workers[i].kill()
		killed, had := time.Now(), received(service)
		workers[i] = r.worker()
		r.until("another worker goes on", func() bool { return received(service) > had+concurrency })
		t.Logf("kill %d with %d chunks: taken over after %s", kill+1, had, time.Since(killed).Round(100*time.Millisecond))
	}
	// Of each worker the chunks in flight, and those whose acknowledgement was about
	// to be saved: twice as many at most.
	require.LessOrEqual(t, r.uploaded(service, run, in), 4*3*concurrency)
	require.Equal(t, 1, service.Processed(oraclemarkettest.OpInitiate))
	require.Equal(t, 1, service.Processed(oraclemarkettest.OpMerge))
	require.LessOrEqual(t, r.events(run.GetID()), int64(18))
}

// The parts of an image go on as well.
func TestPartsAndKill(t *testing.T) {
	t.Parallel()
	service := oracleServer(t)
	r := newRig(t, testLimit, service.Env())
	const chunks, concurrency, parts = 300, 4, 3
	in := image(t, chunks<<10, 1<<10, concurrency)
	in.Parts = parts
	slow(service, 50*time.Millisecond)
	workers := []*process{r.worker("-transfers", "1"), r.worker("-transfers", "1"), r.worker("-transfers", "1")}
	run := r.start(workflows.UploadID(in), workflows.UploadImage, in)
	r.until("chunks arrive", func() bool { return received(service) >= chunks/3 })
	workers[r.busy(run.GetID(), workers)].kill()
	require.LessOrEqual(t, r.uploaded(service, run, in), parts*concurrency)
	require.Equal(t, 1, service.Processed(oraclemarkettest.OpInitiate))
	require.Equal(t, 1, service.Processed(oraclemarkettest.OpMerge))
	require.LessOrEqual(t, r.events(run.GetID()), int64(12+6*parts))
}

// The engine is killed while an image is uploaded, and goes on with its file.
func TestEngineKilled(t *testing.T) {
	t.Parallel()
	service := oracleServer(t)
	r := newRig(t, testLimit, service.Env())
	const chunks, concurrency = 256, 8
	in := image(t, chunks<<10, 1<<10, concurrency)
	slow(service, 50*time.Millisecond)
	r.worker()
	r.worker()
	run := r.start(workflows.UploadID(in), workflows.UploadImage, in)
	r.until("chunks arrive", func() bool { return received(service) >= chunks/4 })
	r.temporal.Kill()
	select {
	case <-time.After(2 * time.Second):
	case <-r.ctx.Done():
	}
	had := received(service)
	r.startTemporal()
	t.Logf("%d chunks when it was killed, %d when it was back", chunks/4, had)
	// What was acknowledged while the engine was away is in no heartbeat.
	require.LessOrEqual(t, r.uploaded(service, run, in), had-chunks/4+2*concurrency)
	require.Equal(t, 1, service.Processed(oraclemarkettest.OpInitiate))
}

// The network between workers and service is cut for a while.
func TestNetworkCut(t *testing.T) {
	t.Parallel()
	service := oracleServer(t)
	r := newRig(t, testLimit, service.Env())
	const chunks, concurrency = 256, 8
	in := image(t, chunks<<10, 1<<10, concurrency)
	slow(service, 30*time.Millisecond)
	r.worker()
	r.worker()
	run := r.start(workflows.UploadID(in), workflows.UploadImage, in)
	r.until("chunks arrive", func() bool { return received(service) >= chunks/3 })
	end := service.StartOutage(oraclemarkettest.Outage{})
	select {
	case <-time.After(8 * time.Second): // longer than the heartbeat timeout
	case <-r.ctx.Done():
	}
	end()
	require.LessOrEqual(t, r.uploaded(service, run, in), concurrency)
	require.Equal(t, 1, service.Processed(oraclemarkettest.OpInitiate))
}

// A deploy ends the worker that has 16 chunks in flight: the other one goes on
// at once.
func TestDeploy(t *testing.T) {
	t.Parallel()
	service := oracleServer(t)
	r := newRig(t, testLimit, service.Env())
	const chunks, concurrency = 256, 16
	in := image(t, chunks<<10, 1<<10, concurrency)
	slow(service, 200*time.Millisecond)
	workers := []*process{r.worker(), r.worker()}
	run := r.start(workflows.UploadID(in), workflows.UploadImage, in)
	r.until("chunks arrive", func() bool { return received(service) >= chunks/4 })
	old := workers[r.busy(run.GetID(), workers)]
	require.NoError(t, old.Process.Signal(syscall.SIGTERM))
	began := time.Now()
	select {
	case <-old.ended:
	case <-r.ctx.Done():
		t.Fatal("the worker does not end")
	}
	stopped, had := time.Since(began), received(service)
	require.Equal(t, 0, old.ProcessState.ExitCode())
	r.until("the other worker goes on", func() bool { return received(service) > had })
	took := time.Since(began)
	t.Logf("stopped after %s, taken over after %s", stopped.Round(10*time.Millisecond), took.Round(10*time.Millisecond))
	require.Less(t, took, 4*time.Second, "as if it had been killed")
	require.LessOrEqual(t, r.uploaded(service, run, in), concurrency)
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
			service := oracleServer(t)
			r := newRig(t, testLimit, service.Env())
			in := image(t, 64<<10, 4<<10, 4)
			service.Inject(fault)
			workers := []*process{r.worker(), r.worker()}
			run := r.start(workflows.UploadID(in), workflows.UploadImage, in)
			if name == "worker" {
				r.until("there is an upload request", func() bool { return service.Processed(oraclemarkettest.OpInitiate) == 1 })
				workers[r.busy(run.GetID(), workers)].kill()
			}
			require.Zero(t, r.uploaded(service, run, in))
			require.Equal(t, 1, service.Processed(oraclemarkettest.OpInitiate))
		})
	}
}

// Requests to upload the same image are one run, also when it is done.
func TestOneRunPerImage(t *testing.T) {
	t.Parallel()
	service := oracleServer(t)
	r := newRig(t, testLimit, service.Env())
	in := image(t, 64<<10, 4<<10, 4)
	slow(service, 20*time.Millisecond)
	r.worker()
	r.worker()
	runs := make([]string, 8)
	var starting sync.WaitGroup
	for i := range runs {
		starting.Go(func() {
			if run, err := r.fleet.start(r.ctx, workflows.UploadID(in), workflows.UploadImage, in, false); err == nil {
				runs[i] = run.GetRunID()
			}
		})
	}
	starting.Wait()
	run := r.start(workflows.UploadID(in), workflows.UploadImage, in)
	for _, id := range runs {
		require.Equal(t, run.GetRunID(), id)
	}
	require.Zero(t, r.uploaded(service, run, in))
	require.Equal(t, run.GetRunID(), r.start(workflows.UploadID(in), workflows.UploadImage, in).GetRunID(), "it is done")
	again, err := r.fleet.start(r.ctx, workflows.UploadID(in), workflows.UploadImage, in, true)
	require.NoError(t, err)
	require.NotEqual(t, run.GetRunID(), again.GetRunID())
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
	id := r.start(workflows.UploadID(in), workflows.UploadImage, in).GetID()
	r.until("chunks arrive", func() bool { return received(oracle) >= 4 })
	r.canceled(id)
	require.Equal(t, oraclemarkettest.Deleted, oracle.Uploads()[0].Status, "uploading")

	fleet := workflows.PublishFleetInput{Name: "night", MaxRunning: 2}
	for i := range 3 {
		one := in
		one.Version = fmt.Sprintf("fleet %d", i)
		fleet.Images = append(fleet.Images, workflows.FleetImage{Upload: &one})
	}
	id = r.start(workflows.FleetID(fleet), workflows.PublishFleet, fleet).GetID()
	r.until("two of three images are being uploaded", func() bool { return received(oracle) >= 12 })
	r.canceled(id)
	require.Len(t, oracle.Uploads(), 3)
	for _, u := range oracle.Uploads() {
		require.Equal(t, oraclemarkettest.Deleted, u.Status, "a fleet")
	}

	oracle.ClearFaults()
	in.Version = "2.0"
	id = r.start(workflows.UploadID(in), workflows.UploadImage, in).GetID()
	r.state(id, workflows.StateProcessing)
	require.Contains(t, r.canceled(id), "upload request", "processing")

	tenants := workflows.CopyImageInput{
		ImageID: imagereplicatortest.ImageID, TenantIDs: []string{imagereplicatortest.DestinationTenantID, imagereplicatortest.ThirdTenantID},
	}
	id = r.start(workflows.CopyID(tenants), workflows.CopyImage, tenants).GetID()
	r.until("there are copies", func() bool { return replicator.Processed(imagereplicatortest.OpCreate) == 2 })
	r.canceled(id)
	for _, j := range replicator.Jobs() {
		if j.ID != imagereplicatortest.JobID { // which was there before
			require.Equal(t, imagereplicator.StatusCanceled, j.Status, "copying")
		}
	}

	release := workflows.ReleaseImageInput{ImageID: multiplaytest.ImageID, MachineID: multiplaytest.MachineID, Description: "1"}
	id = r.start(workflows.ReleaseID(release), workflows.ReleaseImage, release).GetID()
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
	in := workflows.ReleaseImageInput{ImageID: multiplaytest.ImageID, MachineID: multiplaytest.MachineID, Description: "first"}
	id := r.start(workflows.ReleaseID(in), workflows.ReleaseImage, in).GetID()
	r.state(id, workflows.StateNeedsApproval)
	r.canceled(id)
	require.Equal(t, 1, clanforge.Processed(multiplaytest.OpDiffReject), "else it locks the image")
	in.Description, in.Approve = "second", true
	id = r.start(workflows.ReleaseID(in), workflows.ReleaseImage, in).GetID()
	r.state(id, workflows.StateRollingOut)
	r.until("there is a version", func() bool { return len(clanforge.Versions()) == 1 })
	require.Contains(t, r.canceled(id), "version")
	clanforge.Inject(multiplaytest.Fault{Operation: multiplaytest.OpUpdateCreate, Drop: multiplaytest.DropAfter})
	in.Description = "third"
	id = r.start(workflows.ReleaseID(in), workflows.ReleaseImage, in).GetID()
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
	in := workflows.ReleaseImageInput{ImageID: multiplaytest.ImageID, MachineID: multiplaytest.MachineID, Description: "first", Restart: true}
	run := r.start(workflows.ReleaseID(in), workflows.ReleaseImage, in)
	r.state(run.GetID(), workflows.StateNeedsDecision)
	worker.kill() // a decision outlives workers
	r.worker()

	events, code := r.command("status")
	require.Zero(t, code)
	require.Equal(t, string(workflows.StateNeedsDecision), events[0].State)
	detail, _ := events[0].Detail.(map[string]any)
	require.NotEmpty(t, detail["status"], "what it waits for")
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
	service := oracleServer(t)
	r := newRig(t, testLimit, service.Env())
	in := image(t, 64<<10, 1<<10, 2)
	slow(service, 200*time.Millisecond)
	worker := r.worker()
	run := r.start(workflows.UploadID(in), workflows.UploadImage, in)
	r.until("chunks arrive", func() bool { return received(service) >= 10 })
	worker.kill()
	require.NoError(t, os.WriteFile(in.Source, make([]byte, 64<<10), 0o600))
	r.worker()
	require.Error(t, run.Get(r.ctx, nil))
	e, left := r.failed(run.GetID())
	require.Contains(t, e.Error.Message, "changed")
	require.Empty(t, left)
	require.Equal(t, oraclemarkettest.Deleted, service.Uploads()[0].Status)
}

// failed returns a failed job as fleet status has it.
func (r *rig) failed(id string) (e cli.Event, left []any) {
	r.t.Helper()
	events, code := r.command("status", "-id", id)
	require.Zero(r.t, code)
	require.Equal(r.t, string(workflows.StateFailed), events[0].State)
	require.NotNil(r.t, events[0].Error)
	detail, _ := events[0].Detail.(map[string]any)
	status, _ := detail["status"].(map[string]any)
	left, _ = status["left"].([]any)
	return events[0], left
}

// What is wrong is named, and nothing is left.
func TestBadInput(t *testing.T) {
	t.Parallel()
	service, replicator := oracleServer(t), imagereplicatortest.NewServer()
	t.Cleanup(replicator.Close)
	r := newRig(t, testLimit, service.Env(), replicator.Env())
	r.worker()
	good := image(t, 8<<10, 4<<10, 2)
	unreadable, nameless := good, good
	unreadable.Source += ".missing"
	nameless.Application = ""
	const usage, failed = "usage", "failed"
	copyOf := func(image, tenant string) workflows.CopyImageInput {
		return workflows.CopyImageInput{ImageID: image, TenantIDs: []string{tenant}}
	}
	for _, c := range []struct {
		id            string
		workflow, in  any
		message, kind string
	}{
		{workflows.UploadID(unreadable), workflows.UploadImage, unreadable, "image.tar.gz.missing", usage},
		{workflows.UploadID(nameless), workflows.UploadImage, nameless, "Application", usage},
		{"wrong image", workflows.CopyImage, copyOf("a/b", imagereplicatortest.DestinationTenantID), "ImageID", usage},
		{"unknown image", workflows.CopyImage, copyOf("00000000-0000-4000-8000-000000000000", imagereplicatortest.DestinationTenantID), "image", failed},
		{"unknown tenant", workflows.CopyImage, copyOf(imagereplicatortest.ImageID, "a"), "tenant", failed},
		{"no credentials", workflows.ReleaseImage, workflows.ReleaseImageInput{ImageID: 1, MachineID: 1, Description: "1"}, "MULTIPLAY_ACCESS_KEY", usage},
	} {
		run := r.start(c.id, c.workflow, c.in)
		require.Error(t, run.Get(r.ctx, nil))
		e, left := r.failed(c.id)
		t.Log(e.Error.Message)
		require.Contains(t, e.Error.Message, c.message, c.id)
		require.Equal(t, c.kind, e.Error.Kind, c.id)
		require.Empty(t, left)
	}
	require.Empty(t, service.Uploads())

	_, code := r.command("upload", "-application", "A", "-version", "1", "-os", "Linux", "-source", good.Source)
	require.Zero(t, code)
	_, code = r.command("upload", "-application", "A", "-version", "1", "-os", "Linux", "-source", unreadable.Source)
	require.Equal(t, cli.Usage, code)
	_, code = r.command("upload", "-version", "1", "-os", "Linux", "-source", good.Source)
	require.Equal(t, cli.Usage, code)
	events, _ := r.command("status")
	require.Len(t, events, 9, "eight jobs and the end")
}

func TestDemo(t *testing.T) {
	r := newRig(t, testLimit) // or skip
	r.temporal.Kill()
	t.Setenv(asProgram, "1")
	var out bytes.Buffer
	require.Zero(t, run(r.ctx, []string{"demo"}, &out, os.Stderr))
	require.Contains(t, out.String(), "killed worker")
	require.Contains(t, out.String(), "nothing was lost: 10 upload requests for 10 images, all Completed")
}
