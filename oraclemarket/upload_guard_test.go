package oraclemarket_test

import (
	"bytes"
	"context"
	"crypto/md5"
	"hash"
	"runtime"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/imagejobs/imagejobs-go/oraclemarket"
	"github.com/imagejobs/imagejobs-go/oraclemarket/oraclemarkettest"
)

// A function of the caller that panics or calls runtime.Goexit ends the upload
// with an error that names what is left, and the next call goes on.
func TestUploadCallerDoesNotReturn(t *testing.T) {
	t.Parallel()
	for how, leave := range map[string]func(){
		"panic":  func() { panic("odd") },
		"Goexit": runtime.Goexit,
	} {
		for where, spoil := range map[string]func(r *uploadRig, u *oraclemarket.ImageUpload, leave func()){
			"ReadAt, hashed": func(r *uploadRig, u *oraclemarket.ImageUpload, leave func()) {
				file := u.File
				u.File = readerAt(func(p []byte, off int64) (int, error) {
					if off >= 2*testChunk && r.Count(oraclemarkettest.OpUploadChunk) > 0 {
						leave()
					}
					return file.ReadAt(p, off)
				})
			},
			"ReadAt, sent": func(r *uploadRig, u *oraclemarket.ImageUpload, leave func()) {
				file := u.File
				u.DisableChecksum = true
				u.File = readerAt(func(p []byte, off int64) (int, error) {
					if off >= 2*testChunk && r.Count(oraclemarkettest.OpUploadChunk) > 0 {
						leave()
					}
					return file.ReadAt(p, off)
				})
			},
			"NewMD5": func(r *uploadRig, u *oraclemarket.ImageUpload, leave func()) {
				u.NewMD5 = func() hash.Hash {
					if r.Count(oraclemarkettest.OpUploadChunk) > 0 {
						leave()
					}
					return md5.New()
				}
			},
			"Save": func(_ *uploadRig, u *oraclemarket.ImageUpload, leave func()) {
				u.Checkpoints.(*memStore).onSave = func(n int) error { //nolint:errcheck,forcetypeassert // it is
					if n == 5 {
						leave()
					}
					return nil
				}
			},
			"Progress": func(_ *uploadRig, u *oraclemarket.ImageUpload, leave func()) {
				u.Progress = func(p oraclemarket.UploadProgress) {
					if p.Chunks == 2 {
						leave()
					}
				}
			},
			"StatusChanged": func(_ *uploadRig, u *oraclemarket.ImageUpload, leave func()) {
				u.StatusChanged = func(*oraclemarket.MachineImageUploadRequest) { leave() }
			},
		} {
			t.Run(how+" in "+where, func(t *testing.T) {
				t.Parallel()
				synctest.Test(t, func(t *testing.T) {
					r := inMemory(t, nil, nil)
					data, store := randomBytes(9*testChunk), &memStore{}
					req := imageOf(data, store)
					var broken atomic.Bool
					broken.Store(true)
					spoil(r, req, func() {
						if broken.Load() {
							leave()
						}
					})
					_, err := r.images.Upload(t.Context(), req)
					require.Error(t, err)
					var left *oraclemarket.UploadError
					require.ErrorAs(t, err, &left)
					require.Equal(t, r.only(t).ID, left.UploadRequestID)
					require.ErrorContains(t, err, map[string]string{"panic": "odd", "Goexit": "Goexit"}[how])
					if where != "StatusChanged" {
						require.Zero(t, r.Count(oraclemarkettest.OpMerge))
					}
					broken.Store(false)
					_, err = r.images.Upload(t.Context(), req)
					require.NoError(t, err)
					requireImage(t, r.only(t), data)
				})
			})
		}
	}
}

// A token source is no different.
func TestUploadTokenSourcePanics(t *testing.T) {
	t.Parallel()
	r := overTCP(t, nil, nil)
	client, err := oraclemarket.New(r.User, oraclemarket.TokenSourceFunc(func(context.Context) (oraclemarket.Token, error) {
		panic("odd")
	}), oraclemarket.WithBaseURL(r.URL))
	require.NoError(t, err)
	_, err = client.MachineImages.Upload(t.Context(), imageOf(randomBytes(9), nil))
	require.ErrorContains(t, err, "the token source panicked: odd")
	require.Empty(t, r.Uploads())
}

// shyReader returns nothing at first, as io.ReaderAt does not forbid.
type shyReader struct {
	*bytes.Reader
	empty atomic.Int64
	often int64
}

func (s *shyReader) ReadAt(p []byte, off int64) (int, error) {
	if s.empty.Add(1)%s.often != 0 {
		return 0, nil
	}
	return s.Reader.ReadAt(p[:(len(p)+1)/2], off)
}

func TestUploadEmptyReads(t *testing.T) {
	t.Parallel()
	for _, checksum := range []bool{true, false} {
		r := overTCP(t, nil, nil)
		data := randomBytes(3 * testChunk)
		req := imageOf(data, &memStore{})
		req.File, req.DisableChecksum = &shyReader{Reader: bytes.NewReader(data), often: 3}, !checksum
		_, err := r.images.Upload(t.Context(), req)
		require.NoError(t, err)
		requireImage(t, r.only(t), data)

		req.File = &shyReader{Reader: bytes.NewReader(data), often: 1 << 40}
		_, err = r.images.Upload(t.Context(), req)
		require.ErrorContains(t, err, "multiple Read calls return no data or error")
	}
}

// closedMD5 counts those that are in use.
type closedMD5 struct {
	hash.Hash
	open *atomic.Int64
}

func (c closedMD5) Close() { c.open.Add(-1) }

func TestUploadClosesHashes(t *testing.T) {
	t.Parallel()
	r := overTCP(t, nil, nil)
	var open, made atomic.Int64
	req := imageOf(randomBytes(9*testChunk), nil)
	req.NewMD5 = func() hash.Hash {
		open.Add(1)
		made.Add(1)
		return closedMD5{md5.New(), &open}
	}
	_, err := r.images.Upload(t.Context(), req)
	require.NoError(t, err)
	require.GreaterOrEqual(t, made.Load(), int64(9))
	require.Zero(t, open.Load())
}

// The reads of a slow source do not keep others from reading: 64 chunks that
// are read in two pieces of 100 ms take about 200 ms.
func TestUploadSlowSource(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		const chunk = 200 << 10
		r := inMemory(t, serverOptions{oraclemarkettest.WithDiscard(), oraclemarkettest.WithJobTime(0)}, nil)
		data := randomBytes(64 * chunk)
		req := imageOf(data, nil)
		req.ChunkSize, req.Concurrency = chunk, 64
		hashing := func() bool {
			return r.Count(oraclemarkettest.OpInitiate) == 1 && r.Count(oraclemarkettest.OpUploadChunk) == 0
		}
		var mu sync.Mutex
		var start, last time.Time
		req.File = readerAt(func(p []byte, off int64) (int, error) {
			if hashing() {
				mu.Lock()
				if start.IsZero() {
					start = time.Now()
				}
				mu.Unlock()
				<-time.After(100 * time.Millisecond)
				mu.Lock()
				last = time.Now()
				mu.Unlock()
			}
			return bytes.NewReader(data).ReadAt(p, off)
		})
		_, err := r.images.Upload(t.Context(), req)
		require.NoError(t, err)
		require.LessOrEqual(t, last.Sub(start), 300*time.Millisecond)
	})
}
