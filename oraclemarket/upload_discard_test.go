package oraclemarket_test

import (
	"context"
	"net/http"
	"os"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/imagejobs/imagejobs-go/oraclemarket"
	"github.com/imagejobs/imagejobs-go/oraclemarket/oraclemarkettest"
)

// discardOf is what DiscardUpload needs of an upload: nothing of its file.
func discardOf(store oraclemarket.CheckpointStore) *oraclemarket.ImageUpload {
	req := imageOf(nil, store)
	req.File, req.Size = nil, 0
	return req
}

func TestDiscardUpload(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		r := inMemory(t, nil, nil)
		store := &memStore{}
		data := r.interrupted(t, store, 4)
		// If the delete fails, the checkpoint stays, and if its response is lost,
		// it is sent again.
		r.Inject(oraclemarkettest.Fault{Operation: oraclemarkettest.OpDelete, Status: http.StatusForbidden})
		require.ErrorIs(t, r.images.DiscardUpload(t.Context(), discardOf(store)), oraclemarket.ErrForbidden)
		require.Len(t, store.only(t).numbers(), 4)
		r.Inject(oraclemarkettest.Fault{Operation: oraclemarkettest.OpDelete, Drop: oraclemarkettest.DropAfter})
		for range 2 {
			require.NoError(t, r.images.DiscardUpload(t.Context(), discardOf(store)))
			require.Equal(t, oraclemarkettest.Deleted, r.only(t).Status)
			store.empty(t)
		}
		require.Equal(t, 3, r.Count(oraclemarkettest.OpDelete))

		_, err := r.images.Upload(t.Context(), imageOf(data, store))
		require.NoError(t, err)
		require.Len(t, r.Uploads(), 2)
		requireImage(t, r.Uploads()[1], data)
		require.NoError(t, r.images.DiscardUpload(t.Context(), discardOf(store)))
		requireImage(t, r.Uploads()[1], data)
	})
}

// After a crash between the two, or a delete by somebody else, only the
// checkpoint is left.
func TestDiscardUploadThatIsGone(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		r := inMemory(t, nil, nil)
		store := &memStore{}
		r.interrupted(t, store, 4)
		_, err := r.images.DeleteEverywhere(t.Context(), r.only(t).ID)
		require.NoError(t, err)
		require.NoError(t, r.images.DiscardUpload(t.Context(), discardOf(store)))
		store.empty(t)

		r.interrupted(t, store, 4)
		r.Inject(oraclemarkettest.Fault{Operation: oraclemarkettest.OpGet, Status: http.StatusNotFound, Times: -1})
		r.Inject(oraclemarkettest.Fault{Operation: oraclemarkettest.OpList, Body: `{"items":[]}`, Times: -1})
		require.NoError(t, r.images.DiscardUpload(t.Context(), discardOf(store)))
		store.empty(t)
		require.Equal(t, 1, r.Count(oraclemarkettest.OpDelete))
	})
}

// An upload request whose id was never seen is searched for.
func TestDiscardUploadLostInitiate(t *testing.T) {
	t.Parallel()
	for _, processed := range []bool{false, true} {
		synctest.Test(t, func(t *testing.T) {
			r := inMemory(t, nil, nil)
			store := &memStore{}
			r.Inject(oraclemarkettest.Fault{Operation: oraclemarkettest.OpInitiate, Stall: oraclemarkettest.StallResponse, Process: processed})
			ctx, cancel := context.WithTimeout(t.Context(), time.Second)
			defer cancel()
			_, err := r.images.Upload(ctx, imageOf(randomBytes(3*testChunk), store))
			require.ErrorIs(t, err, context.DeadlineExceeded)
			require.Equal(t, "initiating", store.only(t).Phase)
			require.NoError(t, r.images.DiscardUpload(t.Context(), discardOf(store)))
			store.empty(t)
			for _, u := range r.Uploads() {
				require.Equal(t, oraclemarkettest.Deleted, u.Status)
			}
			require.Equal(t, processed, len(r.Uploads()) == 1)
		})
	}
}

// What is merged, or may be, is never deleted.
func TestDiscardUploadMerged(t *testing.T) {
	t.Parallel()
	for name, test := range map[string]struct {
		processed bool
		later     time.Duration
	}{
		"merge never arrived": {},
		"pending":             {processed: true},
		"in progress":         {processed: true, later: time.Minute},
		"completed":           {processed: true, later: time.Hour},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) {
				r := inMemory(t, serverOptions{oraclemarkettest.WithJobTime(5 * time.Minute)}, nil)
				store := &memStore{}
				data := r.interruptedMerge(t, store, test.processed)
				<-time.After(test.later)
				err := r.images.DiscardUpload(t.Context(), discardOf(store))
				if !test.processed {
					require.NoError(t, err)
					require.Equal(t, oraclemarkettest.Deleted, r.only(t).Status)
					store.empty(t)
					return
				}
				require.ErrorIs(t, err, oraclemarket.ErrAlreadyMerged)
				require.ErrorContains(t, err, "upload request 7934470 has status ")
				require.Zero(t, r.Count(oraclemarkettest.OpDelete))
				_, err = r.images.Upload(t.Context(), imageOf(data, store))
				require.NoError(t, err)
				requireImage(t, r.only(t), data)
			})
		})
	}
}

func TestDiscardUploadRefused(t *testing.T) {
	t.Parallel()
	r := overTCP(t, nil, nil)
	require.EqualError(t, r.images.DiscardUpload(t.Context(), nil), "oraclemarket: ImageUpload: must not be nil")
	require.EqualError(t, r.images.DiscardUpload(t.Context(), discardOf(nil)), "oraclemarket: ImageUpload.Checkpoints: must not be nil")
	req := discardOf(&memStore{})
	req.FileName = ""
	require.EqualError(t, r.images.DiscardUpload(t.Context(), req), "oraclemarket: ImageUpload.FileName: must not be empty")
	require.ErrorIs(t, r.images.DiscardUpload(t.Context(), discardOf(fixedStore{[]byte("{}")})), oraclemarket.ErrCheckpointInvalid)
	require.Empty(t, r.Requests())

	store := oraclemarket.FileCheckpoints(t.TempDir())
	req = imageOf(randomBytes(2*testChunk), store)
	req.Progress = func(oraclemarket.UploadProgress) {
		require.ErrorIs(t, r.images.DiscardUpload(t.Context(), discardOf(store)), oraclemarket.ErrCheckpointLocked)
	}
	_, err := r.images.Upload(t.Context(), req)
	require.NoError(t, err)
	requireImage(t, r.only(t), randomBytes(2*testChunk))
}

// Once the merge was requested, the file may be gone.
func TestUploadGoesOnWithoutFile(t *testing.T) {
	t.Parallel()
	for _, processed := range []bool{false, true} {
		for name, call := range map[string]func(*uploadRig, context.Context, *oraclemarket.ImageUpload) (*oraclemarket.MachineImageUploadRequest, error){
			"Upload": func(r *uploadRig, ctx context.Context, req *oraclemarket.ImageUpload) (*oraclemarket.MachineImageUploadRequest, error) {
				return r.images.Upload(ctx, req)
			},
			"UploadFile": func(r *uploadRig, ctx context.Context, req *oraclemarket.ImageUpload) (*oraclemarket.MachineImageUploadRequest, error) {
				return r.images.UploadFile(ctx, "/none/"+req.FileName, req)
			},
		} {
			t.Run(name, func(t *testing.T) {
				t.Parallel()
				synctest.Test(t, func(t *testing.T) {
					r := inMemory(t, nil, nil)
					store := &memStore{}
					data := r.interruptedMerge(t, store, processed)
					done, err := call(r, t.Context(), discardOf(store))
					require.NoError(t, err)
					require.Equal(t, oraclemarket.StatusCompleted, done.StatusName)
					requireImage(t, r.only(t), data)
					store.empty(t)
				})
			})
		}
	}
}

// Before that it is missing, and nothing is sent.
func TestUploadNeedsFile(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		r := inMemory(t, nil, nil)
		store := &memStore{}
		r.interrupted(t, store, 4)
		before := len(r.Requests())
		_, err := r.images.Upload(t.Context(), discardOf(store))
		require.ErrorIs(t, err, oraclemarket.ErrInvalidArgument)
		require.ErrorContains(t, err, "interrupted after 4 of 9 chunks: oraclemarket: ImageUpload.File: must not be nil")
		_, err = r.images.UploadFile(t.Context(), "/none/wordpress.tar.gz", discardOf(store))
		require.ErrorIs(t, err, os.ErrNotExist)
		for _, size := range []int64{-1 << 40, 1 << 62} { // nothing is made for as many chunks
			req := discardOf(store)
			req.Size, req.ChunkSize = size, 1
			_, err = r.images.Upload(t.Context(), req)
			require.ErrorIs(t, err, oraclemarket.ErrInvalidArgument)
		}
		require.Len(t, r.Requests(), before)
		require.Len(t, store.only(t).numbers(), 4)
	})
	// Nor can it start over what the service has forgotten.
	synctest.Test(t, func(t *testing.T) {
		r := inMemory(t, nil, nil)
		store := &memStore{}
		r.interruptedMerge(t, store, false)
		r.Inject(oraclemarkettest.Fault{Operation: oraclemarkettest.OpGet, Status: http.StatusNotFound, Times: -1})
		r.Inject(oraclemarkettest.Fault{Operation: oraclemarkettest.OpList, Body: `{"items":[]}`, Times: -1})
		_, err := r.images.Upload(t.Context(), discardOf(store))
		require.ErrorContains(t, err, "ImageUpload.File: must not be nil")
		require.Equal(t, "merging", store.only(t).Phase)
	})
}
