package multiplay_test

import (
	"fmt"
	"net/http"
	"net/url"
	"strconv"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/imagejobs/imagejobs-go/multiplay"
	"github.com/imagejobs/imagejobs-go/multiplay/multiplaytest"
)

// withoutInstallAt has the service take no notice of when to install, so that
// installs wait to be queued.
func withoutInstallAt(r *http.Request) {
	query := r.URL.Query()
	query.Del("install_at")
	r.URL.RawQuery = query.Encode()
}

// Whatever the service makes of install_at, a release without any choice ends
// with the version on the machines.
func TestReleaseInstallsByDefault(t *testing.T) {
	for name, test := range map[string]struct {
		opts    []multiplaytest.Option
		rewrite func(*http.Request)
		queued  int
		took    time.Duration
	}{
		"at once":           {nil, nil, 0, 5 * time.Minute},
		"waiting all alike": {nil, withoutInstallAt, 3, 10 * time.Minute},
		"started without": {
			[]multiplaytest.Option{multiplaytest.WithDialect(multiplaytest.Dialect{StartInstalls: true})}, withoutInstallAt, 0, 5 * time.Minute,
		},
		"on the successor": {[]multiplaytest.Option{multiplaytest.WithBearerTokens("successor-token")}, nil, 0, 5 * time.Minute},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				v := newVirtual(t, test.opts...)
				v.rewrite = test.rewrite
				start := time.Now()
				result, err := v.client.Release(t.Context(), v.request())
				require.NoError(t, err)
				v.requireOneOfEach(t, result)
				require.Equal(t, test.queued, v.Count(multiplaytest.OpInstallQueue))
				require.Less(t, time.Since(start), test.took)
			})
		})
	}
}

func TestReleaseQueuesManualInstalls(t *testing.T) {
	for name, faults := range map[string][]multiplaytest.Fault{
		"":              nil,
		"refused once":  {{Status: http.StatusConflict}},
		"lost":          {{Drop: multiplaytest.DropAfter, Times: 3}},
		"never arrived": {{Drop: multiplaytest.DropBefore, Times: 3}},
		"busy":          {{Status: http.StatusTooManyRequests, Times: 20}},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				v := newVirtual(t)
				for _, fault := range faults {
					fault.Operation = multiplaytest.OpInstallQueue
					v.Inject(fault)
				}
				req := v.request()
				req.Install = multiplay.InstallManual
				result, err := v.client.Release(t.Context(), req)
				if name == "refused once" {
					// A refused install that still waits is an end, and resumed.
					require.ErrorIs(t, err, multiplay.ErrConflict)
					req.Resume = requireAs[*multiplay.ReleaseError](t, err).ReleaseIDs
					result, err = v.client.Release(t.Context(), req)
				}
				require.NoError(t, err)
				v.requireOneOfEach(t, result)
				require.Empty(t, v.Versions()[0].InstallAt)
				require.Equal(t, 3, v.Processed(multiplaytest.OpInstallQueue))
			})
		})
	}
}

// Mirrors wait to be queued as machines do, but with mirroring.
func TestReleaseQueuesMirrors(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		v := newVirtual(t, multiplaytest.WithMirrors(2))
		req := v.request()
		req.Install = multiplay.InstallManual
		result, err := v.client.Release(t.Context(), req)
		require.NoError(t, err)
		v.requireOneOfEach(t, result)
		require.Equal(t, 5, v.Count(multiplaytest.OpInstallQueue))
		require.Equal(t, 5, v.Processed(multiplaytest.OpInstallQueue))
	})
}

// A manual rollout without Release: the version is made, its installs are listed
// and wait for however long, each is queued, and the rollout ends.
func TestManualRollout(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		v := newVirtual(t, multiplaytest.WithMirrors(1))
		ctx, c := t.Context(), v.client
		update, err := c.ImageUpdates.Create(ctx, &multiplay.CreateImageUpdateRequest{
			ImageID: multiplaytest.ImageID, MachineID: multiplaytest.MachineID, Description: "build 42", Source: s3Source(),
		})
		require.NoError(t, err)
		_, err = c.ImageUpdates.Wait(ctx, update.UpdateID)
		require.NoError(t, err)
		diff, err := c.ImageDiffs.Create(ctx, &multiplay.CreateImageDiffRequest{ImageID: multiplaytest.ImageID, MachineID: multiplaytest.MachineID})
		require.NoError(t, err)
		_, err = c.ImageDiffs.Wait(ctx, diff.DiffID)
		require.NoError(t, err)
		version, err := c.ImageVersions.Create(ctx, &multiplay.CreateImageVersionRequest{DiffID: diff.DiffID, Install: multiplay.InstallManual})
		require.NoError(t, err)
		_, err = c.ImageVersions.Wait(ctx, version.ImageVersionID)
		require.NoError(t, err)

		var waiting []multiplay.ImageInstall
		for range 2 {
			waiting, err = c.ImageInstalls.List(ctx)
			require.NoError(t, err)
			require.Len(t, waiting, 4)
			for _, install := range waiting {
				require.Equal(t, version.ImageVersionID, install.TargetImageVersionID)
				require.Equal(t, multiplay.JobPending, install.State)
				require.True(t, install.InstallAt.IsZero())
			}
			<-time.After(24 * time.Hour)
		}
		for _, install := range waiting {
			queued, err := c.ImageInstalls.Queue(ctx, &multiplay.QueueImageInstallRequest{JobID: install.JobID, Mirroring: install.Mirroring})
			require.NoError(t, err)
			require.Equal(t, install.JobID, queued.MachineJobID+queued.VersionMirrorID)
		}
		rolled, err := c.Images.WaitRollout(ctx, multiplaytest.ImageID, version.ImageVersionID)
		require.NoError(t, err)
		require.Equal(t, multiplay.MachineCounts{Completed: 3}, rolled.MachineCounts)
		left, err := c.ImageInstalls.List(ctx)
		require.NoError(t, err)
		require.Empty(t, left)
	})
}

func TestReleaseInstallsAtATime(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		v := newVirtual(t)
		at := time.Now().Add(2 * time.Hour).Truncate(time.Second)
		req := v.request()
		req.InstallAt = at
		result, err := v.client.Release(t.Context(), req)
		require.NoError(t, err)
		v.requireOneOfEach(t, result)
		require.Equal(t, strconv.FormatInt(at.Unix(), 10), v.Versions()[0].InstallAt)
		require.True(t, time.Now().After(at))
		require.Zero(t, v.Count(multiplaytest.OpInstallQueue))
	})
}

// A rollout that never starts ends, and says what to do.
func TestRolloutThatNeverStarts(t *testing.T) {
	for _, limit := range []time.Duration{0, time.Hour} {
		synctest.Test(t, func(t *testing.T) {
			v := newVirtual(t)
			v.rewrite = withoutInstallAt
			req := v.request()
			req.InstallAt = time.Now().Add(time.Hour) // which only the caller knows of
			start := time.Now()
			_, err := v.client.Release(t.Context(), req, multiplay.WithStartLimit(limit))
			stopped := requireAs[*multiplay.ReleaseError](t, err)
			require.Equal(t, multiplay.StepRollout, stopped.Step)
			ended := requireAs[*multiplay.RolloutNotStartedError](t, err)
			if limit == 0 {
				limit = 15 * time.Minute
			}
			require.Len(t, ended.Waiting, 3)
			require.Equal(t, limit, ended.Limit)
			require.Equal(t, stopped.ImageVersionID, ended.ImageVersionID)
			require.ErrorContains(t, err, "has not started in "+limit.String()+": 3 installs wait, the first is job "+
				strconv.FormatInt(ended.Waiting[0].JobID, 10)+": queue them with ImageInstalls.Queue, or release with InstallManual")
			require.InDelta(t, time.Hour+limit, time.Since(start), float64(time.Minute))
			require.False(t, multiplay.IsTransient(err))

			// Nor does it for those who only wait.
			start = time.Now()
			_, err = v.client.Images.WaitRollout(t.Context(), req.ImageID, stopped.ImageVersionID)
			require.Len(t, requireAs[*multiplay.RolloutNotStartedError](t, err).Waiting, 3)
			require.InDelta(t, 15*time.Minute, time.Since(start), float64(time.Minute))

			// What it says helps.
			req = &multiplay.ReleaseRequest{Resume: stopped.ReleaseIDs, ImageID: req.ImageID, Install: multiplay.InstallManual}
			result, err := v.client.Release(t.Context(), req)
			require.NoError(t, err)
			v.requireOneOfEach(t, result)
		})
	}
}

// Where machines await a version that is never installed, nothing waits to be
// queued. With machines that have it, the rollout has started.
func TestRolloutWithoutInstalls(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		client, mock := mockClient(t)
		mock.RegisterResponder("GET", base+"/cfp/v1/imageinstall/status", respondWith(`{"installs":[]}`))
		counts := func(text string) {
			mock.RegisterResponder("GET", base+"/cfp/v2/project/1337/image/5/status", respondWith(text))
		}
		counts(`{"pending_machines":2,"completed_machines":0}`)
		start := time.Now()
		_, err := client.Images.WaitRollout(t.Context(), 5, 6)
		require.Empty(t, requireAs[*multiplay.RolloutNotStartedError](t, err).Waiting)
		require.EqualError(t, err, `multiplay: waiting for the rollout of image 5, last status "2 machines pending": `+
			"multiplay: rollout of version 6 of image 5 has not started in 15m0s: machines await it, but ImageInstalls.List shows no install")
		require.InDelta(t, 15*time.Minute, time.Since(start), float64(time.Minute))

		counts(`{"pending_machines":2,"completed_machines":1}`)
		time.AfterFunc(time.Hour, func() { counts(`{"pending_machines":0,"completed_machines":3}`) })
		rollout, err := client.Images.WaitRollout(t.Context(), 5, 6)
		require.NoError(t, err)
		require.Equal(t, multiplay.MachineCounts{Completed: 3}, rollout.MachineCounts)
	})
}

// Installs that have ended are not awaited, whether they are listed or not.
func TestEndedInstallsThatAreListed(t *testing.T) {
	for state, id := range map[string]int{"Completed": 5, "Failed": 6, "Squashed": 7} {
		synctest.Test(t, func(t *testing.T) {
			client, mock := mockClient(t)
			mock.RegisterResponder("GET", base+"/cfp/v1/imageinstall/status", respondWith(fmt.Sprintf(
				`{"installs":[{"jobid":1,"target_imageversionid":6,"jobstatename":%q,"jobstateid":%d}]}`, state, id)))
			mock.RegisterResponder("GET", base+"/cfp/v2/project/1337/image/5/status",
				respondWith(`{"pending_machines":0,"completed_machines":3}`))
			_, err := client.Images.WaitRollout(t.Context(), 5, 6)
			require.NoError(t, err, state)
		})
	}
}

// One install that has started is a rollout that has.
func TestRolloutThatStartedMayTakeLong(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		v := newVirtual(t, multiplaytest.WithJobTime(2*time.Hour))
		result, err := v.client.Release(t.Context(), v.request(), multiplay.WithPollInterval(0, 5*time.Minute))
		require.NoError(t, err)
		v.requireOneOfEach(t, result)
		require.LessOrEqual(t, v.Count(multiplaytest.OpInstallQueue), 3)
	})
}

func TestStartLimitIsChecked(t *testing.T) {
	client, mock := mockClient(t)
	_, err := client.Images.WaitRollout(t.Context(), 1, 1, multiplay.WithStartLimit(-1))
	require.EqualError(t, err, "multiplay: WithStartLimit: must not be negative")
	require.ErrorIs(t, err, multiplay.ErrInvalidArgument)
	require.Zero(t, mock.GetTotalCallCount())
}

// The successor has a token, a host and no account service.
func TestSuccessor(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		v := newVirtual(t, multiplaytest.WithBearerTokens("successor-token"))
		_, err := v.client.Release(t.Context(), v.request())
		require.NoError(t, err)
		for _, r := range v.Requests() {
			require.Equal(t, "Bearer successor-token", r.Header.Get("Authorization"))
			require.NotContains(t, r.RawQuery, "accountserviceid")
			if r.Operation == multiplaytest.OpVersionCreate {
				query, err := url.ParseQuery(r.RawQuery)
				require.NoError(t, err)
				at, err := strconv.ParseInt(query.Get("install_at"), 10, 64)
				require.NoError(t, err)
				require.Equal(t, r.Time.Unix(), at)
			}
		}
	})
}
