package activities

import (
	"net/http"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/imagejobs/imagejobs-go/examples/fleet/workflows"
	"github.com/imagejobs/imagejobs-go/multiplay"
	"github.com/imagejobs/imagejobs-go/multiplay/multiplaytest"
)

func releaseTask() workflows.ReleaseTask {
	return workflows.ReleaseTask{Input: workflows.ReleaseImageInput{
		ImageID: multiplaytest.ImageID, GameID: multiplaytest.GameID, MachineID: multiplaytest.MachineID, Description: "build 42",
	}}
}

// source sets the source of the worker.
func source(t *testing.T) {
	t.Helper()
	t.Setenv("MULTIPLAY_SOURCE_URL", "steam://anonymous:@install/740/")
}

// untilDone executes an activity again as the server would, each time on
// another worker.
func untilDone(t *testing.T, r *rig, task workflows.ReleaseTask) (last workflows.ReleaseProgress, attempts int, err error) {
	t.Helper()
	var before any
	for attempts = 1; ; attempts++ {
		last, err = attempt[workflows.ReleaseProgress](t, r, r.Release, before, task)
		if err == nil {
			return last, attempts, nil
		}
		failed := requireFailure(t, err, errorTypeOf(t, err), errorTypeOf(t, err) == workflows.ErrorPending || errorTypeOf(t, err) == workflows.ErrorTransient)
		if failed.NonRetryable() || attempts == 100 {
			return last, attempts, err
		}
		before = r.last()
		<-time.After(5 * time.Second)
	}
}

func errorTypeOf(t *testing.T, err error) string {
	t.Helper()
	failed, ok := asApplicationError(err)
	require.True(t, ok, "%v", err)
	return failed.Type()
}

func TestRelease(t *testing.T) { source(t); synctest.Test(t, testRelease) }

func testRelease(t *testing.T) {
	r := newRig(t)
	server := r.clanforge(t)
	task := releaseTask()
	task.DiffOnly = true
	compared, attempts, err := untilDone(t, r, task)
	require.NoError(t, err)
	require.Greater(t, attempts, 3, "no attempt waits for a job")
	require.NotZero(t, compared.DiffID)
	require.Zero(t, server.Count(multiplaytest.OpVersionCreate))
	task.DiffOnly, task.Progress = false, compared
	released, _, err := untilDone(t, r, task)
	require.NoError(t, err)
	require.Equal(t, compared.DiffID, released.DiffID)
	require.NotZero(t, released.ImageVersionID)
	require.EqualValues(t, 3, released.Machines)
	for _, op := range []string{multiplaytest.OpUpdateCreate, multiplaytest.OpDiffCreate, multiplaytest.OpVersionCreate} {
		require.Equal(t, 1, server.Count(op), op)
	}
}

func TestFailedJobsAreRetried(t *testing.T) { source(t); synctest.Test(t, testFailedJobsAreRetried) }

func testFailedJobsAreRetried(t *testing.T) {
	r := newRig(t)
	server := r.clanforge(t)
	fails := multiplaytest.Outcome{State: multiplay.JobFailed}
	server.Next(multiplaytest.Update, fails, fails, fails)
	task := releaseTask()
	task.Input.Retries = 2
	_, _, err := untilDone(t, r, task)
	require.Contains(t, requireFailure(t, err, workflows.ErrorState, false).Message(), "Failed")
	require.Equal(t, 2, server.Count(multiplaytest.OpUpdateRetry), "over all attempts")
}

// A job whose create call was lost with the worker is found, or a person is
// asked.
func TestLostReleaseJobs(t *testing.T) {
	source(t)
	lose := func(t *testing.T, r *rig, server *multiplaytest.Server, op string) (before workflows.ReleaseProgress) {
		t.Helper()
		server.Inject(multiplaytest.Fault{Operation: op, Delay: 0, Match: func(*http.Request) bool {
			before = heartbeat[workflows.ReleaseProgress](t, r)
			return true
		}})
		_, _, err := untilDone(t, r, releaseTask())
		require.NoError(t, err)
		return before
	}
	for _, op := range []string{multiplaytest.OpUpdateCreate, multiplaytest.OpDiffCreate, multiplaytest.OpVersionCreate} {
		bubble(t, "marked "+op, func(t *testing.T) {
			t.Helper()
			r := newRig(t)
			server := r.clanforge(t)
			before := lose(t, r, server, op)
			require.NotEmpty(t, before.Creating)
			require.Contains(t, strings.ToLower(op), before.Creating)
		})
	}
	bubble(t, "update", func(t *testing.T) {
		t.Helper()
		r := newRig(t)
		server := r.clanforge(t)
		task := releaseTask()
		_, err := attempt[workflows.ReleaseProgress](t, r, r.Release, nil, task)
		_ = requireFailure(t, err, workflows.ErrorPending, true)
		_, err = attempt[workflows.ReleaseProgress](t, r, r.Release, workflows.ReleaseProgress{Creation: workflows.Creation{Creating: "update"}}, task)
		_ = requireFailure(t, err, workflows.ErrorPending, true)
		require.Equal(t, server.Updates()[0].ID, heartbeat[workflows.ReleaseProgress](t, r).UpdateID)
		require.Len(t, server.Updates(), 1)
	})
	for name, test := range map[string]workflows.ReleaseProgress{
		"update":  {Creation: workflows.Creation{Creating: "update"}},
		"version": {Creation: workflows.Creation{Creating: "version"}, ReleaseIDs: workflows.ReleaseIDs{DiffID: 7}},
	} {
		bubble(t, "unknown "+name, func(t *testing.T) {
			t.Helper()
			r := newRig(t)
			r.clanforge(t)
			_, err := attempt[workflows.ReleaseProgress](t, r, r.Release, test, releaseTask())
			failed := requireFailure(t, err, workflows.ErrorAmbiguous, false)
			require.Contains(t, failed.Message(), "the image "+name+" may have been created")
			var last workflows.ReleaseProgress
			require.NoError(t, failed.Details(&last))
			require.Equal(t, test, last)
		})
	}
}

func TestReleaseIsHandedOver(t *testing.T) { source(t); synctest.Test(t, testReleaseIsHandedOver) }

func testReleaseIsHandedOver(t *testing.T) {
	r := newRig(t)
	server := r.clanforge(t)
	server.Inject(multiplaytest.Fault{
		Operation: multiplaytest.OpUpdateCreate, Delay: 5 * time.Second,
		Match: func(*http.Request) bool { close(r.stop); return true },
	})
	_, err := attempt[workflows.ReleaseProgress](t, r, r.Release, nil, releaseTask())
	_ = requireFailure(t, err, workflows.ErrorTransient, true)
	require.Equal(t, server.Updates()[0].ID, heartbeat[workflows.ReleaseProgress](t, r).UpdateID, "a call under way is not canceled")
	r.stop = make(chan struct{})
	_, err = attempt[workflows.ReleaseProgress](t, r, r.Release, r.last(), releaseTask())
	_ = requireFailure(t, err, workflows.ErrorPending, true)
	require.Len(t, server.Updates(), 1)
}

func TestReleaseErrors(t *testing.T) {
	for name, test := range map[string]struct {
		prepare func(t *testing.T, r *rig, task *workflows.ReleaseTask)
		kind    string
		text    string
	}{
		"no credentials": {func(_ *testing.T, r *rig, _ *workflows.ReleaseTask) {
			r.Multiplay = FromEnv().Multiplay
		}, workflows.ErrorArgument, "MULTIPLAY_ACCESS_KEY"},
		"source": {func(_ *testing.T, _ *rig, task *workflows.ReleaseTask) {
			task.Input.Source = "NIGHTLY"
		}, workflows.ErrorArgument, "MULTIPLAY_SOURCE_URL_NIGHTLY"},
		"image": {func(_ *testing.T, _ *rig, task *workflows.ReleaseTask) {
			task.Input.ImageID, task.Input.GameID = 99, 0
		}, workflows.ErrorRefused, "multiplay.ImageUpdates.Create"},
		"argument": {func(_ *testing.T, _ *rig, task *workflows.ReleaseTask) {
			task.Input.MachineID = 0
		}, workflows.ErrorArgument, "ReleaseRequest.MachineID"},
	} {
		t.Run(name, func(t *testing.T) {
			source(t)
			t.Setenv("MULTIPLAY_ACCESS_KEY", "")
			synctest.Test(t, func(t *testing.T) {
				r := newRig(t)
				server := r.clanforge(t)
				task := releaseTask()
				test.prepare(t, r, &task)
				_, _, err := untilDone(t, r, task)
				require.Contains(t, requireFailure(t, err, test.kind, false).Message(), test.text)
				require.Empty(t, server.Updates())
			})
		})
	}
}

func TestRejectDiff(t *testing.T) { source(t); synctest.Test(t, testRejectDiff) }

func testRejectDiff(t *testing.T) {
	r := newRig(t)
	server := r.clanforge(t)
	task := releaseTask()
	task.DiffOnly = true
	var before any
	diff := int64(0)
	for diff == 0 {
		_, err := attempt[workflows.ReleaseProgress](t, r, r.Release, before, task)
		require.Error(t, err)
		before, diff = r.last(), heartbeat[workflows.ReleaseProgress](t, r).DiffID
		<-time.After(5 * time.Second)
	}
	_, err := attempt[struct{}](t, r, r.RejectDiff, nil, diff)
	require.Contains(t, requireFailure(t, err, workflows.ErrorPending, true).Message(), "image diff")
	<-time.After(2 * time.Minute)
	_, err = attempt[struct{}](t, r, r.RejectDiff, nil, diff)
	require.NoError(t, err)
	require.Equal(t, 1, server.Processed(multiplaytest.OpDiffReject))
}
