package main

import (
	"bytes"
	"os"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/imagejobs/imagejobs-go/examples/fleet/workflows"
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
	require.LessOrEqual(t, r.uploaded(service, run, in), 4*concurrency)
	require.Equal(t, 1, service.Processed(oraclemarkettest.OpInitiate))
	require.Equal(t, 1, service.Processed(oraclemarkettest.OpMerge))
	require.LessOrEqual(t, r.events(run.GetID()), int64(30))
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
	require.LessOrEqual(t, r.events(run.GetID()), int64(30+8*parts))
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
	quick := multiplaytest.NewServer(multiplaytest.WithSpeed(100))
	t.Cleanup(quick.Close)
	r := newRig(t, testLimit, oracle.Env(), replicator.Env(), clanforge.Env())
	r.worker()

	in := image(t, 64<<10, 1<<10, 2)
	slow(oracle, 500*time.Millisecond)
	id := r.start(workflows.UploadID(in), workflows.UploadImage, in).GetID()
	r.until("chunks arrive", func() bool { return received(oracle) >= 4 })
	r.canceled(id)
	require.Equal(t, oraclemarkettest.Deleted, oracle.Uploads()[0].Status, "uploading")

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
		require.Equal(t, imagereplicator.StatusCanceled, j.Status, "copying")
	}

	release := workflows.ReleaseImageInput{ImageID: multiplaytest.ImageID, MachineID: multiplaytest.MachineID, Description: "1"}
	id = r.start(workflows.ReleaseID(release), workflows.ReleaseImage, release).GetID()
	r.until("there is an update", func() bool { return clanforge.Processed(multiplaytest.OpUpdateCreate) == 1 })
	require.Contains(t, r.canceled(id), "update", "updating")
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
	_, code = r.command("resolve", "-id", run.GetID(), "-action", "adopt", "-adopt", "100001", "-by", "test")
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

// What is wrong is named, in fleet status as well.
func TestStatusNamesErrors(t *testing.T) {
	t.Parallel()
	service := oracleServer(t)
	r := newRig(t, testLimit, service.Env())
	r.worker()
	good := image(t, 8<<10, 4<<10, 2)
	unreadable := good
	unreadable.Source += ".missing"
	nameless := good
	nameless.Application = ""
	for want, in := range map[string]workflows.UploadImageInput{"image.tar.gz.missing": unreadable, "pplication": nameless} {
		run := r.start(workflows.UploadID(in), workflows.UploadImage, in)
		require.Error(t, run.Get(r.ctx, nil))
		events, code := r.command("status", "-id", run.GetID())
		require.Zero(t, code)
		require.Equal(t, string(workflows.StateFailed), events[0].State)
		require.NotNil(t, events[0].Error)
		require.Contains(t, events[0].Error.Message, want)
		require.Equal(t, "usage", events[0].Error.Kind)
	}
	copies := workflows.CopyImageInput{ImageID: imagereplicatortest.ImageID, TenantIDs: []string{imagereplicatortest.DestinationTenantID}}
	run := r.start(workflows.CopyID(copies), workflows.CopyImage, copies)
	require.ErrorContains(t, run.Get(r.ctx, nil), "OS_AUTH_URL", "a worker without credentials")
	require.Empty(t, service.Uploads())

	_, code := r.command("upload", "-application", "A", "-version", "1", "-os", "Linux", "-source", good.Source)
	require.Zero(t, code)
	_, code = r.command("upload", "-application", "A", "-version", "1", "-os", "Linux", "-source", unreadable.Source)
	require.Equal(t, 2, code)
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
