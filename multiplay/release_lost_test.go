package multiplay_test

import (
	"fmt"
	"net/http"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/imagejobs/imagejobs-go/multiplay"
	"github.com/imagejobs/imagejobs-go/multiplay/multiplaytest"
)

// lost are ways in which the response to a request that took effect gets lost.
func lost() map[string]multiplaytest.Fault {
	return map[string]multiplaytest.Fault{
		"dropped":    {Drop: multiplaytest.DropAfter},
		"gateway":    {Status: http.StatusBadGateway, Process: true},
		"half":       {CutJSON: true},
		"of another": {Body: `{"status":"maintenance"}`},
	}
}

// The job whose creation got no response is found again, and never created
// twice.
func TestReleaseFindsLostJobs(t *testing.T) {
	for _, operation := range []string{multiplaytest.OpUpdateCreate, multiplaytest.OpDiffCreate, multiplaytest.OpVersionCreate} {
		for name, fault := range lost() {
			t.Run(operation+" "+name, func(t *testing.T) {
				synctest.Test(t, func(t *testing.T) {
					v := newVirtual(t)
					fault.Operation = operation
					v.Inject(fault)
					req := v.request()
					req.GameID = multiplaytest.GameID
					result, err := v.client.Release(t.Context(), req)
					require.NoError(t, err)
					v.requireOneOfEach(t, result)
					require.Equal(t, v.Versions()[0].ID, result.ImageVersionID)
				})
			})
		}
	}
}

// A search that fails once is repeated soon, however rare the polls are.
func TestReleaseSearchFailsOnce(t *testing.T) {
	for operation, search := range map[string]struct {
		of   string
		skip int
	}{
		multiplaytest.OpUpdateCreate:  {multiplaytest.OpImageOptions, 1}, // the first is from before
		multiplaytest.OpDiffCreate:    {multiplaytest.OpImageOptions, 2},
		multiplaytest.OpVersionCreate: {multiplaytest.OpInstallList, 1},
	} {
		t.Run(operation, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				v := newVirtual(t)
				v.Inject(multiplaytest.Fault{Operation: operation, Drop: multiplaytest.DropAfter})
				v.Inject(multiplaytest.Fault{Operation: search.of, Skip: search.skip, Status: http.StatusBadGateway})
				req := v.request()
				req.GameID = multiplaytest.GameID
				result, err := v.client.Release(t.Context(), req, multiplay.WithPollInterval(15*time.Second, 15*time.Second))
				require.NoError(t, err)
				v.requireOneOfEach(t, result)
				var searches []time.Time
				for _, r := range v.Requests() {
					if r.Operation == search.of {
						searches = append(searches, r.Time)
					}
				}
				require.Less(t, searches[search.skip+1].Sub(searches[search.skip]), 2*time.Second)
			})
		})
	}
}

// Without the game there is no way to an update or version. A diff is found by
// the lock that it is.
func TestReleaseFindsLostDiffsWithoutTheGame(t *testing.T) {
	for name, fault := range lost() {
		synctest.Test(t, func(t *testing.T) {
			v := newVirtual(t)
			fault.Operation = multiplaytest.OpDiffCreate
			v.Inject(fault)
			result, err := v.client.Release(t.Context(), v.request())
			require.NoError(t, err, name)
			v.requireOneOfEach(t, result)
			require.Equal(t, 2, v.Count(multiplaytest.OpDiffCreate))
		})
		for step, operation := range map[multiplay.ReleaseStep]string{
			multiplay.StepUpdate: multiplaytest.OpUpdateCreate, multiplay.StepVersion: multiplaytest.OpVersionCreate,
		} {
			synctest.Test(t, func(t *testing.T) {
				v := newVirtual(t)
				fault.Operation = operation
				v.Inject(fault)
				_, err := v.client.Release(t.Context(), v.request())
				require.ErrorIs(t, err, multiplay.ErrAmbiguous, name)
				require.Equal(t, step, requireAs[*multiplay.ReleaseError](t, err).Step)
				require.ErrorContains(t, err, "; with ReleaseRequest.GameID, Release searches for it")
				require.Equal(t, 1, v.Count(operation))
			})
		}
	}
}

// What was never created is not found, and the error names what to check.
func TestReleaseFindsNothing(t *testing.T) {
	for _, test := range []struct {
		operation, want string
		limit           time.Duration
	}{
		{multiplaytest.OpUpdateCreate, "Images.Options shows no new update: it may have ended or never begun", time.Minute},
		{multiplaytest.OpVersionCreate, "still locks the image", 6 * time.Minute},
	} {
		synctest.Test(t, func(t *testing.T) {
			v := newVirtual(t)
			v.Inject(multiplaytest.Fault{Operation: test.operation, Status: http.StatusBadGateway})
			req := v.request()
			req.GameID = multiplaytest.GameID
			var begin time.Time
			req.OnEvent = func(multiplay.ReleaseEvent) { begin = time.Now() }
			if test.operation == multiplaytest.OpUpdateCreate {
				begin = time.Now()
			}
			_, err := v.client.Release(t.Context(), req)
			require.ErrorIs(t, err, multiplay.ErrAmbiguous)
			require.ErrorContains(t, err, test.want)
			require.Less(t, time.Since(begin), test.limit)
			require.Equal(t, 1, v.Count(test.operation))
		})
	}
}

// A diff whose creation never arrived is created by asking again.
func TestReleaseCreatesADiffThatGotLost(t *testing.T) {
	for _, game := range []int64{0, multiplaytest.GameID} {
		synctest.Test(t, func(t *testing.T) {
			v := newVirtual(t)
			v.Inject(multiplaytest.Fault{Operation: multiplaytest.OpDiffCreate, Drop: multiplaytest.DropBefore, Times: 2})
			req := v.request()
			req.GameID = game
			result, err := v.client.Release(t.Context(), req)
			require.NoError(t, err)
			v.requireOneOfEach(t, result)
			require.Equal(t, 3, v.Count(multiplaytest.OpDiffCreate), "the third response counts")
		})
	}
}

// Another client's diff is not the release's own, also if the refusal that
// names it got lost.
func TestReleaseAdoptsNoForeignDiff(t *testing.T) {
	for _, game := range []int64{0, multiplaytest.GameID} {
		synctest.Test(t, func(t *testing.T) {
			v := newVirtual(t)
			v.Inject(multiplaytest.Fault{Operation: multiplaytest.OpDiffCreate, Status: http.StatusBadGateway, Process: true})
			req := v.request()
			req.GameID = game
			var foreign int64
			req.OnEvent = func(e multiplay.ReleaseEvent) {
				if e.Step == multiplay.StepUpdate && e.Job.State == multiplay.JobRunning && foreign == 0 {
					foreign = v.LockImage(multiplaytest.ImageID)
				}
			}
			_, err := v.client.Release(t.Context(), req)
			require.Equal(t, foreign, requireAs[*multiplay.ImageLockedError](t, err).DiffID)
			require.Equal(t, multiplay.StepDiff, requireAs[*multiplay.ReleaseError](t, err).Step)
		})
	}
}

// Where the service's clocks disagree, a diff that may be the release's own is
// neither adopted nor rejected.
func TestReleaseWhereClocksDisagree(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		v := newVirtual(t)
		v.Inject(multiplaytest.Fault{Operation: multiplaytest.OpDiffCreate, Drop: multiplaytest.DropAfter})
		v.Inject(multiplaytest.Fault{
			Operation: multiplaytest.OpUpdateStatus, Times: -1,
			Header: http.Header{"Date": {time.Now().Add(85 * time.Second).UTC().Format(http.TimeFormat)}}, // the diff is made about 20 s before
		})
		req := v.request()
		req.RejectLocking = true
		_, err := v.client.Release(t.Context(), req)
		require.ErrorIs(t, err, multiplay.ErrAmbiguous)
		require.ErrorContains(t, err, "it may be diff ")
		require.Zero(t, v.Count(multiplaytest.OpDiffReject))
		require.Equal(t, 1, v.Processed(multiplaytest.OpDiffCreate))
	})
}

// An update that another client began is not the release's own.
func TestReleaseAdoptsNoForeignUpdate(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		v := newVirtual(t, multiplaytest.WithJobTime(time.Hour))
		foreign, err := v.client.ImageUpdates.Create(t.Context(), &multiplay.CreateImageUpdateRequest{
			ImageID: multiplaytest.ImageID, MachineID: multiplaytest.MachineID, Description: "theirs", Source: steamSource(),
		})
		require.NoError(t, err)
		v.Inject(multiplaytest.Fault{Operation: multiplaytest.OpUpdateCreate, Status: http.StatusBadGateway})
		req := v.request()
		req.GameID = multiplaytest.GameID
		_, err = v.client.Release(t.Context(), req)
		require.ErrorIs(t, err, multiplay.ErrAmbiguous)
		require.Zero(t, requireAs[*multiplay.ReleaseError](t, err).UpdateID)
		require.NotZero(t, foreign.UpdateID)
	})
}

// Several new versions are not guessed at.
func TestReleaseAdoptsNoneOfSeveralVersions(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		const other = 555
		v := newVirtual(t, multiplaytest.WithImage(multiplaytest.Image{ID: other, GameID: multiplaytest.GameID, Name: "other"}))
		v.Inject(multiplaytest.Fault{
			Operation: multiplaytest.OpVersionCreate, Drop: multiplaytest.DropAfter,
			Match: func(r *http.Request) bool { return r.URL.Query().Get("restart") == "1" },
		})
		req := v.request()
		req.Restart = true
		req.GameID = multiplaytest.GameID
		req.OnEvent = func(e multiplay.ReleaseEvent) {
			if e.Step != multiplay.StepDiff || e.Job.State != multiplay.JobCompleted {
				return
			}
			theirs := v.LockImage(other)
			// Both complete at the same moment, and so show up together.
			time.AfterFunc(0, func() {
				_, err := v.client.ImageVersions.Create(t.Context(), &multiplay.CreateImageVersionRequest{DiffID: theirs})
				assert.NoError(t, err)
			})
		}
		_, err := v.client.Release(t.Context(), req)
		require.ErrorIs(t, err, multiplay.ErrAmbiguous)
		require.ErrorContains(t, err, "are all new; find out which one it is")
		require.Zero(t, requireAs[*multiplay.ReleaseError](t, err).ImageVersionID)
	})
}

// Of what is being installed, versions that were there before, that are older
// than the request or that are gone again are not the release's own.
func TestReleaseAdoptsNoForeignVersion(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		const before, old, gone = 901, 902, 903
		v := newVirtual(t)
		list := func(ids ...int64) multiplaytest.Fault {
			var installs []string
			for _, id := range ids {
				installs = append(installs, fmt.Sprintf(`{"jobid":51,"jobstatename":"Queued","jobstateid":3,"target_imageversionid":%d}`, id))
			}
			return multiplaytest.Fault{Operation: multiplaytest.OpInstallList, Body: `{"installs":[` + strings.Join(installs, ",") + `]}`}
		}
		version := func(id int64, created string) {
			v.Inject(multiplaytest.Fault{
				Operation: multiplaytest.OpVersionStatus, Times: -1,
				Match: func(r *http.Request) bool { return strings.Contains(r.URL.Path, fmt.Sprintf("/%d/", id)) },
				Body:  fmt.Sprintf(`{"imageversionid":%d,"jobstatename":"Running","jobstateid":4,%s"success":true}`, id, created),
			})
		}
		version(before, "")
		version(old, `"jobcreated":1,`)
		v.Inject(multiplaytest.Fault{Operation: multiplaytest.OpVersionCreate, Drop: multiplaytest.DropAfter})
		lists := 0
		v.rewrite = func(r *http.Request) {
			if !strings.HasSuffix(r.URL.Path, "/imageinstall/status") {
				return
			}
			lists++
			switch lists {
			case 1:
				v.Inject(list(before))
			case 2:
				v.Inject(list(before, old, gone, v.Versions()[0].ID))
			}
		}
		req := v.request()
		req.GameID = multiplaytest.GameID
		result, err := v.client.Release(t.Context(), req)
		require.NoError(t, err)
		require.Equal(t, v.Versions()[0].ID, result.ImageVersionID)
		require.GreaterOrEqual(t, lists, 2)
	})
}

// A rejection or a retry that got no response is not an end.
func TestReleaseAfterLostRejectionsAndRetries(t *testing.T) {
	for name, fault := range lost() {
		for _, process := range []bool{true, false} {
			if !process {
				fault = multiplaytest.Fault{Drop: multiplaytest.DropBefore}
			}
			t.Run(fmt.Sprint(name, process), func(t *testing.T) {
				synctest.Test(t, func(t *testing.T) {
					v := newVirtual(t)
					locking := v.LockImage(multiplaytest.ImageID)
					v.Next(multiplaytest.Update, multiplaytest.Outcome{State: multiplay.JobFailed, Error: "why"})
					v.Next(multiplaytest.Diff, multiplaytest.Outcome{State: multiplay.JobFailed, Error: "why"})
					for _, operation := range []string{multiplaytest.OpUpdateRetry, multiplaytest.OpDiffRetry, multiplaytest.OpDiffReject} {
						fault.Operation = operation
						v.Inject(fault)
					}
					req := v.request()
					req.RejectLocking, req.Retries = true, 2
					result, err := v.client.Release(t.Context(), req)
					require.NoError(t, err)
					v.requireOneOfEach(t, result)
					require.NotEqual(t, locking, result.DiffID)
					require.Equal(t, 2, v.Updates()[0].Runs)
				})
			})
		}
	}
}
