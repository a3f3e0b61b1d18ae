package oraclemarket_test

import (
	"cmp"
	"context"
	"fmt"
	"net/http"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/imagejobs/imagejobs-go/oraclemarket"
	"github.com/imagejobs/imagejobs-go/oraclemarket/oraclemarkettest"
)

// interruptedMerge is an upload that ended while the merge was asked for.
func (r *uploadRig) interruptedMerge(t *testing.T, store oraclemarket.CheckpointStore, processed bool) []byte {
	t.Helper()
	data := randomBytes(3 * testChunk)
	ctx, cancel := context.WithTimeout(t.Context(), time.Second)
	defer cancel()
	r.Inject(oraclemarkettest.Fault{Operation: oraclemarkettest.OpMerge, Stall: oraclemarkettest.StallResponse, Process: processed})
	_, err := r.images.Upload(ctx, imageOf(data, store))
	require.ErrorIs(t, err, context.DeadlineExceeded)
	return data
}

func TestUploadResumeMerge(t *testing.T) {
	t.Parallel()
	for name, test := range map[string]struct {
		processed bool
		later     time.Duration
		refused   bool // the service takes no second merge
		merges    int
	}{
		"not asked":                 {processed: false, merges: 2},
		"pending, asked again":      {processed: true, merges: 2},
		"pending, refused":          {processed: true, refused: true, merges: 2},
		"in progress":               {processed: true, later: time.Minute, merges: 1},
		"completed in the meantime": {processed: true, later: time.Hour, merges: 1},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) {
				r := inMemory(t, serverOptions{oraclemarkettest.WithJobTime(5 * time.Minute)}, nil)
				store := &memStore{}
				data := r.interruptedMerge(t, store, test.processed)
				require.Equal(t, "merging", store.only(t).Phase)
				<-time.After(test.later)
				if test.refused {
					r.Inject(oraclemarkettest.Fault{Operation: oraclemarkettest.OpMerge, Status: http.StatusBadRequest})
				}
				ctx, cancel := context.WithTimeout(t.Context(), time.Hour)
				defer cancel()
				done, err := r.images.Upload(ctx, imageOf(data, store))
				require.NoError(t, err)
				require.Equal(t, oraclemarket.StatusCompleted, done.StatusName)
				require.Equal(t, test.merges, r.Count(oraclemarkettest.OpMerge))
				require.Equal(t, 3, r.Count(oraclemarkettest.OpUploadChunk))
				require.Zero(t, r.FaultsLeft())
				requireImage(t, r.only(t), data)
				store.empty(t)
			})
		})
	}
}

// While the status of a merge lags, a Get that fails makes the next ones no
// rarer.
func TestUploadMergeLooksOnAfterAFailure(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		r := inMemory(t, serverOptions{oraclemarkettest.WithGetLag(28 * time.Second), oraclemarkettest.WithJobTime(0)}, nil)
		r.Inject(oraclemarkettest.Fault{Operation: oraclemarkettest.OpMerge, Drop: oraclemarkettest.DropAfter})
		r.Inject(oraclemarkettest.Fault{Operation: oraclemarkettest.OpGet, Skip: 1, Status: http.StatusBadGateway})
		_, err := r.images.Upload(t.Context(), imageOf(randomBytes(3*testChunk), nil))
		require.NoError(t, err)
		require.Zero(t, r.FaultsLeft())
		var merged, before time.Time
		for _, q := range r.Requests() {
			switch {
			case q.Operation == oraclemarkettest.OpMerge:
				merged, before = q.Time, q.Time
			case q.Operation == oraclemarkettest.OpGet && q.Time.Sub(merged) < 28*time.Second:
				require.LessOrEqual(t, q.Time.Sub(before), 5*time.Second)
				before = q.Time
			}
		}
		require.Greater(t, before.Sub(merged), 20*time.Second)
	})
}

// The first refusal of a merge is one, even if chunks were sent by an earlier
// call.
func TestUploadMergeRefused(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		r := inMemory(t, nil, nil)
		store := &memStore{}
		data := r.interrupted(t, store, 4)
		pending := func(skip int) {
			r.Inject(oraclemarkettest.Fault{Operation: oraclemarkettest.OpGet, Skip: skip, Body: fmt.Sprintf(
				`{"uploadRequestId":%d,"statusName":"Pending","uploadedChunks":9,"pendingChunks":0}`, r.only(t).ID)})
		}
		pending(0)
		pending(0)
		r.Inject(oraclemarkettest.Fault{Operation: oraclemarkettest.OpMerge, Status: http.StatusBadRequest})
		ctx, cancel := context.WithTimeout(t.Context(), time.Hour)
		defer cancel()
		_, err := r.images.Upload(ctx, imageOf(data, store))
		require.ErrorIs(t, err, oraclemarket.ErrBadRequest)
		require.Equal(t, "oraclemarket.MachineImages.Merge", asUploadError(t, err).Op)
		require.Equal(t, "merging", store.only(t).Phase)
		r.ClearFaults()
		_, err = r.images.Upload(t.Context(), imageOf(data, store))
		require.NoError(t, err)
		requireImage(t, r.only(t), data)
	})
}

// onceMerged responds to the first merge as something between client and
// service might: with an acknowledgement that the service knows nothing of.
type onceMerged struct {
	next http.RoundTripper
	done bool
}

// A service that says that nothing was merged is believed, and asked again. If
// it refuses that, it was merged after all and its status is late.
func TestUploadMergedByMistake(t *testing.T) {
	t.Parallel()
	for name, late := range map[string]bool{"it was not": false, "its status is late": true} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) {
				r := inMemoryThrough(t, nil, func(next http.RoundTripper) http.RoundTripper {
					return &onceMerged{next: next, done: late}
				})
				initiated := func(times int) {
					if late {
						r.Inject(oraclemarkettest.Fault{Operation: oraclemarkettest.OpGet, Times: times, Body: fmt.Sprintf(
							`{"uploadRequestId":%d,"statusName":"Initiated","uploadedChunks":3,"pendingChunks":0}`, r.only(t).ID)})
					}
				}
				data, store := randomBytes(3*testChunk), &memStore{}
				req := imageOf(data, store)
				req.Progress = func(oraclemarket.UploadProgress) { r.ClearFaults(); initiated(-1) }
				ctx, cancel := context.WithTimeout(t.Context(), time.Hour)
				defer cancel()
				_, err := r.images.Upload(ctx, req)
				require.ErrorIs(t, err, context.DeadlineExceeded)
				require.ErrorContains(t, err, `last status "Initiated"`)
				require.Equal(t, "merged", store.only(t).Phase)

				r.ClearFaults()
				initiated(3)
				if late {
					r.Inject(oraclemarkettest.Fault{Operation: oraclemarkettest.OpMerge, Status: http.StatusConflict})
				}
				ctx, cancel = context.WithTimeout(t.Context(), time.Hour)
				defer cancel()
				_, err = r.images.Upload(ctx, imageOf(data, store))
				require.NoError(t, err)
				requireImage(t, r.only(t), data)
				require.Zero(t, r.FaultsLeft())
			})
		})
	}
}

// Pending may come before the merge, so that it says nothing when the service
// was down each time it was asked for one.
func TestUploadMergeNeverTaken(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		r := inMemory(t, nil, nil)
		data, store := randomBytes(3*testChunk), &memStore{}
		r.Inject(oraclemarkettest.Fault{Operation: oraclemarkettest.OpMerge, Status: http.StatusServiceUnavailable, Times: -1})
		r.Inject(oraclemarkettest.Fault{Operation: oraclemarkettest.OpGet, Times: -1, Body: `{"uploadRequestId":7934470,"statusName":"Pending","uploadedChunks":3,"pendingChunks":0}`})
		ctx, cancel := context.WithTimeout(t.Context(), time.Hour)
		defer cancel()
		_, err := r.images.Upload(ctx, imageOf(data, store))
		require.ErrorIs(t, err, oraclemarket.ErrServer)
		require.Equal(t, "merging", store.only(t).Phase)
		r.ClearFaults()
		_, err = r.images.Upload(t.Context(), imageOf(data, store))
		require.NoError(t, err)
		requireImage(t, r.only(t), data)
	})
}

// After a failure the service is asked whether it has merged before it is asked
// to merge again.
func TestUploadMergeLooksFirst(t *testing.T) {
	t.Parallel()
	for name, test := range map[string]struct {
		first  oraclemarkettest.Fault // of the merge
		then   int                    // status of later merges, 0 for none
		merges int
		takes  time.Duration // the job, 0 for a minute
	}{
		"lost":                 {oraclemarkettest.Fault{Drop: oraclemarkettest.DropAfter}, http.StatusConflict, 1, 0},
		"lost, long pending":   {oraclemarkettest.Fault{Drop: oraclemarkettest.DropAfter}, http.StatusConflict, 2, 10 * time.Hour}, // it is Pending for longer than a record lags
		"lost, in time":        {oraclemarkettest.Fault{Stall: oraclemarkettest.StallResponse, Process: true}, http.StatusConflict, 1, 0},
		"504":                  {oraclemarkettest.Fault{Status: http.StatusGatewayTimeout, Process: true}, http.StatusGone, 1, 0},
		"meaningless":          {oraclemarkettest.Fault{Body: `{"message":"busy"}`}, http.StatusNotFound, 1, 0},
		"not processed":        {oraclemarkettest.Fault{Status: http.StatusBadGateway}, 0, 2, 0},
		"conflict for a while": {oraclemarkettest.Fault{Status: http.StatusConflict, Times: 3}, 0, 4, 0},
		"404 for a while":      {oraclemarkettest.Fault{Status: http.StatusNotFound, Times: 3}, 0, 4, 0},
		"refused connections":  {oraclemarkettest.Fault{Status: http.StatusTooManyRequests, Times: 20}, 0, 21, 0},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) {
				r := inMemory(t, serverOptions{oraclemarkettest.WithJobTime(cmp.Or(test.takes, time.Minute))}, nil)
				test.first.Operation = oraclemarkettest.OpMerge
				r.Inject(test.first)
				if test.then != 0 {
					r.Inject(oraclemarkettest.Fault{Operation: oraclemarkettest.OpMerge, Status: test.then, Times: -1})
				}
				data := randomBytes(3 * testChunk)
				_, err := r.images.Upload(t.Context(), imageOf(data, nil))
				require.NoError(t, err)
				requireImage(t, r.only(t), data)
				require.Equal(t, test.merges, r.Count(oraclemarkettest.OpMerge))
			})
		})
	}
}

// A merge may take longer than other small calls.
func TestUploadMergeTakesAMinute(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		r := inMemory(t, nil, nil)
		r.Inject(oraclemarkettest.Fault{Operation: oraclemarkettest.OpMerge, Delay: time.Minute})
		data := randomBytes(3 * testChunk)
		_, err := r.images.Upload(t.Context(), imageOf(data, nil))
		require.NoError(t, err)
		require.Equal(t, 1, r.Count(oraclemarkettest.OpMerge))
		requireImage(t, r.only(t), data)
	})
}

func TestUploadResumeWait(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		r := inMemory(t, nil, nil)
		store := &memStore{}
		data := randomBytes(3 * testChunk)
		ctx, cancel := context.WithCancel(t.Context())
		defer cancel()
		req := imageOf(data, store)
		req.StatusChanged = func(*oraclemarket.MachineImageUploadRequest) { cancel() }
		last, err := r.images.Upload(ctx, req)
		require.ErrorIs(t, err, context.Canceled)
		require.ErrorContains(t, err, `last status "Pending"`)
		require.Equal(t, oraclemarket.StatusPending, last.StatusName)
		require.Equal(t, "merged", store.only(t).Phase)
		req.StatusChanged = nil
		_, err = r.images.Upload(t.Context(), req)
		require.NoError(t, err)
		require.Equal(t, 1, r.Count(oraclemarkettest.OpMerge))
		store.empty(t)
	})
}

func TestUploadEndsBadly(t *testing.T) {
	t.Parallel()
	for outcome, reason := range map[oraclemarkettest.Outcome]string{
		oraclemarkettest.Fails:      `ended with status "Failed": US2 COMMERCIAL CHERRY: Failed at 50%`,
		oraclemarkettest.IsRejected: `ended with status "Rejected": US2 COMMERCIAL CHERRY: Rejected at 100%`,
	} {
		for _, resumed := range []bool{false, true} {
			synctest.Test(t, func(t *testing.T) {
				r := inMemory(t, nil, nil)
				r.SetNextOutcome(outcome)
				store := &memStore{}
				data := randomBytes(3 * testChunk)
				if resumed {
					data = r.interruptedMerge(t, store, true)
					<-time.After(time.Hour)
				}
				last, err := r.images.Upload(t.Context(), imageOf(data, store))
				var state *oraclemarket.StateError
				require.ErrorAs(t, err, &state)
				require.ErrorContains(t, err, reason)
				require.Equal(t, state.Status, last.StatusName)
				require.Equal(t, r.only(t).ID, state.UploadRequestID)
				store.empty(t)

				_, err = r.images.Upload(t.Context(), imageOf(data, store))
				require.NoError(t, err)
				require.Len(t, r.Uploads(), 2)
				requireImage(t, r.Uploads()[1], data)
			})
		}
	}
}

// Deleted while it was interrupted: that is its end, too.
func TestUploadDeletedMeanwhile(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		r := inMemory(t, nil, nil)
		store := &memStore{}
		data := r.interrupted(t, store, 4)
		_, err := r.images.DeleteEverywhere(t.Context(), r.only(t).ID)
		require.NoError(t, err)
		_, err = r.images.Upload(t.Context(), imageOf(data, store))
		var state *oraclemarket.StateError
		require.ErrorAs(t, err, &state)
		require.Equal(t, oraclemarket.StatusDeleted, state.Status)
		store.empty(t)
		_, err = r.images.Upload(t.Context(), imageOf(data, store))
		require.NoError(t, err)
	})
}
