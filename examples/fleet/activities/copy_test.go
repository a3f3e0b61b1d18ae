package activities

import (
	"net/http"
	"slices"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"
	"go.temporal.io/sdk/temporal"

	"github.com/imagejobs/imagejobs-go/examples/fleet/workflows"
	"github.com/imagejobs/imagejobs-go/imagereplicator"
	"github.com/imagejobs/imagejobs-go/imagereplicator/imagereplicatortest"
)

func copyTask(tenants ...string) workflows.CopyTask {
	task := workflows.CopyTask{Input: workflows.CopyImageInput{ImageID: imagereplicatortest.ImageID, TenantIDs: tenants}}
	for _, tenant := range tenants {
		task.Progress.Copies = append(task.Progress.Copies, workflows.Copy{TenantID: tenant})
	}
	return task
}

func TestCopies(t *testing.T) { synctest.Test(t, testCopies) }

func testCopies(t *testing.T) {
	r := newRig(t)
	server := r.replicator(t)
	task := copyTask(imagereplicatortest.DestinationTenantID, "0123456789abcdef0123456789abcdef", imagereplicatortest.ThirdTenantID)
	progress, err := attempt[workflows.CopyProgress](t, r, r.CopyImage, nil, task)
	require.NoError(t, err)
	require.Equal(t, 3, server.Count(imagereplicatortest.OpCreate))
	require.Equal(t, workflows.ErrorRefused, progress.Copies[1].ErrorType, "%+v", progress.Copies)
	require.Contains(t, progress.Copies[1].Error, "404")
	require.Empty(t, progress.Creating)
	for _, i := range []int{0, 2} {
		require.Equal(t, "replicated", progress.Copies[i].Status)
		require.NotEmpty(t, progress.Copies[i].DestinationImageID)
		require.Empty(t, progress.Copies[i].Error)
	}
	require.NotEmpty(t, progress.Copies[1].Error)
}

// The worker is lost after a create call: its job is found, and not created
// again.
func TestLostCopyIsFound(t *testing.T) {
	for name, test := range map[string]struct {
		created int
		jobs    int
		kind    string
	}{
		"not created": {0, 1, ""},
		"created":     {1, 1, ""},
		"several":     {2, 2, workflows.ErrorAmbiguous},
	} {
		bubble(t, name, func(t *testing.T) {
			t.Helper()
			r := newRig(t)
			server := r.replicator(t)
			client, err := r.Replicator(t.Context())
			require.NoError(t, err)
			task := copyTask(imagereplicatortest.ThirdTenantID)
			lost := task.Progress
			lost.Creation = workflows.Creation{Creating: imagereplicatortest.ThirdTenantID, Before: []string{imagereplicatortest.JobID}}
			var ids []string
			for range test.created {
				id, err := client.Jobs.Create(t.Context(), &imagereplicator.CreateJobRequest{
					ImageID: imagereplicatortest.ImageID, DestinationTenantID: imagereplicatortest.ThirdTenantID,
				})
				require.NoError(t, err)
				ids = append(ids, id)
			}
			began := time.Now()
			progress, err := attempt[workflows.CopyProgress](t, r, r.CopyImage, lost, task)
			require.Len(t, server.Jobs(), 1+test.jobs)
			if test.kind != "" {
				failed := requireFailure(t, err, test.kind, false)
				require.Contains(t, failed.Message(), ids[0])
				require.NoError(t, failed.Details(&progress))
				require.Equal(t, imagereplicatortest.ThirdTenantID, progress.Creating)
				return
			}
			require.NoError(t, err)
			if test.created == 0 {
				require.GreaterOrEqual(t, time.Since(began), 30*time.Second, "it could still appear")
			} else {
				require.Equal(t, ids[0], progress.Copies[0].JobID)
			}
		})
	}
}

// What a create call is about to do is stored before it is sent.
func TestCreateIsStoredFirst(t *testing.T) { synctest.Test(t, testCreateIsStoredFirst) }

func testCreateIsStoredFirst(t *testing.T) {
	r := newRig(t)
	server := r.replicator(t)
	r.onRecord = func(any) error { return temporal.NewCanceledError() }
	_, err := attempt[workflows.CopyProgress](t, r, r.CopyImage, nil, copyTask(imagereplicatortest.ThirdTenantID))
	require.Error(t, err)
	require.Zero(t, server.Count(imagereplicatortest.OpCreate))
	var canceled *temporal.CanceledError
	require.ErrorAs(t, err, &canceled)
}

// Nothing is sent again after a transient refusal, and what it says about the
// create call is stored.
func TestCopyIsRefusedForNow(t *testing.T) { synctest.Test(t, testCopyIsRefusedForNow) }

func testCopyIsRefusedForNow(t *testing.T) {
	r := newRig(t)
	server := r.replicator(t)
	server.Inject(imagereplicatortest.Fault{Operation: imagereplicatortest.OpCreate, Status: http.StatusTooManyRequests, RetryAfter: "500"})
	task := copyTask(imagereplicatortest.ThirdTenantID)
	_, err := attempt[workflows.CopyProgress](t, r, r.CopyImage, nil, task)
	require.Equal(t, 500*time.Second, requireFailure(t, err, workflows.ErrorTransient, true).NextRetryDelay())
	require.Empty(t, heartbeat[workflows.CopyProgress](t, r).Creating)
	began := time.Now()
	progress, err := attempt[workflows.CopyProgress](t, r, r.CopyImage, r.last(), task)
	require.NoError(t, err)
	require.NotEmpty(t, progress.Copies[0].JobID)
	require.Less(t, time.Since(began), time.Second)
}

func TestCopiesAreHandedOver(t *testing.T) { synctest.Test(t, testCopiesAreHandedOver) }

func testCopiesAreHandedOver(t *testing.T) {
	r := newRig(t)
	server := r.replicator(t)
	server.Inject(imagereplicatortest.Fault{
		Operation: imagereplicatortest.OpCreate, Delay: 5 * time.Second,
		Match: func(*http.Request) bool { close(r.stop); return true },
	})
	task := copyTask(imagereplicatortest.DestinationTenantID, imagereplicatortest.ThirdTenantID)
	_, err := attempt[workflows.CopyProgress](t, r, r.CopyImage, nil, task)
	require.NoError(t, requireFailure(t, err, workflows.ErrorTransient, true).Details(&task.Progress))
	require.NotEmpty(t, task.Progress.Copies[0].JobID, "a call under way is not canceled")
	require.Empty(t, task.Progress.Copies[1].JobID)
	r.stop = make(chan struct{})
	_, err = attempt[workflows.CopyProgress](t, r, r.CopyImage, r.last(), task)
	require.NoError(t, err)
	require.Equal(t, 2, server.Count(imagereplicatortest.OpCreate))
}

// A copy is under way that nobody knows of, as after a reset of the activity.
func TestCopyUnderWay(t *testing.T) { synctest.Test(t, testCopyUnderWay) }

func testCopyUnderWay(t *testing.T) {
	r := newRig(t)
	server := r.replicator(t, imagereplicatortest.WithJobTime(time.Hour))
	task := copyTask(imagereplicatortest.ThirdTenantID)
	_, err := attempt[workflows.CopyProgress](t, r, r.CopyImage, nil, task)
	_ = requireFailure(t, err, workflows.ErrorPending, true)
	first := heartbeat[workflows.CopyProgress](t, r)
	_, err = attempt[workflows.CopyProgress](t, r, r.CopyImage, nil, task)
	failed := requireFailure(t, err, workflows.ErrorAmbiguous, false)
	require.Contains(t, failed.Message(), first.Copies[0].JobID)
	require.NoError(t, failed.Details(&task.Progress))
	require.Equal(t, imagereplicatortest.ThirdTenantID, task.Progress.Creating)
	require.Equal(t, 1, server.Count(imagereplicatortest.OpCreate))
	task.Progress.Creating, task.Progress.Repeat = "", imagereplicatortest.ThirdTenantID
	_, err = attempt[workflows.CopyProgress](t, r, r.CopyImage, nil, task)
	_ = requireFailure(t, err, workflows.ErrorPending, true)
	require.Equal(t, 2, server.Count(imagereplicatortest.OpCreate))
}

func TestWaitCopies(t *testing.T) {
	bubble(t, "for long", func(t *testing.T) {
		t.Helper()
		r := newRig(t)
		server := r.replicator(t, imagereplicatortest.WithJobTime(time.Hour))
		task := copyTask(imagereplicatortest.DestinationTenantID, imagereplicatortest.ThirdTenantID)
		for range 20 {
			lists := server.Count(imagereplicatortest.OpList)
			_, err := attempt[workflows.CopyProgress](t, r, r.CopyImage, r.last(), task)
			failed := requireFailure(t, err, workflows.ErrorPending, true)
			require.LessOrEqual(t, failed.NextRetryDelay(), 15*time.Second)
			if created := server.Count(imagereplicatortest.OpCreate); created == 2 && lists > 10 {
				require.Equal(t, lists+1, server.Count(imagereplicatortest.OpList), "a poll is one list")
			}
			<-time.After(failed.NextRetryDelay())
		}
		require.Zero(t, server.Count(imagereplicatortest.OpGet))
		require.Equal(t, 2, server.Count(imagereplicatortest.OpCreate))
		for _, one := range heartbeat[workflows.CopyProgress](t, r).Copies {
			require.NotEmpty(t, one.Status)
		}
	})
	bubble(t, "with a failure", func(t *testing.T) {
		t.Helper()
		r := newRig(t)
		server := r.replicator(t, imagereplicatortest.WithJobTime(time.Minute))
		task := copyTask(imagereplicatortest.DestinationTenantID, imagereplicatortest.ThirdTenantID)
		task.Input.CancelOnFailure = true
		_, err := attempt[workflows.CopyProgress](t, r, r.CopyImage, nil, task)
		_ = requireFailure(t, err, workflows.ErrorPending, true)
		server.SetStatus(heartbeat[workflows.CopyProgress](t, r).Copies[1].JobID, imagereplicator.StatusError)
		began := time.Now()
		progress, err := attempt[workflows.CopyProgress](t, r, r.CopyImage, r.last(), task)
		require.NoError(t, err)
		require.Less(t, time.Since(began), 30*time.Second)
		require.Equal(t, workflows.ErrorState, progress.Copies[1].ErrorType)
		require.Empty(t, progress.Copies[0].Error)

		task.Progress, task.Cancel = progress, true
		progress, err = attempt[workflows.CopyProgress](t, r, r.CopyImage, nil, task)
		for err != nil {
			_ = requireFailure(t, err, workflows.ErrorPending, true)
			<-time.After(5 * time.Second)
			progress, err = attempt[workflows.CopyProgress](t, r, r.CopyImage, r.last(), task)
		}
		require.Equal(t, 1, server.Count(imagereplicatortest.OpCancel))
		require.Equal(t, "canceled", progress.Copies[0].Status)
		require.NotEmpty(t, progress.Copies[0].Error)
	})
	bubble(t, "for nothing", func(t *testing.T) {
		t.Helper()
		r := newRig(t)
		r.replicator(t)
		_, err := attempt[workflows.CopyProgress](t, r, r.CopyImage, nil, copyTask())
		require.NoError(t, err)
	})
}

// A job whose create call was under way when the workflow was canceled is found
// and canceled.
func TestCancelFindsALostCopy(t *testing.T) { synctest.Test(t, testCancelFindsALostCopy) }

func testCancelFindsALostCopy(t *testing.T) {
	r := newRig(t)
	server := r.replicator(t, imagereplicatortest.WithJobTime(time.Hour))
	task := copyTask(imagereplicatortest.ThirdTenantID, imagereplicatortest.FourthTenantID)
	client, err := r.Replicator(t.Context())
	require.NoError(t, err)
	id, err := client.Jobs.Create(t.Context(), &imagereplicator.CreateJobRequest{
		ImageID: imagereplicatortest.ImageID, DestinationTenantID: imagereplicatortest.ThirdTenantID,
	})
	require.NoError(t, err)
	task.Cancel, task.Progress.Creation = true, workflows.Creation{Creating: imagereplicatortest.ThirdTenantID, Before: []string{imagereplicatortest.JobID}}
	var progress workflows.CopyProgress
	before := any(task.Progress)
	for attempts := 0; ; attempts++ {
		require.Less(t, attempts, 10, "the other copy, which has no job, is not waited for")
		progress, err = attempt[workflows.CopyProgress](t, r, r.CopyImage, before, task)
		if err == nil {
			break
		}
		_ = requireFailure(t, err, workflows.ErrorPending, true)
		before = r.last()
		<-time.After(5 * time.Second)
	}
	require.Equal(t, id, progress.Copies[0].JobID)
	require.Empty(t, progress.Creating)
	require.Equal(t, 1, server.Count(imagereplicatortest.OpCreate))
	job := server.Jobs()[slices.IndexFunc(server.Jobs(), func(j imagereplicator.Job) bool { return j.ID == id })]
	require.Contains(t, []imagereplicator.Status{imagereplicator.StatusCancelRequested, imagereplicator.StatusCanceled}, job.Status)
}
