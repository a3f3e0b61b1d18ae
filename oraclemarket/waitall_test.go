package oraclemarket_test

import (
	"cmp"
	"errors"
	"fmt"
	"io"
	"net/http"
	"slices"
	"strconv"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/imagejobs/imagejobs-go/oraclemarket"
	"github.com/imagejobs/imagejobs-go/oraclemarket/oraclemarkettest"
)

// created makes n upload requests of whole images, which run from now on.
func (r *uploadRig) created(t *testing.T, n int) []int64 {
	t.Helper()
	ids := make([]int64, n)
	before := len(r.Uploads())
	for i := range ids {
		image := imageOf([]byte("image"), nil)
		ack, err := r.images.Create(t.Context(), &oraclemarket.CreateMachineImageRequest{
			Application: image.Application, Version: image.Version, OperatingSystem: image.OperatingSystem,
			FileName: fmt.Sprintf("image%d", before+i), File: image.File, Size: image.Size,
		})
		require.NoError(t, err)
		ids[i] = ack.EntityID
	}
	return ids
}

// Many requests cost one list a poll, but for the first, of which most pages are
// of requests that nobody awaits.
func TestWaitAll(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		r := inMemory(t, serverOptions{oraclemarkettest.WithJobTime(20 * time.Minute)}, nil)
		for i := range 2000 {
			r.AddImage(oraclemarkettest.Image{Application: "old", FileName: strconv.Itoa(i), Completed: time.Now().Add(-time.Hour)})
		}
		ids := r.created(t, 150)
		r.SetNextOutcome(oraclemarkettest.IsRejected)
		ids = append(ids, r.created(t, 1)...)
		start := time.Now()
		ended, err := r.images.WaitAll(t.Context(), ids)
		require.InDelta(t, 20*time.Minute, time.Since(start), float64(30*time.Second))
		// Some 110 polls, of which those that follow a change read two pages.
		require.Less(t, r.Count(oraclemarkettest.OpList), 180)
		require.Zero(t, r.Count(oraclemarkettest.OpGet))
		state := new(oraclemarket.StateError)
		require.ErrorAs(t, err, &state)
		require.Equal(t, ids[150], state.UploadRequestID)
		require.ErrorContains(t, err, "ended with status \"Rejected\"")
		for i, u := range ended {
			require.Equal(t, ids[i], u.UploadRequestID)
			require.Equal(t, i == 150, u.StatusName == oraclemarket.StatusRejected)
		}
	})
}

// Requests that are far down the list are not searched there.
func TestWaitAllForOldRequests(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		r := inMemory(t, nil, nil)
		var ids []int64
		for i := range 2000 {
			ids = append(ids, r.AddImage(oraclemarkettest.Image{Application: "old", FileName: strconv.Itoa(i), Completed: time.Now().Add(-time.Hour)}))
		}
		ended, err := r.images.WaitAll(t.Context(), []int64{ids[1000], 9, ids[1500]})
		require.ErrorIs(t, err, oraclemarket.ErrNotFound)
		require.ErrorContains(t, err, "oraclemarket: waiting for upload request 9, no status seen: ")
		require.Equal(t, ids[1000], ended[0].UploadRequestID)
		require.Nil(t, ended[1])
		require.Equal(t, ids[1500], ended[2].UploadRequestID)
		require.Less(t, r.Count(oraclemarkettest.OpList), 15)
		require.Less(t, r.Count(oraclemarkettest.OpGet), 15)
	})
}

// A service that does not change the date of a request with its state, or that
// has no dates, or does not sort, is read to the end now and then, or always.
func TestWaitAllWithoutDates(t *testing.T) {
	t.Parallel()
	const day = "2019-01-02T03:04:05.000Z"
	for name, dates := range map[string][]string{
		"same": {day, day}, "none": {"", ""}, "unsorted": {"2019-01-01T00:00:00.000Z", day},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) {
				start := time.Now()
				images := listing(t, func(*http.Request) string {
					status := "In Progress"
					if time.Since(start) > time.Minute {
						status = "Completed"
					}
					return fmt.Sprintf(`{"hasMore":false,"items":[{"machineimage":{"uploadRequestId":1,"statusName":"Completed","lastModifiedDate":%q}},`+
						`{"machineimage":{"uploadRequestId":7,"statusName":%q,"lastModifiedDate":%q}}]}`, dates[0], status, dates[1])
				})
				_, err := images.WaitAll(t.Context(), []int64{7})
				require.NoError(t, err)
				require.Less(t, time.Since(start), 6*time.Minute)
			})
		})
	}
}

// An outage of the list is ridden out.
func TestWaitAllThroughAnOutage(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		r := inMemory(t, nil, nil)
		ids := r.created(t, 2)
		down := oraclemarkettest.Fault{Operation: oraclemarkettest.OpList, Status: http.StatusServiceUnavailable, Times: -1}
		r.Inject(down)
		time.AfterFunc(4*time.Minute, r.ClearFaults)
		_, err := r.images.WaitAll(t.Context(), ids)
		require.NoError(t, err)
		r.Inject(down)
		states, err := r.images.WaitAll(t.Context(), ids)
		require.ErrorIs(t, err, oraclemarket.ErrServer)
		require.ErrorContains(t, err, "waiting for 2 of 2 upload requests")
		require.Equal(t, []*oraclemarket.MachineImageUploadRequest{nil, nil}, states)
	})
}

func TestWatchAll(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		r := inMemory(t, nil, nil)
		r.SetNextOutcome(oraclemarkettest.Fails)
		ids := r.created(t, 2)
		last := map[int64]oraclemarket.Status{}
		var failed []int64
		for u, err := range r.images.WatchAll(t.Context(), ids) {
			if state, ok := errors.AsType[*oraclemarket.StateError](err); ok {
				failed = append(failed, state.UploadRequestID)
				continue
			}
			require.NoError(t, err)
			last[u.UploadRequestID] = u.StatusName
		}
		require.Equal(t, ids[:1], failed)
		require.Equal(t, map[int64]oraclemarket.Status{ids[0]: "Failed", ids[1]: "Completed"}, last)
	})
}

func TestWaitAllArguments(t *testing.T) {
	t.Parallel()
	p, images := waiting(t, times(1, completed))
	_, err := images.WaitAll(t.Context(), []int64{1, 0})
	require.EqualError(t, err, "oraclemarket: MachineImages.WaitAll: uploadRequestIDs[1]: must be positive, not 0")
	for _, err := range images.WatchAll(t.Context(), []int64{-1}) {
		require.EqualError(t, err, "oraclemarket: MachineImages.WatchAll: uploadRequestIDs[0]: must be positive, not -1")
	}
	_, err = images.WaitAll(t.Context(), nil, oraclemarket.WithPollInterval(-1, 0))
	require.ErrorIs(t, err, oraclemarket.ErrInvalidArgument)
	states, err := images.WaitAll(t.Context(), nil)
	require.NoError(t, err)
	require.Empty(t, states)
	require.Empty(t, p.at)
}

func TestWaitDeleted(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		states []state
		status oraclemarket.Status
		failed bool
	}{
		"deleted":   {[]state{completed, {status: "In Progress"}, {status: "FAILED"}, {status: "DELETED"}}, oraclemarket.StatusDeleted, false},
		"forgotten": {[]state{completed, {code: 404}}, oraclemarket.StatusCompleted, false},
		"fails":     {[]state{completed, {status: "DELECTION FAILED"}}, oraclemarket.StatusDeletionFailed, true},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) {
				_, images := waiting(t, c.states)
				last, err := images.WaitDeleted(t.Context(), waitID)
				require.Equal(t, c.status, last.StatusName)
				if !c.failed {
					require.NoError(t, err)
					return
				}
				ended, ok := errors.AsType[*oraclemarket.StateError](err)
				require.True(t, ok)
				require.Equal(t, oraclemarket.StatusDeletionFailed, ended.Status)
			})
		})
	}
	_, images := waiting(t, times(1, completed))
	_, err := images.WaitDeleted(t.Context(), 0)
	require.ErrorIs(t, err, oraclemarket.ErrInvalidArgument)
}

// Ten thousand requests, of which a hundred change between two polls, cost less
// than two calls a second.
func TestWaitAllForTenThousand(t *testing.T) {
	t.Parallel()
	const jobs, changes, took = 10_000, 100, 30 * time.Minute
	synctest.Test(t, func(t *testing.T) {
		start, calls := time.Now(), 0
		type job struct {
			id   int64
			date string
		}
		list, ids := make([]job, jobs), make([]int64, jobs)
		for i := range list {
			ids[i] = int64(i + 1)
			list[i] = job{ids[i], start.UTC().Format(time.RFC3339)}
		}
		images := listing(t, func(r *http.Request) string {
			calls++
			offset, err := strconv.Atoi(cmp.Or(r.URL.Query().Get("offset"), "0"))
			require.NoError(t, err)
			status, now := "In Progress", time.Now()
			if now.Sub(start) > took {
				status = "Completed"
			} else if offset == 0 { // the oldest ones change
				list = slices.Concat(list[jobs-changes:], list[:jobs-changes])
				for i := range changes {
					list[i].date = now.UTC().Format(time.RFC3339)
				}
			}
			page := make([]string, 0, changes)
			for _, j := range list[offset:min(offset+100, jobs)] {
				page = append(page, fmt.Sprintf(`{"machineimage":{"uploadRequestId":%d,"statusName":%q,"lastModifiedDate":%q}}`, j.id, status, j.date))
			}
			return fmt.Sprintf(`{"hasMore":%t,"items":[%s]}`, offset+100 < jobs, strings.Join(page, ","))
		})
		ended, err := images.WaitAll(t.Context(), ids)
		require.NoError(t, err)
		require.Len(t, ended, jobs)
		perSecond := float64(calls) / time.Since(start).Seconds()
		t.Logf("%d calls in %s, %.2f a second", calls, time.Since(start), perSecond)
		require.Less(t, perSecond, 2.0)
	})
}

// listing is a client of a service that responds with what respond returns.
func listing(t *testing.T, respond func(*http.Request) string) *oraclemarket.MachineImagesService {
	t.Helper()
	c, err := oraclemarket.New("user", oraclemarket.StaticToken("Access-token"),
		oraclemarket.WithHTTPClient(&http.Client{Transport: responder(respond)}))
	require.NoError(t, err)
	return c.MachineImages
}

type responder func(*http.Request) string

func (f responder) RoundTrip(r *http.Request) (*http.Response, error) {
	return &http.Response{
		StatusCode: http.StatusOK, Header: http.Header{"Content-Type": {"application/json"}},
		Body: io.NopCloser(strings.NewReader(f(r))), ContentLength: -1,
	}, nil
}
