package oraclemarket_test

import (
	"context"
	"errors"
	"os"
	"path/filepath"
	"testing"
	"testing/synctest"

	"github.com/stretchr/testify/require"

	"github.com/imagejobs/imagejobs-go/oraclemarket"
	"github.com/imagejobs/imagejobs-go/oraclemarket/oraclemarkettest"
)

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
				require.GreaterOrEqual(t, r.Count(oraclemarkettest.OpUploadChunk), sent)
				require.LessOrEqual(t, r.Count(oraclemarkettest.OpUploadChunk), min(sent+min(sent, 1), 9), "the next was on its way")
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
				require.LessOrEqual(t, twice, 2, "that whose acknowledgement could not be kept, and the next")
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
		if p.Chunks != 2 || tried {
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
