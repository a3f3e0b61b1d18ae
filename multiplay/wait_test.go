package multiplay_test

import (
	"cmp"
	"context"
	"fmt"
	"net/http"
	"testing"
	"testing/synctest"
	"time"

	"github.com/jarcoal/httpmock"
	"github.com/stretchr/testify/require"

	"github.com/imagejobs/imagejobs-go/multiplay"
)

// states responds with one state after the other, the last for ever.
func states(mock *httpmock.MockTransport, path string, names ...string) {
	next := 0
	mock.RegisterResponder("GET", base+path, func(r *http.Request) (*http.Response, error) {
		name := names[min(next, len(names)-1)]
		next++
		return respondWith(fmt.Sprintf(`{"jobstatename":%q,"joberror":"why","success":true}`, name))(r)
	})
}

func TestWaitAndWatch(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		client, mock := mockClient(t)
		way := []string{"Created", "Queued", "Queued", "Paused", "Running", "Running", "Complete"}
		for _, path := range []string{"imageupdate", "imagediff", "imageversion"} {
			states(mock, "/cfp/v1/"+path+"/5/status", way...)
		}
		start := time.Now()
		update, err := client.ImageUpdates.Wait(t.Context(), 5)
		require.NoError(t, err)
		require.Equal(t, multiplay.JobCompleted, update.State)
		// Six intervals from 1 s, each half as long again as the one before, less half at most.
		require.InDelta(t, 15.6*float64(time.Second), time.Since(start), 5.3*float64(time.Second))

		var seen []multiplay.JobState
		for diff, err := range client.ImageDiffs.Watch(t.Context(), 5) {
			require.NoError(t, err)
			require.Equal(t, int64(5), diff.DiffID)
			seen = append(seen, diff.State)
		}
		require.Equal(t, []multiplay.JobState{"Created", "Queued", "Paused", "Running", "Completed"}, seen)

		start = time.Now()
		version, err := client.ImageVersions.Wait(t.Context(), 5, multiplay.WithPollInterval(time.Minute, time.Minute))
		require.NoError(t, err)
		require.Equal(t, int64(5), version.ImageVersionID)
		require.InDelta(t, 4.5*float64(time.Minute), time.Since(start), 1.5*float64(time.Minute))
	})
}

func TestBadEnds(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		for _, end := range []multiplay.JobState{multiplay.JobFailed, multiplay.JobSquashed} {
			client, mock := mockClient(t)
			states(mock, "/cfp/v1/imageversion/5/status", "Running", string(end))
			version, err := client.ImageVersions.Wait(t.Context(), 5)
			require.Equal(t, end, version.State)
			ended := requireAs[*multiplay.StateError](t, err)
			require.Equal(t, &multiplay.StateError{Resource: "image version", ID: 5, State: end, Reason: "why"}, ended)
			require.EqualError(t, err, fmt.Sprintf("multiplay: image version 5 ended with state %q: why", end))

			var last error
			yields := 0
			for version, err := range client.ImageVersions.Watch(t.Context(), 5) {
				last = err
				yields++
				require.Equal(t, end, version.State)
			}
			require.Equal(t, ended, last)
			require.Equal(t, 2, yields)
		}
	})
}

func TestWatchCanBeLeft(t *testing.T) {
	client, mock := mockClient(t)
	states(mock, "/cfp/v1/imageupdate/5/status", "Running")
	mock.RegisterResponder("GET", base+"/cfp/v1/imageinstall/status", respondWith(`{"installs":[]}`))
	mock.RegisterResponder("GET", base+"/cfp/v2/project/1337/image/5/status", respondWith(`{"pending_machines":1,"completed_machines":0}`))
	for _, err := range client.ImageUpdates.Watch(t.Context(), 5) {
		require.NoError(t, err)
		break
	}
	for _, err := range client.Images.WatchRollout(t.Context(), 5, 6) {
		require.NoError(t, err)
		break
	}
	require.Equal(t, 3, mock.GetTotalCallCount())
}

func TestWaitEndsWithItsContext(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		client, mock := mockClient(t)
		states(mock, "/cfp/v1/imageupdate/5/status", "Running")
		ctx, cancel := context.WithTimeout(t.Context(), 10*time.Second)
		defer cancel()
		start := time.Now()
		update, err := client.ImageUpdates.Wait(ctx, 5)
		require.Equal(t, 10*time.Second, time.Since(start))
		require.Equal(t, multiplay.JobRunning, update.State)
		require.ErrorIs(t, err, context.DeadlineExceeded)
		require.ErrorContains(t, err, `multiplay: waiting for image update 5, last status "Running": `)

		update, err = client.ImageUpdates.Wait(ctx, 5)
		require.Nil(t, update)
		require.ErrorIs(t, err, context.DeadlineExceeded)
		require.ErrorContains(t, err, "no status seen")
	})
}

// A job is given half a minute to be known.
func TestWaitFails(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		client, mock := mockClient(t)
		mock.RegisterResponder("GET", base+"/cfp/v1/imageupdate/5/status", httpmock.NewStringResponder(http.StatusNotFound, ""))
		start := time.Now()
		_, err := client.ImageUpdates.Wait(t.Context(), 5)
		require.Equal(t, 30*time.Second, time.Since(start))
		require.ErrorIs(t, err, multiplay.ErrNotFound)
		require.ErrorContains(t, err, "multiplay: waiting for image update 5, no status seen: ")
	})
}

// A refusal in the middle of a wait may come from a replica that lags.
func TestRefusalInAWaitIsRiddenOut(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		client, mock := mockClient(t)
		polls := 0
		mock.RegisterResponder("GET", base+"/cfp/v1/imageupdate/5/status", func(r *http.Request) (*http.Response, error) {
			polls++
			switch polls {
			case 1:
				return respondWith(`{"jobstatename":"Running"}`)(r)
			case 2, 3, 4:
				return respondWith(`{"error_message":"no such update"}`)(r)
			}
			return respondWith(`{"jobstatename":"Completed"}`)(r)
		})
		_, err := client.ImageUpdates.Wait(t.Context(), 5)
		require.NoError(t, err)
	})
}

func TestOutageLimit(t *testing.T) {
	for _, limit := range []time.Duration{0, time.Minute} {
		synctest.Test(t, func(t *testing.T) {
			client, mock := mockClient(t, multiplay.WithOutageLimit(limit))
			mock.RegisterNoResponder(httpmock.NewStringResponder(http.StatusBadGateway, ""))
			start := time.Now()
			_, err := client.Images.WaitRollout(t.Context(), 5, 6)
			require.InDelta(t, cmp.Or(limit, 5*time.Minute), time.Since(start), float64(5*time.Millisecond))
			require.ErrorIs(t, err, multiplay.ErrServer)
			require.True(t, multiplay.IsTransient(err))
		})
	}
}

func TestRetryAfterIsObeyed(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		client, mock := mockClient(t)
		polls := 0
		mock.RegisterResponder("GET", base+"/cfp/v1/imageupdate/5/status", func(r *http.Request) (*http.Response, error) {
			polls++
			if polls == 1 {
				return respondWith(`{"jobstatename":"Running"}`).HeaderSet(http.Header{"Retry-After": {"90"}})(r)
			}
			return respondWith(`{"jobstatename":"Completed"}`)(r)
		})
		start := time.Now()
		_, err := client.ImageUpdates.Wait(t.Context(), 5)
		require.NoError(t, err)
		require.InDelta(t, 94*time.Second, time.Since(start), float64(4*time.Second))
	})
}

func TestWaitRollout(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		client, mock := mockClient(t)
		poll := 0
		installs := []string{`[]`, `[{"jobid":1,"target_imageversionid":6},{"jobid":2,"target_imageversionid":9}]`,
			`[{"jobid":2,"target_imageversionid":9}]`, `[{"jobid":2,"target_imageversionid":9}]`}
		counts := []string{
			`{"pending_machines":2,"completed_machines":0}`,
			`{"pending_machines":0,"completed_machines":1}`, // no longer pending, but still installing
			`{"pending_machines":0,"completed_machines":2}`,
			`{"pending_machines":0,"failed_machines":1,"completed_machines":1}`,
		}
		mock.RegisterResponder("GET", base+"/cfp/v1/imageinstall/status", func(r *http.Request) (*http.Response, error) {
			return respondWith(`{"installs":` + installs[poll] + `}`)(r)
		})
		mock.RegisterResponder("GET", base+"/cfp/v2/project/1337/image/5/status", func(r *http.Request) (*http.Response, error) {
			now := counts[poll]
			poll = min(poll+1, len(counts)-1)
			return respondWith(now)(r)
		})
		rollout, err := client.Images.WaitRollout(t.Context(), 5, 6)
		require.NoError(t, err)
		require.Equal(t, multiplay.MachineCounts{Completed: 2}, rollout.MachineCounts)

		rollout, err = client.Images.WaitRollout(t.Context(), 5, 6)
		require.Equal(t, multiplay.MachineCounts{Failed: 1, Completed: 1}, rollout.MachineCounts)
		require.Equal(t, &multiplay.RolloutError{ImageID: 5, MachineCounts: rollout.MachineCounts}, requireAs[*multiplay.RolloutError](t, err))
		require.EqualError(t, err, "multiplay: rollout of image 5 ended with 1 failed and 1 completed machines")

		poll = 0
		ctx, cancel := context.WithTimeout(t.Context(), 500*time.Millisecond)
		defer cancel()
		rollout, err = client.Images.WaitRollout(ctx, 5, 6)
		require.Equal(t, int64(2), rollout.Pending)
		require.ErrorIs(t, err, context.DeadlineExceeded)
		require.ErrorContains(t, err, `last status "2 machines pending"`)
	})
}
