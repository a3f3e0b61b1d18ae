package oraclemarket_test

import (
	"bytes"
	"context"
	"crypto/md5"
	"errors"
	"fmt"
	"hash"
	"io"
	"net/http"
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
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
	_, err := r.images.Upload(interruptAfter(t.Context(), req, chunks), req)
	require.ErrorIs(t, err, context.Canceled)
	return data
}

func TestUploadSourceChangedBetweenRuns(t *testing.T) {
	t.Parallel()
	r := overTCP(t, nil, nil)
	for text, change := range map[string]func(*oraclemarket.ImageUpload, []byte){
		"its size was 9000 and is 8999": func(u *oraclemarket.ImageUpload, _ []byte) { u.Size-- },
		"its size was 9000 and is 9001": func(u *oraclemarket.ImageUpload, data []byte) {
			u.File, u.Size = bytes.NewReader(append(data, 0)), u.Size+1
		},
		"the fingerprint of its content was":  func(_ *oraclemarket.ImageUpload, data []byte) { data[0] ^= 1 },
		"the fingerprint of its content was ": func(_ *oraclemarket.ImageUpload, data []byte) { data[len(data)-1] ^= 1 },
	} {
		store := &memStore{}
		data := r.interrupted(t, store, 4)
		id := store.only(t).UploadRequestID
		before, saved := len(r.Requests()), len(store.saved)
		req := imageOf(data, store)
		change(req, data)
		_, err := r.images.Upload(t.Context(), req)
		require.ErrorIs(t, err, oraclemarket.ErrSourceChanged)
		require.ErrorContains(t, err, text)
		require.ErrorContains(t, err, "; bring the old file back to go on, or delete checkpoint ")
		require.ErrorContains(t, err, fmt.Sprintf(" and upload request %d to start over", id))
		var changed *oraclemarket.SourceChangedError
		require.ErrorAs(t, err, &changed)
		require.Equal(t, id, changed.UploadRequestID)
		require.Contains(t, store.states, changed.CheckpointKey)
		require.Len(t, r.Requests(), before, "nothing was sent")
		require.Len(t, store.saved, saved)
	}
}

// What an upload began with holds for all of it.
func TestUploadResumedOtherwise(t *testing.T) {
	t.Parallel()
	r := overTCP(t, nil, nil)
	store := &memStore{}
	data := r.interrupted(t, store, 4)
	before := len(r.Requests())
	_, err := overClient(t, r, oraclemarket.WithFirstChunkNumber(0)).Upload(t.Context(), imageOf(data, store))
	require.ErrorIs(t, err, oraclemarket.ErrCheckpointInvalid)
	require.ErrorContains(t, err, "its first chunk number is 1, not 0; use what it began with to go on")
	req := imageOf(data, store)
	req.DisableChecksum = true
	_, err = r.images.Upload(t.Context(), req)
	require.ErrorIs(t, err, oraclemarket.ErrCheckpointInvalid)
	require.ErrorContains(t, err, "its DisableChecksum is false, not true")
	require.Len(t, r.Requests(), before)
	require.Len(t, r.Uploads(), 1)
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

const mib = 1 << 20

// Another build of the same size and times: the first and the last MiB are the
// same, so only the chunks themselves differ. Nothing mixed is merged.
func TestUploadProvesWhatItResumes(t *testing.T) {
	t.Parallel()
	for _, checksum := range []bool{true, false} {
		for name, test := range map[string]struct {
			offset  int
			refused bool
		}{
			"in an acknowledged chunk":    {mib + 10, true},
			"in one that is yet to come":  {2*mib + 10, false},
			"nowhere, it was only copied": {-1, false},
		} {
			t.Run(fmt.Sprintf("%s, checksum %t", name, checksum), func(t *testing.T) {
				t.Parallel()
				r := overTCP(t, nil, nil)
				data := randomBytes(4 * mib)
				store := &memStore{}
				upload := func() *oraclemarket.ImageUpload {
					req := imageOf(data, store)
					req.ChunkSize, req.Concurrency, req.DisableChecksum = mib/2, 1, !checksum
					return req
				}
				req := upload()
				_, err := r.images.Upload(interruptAfter(t.Context(), req, 3), req)
				require.ErrorIs(t, err, context.Canceled)
				old := bytes.Clone(data)
				if test.offset >= 0 {
					data[test.offset] ^= 1
				}
				_, err = r.images.Upload(t.Context(), upload())
				if !test.refused {
					require.NoError(t, err)
					requireImage(t, r.only(t), data)
					for number, times := range r.only(t).Receipts {
						require.Equal(t, 1, times, number)
					}
					return
				}
				var changed *oraclemarket.SourceChangedError
				require.ErrorAs(t, err, &changed)
				require.ErrorContains(t, err, "the content of the 3 chunks sent before")
				require.Equal(t, r.only(t).ID, changed.UploadRequestID)
				require.Zero(t, r.Count(oraclemarkettest.OpMerge))
				require.Equal(t, []int{1, 2, 3}, store.only(t).numbers(), "those sent meanwhile are of the other file")

				// As the error says: with the old file it goes on.
				copy(data, old)
				_, err = r.images.Upload(t.Context(), upload())
				require.NoError(t, err)
				requireImage(t, r.only(t), old)
				store.empty(t)
			})
		}
	}
}

// The missing chunks do not wait until the others are proven, but the merge does.
func TestUploadProvesMeanwhile(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		r := inMemory(t, nil, nil)
		store := &memStore{}
		data := r.interrupted(t, store, 4)
		free := make(chan struct{})
		go func() {
			synctest.Wait() // only the proof is left
			if sent, merges := r.Count(oraclemarkettest.OpUploadChunk), r.Count(oraclemarkettest.OpMerge); sent != 9 || merges != 0 {
				t.Errorf("%d chunks sent, %d merges", sent, merges)
			}
			close(free)
		}()
		req := imageOf(data, store)
		req.File = readerAt(func(p []byte, off int64) (int, error) {
			if off == testChunk && r.Count(oraclemarkettest.OpGet) > 0 {
				<-free
			}
			return bytes.NewReader(data).ReadAt(p, off)
		})
		_, err := r.images.Upload(t.Context(), req)
		require.NoError(t, err)
		requireImage(t, r.only(t), data)
	})
}

// readerAt is a function as io.ReaderAt.
type readerAt func(p []byte, off int64) (int, error)

func (f readerAt) ReadAt(p []byte, off int64) (int, error) { return f(p, off) }

// Where the file system vouches for a file, it is not read twice. This is a file
// that has been there for a while.
func TestUploadFileVouchedFor(t *testing.T) {
	t.Parallel()
	const path = "testdata/list_page1.json"
	data, err := os.ReadFile(path)
	require.NoError(t, err)
	r := overTCP(t, nil, nil)
	store := &memStore{}
	var hashed atomic.Int64
	upload := func() *oraclemarket.ImageUpload {
		req := imageOf(nil, store)
		req.ChunkSize, req.Concurrency = 100, 1
		req.NewMD5 = func() hash.Hash { return countedMD5{md5.New(), &hashed} }
		return req
	}
	req := upload()
	_, err = r.images.UploadFile(interruptAfter(t.Context(), req, 4), path, req)
	require.ErrorIs(t, err, context.Canceled)
	hashed.Store(0)
	_, err = r.images.UploadFile(t.Context(), path, upload())
	require.NoError(t, err)
	requireImage(t, r.only(t), data)
	proven := int64(0)
	if runtime.GOOS != "linux" && runtime.GOOS != "darwin" {
		proven = 400
	}
	require.Equal(t, int64(len(data))-400+proven, hashed.Load())
}

// A file that was only touched is the same. The chunk size is that of the
// checkpoint, whatever the request says.
func TestUploadFileTouched(t *testing.T) {
	t.Parallel()
	r := overTCP(t, nil, nil)
	data := randomBytes(9 * testChunk)
	path := filepath.Join(t.TempDir(), "image.img")
	require.NoError(t, os.WriteFile(path, data, 0o600))
	store := &memStore{}
	req := imageOf(nil, store)
	req.Concurrency = 1
	_, err := r.images.UploadFile(interruptAfter(t.Context(), req, 4), path, req)
	require.ErrorIs(t, err, context.Canceled)
	require.NoError(t, os.Chtimes(path, time.Time{}, time.Date(2031, 1, 2, 3, 4, 5, 0, time.UTC)))
	req = imageOf(nil, store)
	req.ChunkSize = 3 * testChunk
	_, err = r.images.UploadFile(t.Context(), path, req)
	require.NoError(t, err)
	u := r.only(t)
	requireImage(t, u, data)
	require.Equal(t, 9, r.Count(oraclemarkettest.OpUploadChunk))
}

// changingFile is a file that others write to.
type changingFile struct {
	mu   sync.Mutex
	data []byte
}

func (f *changingFile) ReadAt(p []byte, off int64) (int, error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	return bytes.NewReader(f.data).ReadAt(p, off)
}

func (f *changingFile) change(change func(data []byte) []byte) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.data = change(f.data)
}

// A source that changes under an upload, while chunk 2 is being sent.
func TestUploadSourceChangesMeanwhile(t *testing.T) {
	t.Parallel()
	const chunk = 40_000 // more than what is read before the request is seen
	for name, test := range map[string]struct {
		change func(data []byte) []byte
		err    error
	}{
		"shrinks in a chunk to come": {func(d []byte) []byte { return d[:4*chunk-1] }, oraclemarket.ErrSourceChanged},
		"shrinks in this chunk":      {func(d []byte) []byte { return d[:2*chunk-1] }, oraclemarket.ErrSourceChanged},
		"shrinks to nothing":         {func([]byte) []byte { return nil }, oraclemarket.ErrSourceChanged},
		"grows":                      {func(d []byte) []byte { return append(d, 1) }, nil},
		"edited in this chunk":       {func(d []byte) []byte { d[2*chunk-1] ^= 1; return d }, oraclemarket.ErrSourceChanged},
		"edited in a chunk before":   {func(d []byte) []byte { d[0] ^= 1; return d }, oraclemarket.ErrSourceChanged},
	} {
		for _, checksum := range []bool{true, false} {
			synctest.Test(t, func(t *testing.T) {
				r := inMemory(t, nil, nil)
				file := &changingFile{data: randomBytes(4 * chunk)}
				r.Inject(oraclemarkettest.Fault{
					Operation: oraclemarkettest.OpUploadChunk,
					Match: func(req *http.Request) bool {
						if req.Header.Get("X-Chunk-Number") == "2" && len(file.data) == 4*chunk {
							file.change(test.change)
						}
						return false
					},
				})
				store := &memStore{}
				req := imageOf(file.data, store)
				req.File, req.ChunkSize, req.Concurrency, req.DisableChecksum = file, chunk, 1, !checksum
				_, err := r.images.Upload(t.Context(), req)
				require.ErrorIs(t, err, test.err, name)
				if test.err != nil {
					require.Zero(t, r.Count(oraclemarkettest.OpMerge), name)
					require.Equal(t, "uploading", store.only(t).Phase)
				}
			})
		}
	}
}

func TestUploadFileChangesMeanwhile(t *testing.T) {
	t.Parallel()
	data := randomBytes(5 * testChunk)
	for text, change := range map[string]func(t *testing.T, path string){
		"its size was 5000 and is 100":  func(t *testing.T, path string) { t.Helper(); require.NoError(t, os.Truncate(path, 100)) },
		"its size was 5000 and is 5003": func(t *testing.T, path string) { t.Helper(); appendTo(t, path) },
		"it was modified at 2031-01-02T03:04:05Z": func(t *testing.T, path string) {
			t.Helper()
			require.NoError(t, os.Chtimes(path, time.Time{}, time.Date(2031, 1, 2, 3, 4, 5, 0, time.UTC)))
		},
		"": func(t *testing.T, path string) {
			// The file that was opened is still the one it was.
			t.Helper()
			require.NoError(t, os.WriteFile(path+".new", randomBytes(77), 0o600))
			require.NoError(t, os.Rename(path+".new", path))
		},
	} {
		for _, at := range []int{1, 5} { // in the middle, and after the last chunk
			r := overTCP(t, nil, nil)
			path := filepath.Join(t.TempDir(), "image.img")
			require.NoError(t, os.WriteFile(path, data, 0o600))
			req := imageOf(nil, &memStore{})
			req.Concurrency = 1
			req.Progress = func(p oraclemarket.UploadProgress) {
				if p.Chunks == at {
					change(t, path)
				}
			}
			_, err := r.images.UploadFile(t.Context(), path, req)
			if text == "" {
				require.NoError(t, err)
				requireImage(t, r.only(t), data)
				continue
			}
			require.ErrorIs(t, err, oraclemarket.ErrSourceChanged)
			require.ErrorContains(t, err, text)
			require.ErrorContains(t, err, fmt.Sprintf(" and upload request %d to start over", r.only(t).ID))
			require.Zero(t, r.Count(oraclemarkettest.OpMerge))
		}
	}
}

func appendTo(t *testing.T, path string) {
	t.Helper()
	f, err := os.OpenFile(path, os.O_APPEND|os.O_WRONLY, 0)
	require.NoError(t, err)
	_, err = f.WriteString("123")
	require.NoError(t, errors.Join(err, f.Close()))
}

// brokenDisk fails to read behind an offset.
type brokenDisk struct {
	io.ReaderAt
	from int64
}

func (d brokenDisk) ReadAt(p []byte, off int64) (int, error) {
	if off+int64(len(p)) > d.from && off < d.from+10 {
		return 0, syscall.EIO
	}
	return d.ReaderAt.ReadAt(p, off)
}

func TestUploadUnreadableSource(t *testing.T) {
	t.Parallel()
	r := overTCP(t, nil, nil)
	data := randomBytes(2*mib + 8000)
	req := imageOf(data, nil)
	req.ChunkSize, req.File = 100_000, brokenDisk{bytes.NewReader(data), mib + 4000}
	_, err := r.images.Upload(t.Context(), req)
	require.ErrorIs(t, err, syscall.EIO)
	require.NotErrorIs(t, err, oraclemarket.ErrSourceChanged)
	require.ErrorContains(t, err, "oraclemarket: read image")
	require.Zero(t, r.Count(oraclemarkettest.OpMerge))
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
						return time.Since(start) < test.lasts && strings.HasSuffix(req.URL.Path, fmt.Sprint(first))
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

// A failed first Get must not start over.
func TestUploadResumeGetFails(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		r := inMemory(t, nil, nil)
		for _, status := range []int{http.StatusUnauthorized, http.StatusForbidden, http.StatusBadRequest} {
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

func (m *onceMerged) RoundTrip(r *http.Request) (*http.Response, error) {
	if r.Method == http.MethodPatch && !m.done {
		m.done = true
		body := io.NopCloser(strings.NewReader(`{"message":"OK","entityId":"7934470"}`))
		return &http.Response{StatusCode: http.StatusOK, Header: http.Header{}, Body: body}, r.Body.Close()
	}
	return m.next.RoundTrip(r)
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
	}{
		"lost":                 {oraclemarkettest.Fault{Drop: oraclemarkettest.DropAfter}, http.StatusConflict, 1},
		"lost, in time":        {oraclemarkettest.Fault{Stall: oraclemarkettest.StallResponse, Process: true}, http.StatusConflict, 1},
		"504":                  {oraclemarkettest.Fault{Status: http.StatusGatewayTimeout, Process: true}, http.StatusGone, 1},
		"meaningless":          {oraclemarkettest.Fault{Body: `{"message":"busy"}`}, http.StatusNotFound, 1},
		"not processed":        {oraclemarkettest.Fault{Status: http.StatusBadGateway}, 0, 2},
		"conflict for a while": {oraclemarkettest.Fault{Status: http.StatusConflict, Times: 3}, 0, 4},
		"404 for a while":      {oraclemarkettest.Fault{Status: http.StatusNotFound, Times: 3}, 0, 4},
		"refused connections":  {oraclemarkettest.Fault{Status: http.StatusTooManyRequests, Times: 20}, 0, 21},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) {
				r := inMemory(t, serverOptions{oraclemarkettest.WithJobTime(time.Minute)}, nil)
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
				require.Zero(t, r.Count(oraclemarkettest.OpMerge))
				r.ClearFaults()
				_, err = r.images.Upload(t.Context(), imageOf(data, store))
				require.NoError(t, err)
				requireImage(t, r.only(t), data)
			})
		})
	}
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

var errDiskFull = errors.New("no space left on device")

// A store that fails in the middle ends the upload, and the next goes on from
// what it has.
func TestUploadStoreFails(t *testing.T) {
	t.Parallel()
	for at, sent := range map[int]int{
		1:  0, // before the upload request
		2:  0, // with its id
		3:  1, // with the first chunk
		6:  4, // with the fourth
		12: 9, // before the merge
		13: 9, // after it
	} {
		t.Run(jsonText(t, at), func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) {
				r := inMemory(t, nil, nil)
				store := &memStore{onSave: func(n int) error {
					if n == at {
						return errDiskFull
					}
					return nil
				}}
				data := randomBytes(9 * testChunk)
				req := imageOf(data, store)
				req.Concurrency = 1
				_, err := r.images.Upload(t.Context(), req)
				require.ErrorIs(t, err, errDiskFull)
				require.ErrorContains(t, err, "oraclemarket: save checkpoint oraclemarket-")
				require.Equal(t, sent, r.Count(oraclemarkettest.OpUploadChunk))
				if at == 1 {
					require.Empty(t, r.Requests())
				}

				_, err = r.images.Upload(t.Context(), req)
				require.NoError(t, err)
				u := r.only(t)
				requireImage(t, u, data)
				twice := 0
				for _, times := range u.Receipts {
					twice += times - 1
				}
				require.LessOrEqual(t, twice, 1, "that whose acknowledgement could not be kept")
				store.empty(t)
			})
		})
	}
}

func TestUploadCheckpointUnusable(t *testing.T) {
	t.Parallel()
	r := overTCP(t, nil, nil)
	store := &memStore{}
	data := r.interrupted(t, store, 4)
	before := len(r.Requests())
	var key string
	for key = range store.states {
		require.Regexp(t, `^oraclemarket-[0-9a-f]{32}$`, key)
	}
	good := store.states[key]
	for _, secret := range []string{r.ClientSecret, r.ClientID, r.Token, r.User} {
		require.NotContains(t, string(good), secret)
	}

	store.states[key] = good[:len(good)-2]
	_, err := r.images.Upload(t.Context(), imageOf(data, store))
	require.ErrorIs(t, err, oraclemarket.ErrCheckpointInvalid)
	require.ErrorContains(t, err, key)
	store.states[key] = nil
	_, err = r.images.Upload(t.Context(), imageOf(data, store))
	require.ErrorIs(t, err, oraclemarket.ErrCheckpointInvalid)

	// That of another image, or of another service.
	for _, change := range []func(*oraclemarket.ImageUpload){
		func(u *oraclemarket.ImageUpload) { u.Application = "x" },
		func(u *oraclemarket.ImageUpload) { u.Version = "x" },
		func(u *oraclemarket.ImageUpload) { u.OperatingSystem = "x" },
		func(u *oraclemarket.ImageUpload) { u.FileName = "x" },
	} {
		req := imageOf(data, fixedStore{good})
		change(req)
		_, err = r.images.Upload(t.Context(), req)
		require.ErrorIs(t, err, oraclemarket.ErrCheckpointInvalid)
		require.ErrorContains(t, err, "it is of another upload or account: wordpress OL67 Linux wordpress.tar.gz at "+r.URL)
	}
	other := overTCP(t, nil, nil)
	_, err = other.images.Upload(t.Context(), imageOf(data, fixedStore{good}))
	require.ErrorIs(t, err, oraclemarket.ErrCheckpointInvalid)
	require.Empty(t, other.Requests())
	require.Len(t, r.Requests(), before)

	// With a store that keeps keys apart, two services do not meet.
	store.states[key] = good
	_, err = other.images.Upload(t.Context(), imageOf(data, store))
	require.NoError(t, err)
	_, err = r.images.Upload(t.Context(), imageOf(data, store))
	require.NoError(t, err)
	requireImage(t, r.only(t), data)
}

// fixedStore has one state for all keys.
type fixedStore struct{ state []byte }

func (s fixedStore) Load(context.Context, string) ([]byte, error) { return s.state, nil }

func (fixedStore) Save(context.Context, string, []byte) error { return nil }

func (fixedStore) Delete(context.Context, string) error { return nil }

func TestUploadCheckpointFolder(t *testing.T) {
	t.Parallel()
	r := overTCP(t, nil, nil)
	data := randomBytes(9 * testChunk)
	file := filepath.Join(t.TempDir(), "file")
	require.NoError(t, os.WriteFile(file, nil, 0o600))
	_, err := r.images.Upload(t.Context(), imageOf(data, oraclemarket.FileCheckpoints(filepath.Join(file, "dir"))))
	require.ErrorContains(t, err, "oraclemarket: lock checkpoint oraclemarket-")
	_, err = r.images.Upload(t.Context(), imageOf(data, oraclemarket.FileCheckpoints("")))
	require.ErrorIs(t, err, oraclemarket.ErrInvalidArgument)
	require.Empty(t, r.Requests())
}

func TestUploadLocked(t *testing.T) {
	t.Parallel()
	r := overTCP(t, nil, nil)
	dir := t.TempDir()
	data := randomBytes(4 * testChunk)
	req := imageOf(data, oraclemarket.FileCheckpoints(dir))
	tried := false
	req.Progress = func(p oraclemarket.UploadProgress) {
		if p.Chunks != 2 {
			return
		}
		tried = true
		_, err := r.images.Upload(t.Context(), imageOf(data, oraclemarket.FileCheckpoints(dir)))
		require.ErrorIs(t, err, oraclemarket.ErrCheckpointLocked)
		other := imageOf(data, oraclemarket.FileCheckpoints(dir))
		other.FileName = "another.tar.gz"
		_, err = r.images.Upload(t.Context(), other)
		require.NoError(t, err, "another image has another lock")
	}
	_, err := r.images.Upload(t.Context(), req)
	require.NoError(t, err)
	require.True(t, tried)
	require.Len(t, r.Uploads(), 2)
	left, err := os.ReadDir(dir)
	require.NoError(t, err)
	require.Empty(t, left)
}
