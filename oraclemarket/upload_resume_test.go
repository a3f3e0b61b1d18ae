package oraclemarket_test

import (
	"context"
	"fmt"
	"io"
	"net/http"
	"strconv"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/imagejobs/imagejobs-go/oraclemarket"
	"github.com/imagejobs/imagejobs-go/oraclemarket/oraclemarkettest"
)

// interrupted is an upload that ended after so many chunks, with its image.
func (r *uploadRig) interrupted(t *testing.T, store oraclemarket.CheckpointStore, chunks int) []byte {
	t.Helper()
	data := randomBytes(9 * testChunk)
	req := imageOf(data, store)
	req.Concurrency = 1
	_, err := r.images.Upload(r.interruptAfter(t.Context(), req, chunks), req)
	require.ErrorIs(t, err, context.Canceled)
	return data
}

// overClient is another client of the same service.
func overClient(t *testing.T, r *uploadRig, opts ...oraclemarket.Option) *oraclemarket.MachineImagesService {
	t.Helper()
	transport := &http.Transport{}
	t.Cleanup(transport.CloseIdleConnections)
	all := append(clientOptions{
		oraclemarket.WithBaseURL(r.URL), oraclemarket.WithHTTPClient(&http.Client{Transport: transport}),
	}, opts...)
	c, err := oraclemarket.New(r.User, oraclemarket.StaticToken(r.Token), all...)
	require.NoError(t, err)
	return c.MachineImages
}

// The service has fewer chunks than were acknowledged, for longer than a count
// may lag, and cannot say which.
func TestUploadResumeServiceLostChunks(t *testing.T) {
	t.Parallel()
	for name, test := range map[string]struct {
		counts string
		lasts  time.Duration
		resent bool
	}{
		"fewer":                 {`"uploadedChunks":3,"pendingChunks":6`, 40 * time.Second, true},
		"none":                  {`"uploadedChunks":0,"pendingChunks":9`, 40 * time.Second, true},
		"fewer for a while":     {`"uploadedChunks":3,"pendingChunks":6`, 20 * time.Second, false},
		"no counts":             {`"other":1`, time.Hour, false},
		"counts that are zero":  {`"uploadedChunks":0,"pendingChunks":0`, time.Hour, false},
		"counts of other kinds": {`"uploadedChunks":"N/A","pendingChunks":null`, time.Hour, false},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) {
				r := inMemory(t, nil, nil)
				store := &memStore{}
				data := r.interrupted(t, store, 4)
				start := time.Now()
				r.Inject(oraclemarkettest.Fault{
					Operation: oraclemarkettest.OpGet, Times: -1,
					Match: func(*http.Request) bool {
						return time.Since(start) < test.lasts && r.Count(oraclemarkettest.OpMerge) == 0
					},
					Body: fmt.Sprintf(`{"uploadRequestId":%d,"statusName":"Initiated",%s}`, r.only(t).ID, test.counts),
				})
				_, err := r.images.Upload(t.Context(), imageOf(data, store))
				require.NoError(t, err)
				u := r.only(t)
				requireImage(t, u, data)
				for number, times := range u.Receipts {
					require.Equal(t, map[bool]int{true: 2, false: 1}[test.resent && number <= 4], times, number)
				}
			})
		})
	}
}

// It has more, because responses were lost: no reason to send any of those again
// that were acknowledged.
func TestUploadResumeServiceHasMore(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		r := inMemory(t, nil, nil)
		store := &memStore{}
		data := randomBytes(9 * testChunk)
		req := imageOf(data, store)
		req.Concurrency = 1
		r.Inject(oraclemarkettest.Fault{Operation: oraclemarkettest.OpUploadChunk, Skip: 4, Drop: oraclemarkettest.DropAfter, Times: -1})
		_, err := r.images.Upload(t.Context(), req)
		require.Error(t, err)
		require.Len(t, r.only(t).Chunks, 5)
		r.ClearFaults()
		_, err = r.images.Upload(t.Context(), req)
		require.NoError(t, err)
		requireImage(t, r.only(t), data)
		r.requireReceipts(t, r.only(t))
	})
}

// A 404 or 410 counts when it lasts and List confirms it: chunks are not given up
// for a replica that lags.
func TestUploadResumeUnknownToService(t *testing.T) {
	t.Parallel()
	for name, test := range map[string]struct {
		status  int
		lasts   time.Duration
		listed  bool
		forgets bool
	}{
		"404 for good":            {http.StatusNotFound, time.Hour, false, true},
		"410 for good":            {http.StatusGone, time.Hour, false, true},
		"404 for a while":         {http.StatusNotFound, 20 * time.Second, false, false},
		"410 for a while":         {http.StatusGone, 20 * time.Second, true, false},
		"404 but in the list":     {http.StatusNotFound, time.Hour, true, false},
		"404 as the list is down": {http.StatusNotFound, time.Hour, false, false},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) {
				r := inMemory(t, nil, nil)
				store := &memStore{}
				data := r.interrupted(t, store, 4)
				first, start := r.only(t).ID, time.Now()
				r.Inject(oraclemarkettest.Fault{
					Operation: oraclemarkettest.OpGet, Status: test.status, Times: -1,
					Match: func(req *http.Request) bool {
						return time.Since(start) < test.lasts && strings.HasSuffix(req.URL.Path, strconv.FormatInt(first, 10))
					},
				})
				list := oraclemarkettest.Fault{Operation: oraclemarkettest.OpList, Body: `{"items":[],"hasMore":false}`, Times: -1}
				if strings.HasSuffix(name, "down") {
					list.Body, list.Status = "", http.StatusBadGateway
				}
				if !test.listed {
					r.Inject(list)
				}
				req := imageOf(data, store)
				var progress *oraclemarket.UploadProgress
				req.Progress = func(p oraclemarket.UploadProgress) {
					if progress == nil {
						progress = &p
					}
				}
				done, err := r.images.Upload(t.Context(), req)
				if test.lasts == time.Hour && !test.forgets {
					require.Error(t, err)
					var left *oraclemarket.UploadError
					require.ErrorAs(t, err, &left)
					require.Equal(t, first, left.UploadRequestID)
					require.Equal(t, 4, left.Chunks)
					require.Contains(t, store.states, left.CheckpointKey)
					require.Equal(t, []int{1, 2, 3, 4}, store.only(t).numbers())
					require.Len(t, r.Uploads(), 1)
					return
				}
				require.NoError(t, err)
				if test.forgets {
					require.Len(t, r.Uploads(), 2)
					require.Greater(t, time.Since(start), 30*time.Second)
					require.False(t, progress.Resumed)
					require.Zero(t, progress.Chunks)
				} else {
					require.Len(t, r.Uploads(), 1)
					require.True(t, progress.Resumed)
				}
				upload, ok := r.Upload(done.UploadRequestID)
				require.True(t, ok)
				requireImage(t, upload, data)
				for _, times := range upload.Receipts {
					require.Equal(t, 1, times)
				}
				store.empty(t)
			})
		})
	}
}

// The order of the states is not documented: what nobody has merged is to be
// merged, whatever its state.
func TestUploadResumeInProgress(t *testing.T) {
	t.Parallel()
	for _, status := range []string{"In Progress", "Pending", "Uploading"} {
		for _, chunks := range []int{4, 9} {
			t.Run(fmt.Sprintf("%s, %d of 9 chunks", status, chunks), func(t *testing.T) {
				t.Parallel()
				synctest.Test(t, func(t *testing.T) {
					r := inMemory(t, nil, nil)
					data, store := randomBytes(9*testChunk), &memStore{}
					if chunks < 9 {
						r.interrupted(t, store, chunks)
					} else {
						store.onSave = func(n int) error {
							if decodeState(t, store.saved[n-1]).Phase == "merging" {
								return io.ErrShortWrite
							}
							return nil
						}
						_, err := r.images.Upload(t.Context(), imageOf(data, store))
						require.ErrorIs(t, err, io.ErrShortWrite)
						store.onSave = nil
					}
					r.Inject(oraclemarkettest.Fault{Operation: oraclemarkettest.OpGet, Body: fmt.Sprintf(
						`{"uploadRequestId":%d,"statusName":%q,"uploadedChunks":%d,"pendingChunks":%d}`, r.only(t).ID, status, chunks, 9-chunks)})
					ctx, cancel := context.WithTimeout(t.Context(), time.Hour)
					defer cancel()
					_, err := r.images.Upload(ctx, imageOf(data, store))
					require.NoError(t, err)
					requireImage(t, r.only(t), data)
				})
			})
		}
	}
}

// A failed first Get must not start over.
func TestUploadResumeGetFails(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		for _, status := range []int{http.StatusUnauthorized, http.StatusForbidden, http.StatusBadRequest} {
			r := inMemory(t, nil, nil)
			store := &memStore{}
			data := r.interrupted(t, store, 4)
			before := len(r.Uploads())
			r.Inject(oraclemarkettest.Fault{Operation: oraclemarkettest.OpGet, Status: status, Times: 2})
			_, err := r.images.Upload(t.Context(), imageOf(data, store))
			require.Equal(t, status, asUploadError(t, err).StatusCode)
			r.ClearFaults()
			_, err = r.images.Upload(t.Context(), imageOf(data, store))
			require.NoError(t, err)
			require.Len(t, r.Uploads(), before)
		}
	})
}

func (m *onceMerged) RoundTrip(r *http.Request) (*http.Response, error) {
	if r.Method == http.MethodPatch && !m.done {
		m.done = true
		body := io.NopCloser(strings.NewReader(`{"message":"OK","entityId":"7934470"}`))
		return &http.Response{StatusCode: http.StatusOK, Header: http.Header{}, Body: body}, r.Body.Close()
	}
	return m.next.RoundTrip(r)
}

// A service that refuses a chunk that it has already: what counts is whether it
// counts it.
func TestUploadChunkConflict(t *testing.T) {
	t.Parallel()
	second := func(req *http.Request) bool { return req.Header.Get("X-Chunk-Number") == "2" }
	conflicts := oraclemarkettest.Fault{Operation: oraclemarkettest.OpUploadChunk, Match: second, Status: http.StatusConflict, Times: -1}
	for name, test := range map[string]struct {
		first oraclemarkettest.Fault
		lag   time.Duration
		ok    bool
	}{
		"stored":                {oraclemarkettest.Fault{Drop: oraclemarkettest.DropAfter}, 0, true},
		"stored, counted later": {oraclemarkettest.Fault{Drop: oraclemarkettest.DropAfter}, 10 * time.Second, true},
		"stored, but refused":   {oraclemarkettest.Fault{Status: http.StatusBadRequest, Process: true}, 0, true},
		"not stored":            {oraclemarkettest.Fault{Drop: oraclemarkettest.DropDuring}, 0, false},
		"never sent before":     {oraclemarkettest.Fault{Status: http.StatusConflict}, 0, false},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) {
				r := inMemory(t, serverOptions{oraclemarkettest.WithChunkCountLag(test.lag)}, nil)
				test.first.Operation, test.first.Match = oraclemarkettest.OpUploadChunk, second
				r.Inject(test.first)
				r.Inject(conflicts)
				data, store := randomBytes(9*testChunk), &memStore{}
				_, err := r.images.Upload(t.Context(), imageOf(data, store))
				if test.ok {
					require.NoError(t, err)
					requireImage(t, r.only(t), data)
					require.Equal(t, 1, r.only(t).Receipts[2])
					return
				}
				require.ErrorIs(t, err, oraclemarket.ErrConflict)
				require.ErrorContains(t, err, "chunk 2: ")
				require.NotContains(t, err.Error(), "bytes passed", "it is not about sizes")
				require.Zero(t, r.Count(oraclemarkettest.OpMerge))
				r.ClearFaults()
				_, err = r.images.Upload(t.Context(), imageOf(data, store))
				require.NoError(t, err)
				requireImage(t, r.only(t), data)
			})
		})
	}
}

// The same where the call that sent the chunk did not live to see the response.
func TestUploadChunkConflictResumed(t *testing.T) {
	t.Parallel()
	for number, atOnce := range map[int]int{1: 1, 2: 3} { // before any save of a chunk, and after others
		synctest.Test(t, func(t *testing.T) {
			r, store := inMemory(t, nil, nil), &memStore{}
			is := func(req *http.Request) bool { return req.Header.Get("X-Chunk-Number") == strconv.Itoa(number) }
			r.Inject(oraclemarkettest.Fault{
				Operation: oraclemarkettest.OpUploadChunk, Match: is, Process: true, Stall: oraclemarkettest.StallResponse,
			})
			data := randomBytes(9 * testChunk)
			req := imageOf(data, store)
			req.Concurrency = atOnce
			ctx, cancel := context.WithTimeout(t.Context(), time.Second)
			defer cancel()
			_, err := r.images.Upload(ctx, req)
			require.ErrorIs(t, err, context.DeadlineExceeded)
			require.NotContains(t, store.only(t).numbers(), number)

			r.Inject(oraclemarkettest.Fault{Operation: oraclemarkettest.OpUploadChunk, Match: is, Status: http.StatusConflict})
			_, err = r.images.Upload(t.Context(), imageOf(data, store))
			require.NoError(t, err)
			requireImage(t, r.only(t), data)
			require.Zero(t, r.FaultsLeft())
			require.Equal(t, 1, r.only(t).Receipts[number])
		})
	}
}
