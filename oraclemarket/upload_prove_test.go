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
		require.ErrorContains(t, err, "; restore the old file to resume, or delete checkpoint ")
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
	require.ErrorContains(t, err, "its first chunk number is 1, not 0; resume with the value that it began with")
	req := imageOf(data, store)
	req.DisableChecksum = true
	_, err = r.images.Upload(t.Context(), req)
	require.ErrorIs(t, err, oraclemarket.ErrCheckpointInvalid)
	require.ErrorContains(t, err, "its DisableChecksum is false, not true")
	require.Len(t, r.Requests(), before)
	require.Len(t, r.Uploads(), 1)
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
				_, err := r.images.Upload(r.interruptAfter(t.Context(), req, 3), req)
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
			if sent, merges := r.Processed(oraclemarkettest.OpUploadChunk), r.Count(oraclemarkettest.OpMerge); sent != 9 || merges != 0 {
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
	_, err = r.images.UploadFile(r.interruptAfter(t.Context(), req, 4), path, req)
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
	_, err := r.images.UploadFile(r.interruptAfter(t.Context(), req, 4), path, req)
	require.ErrorIs(t, err, context.Canceled)
	require.NoError(t, os.Chtimes(path, time.Time{}, time.Date(2031, 1, 2, 3, 4, 5, 0, time.UTC)))
	req = imageOf(nil, store)
	req.ChunkSize = 3 * testChunk
	_, err = r.images.UploadFile(t.Context(), path, req)
	require.NoError(t, err)
	u := r.only(t)
	requireImage(t, u, data)
	require.Equal(t, 9, r.Processed(oraclemarkettest.OpUploadChunk))
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
			changed := false
			req.Progress = func(p oraclemarket.UploadProgress) {
				if p.Chunks == at && !changed {
					changed = true
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
