package oraclemarket_test

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"net/http"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/imagejobs/imagejobs-go/oraclemarket"
	"github.com/imagejobs/imagejobs-go/oraclemarket/oraclemarkettest"
)

// slowPart takes a minute for each read that begins below an offset, past the
// first MiB.
type slowPart struct {
	io.ReaderAt
	below int64
}

func (s slowPart) ReadAt(p []byte, off int64) (int, error) {
	if off >= mib && off < s.below {
		<-time.After(time.Minute)
	}
	return s.ReaderAt.ReadAt(p, off)
}

// The service may have chunks of another build from a resume that was refused:
// its 409 does not mean that it has ours.
func TestUploadConflictAfterAnotherBuild(t *testing.T) {
	t.Parallel()
	for _, checksum := range []bool{true, false} {
		t.Run(fmt.Sprintf("checksum %t", checksum), func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) {
				r, store := inMemory(t, nil, nil), &memStore{}
				first := randomBytes(4 * mib)
				other := bytes.Clone(first)
				other[mib+10] ^= 1   // of chunk 2, which is acknowledged
				other[2*mib+10] ^= 1 // of chunk 3, which is not
				upload := func(data []byte) *oraclemarket.ImageUpload {
					req := imageOf(data, store)
					req.ChunkSize, req.Concurrency, req.DisableChecksum = mib, 1, !checksum
					return req
				}
				req := upload(first)
				_, err := r.images.Upload(r.interruptAfter(t.Context(), req, 2), req)
				require.ErrorIs(t, err, context.Canceled)

				req = upload(other)
				req.File = slowPart{bytes.NewReader(other), 2 * mib} // the chunks that are missing are faster
				_, err = r.images.Upload(t.Context(), req)
				require.ErrorIs(t, err, oraclemarket.ErrSourceChanged)
				require.Len(t, r.only(t).Chunks, 4, "two of them of the other build")
				require.Equal(t, []int{1, 2}, store.only(t).numbers())

				// Nor does it if this call sent the chunk before.
				third := func(q *http.Request) bool { return q.Header.Get("X-Chunk-Number") == "3" }
				r.Inject(oraclemarkettest.Fault{Operation: oraclemarkettest.OpUploadChunk, Match: third, Drop: oraclemarkettest.DropDuring})
				r.Inject(oraclemarkettest.Fault{
					Operation: oraclemarkettest.OpUploadChunk, Match: third, Status: http.StatusConflict, Times: -1,
				})
				_, err = r.images.Upload(t.Context(), upload(first))
				require.ErrorIs(t, err, oraclemarket.ErrConflict)
				require.Zero(t, r.Count(oraclemarkettest.OpMerge))

				r.ClearFaults()
				_, err = r.images.Upload(t.Context(), upload(first))
				require.NoError(t, err)
				requireImage(t, r.only(t), first)
			})
		})
	}
}

// A chunk that was under way may be there of another build, which the chunks
// before it do not show: a 409 means that it is ours only if it is the one that
// was sent.
func TestUploadConflictOfChunkUnderWay(t *testing.T) {
	t.Parallel()
	for _, checksum := range []bool{true, false} {
		t.Run(fmt.Sprintf("checksum %t", checksum), func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) {
				r, store := inMemory(t, nil, nil), &memStore{}
				first := randomBytes(4 * mib)
				other := bytes.Clone(first)
				other[2*mib+10] ^= 1
				third := func(q *http.Request) bool { return q.Header.Get("X-Chunk-Number") == "3" }
				r.Inject(oraclemarkettest.Fault{
					Operation: oraclemarkettest.OpUploadChunk, Match: third, Process: true, Stall: oraclemarkettest.StallResponse,
				})
				upload := func(data []byte) error {
					req := imageOf(data, store)
					req.ChunkSize, req.Concurrency, req.DisableChecksum = mib, 1, !checksum
					ctx, cancel := context.WithTimeout(t.Context(), 30*time.Second)
					defer cancel()
					_, err := r.images.Upload(ctx, req)
					return err
				}
				require.ErrorIs(t, upload(first), context.DeadlineExceeded)
				require.Equal(t, []int{1, 2}, store.only(t).numbers())
				r.ClearFaults()
				r.Inject(oraclemarkettest.Fault{
					Operation: oraclemarkettest.OpUploadChunk, Match: third, Status: http.StatusConflict, Times: -1,
				})
				for range 2 { // what is refused is not what was sent
					err := upload(other)
					require.ErrorIs(t, err, oraclemarket.ErrConflict)
					require.ErrorContains(t, err, "chunk 3: ")
					require.Zero(t, r.Count(oraclemarkettest.OpMerge))
				}
				r.ClearFaults()
				require.NoError(t, upload(first))
				requireImage(t, r.only(t), first)
			})
		})
	}
}

// Numbers that no upload has are refused, whatever put them into a checkpoint.
func TestUploadCheckpointNumbers(t *testing.T) {
	t.Parallel()
	r, store := overTCP(t, nil, nil), &memStore{}
	data := r.interrupted(t, store, 4)
	before := len(r.Requests())
	for name, values := range map[string][]int64{"size": {-9000, 0}, "chunkSize": {-1000, 0}} {
		for _, value := range values {
			changed := &memStore{states: map[string][]byte{}}
			for key, state := range store.states {
				changed.states[key] = resealed(t, state, func(fields map[string]any) { fields[name] = value })
			}
			_, err := r.images.Upload(t.Context(), imageOf(data, changed))
			require.ErrorIs(t, err, oraclemarket.ErrCheckpointInvalid, "%s %d", name, value)
			require.ErrorContains(t, err, "is not possible")
		}
	}
	require.Len(t, r.Requests(), before)
}

// The first chunk that went with the initiate call is no different.
func TestUploadConflictOfFirstChunk(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		r, store := inMemory(t, serverOptions{insists()}, nil), &memStore{}
		first := randomBytes(4 * mib)
		other := bytes.Clone(first)
		other[mib+10] ^= 1
		upload := func(data []byte) error {
			req := imageOf(data, store)
			req.ChunkSize, req.Concurrency = 2*mib, 1
			ctx, cancel := context.WithTimeout(t.Context(), 30*time.Second)
			defer cancel()
			_, err := r.images.Upload(ctx, req)
			return err
		}
		r.Inject(oraclemarkettest.Fault{Operation: oraclemarkettest.OpGet, Status: http.StatusNotFound}) // it counts nothing yet
		r.Inject(oraclemarkettest.Fault{Operation: oraclemarkettest.OpUploadChunk, Stall: oraclemarkettest.StallResponse})
		require.ErrorIs(t, upload(first), context.DeadlineExceeded)
		require.Empty(t, store.only(t).numbers())
		r.Inject(oraclemarkettest.Fault{
			Operation: oraclemarkettest.OpUploadChunk, Status: http.StatusConflict, Times: -1,
			Match: func(q *http.Request) bool { return q.Header.Get("X-Chunk-Number") == "1" },
		})
		require.ErrorIs(t, upload(other), oraclemarket.ErrConflict)
		require.NoError(t, upload(first))
		requireImage(t, r.only(t), first)
	})
}

// Chunks that are acknowledged once the file has shown to be another one are
// forgotten with those before, even while the checkpoint is being saved.
func TestUploadForgetsChunksOfAnotherBuild(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		r, store := inMemory(t, nil, nil), &slowStore{}
		first := randomBytes(4 * mib)
		other := bytes.Clone(first)
		other[mib+10] ^= 1 // of chunk 3, which is acknowledged
		upload := func(data []byte) *oraclemarket.ImageUpload {
			req := imageOf(data, store)
			req.ChunkSize, req.Concurrency = mib/2, 1
			return req
		}
		req := upload(first)
		_, err := r.images.Upload(r.interruptAfter(t.Context(), req, 3), req)
		require.ErrorIs(t, err, context.Canceled)

		store.takes = 10 * time.Second
		r.Inject(oraclemarkettest.Fault{Operation: oraclemarkettest.OpUploadChunk, Delay: 5 * time.Second, Times: -1})
		var reported int
		req = upload(other)
		req.Progress = func(p oraclemarket.UploadProgress) { reported = p.Chunks }
		_, err = r.images.Upload(t.Context(), req)
		require.ErrorIs(t, err, oraclemarket.ErrSourceChanged)
		require.Greater(t, r.Processed(oraclemarkettest.OpUploadChunk), 3)
		require.Equal(t, []int{1, 2, 3}, store.only(t).numbers())
		require.Equal(t, 3, reported)

		r.ClearFaults()
		_, err = r.images.Upload(t.Context(), upload(first))
		require.NoError(t, err)
		requireImage(t, r.only(t), first)
	})
}
