package oraclemarket_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"strings"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/imagejobs/imagejobs-go/oraclemarket"
	"github.com/imagejobs/imagejobs-go/oraclemarket/oraclemarkettest"
)

// uploadFaults are transient failures, by name.
var uploadFaults = map[string]oraclemarkettest.Fault{
	"500":              {Status: http.StatusInternalServerError},
	"500 processed":    {Status: http.StatusInternalServerError, Process: true},
	"503 after 0 s":    {Status: http.StatusServiceUnavailable, RetryAfter: "0"},
	"503 after 1 s":    {Status: http.StatusServiceUnavailable, RetryAfter: "1"},
	"429":              {Status: http.StatusTooManyRequests},
	"429 unread":       {Status: http.StatusTooManyRequests, Early: true},
	"drop before":      {Drop: oraclemarkettest.DropBefore},
	"drop during":      {Drop: oraclemarkettest.DropDuring},
	"drop after":       {Drop: oraclemarkettest.DropAfter},
	"stalled response": {Stall: oraclemarkettest.StallResponse},
	"stalled body":     {Stall: oraclemarkettest.StallResponseBody},
	"truncated":        {Truncate: true},
	"half the JSON":    {CutJSON: true},
	"early 200":        {Early: true},
	"empty object":     {Body: `{}`},
	"busy":             {Body: `{"message":"busy"}`},
	"maintenance":      {Body: `{"status":"maintenance"}`},
	"page of a proxy": {
		Body:        "<html><head><title>Sign in</title></head><body>Please sign in to the network.</body></html>",
		ContentType: "text/html; charset=utf-8",
	},
}

// uploadOperations are the calls of an upload. An initiate call has to be lost
// before the list is asked for.
var uploadOperations = []string{
	oraclemarkettest.OpAuthenticate, oraclemarkettest.OpInitiate, oraclemarkettest.OpList,
	oraclemarkettest.OpUploadChunk, oraclemarkettest.OpMerge, oraclemarkettest.OpGet,
}

func loseInitiate(r *uploadRig, operation string) {
	if operation == oraclemarkettest.OpList {
		r.Inject(oraclemarkettest.Fault{Operation: oraclemarkettest.OpInitiate, Drop: oraclemarkettest.DropAfter})
	}
}

// Up to three transient failures in a row, in any call: the upload still
// ends well, with one upload request.
func TestUploadFaults(t *testing.T) {
	t.Parallel()
	for _, operation := range uploadOperations {
		for name, fault := range uploadFaults {
			t.Run(operation+"/"+name, func(t *testing.T) {
				t.Parallel()
				synctest.Test(t, func(t *testing.T) {
					r := inMemory(t, nil, nil)
					loseInitiate(r, operation)
					fault.Operation, fault.Times = operation, 3
					r.Inject(fault)
					data := randomBytes(7*testChunk - 1)
					store := &memStore{}
					_, err := r.images.Upload(t.Context(), imageOf(data, store))
					require.NoError(t, err)
					u := r.only(t)
					requireImage(t, u, data)
					r.requireReceipts(t, u)
					store.empty(t)
					if operation != oraclemarkettest.OpInitiate && operation != oraclemarkettest.OpMerge || !lostOnProcessing(&fault) {
						require.Zero(t, r.FaultsLeft())
					}
				})
			})
		}
	}
}

// lostOnProcessing reports whether the first such fault gets the request through
// all the same, so that a call that is not repeated meets no second one.
func lostOnProcessing(f *oraclemarkettest.Fault) bool {
	if f.Early {
		return false
	}
	return f.Process || f.Drop == oraclemarkettest.DropAfter || f.Stall == oraclemarkettest.StallResponseBody ||
		f.Truncate || f.CutJSON || f.Body != ""
}

// The same without end: a typed error, and a checkpoint to go on from.
func TestUploadFaultsWithoutEnd(t *testing.T) {
	t.Parallel()
	for _, operation := range uploadOperations {
		for name, fault := range uploadFaults {
			t.Run(operation+"/"+name, func(t *testing.T) {
				t.Parallel()
				synctest.Test(t, func(t *testing.T) {
					r := inMemory(t, nil, nil)
					loseInitiate(r, operation)
					fault.Operation, fault.Times = operation, -1
					if operation == oraclemarkettest.OpUploadChunk {
						fault.Skip = 3
					}
					r.Inject(fault)
					data := randomBytes(7*testChunk - 1)
					store := &memStore{}
					began := time.Now()
					_, err := r.images.Upload(t.Context(), imageOf(data, store))
					if lostOnProcessing(&fault) && (operation == oraclemarkettest.OpInitiate || operation == oraclemarkettest.OpMerge) {
						// Found by List, or seen by Get.
						require.NoError(t, err)
						requireImage(t, r.only(t), data)
						return
					}
					failed := asUploadError(t, err)
					require.Equal(t, "oraclemarket."+operation, failed.Op)
					require.Equal(t, fault.Status, statusOf(&fault, failed))
					// A call that must not be repeated is made again when List has nothing
					// for half a minute. Until there is an upload request, an outage is
					// ridden out for its limit.
					switch {
					case operation == oraclemarkettest.OpInitiate && fault.Status != http.StatusTooManyRequests:
						require.ErrorIs(t, err, oraclemarket.ErrAmbiguous)
						require.LessOrEqual(t, r.Count(oraclemarkettest.OpInitiate), 10)
						require.Less(t, r.Count(oraclemarkettest.OpList), 10*12)
						require.InDelta(t, 5.5*60, time.Since(began).Seconds(), 61)
					case operation == oraclemarkettest.OpAuthenticate && fault.Stall != 0:
						require.Equal(t, 2*time.Minute, time.Since(began), "no token is waited for longer")
					case operation == oraclemarkettest.OpInitiate, operation == oraclemarkettest.OpAuthenticate:
						require.InDelta(t, 5.5*60, time.Since(began).Seconds(), 31)
						require.LessOrEqual(t, r.Count(operation), 110)
					case operation == oraclemarkettest.OpMerge && fault.Status != http.StatusTooManyRequests:
						require.ErrorIs(t, err, oraclemarket.ErrAmbiguous)
						require.InDelta(t, 6.5*60, time.Since(began).Seconds(), 120) // 90 s before the first failure
						require.LessOrEqual(t, r.Count(operation), 11, "with polls in between")
					case operation == oraclemarkettest.OpMerge:
						require.InDelta(t, 5.5*60, time.Since(began).Seconds(), 31)
						require.LessOrEqual(t, r.Count(operation), 110)
					case operation == oraclemarkettest.OpList:
						require.InDelta(t, 5.5*60, time.Since(began).Seconds(), 200) // 5 attempts of 30 s
						require.LessOrEqual(t, r.Count(operation), 110)
					case operation == oraclemarkettest.OpUploadChunk:
						// Not the attempts end it but the outage limit; one chunk asks for all.
						require.ErrorContains(t, err, "given up after 5m0s without a success")
						require.InDelta(t, 5*60, time.Since(began).Seconds(), 125) // and a stalled attempt
						require.LessOrEqual(t, r.Count(operation), 4+3+30)
					default:
						require.Equal(t, 5, failed.Attempts)
						require.ErrorContains(t, err, "(5 attempts")
					}
					require.ErrorContains(t, err, failed.Op)
					if fault.Status != 0 {
						require.ErrorContains(t, err, http.StatusText(fault.Status))
						require.NotEmpty(t, failed.Hint)
					}
					require.NotContains(t, fmt.Sprintf("%v %+v %#v", err, failed, failed), r.ClientSecret)

					r.ClearFaults()
					_, err = r.images.Upload(t.Context(), imageOf(data, store))
					require.NoError(t, err)
					u := r.only(t)
					requireImage(t, u, data)
					r.requireReceipts(t, u)
					store.empty(t)
				})
			})
		}
	}
}

// asUploadError is the call that failed: the one for a token where that is why
// the other could not be made.
func asUploadError(t *testing.T, err error) *oraclemarket.Error {
	t.Helper()
	var failed *oraclemarket.Error
	require.ErrorAs(t, err, &failed)
	if token, ok := errors.AsType[*oraclemarket.Error](failed.Err); ok {
		return token
	}
	return failed
}

// statusOf is the status of the error, or 0 where the fault has none.
func statusOf(fault *oraclemarkettest.Fault, failed *oraclemarket.Error) int {
	if fault.Status == 0 {
		return 0
	}
	return failed.StatusCode
}

// Bytes that stop moving: cut after the stall limit, and sent again.
func TestUploadStalledChunk(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		r := inMemory(t, nil, clientOptions{oraclemarket.WithStallTimeout(7 * time.Second)})
		r.Inject(oraclemarkettest.Fault{Operation: oraclemarkettest.OpUploadChunk, Stall: oraclemarkettest.StallRequestBody, Skip: 1, Times: 3})
		// More than what is buffered on the way, so that the client notices.
		data := randomBytes(400_000)
		store := &memStore{}
		req := imageOf(data, store)
		req.ChunkSize, req.Concurrency = 100_000, 1
		began := time.Now()
		_, err := r.images.Upload(t.Context(), req)
		require.NoError(t, err)
		require.Zero(t, r.FaultsLeft())
		require.Greater(t, time.Since(began), 21*time.Second)
		u := r.only(t)
		requireImage(t, u, data)
		for number, times := range u.Receipts {
			require.Equal(t, 1, times, "chunk %d", number)
		}

		r.Inject(oraclemarkettest.Fault{Operation: oraclemarkettest.OpUploadChunk, Stall: oraclemarkettest.StallRequestBody, Times: -1})
		_, err = r.images.Upload(t.Context(), req)
		require.ErrorIs(t, err, oraclemarket.ErrStalled)
	})
}

func TestUploadTokenExpires(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		r := inMemory(t, nil, nil)
		data := randomBytes(9 * testChunk)
		req := imageOf(data, nil)
		req.Progress = func(p oraclemarket.UploadProgress) {
			if p.Chunks == 3 {
				r.ExpireTokens()
			}
		}
		_, err := r.images.Upload(t.Context(), req)
		require.NoError(t, err)
		require.Equal(t, 2, r.TokensIssued())
		u := r.only(t)
		requireImage(t, u, data)
		r.requireReceipts(t, u)
	})
}

// The response to the first request of an upload never comes, in all the ways in
// which the service may have got it.
func TestUploadLostInitiate(t *testing.T) {
	t.Parallel()
	for name, fault := range uploadFaults {
		if !lostOnProcessing(&fault) {
			continue
		}
		for server, skew := range map[string]time.Duration{"": 0, ", fast clock": 7 * time.Hour, ", slow clock": -7 * time.Hour} {
			t.Run(name+server, func(t *testing.T) {
				t.Parallel()
				now := func() time.Time { return time.Now().Add(skew) }
				synctest.Test(t, func(t *testing.T) {
					r := inMemory(t, serverOptions{oraclemarkettest.WithClock(now)}, nil)
					lost := fault
					lost.Operation = oraclemarkettest.OpInitiate
					r.Inject(lost)
					// As the emulator's responses have the date of the real clock:
					r.Inject(oraclemarkettest.Fault{
						Operation: oraclemarkettest.OpList, Times: -1,
						Header: http.Header{"Date": {now().UTC().Format(http.TimeFormat)}},
					})
					data := randomBytes(3 * testChunk)
					store := &memStore{}
					req := imageOf(data, store)
					req.FileName = "образ 1.img" // the service has it percent-encoded in a header
					_, err := r.images.Upload(t.Context(), req)
					require.NoError(t, err)
					requireImage(t, r.only(t), data)
					require.Equal(t, 1, r.Count(oraclemarkettest.OpInitiate))
					require.Equal(t, 4, r.Count(oraclemarkettest.OpList), "until nothing else can show that it is not ours")
					store.empty(t)
				})
			})
		}
	}
}

// other makes an upload request that is not ours.
func (r *uploadRig) other(t *testing.T, chunks int, change func(*oraclemarket.InitiateUploadRequest)) int64 {
	t.Helper()
	req := &oraclemarket.InitiateUploadRequest{
		Application: "wordpress", Version: "OL67", OperatingSystem: "Linux", FileName: "wordpress.tar.gz", NumberOfChunks: chunks,
	}
	change(req)
	ack, err := r.images.Initiate(t.Context(), req)
	require.NoError(t, err)
	return ack.EntityID
}

func TestUploadLostInitiateDecoys(t *testing.T) {
	t.Parallel()
	same := func(*oraclemarket.InitiateUploadRequest) {}
	synctest.Test(t, func(t *testing.T) {
		r := inMemory(t, nil, nil)
		// Older than ours, with nothing in it.
		r.other(t, 3, same)
		<-time.After(time.Hour)
		// Like ours, but for something.
		r.other(t, 3, func(i *oraclemarket.InitiateUploadRequest) { i.Application = "WordPress" })
		r.other(t, 3, func(i *oraclemarket.InitiateUploadRequest) { i.Version = "OL68" })
		r.other(t, 3, func(i *oraclemarket.InitiateUploadRequest) { i.OperatingSystem = "linux" })
		r.other(t, 3, func(i *oraclemarket.InitiateUploadRequest) { i.FileName = "wordpress.tar" })
		r.other(t, 4, same)
		for _, chunks := range []int{3, 4} { // with 2 pending, and with 3 as ours has
			_, err := r.images.UploadChunk(t.Context(), r.other(t, chunks, same), &oraclemarket.Chunk{
				Number: 1, FileName: "wordpress.tar.gz", File: strings.NewReader("1"), Size: 1,
			})
			require.NoError(t, err)
		}
		deleted := r.other(t, 3, same)
		_, err := r.images.DeleteEverywhere(t.Context(), deleted)
		require.NoError(t, err)
		r.AddImage(oraclemarkettest.Image{
			Application: "wordpress", Version: "OL67", OperatingSystem: "Linux", FileName: "wordpress.tar.gz", Size: 3,
		})
		// More than two pages of them.
		for i := range 230 {
			r.other(t, 3, func(u *oraclemarket.InitiateUploadRequest) { u.Application = fmt.Sprint("app", i) })
		}
		before := len(r.Uploads())

		r.Inject(oraclemarkettest.Fault{Operation: oraclemarkettest.OpInitiate, Drop: oraclemarkettest.DropAfter})
		data := randomBytes(3 * testChunk)
		done, err := r.images.Upload(t.Context(), imageOf(data, nil))
		require.NoError(t, err)
		all := r.Uploads()
		require.Len(t, all, before+1)
		require.Equal(t, all[before].ID, done.UploadRequestID)
		requireImage(t, all[before], data)
		require.Equal(t, 4*3, r.Count(oraclemarkettest.OpList), "a page of 100 each")
	})
}

func TestUploadLostInitiateAmbiguous(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		r := inMemory(t, nil, nil)
		data := randomBytes(3 * testChunk)
		twin := r.other(t, 3, func(*oraclemarket.InitiateUploadRequest) {})
		r.Inject(oraclemarkettest.Fault{Operation: oraclemarkettest.OpInitiate, Drop: oraclemarkettest.DropAfter})
		store := &memStore{}
		_, err := r.images.Upload(t.Context(), imageOf(data, store))
		require.ErrorIs(t, err, oraclemarket.ErrAmbiguous)
		require.Len(t, r.Uploads(), 2)
		require.ErrorContains(t, err, jsonText(t, twin))
		ours := r.Uploads()[1].ID
		require.ErrorContains(t, err, jsonText(t, ours))

		// As the error says: delete the one that is not wanted.
		_, err = r.images.DeleteEverywhere(t.Context(), twin)
		require.NoError(t, err)
		done, err := r.images.Upload(t.Context(), imageOf(data, store))
		require.NoError(t, err)
		require.Equal(t, ours, done.UploadRequestID)
		require.Len(t, r.Uploads(), 2)
	})
}

// The list shifts while its pages are read: what was last on one comes first on
// the next. And a service may keep the name as the header had it.
func TestUploadLostInitiateSeenTwice(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		r := inMemory(t, nil, nil)
		const ours = 7934470
		r.Inject(oraclemarkettest.Fault{Operation: oraclemarkettest.OpInitiate, Drop: oraclemarkettest.DropAfter})
		for first, more := range map[int64]bool{1: true, 2: false} {
			r.Inject(oraclemarkettest.Fault{
				Operation: oraclemarkettest.OpList,
				Match:     func(req *http.Request) bool { return (req.URL.Query().Get("offset") == "") == more },
				Body: fmt.Sprintf(`{"items":[{"machineimage":{"uploadRequestId":%d,"application":"other"}},{"machineimage":{"uploadRequestId":%d,`+
					`"application":"wordpress","version":"OL67","operatingSystem":"Linux","fileName":"%%E6%%98%%A0.img",`+
					`"statusName":"Initiated","uploadedChunks":0,"pendingChunks":3}}],"hasMore":%t}`, first, ours, more),
			})
		}
		data := randomBytes(3 * testChunk)
		req := imageOf(data, nil)
		req.FileName = "映.img"
		done, err := r.images.Upload(t.Context(), req)
		require.NoError(t, err)
		require.EqualValues(t, ours, done.UploadRequestID)
		requireImage(t, r.only(t), data)
		require.Zero(t, r.FaultsLeft())
	})
}

// A refusal ends the first attempt of an upload for good, so nothing is left of it.
func TestUploadInitiateRefused(t *testing.T) {
	t.Parallel()
	r := overTCP(t, nil, nil)
	// Also with the first chunk, on which some services may insist.
	refuse := oraclemarkettest.Fault{Operation: oraclemarkettest.OpInitiate, Status: http.StatusBadRequest, Times: 2}
	r.Inject(refuse)
	store := &memStore{}
	_, err := r.images.Upload(t.Context(), imageOf(randomBytes(9), store))
	require.ErrorIs(t, err, oraclemarket.ErrBadRequest)
	require.Len(t, store.saved, 2)
	require.Equal(t, 2, r.Count(oraclemarkettest.OpInitiate))
	store.empty(t)
}

// The service says when to retry, which the outage limit bounds.
func TestUploadInitiateRetryAfter(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		r := inMemory(t, nil, nil)
		r.Inject(oraclemarkettest.Fault{Operation: oraclemarkettest.OpInitiate, Status: http.StatusServiceUnavailable, RetryAfter: "100"})
		data := randomBytes(3 * testChunk)
		start := time.Now()
		_, err := r.images.Upload(t.Context(), imageOf(data, nil))
		require.NoError(t, err)
		require.GreaterOrEqual(t, time.Since(start), 100*time.Second)
		requireImage(t, r.only(t), data)
	})
	synctest.Test(t, func(t *testing.T) {
		r := inMemory(t, nil, nil)
		r.Inject(oraclemarkettest.Fault{Operation: oraclemarkettest.OpInitiate, Status: http.StatusServiceUnavailable, RetryAfter: "600", Times: -1})
		start := time.Now()
		_, err := r.images.Upload(t.Context(), imageOf(randomBytes(9), nil))
		require.ErrorIs(t, err, oraclemarket.ErrAmbiguous)
		require.Equal(t, 2, r.Count(oraclemarkettest.OpInitiate), "the last at the outage limit")
		require.InDelta(t, 5.5*60, time.Since(start).Seconds(), 5)
	})
}

// After a lost response a refusal does not prove that there is no upload request:
// the list may have been behind.
func TestUploadInitiateRefusedAfterLostResponse(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		r := inMemory(t, nil, nil)
		r.Inject(oraclemarkettest.Fault{Operation: oraclemarkettest.OpInitiate, Drop: oraclemarkettest.DropAfter})
		r.Inject(oraclemarkettest.Fault{Operation: oraclemarkettest.OpList, Body: `{"items":[],"hasMore":false}`, Times: -1})
		r.Inject(oraclemarkettest.Fault{Operation: oraclemarkettest.OpInitiate, Status: http.StatusForbidden})
		data := randomBytes(3 * testChunk)
		store := &memStore{}
		_, err := r.images.Upload(t.Context(), imageOf(data, store))
		require.ErrorIs(t, err, oraclemarket.ErrForbidden)
		require.Equal(t, "initiating", store.only(t).Phase)

		r.ClearFaults()
		_, err = r.images.Upload(t.Context(), imageOf(data, store))
		require.NoError(t, err)
		requireImage(t, r.only(t), data)
	})
}

// However long the attempts take, the first one's upload request is not too old.
func TestUploadLostInitiateLongAgo(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		r := inMemory(t, nil, nil)
		r.Inject(oraclemarkettest.Fault{Operation: oraclemarkettest.OpInitiate, Drop: oraclemarkettest.DropAfter})
		r.Inject(oraclemarkettest.Fault{
			Operation: oraclemarkettest.OpInitiate, Status: http.StatusServiceUnavailable, RetryAfter: "119", Times: 2,
		})
		began := time.Now()
		r.Inject(oraclemarkettest.Fault{
			Operation: oraclemarkettest.OpList, Body: `{"items":[],"hasMore":false}`, Times: -1,
			Match: func(*http.Request) bool { return time.Since(began) < 238*time.Second },
		})
		data := randomBytes(3 * testChunk)
		_, err := r.images.Upload(t.Context(), imageOf(data, nil))
		require.NoError(t, err)
		require.Greater(t, time.Since(began), 238*time.Second)
		require.Equal(t, 3, r.Count(oraclemarkettest.OpInitiate))
		requireImage(t, r.only(t), data)
	})
}

// lateInitiate has the service carry out the first initiate call only after a
// while, when nobody waits for the response any more.
type lateInitiate struct {
	next  http.RoundTripper
	after time.Duration
	done  chan struct{}
	calls atomic.Int64
}

func (l *lateInitiate) RoundTrip(r *http.Request) (*http.Response, error) {
	if r.Header.Get("X-Number-Of-Chunks") == "" || l.calls.Add(1) > 1 {
		return l.next.RoundTrip(r)
	}
	body, err := io.ReadAll(r.Body)
	if err != nil {
		return nil, err
	}
	late := r.Clone(context.WithoutCancel(r.Context()))
	late.Body = io.NopCloser(bytes.NewReader(body))
	time.AfterFunc(l.after, func() {
		defer close(l.done)
		if resp, err := l.next.RoundTrip(late); err == nil {
			_ = resp.Body.Close()
		}
	})
	<-r.Context().Done()
	return nil, context.Cause(r.Context())
}

// A service that is slow to carry out the first call is polled for as long
// as a call may take before there is another.
func TestUploadInitiateCarriedOutLate(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		late := &lateInitiate{after: 45 * time.Second, done: make(chan struct{})}
		// Without pauses between attempts there are some between polls.
		r := inMemoryThrough(t, clientOptions{oraclemarket.WithRetry(5, 0, 0)}, func(next http.RoundTripper) http.RoundTripper {
			late.next = next
			return late
		})
		data := randomBytes(3 * testChunk)
		_, err := r.images.Upload(t.Context(), imageOf(data, &memStore{}))
		require.NoError(t, err)
		<-late.done
		requireImage(t, r.only(t), data)
		require.EqualValues(t, 1, late.calls.Load())
		require.LessOrEqual(t, r.Count(oraclemarkettest.OpList), 20)
	})
}

// A clock that was ahead when the first call died, and was put right since,
// makes its request no older than that call.
func TestUploadInitiateWithAWrongClock(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		r := inMemory(t, nil, nil)
		data, store := randomBytes(3*testChunk), &memStore{}
		ctx, cancel := context.WithCancel(t.Context())
		r.Inject(oraclemarkettest.Fault{Operation: oraclemarkettest.OpInitiate, Stall: oraclemarkettest.StallResponse, Process: true})
		time.AfterFunc(time.Second, cancel)
		_, err := r.images.Upload(ctx, imageOf(data, store))
		require.ErrorIs(t, err, context.Canceled)
		r.only(t)
		for key, state := range store.states {
			store.states[key] = resealed(t, state, func(fields map[string]any) {
				at, err := time.Parse(time.RFC3339Nano, fields["initiatedAt"].(string)) //nolint:errcheck // it is
				require.NoError(t, err)
				fields["initiatedAt"] = at.Add(10 * time.Minute)
			})
		}
		_, err = r.images.Upload(t.Context(), imageOf(data, store))
		require.NoError(t, err)
		requireImage(t, r.only(t), data)
	})
}

// A list that is late is no list without the upload request, whatever the
// failure, and also when the calls end.
func TestUploadLostInitiateListLags(t *testing.T) {
	t.Parallel()
	for name, fault := range uploadFaults {
		if !lostOnProcessing(&fault) {
			continue
		}
		for _, lag := range []time.Duration{500 * time.Millisecond, 3 * time.Second, 25 * time.Second} {
			t.Run(fmt.Sprint(name, ", ", lag), func(t *testing.T) {
				t.Parallel()
				synctest.Test(t, func(t *testing.T) {
					r := inMemory(t, serverOptions{oraclemarkettest.WithListLag(lag)}, nil)
					fault.Operation, fault.Times = oraclemarkettest.OpInitiate, -1
					r.Inject(fault)
					data := randomBytes(3 * testChunk)
					_, err := r.images.Upload(t.Context(), imageOf(data, nil))
					require.NoError(t, err)
					requireImage(t, r.only(t), data)
					require.Equal(t, 1, r.Count(oraclemarkettest.OpInitiate))
				})
			})
		}
	}
}

// The service may keep names without blanks at their ends.
func TestUploadLostInitiateBlanks(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		r := inMemory(t, nil, nil)
		r.Inject(oraclemarkettest.Fault{Operation: oraclemarkettest.OpInitiate, Drop: oraclemarkettest.DropAfter})
		r.Inject(oraclemarkettest.Fault{
			Operation: oraclemarkettest.OpList, Times: -1,
			Body: `{"items":[{"uploadRequestId":7934470,"application":"wordpress","version":"OL67","operatingSystem":"Linux",` +
				`"fileName":"wordpress.tar.gz","statusName":"Initiated"}],"hasMore":false}`,
		})
		data := randomBytes(3 * testChunk)
		req := imageOf(data, nil)
		req.Application, req.Version, req.OperatingSystem, req.FileName = " wordpress ", "OL67\t", " Linux", "wordpress.tar.gz "
		_, err := r.images.Upload(t.Context(), req)
		require.NoError(t, err)
		requireImage(t, r.only(t), data)
	})
}

// Ctrl-C in the first call: the next one finds the request, on a machine whose
// clock is ten minutes off.
func TestUploadInterruptedInitiateOtherClock(t *testing.T) {
	t.Parallel()
	for _, off := range []time.Duration{-10 * time.Minute, 0, 10 * time.Minute} {
		for _, later := range []time.Duration{0, 11 * time.Minute, 24 * time.Hour} {
			synctest.Test(t, func(t *testing.T) {
				r := inMemory(t, serverOptions{oraclemarkettest.WithListLag(3 * time.Second)}, nil)
				data, store := randomBytes(3*testChunk), &memStore{}
				ctx, cancel := context.WithCancel(t.Context())
				defer cancel()
				r.Inject(oraclemarkettest.Fault{Operation: oraclemarkettest.OpInitiate, Stall: oraclemarkettest.StallResponse, Process: true})
				time.AfterFunc(time.Second, cancel)
				_, err := r.images.Upload(ctx, imageOf(data, store))
				require.ErrorIs(t, err, context.Canceled)
				require.ErrorContains(t, err, "there may be an upload request")
				for key, state := range store.states {
					store.states[key] = resealed(t, state, func(fields map[string]any) {
						for _, name := range []string{"initiatedAt", "lastInitiateAt"} {
							at, err := time.Parse(time.RFC3339Nano, fields[name].(string)) //nolint:errcheck,forcetypeassert // it is
							require.NoError(t, err)
							fields[name] = at.Add(off)
						}
					})
				}
				<-time.After(later)
				_, err = r.images.Upload(t.Context(), imageOf(data, store))
				require.NoError(t, err)
				requireImage(t, r.only(t), data)
			})
		}
	}
}

// Two accounts with one folder for checkpoints do not meet.
func TestUploadTwoAccounts(t *testing.T) {
	t.Parallel()
	r := overTCP(t, nil, nil)
	store := &memStore{}
	data := r.interrupted(t, store, 4)
	other, err := oraclemarket.New("other@example.com", oraclemarket.StaticToken(r.Token), oraclemarket.WithBaseURL(r.URL))
	require.NoError(t, err)
	done, err := other.MachineImages.Upload(t.Context(), imageOf(data, store))
	require.NoError(t, err)
	u, _ := r.Upload(done.UploadRequestID)
	require.Equal(t, "other@example.com", u.User)
	_, err = r.images.Upload(t.Context(), imageOf(data, store))
	require.NoError(t, err)
	require.Len(t, r.Uploads(), 2)
	store.empty(t)
}

// Another process begins the same image in the same moment: what sets the two
// apart is used, and what does not is said.
func TestUploadLostInitiateOfTwo(t *testing.T) {
	t.Parallel()
	for name, test := range map[string]struct {
		other string // members of the other's record
		found bool
	}{
		"its creator":       {`"createdBy":"other@example.com"`, true},
		"its chunks":        {`"uploadedChunks":1,"pendingChunks":2`, true},
		"its size":          {`"uploadedChunks":0,"pendingChunks":7`, true},
		"it is a day older": {`"createdDate":"1999-12-31T00:00:00.000Z"`, true},
		"it is made later":  {`"createdDate":"2000-01-01T01:00:00.000Z"`, true},
		"nothing":           {`"createdBy":"John Doe"`, false},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) {
				r := inMemory(t, nil, nil)
				r.Inject(oraclemarkettest.Fault{Operation: oraclemarkettest.OpInitiate, Drop: oraclemarkettest.DropAfter})
				const record = `"application":"wordpress","version":"OL67","operatingSystem":"Linux","fileName":"wordpress.tar.gz","statusName":"Initiated"`
				r.Inject(oraclemarkettest.Fault{
					Operation: oraclemarkettest.OpList, Times: -1,
					Header: http.Header{"Date": {time.Now().UTC().Format(http.TimeFormat)}},
					Body: `{"items":[{"uploadRequestId":1,` + record + `,` + test.other + `},{"uploadRequestId":7934470,` + record +
						`,"createdDate":"2000-01-01T00:00:00.000Z","createdBy":"Partner@Example.com"}],"hasMore":false}`,
				})
				data, store := randomBytes(3*testChunk), &memStore{}
				start := time.Now()
				_, err := r.images.Upload(t.Context(), imageOf(data, store))
				if test.found {
					require.NoError(t, err)
					requireImage(t, r.only(t), data)
					return
				}
				require.ErrorIs(t, err, oraclemarket.ErrAmbiguous)
				require.ErrorContains(t, err, "upload requests [1 7934470] all fit")
				require.GreaterOrEqual(t, time.Since(start), 30*time.Second, "one of them may have shown what it is")
				require.Equal(t, 1, r.Count(oraclemarkettest.OpInitiate))
				require.Equal(t, "initiating", store.only(t).Phase)
			})
		})
	}
}

// Ours never arrived, and the one that was taken for it is somebody else's: that
// shows when chunks come that nobody here has sent.
func TestUploadAdoptedFromSomebodyElse(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		r := inMemory(t, nil, nil)
		theirs := r.other(t, 9, func(*oraclemarket.InitiateUploadRequest) {})
		r.Inject(oraclemarkettest.Fault{Operation: oraclemarkettest.OpInitiate, Drop: oraclemarkettest.DropDuring})
		req := imageOf(randomBytes(9*testChunk), nil)
		req.Concurrency = 1
		req.Progress = func(p oraclemarket.UploadProgress) {
			if p.Chunks == 1 {
				_, err := r.images.UploadChunk(t.Context(), theirs, &oraclemarket.Chunk{
					Number: 9, FileName: "wordpress.tar.gz", File: strings.NewReader("9"), Size: 1,
				})
				require.NoError(t, err)
			}
		}
		_, err := r.images.Upload(t.Context(), req)
		require.ErrorIs(t, err, oraclemarket.ErrAmbiguous)
		require.ErrorContains(t, err, "counts 3 chunks, of which this upload has sent 2: another upload uses it")
		require.Zero(t, r.Count(oraclemarkettest.OpMerge))
	})
}

// A response is believed only if the whole body was sent: a service or a proxy
// that acknowledges after the header has not seen the chunk.
func TestUploadEarlyAcknowledgement(t *testing.T) {
	t.Parallel()
	const chunk = 24 * mib // more than the kernel holds
	r := overTCP(t, serverOptions{oraclemarkettest.WithDiscard()}, nil)
	r.Inject(oraclemarkettest.Fault{
		Operation: oraclemarkettest.OpUploadChunk, Early: true, Times: 3,
		Body: `{"uploadRequestId":"7934470","uploadedChunks":1,"pendingChunks":0}`,
	})
	req := imageOf(randomBytes(chunk), &memStore{})
	req.ChunkSize = chunk
	_, err := r.images.Upload(t.Context(), req)
	require.NoError(t, err)
	require.Zero(t, r.FaultsLeft())
	u := r.only(t)
	require.EqualValues(t, chunk, u.Bytes)
	require.Equal(t, map[int]int{1: 1}, u.Receipts)
}

// The response to a chunk is that of another upload request: it goes again.
func TestUploadAnotherId(t *testing.T) {
	t.Parallel()
	for _, operation := range []string{oraclemarkettest.OpUploadChunk, oraclemarkettest.OpMerge, oraclemarkettest.OpGet} {
		synctest.Test(t, func(t *testing.T) {
			r := inMemory(t, nil, nil)
			r.Inject(oraclemarkettest.Fault{
				Operation: operation, Times: 3,
				Body: `{"uploadRequestId":4711,"entityId":"4711","statusName":"Completed","uploadedChunks":3,"pendingChunks":0}`,
			})
			data := randomBytes(3 * testChunk)
			done, err := r.images.Upload(t.Context(), imageOf(data, nil))
			require.NoError(t, err)
			require.Equal(t, r.only(t).ID, done.UploadRequestID)
			requireImage(t, r.only(t), data)
		})
	}
}

// A whole file is sent once, whatever became of the response.
func TestCreateLost(t *testing.T) {
	t.Parallel()
	for name, fault := range uploadFaults {
		if fault.Status == http.StatusTooManyRequests {
			continue // not carried out, so sent again
		}
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) {
				r := inMemory(t, nil, nil)
				fault.Operation = oraclemarkettest.OpCreate
				r.Inject(fault)
				_, err := r.images.Create(t.Context(), &oraclemarket.CreateMachineImageRequest{
					Application: "wordpress", Version: "OL67", OperatingSystem: "Linux", FileName: "wordpress.tar.gz",
					File: strings.NewReader("image"), Size: 5,
				})
				require.ErrorIs(t, err, oraclemarket.ErrAmbiguous)
				require.Equal(t, 1, r.Count(oraclemarkettest.OpCreate))
			})
		})
	}
}
