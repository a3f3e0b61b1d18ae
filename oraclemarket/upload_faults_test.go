package oraclemarket_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"strings"
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
			for _, piped := range []bool{false, true} {
				t.Run(fmt.Sprintf("%s/%s/piped=%t", operation, name, piped), func(t *testing.T) {
					t.Parallel()
					synctest.Test(t, func(t *testing.T) { uploadThrough(t, operation, fault, piped) })
				})
			}
		}
	}
}

func uploadThrough(t *testing.T, operation string, fault oraclemarkettest.Fault, piped bool) {
	t.Helper()
	r := inMemory(t, nil, nil)
	loseInitiate(r, operation)
	fault.Operation, fault.Times = operation, 3
	r.Inject(fault)
	data := randomBytes(7*testChunk - 1)
	store := &memStore{}
	req := imageOf(data, store)
	if piped {
		req, _ = streamOf(data, store)
	}
	_, err := r.images.Upload(t.Context(), req)
	require.NoError(t, err)
	u := r.only(t)
	requireImage(t, u, data)
	r.requireReceipts(t, u)
	store.empty(t)
	if operation != oraclemarkettest.OpInitiate && operation != oraclemarkettest.OpMerge || !lostOnProcessing(&fault) {
		require.Zero(t, r.FaultsLeft())
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
						require.InDelta(t, 5.5*60, time.Since(began).Seconds(), 61)
						require.LessOrEqual(t, r.Count(operation), 110)
					case operation == oraclemarkettest.OpUploadChunk:
						// Not the attempts end it but the outage limit; one chunk asks for all.
						require.ErrorContains(t, err, "given up after 5m0s without a success")
						require.InDelta(t, 5*60, time.Since(began).Seconds(), 125) // and a stalled attempt
						require.LessOrEqual(t, r.Count(operation), 4+3+30)
					default:
						require.Equal(t, 1, failed.Attempts)
						require.InDelta(t, 5.5*60, time.Since(began).Seconds(), 31)
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
		req.OverwriteStorageFile = new(true)
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
