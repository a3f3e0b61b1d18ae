package oraclemarket_test

import (
	"bytes"
	"context"
	"fmt"
	"net/http"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/imagejobs/imagejobs-go/oraclemarket"
	"github.com/imagejobs/imagejobs-go/oraclemarket/oraclemarkettest"
)

// insists is a service that wants the first chunk in the initiate call.
func insists() oraclemarkettest.Option {
	return oraclemarkettest.WithDialect(oraclemarkettest.Dialect{FirstChunkInInitiate: true})
}

func TestInitiateWithFirstChunk(t *testing.T) {
	t.Parallel()
	r := overTCP(t, serverOptions{insists()}, nil)
	req := &oraclemarket.InitiateUploadRequest{
		Application: "wordpress", Version: "OL67", OperatingSystem: "Linux", FileName: "wordpress.tar.gz", NumberOfChunks: 1,
		File: strings.NewReader("image"), Size: 5, MD5: md5Hex([]byte("image")),
	}
	created, err := r.images.Initiate(t.Context(), req)
	require.NoError(t, err)
	sent := r.Requests()[1] // after the login
	require.Equal(t, "1", sent.Header.Get("X-Chunk-Number"))
	require.Equal(t, md5Hex([]byte("image")), sent.Header.Get("X-MD5-Checksum"))
	require.Equal(t, oraclemarkettest.Part{Name: "file", FileName: "wordpress.tar.gz", Size: 5}, sent.Parts[2])
	_, err = r.images.Merge(t.Context(), created.EntityID)
	require.NoError(t, err)
	requireImage(t, r.only(t), []byte("image"))

	for field, spoil := range map[string]func(*oraclemarket.InitiateUploadRequest){
		"InitiateUploadRequest.File": func(i *oraclemarket.InitiateUploadRequest) { i.File = nil },
		"InitiateUploadRequest.Size": func(i *oraclemarket.InitiateUploadRequest) { i.Size = 0 },
		"InitiateUploadRequest.MD5":  func(i *oraclemarket.InitiateUploadRequest) { i.MD5 = "x" },
	} {
		wrong := *req
		spoil(&wrong)
		_, err := r.images.Initiate(t.Context(), &wrong)
		require.ErrorIs(t, err, oraclemarket.ErrInvalidArgument)
		require.ErrorContains(t, err, field)
	}
}

// Upload finds out what the service wants, and remembers it. The first chunk is
// sent once.
func TestUploadToServiceThatInsists(t *testing.T) {
	t.Parallel()
	for _, chunks := range []int{1, 2, 9} {
		for _, checksum := range []bool{true, false} {
			r := overTCP(t, serverOptions{insists()}, nil)
			for i := range 2 {
				data := randomBytes(chunks*testChunk - 1)
				req := imageOf(data, &memStore{})
				req.DisableChecksum = !checksum
				req.OverwriteStorageFile = new(i > 0)
				done, err := r.images.Upload(t.Context(), req)
				require.NoError(t, err)
				require.Len(t, r.Uploads(), i+1)
				u, _ := r.Upload(done.UploadRequestID)
				requireImage(t, u, data)
				require.Equal(t, 2+i, r.Count(oraclemarkettest.OpInitiate), "one refusal in all")
				require.Equal(t, (i+1)*(chunks-1), r.Count(oraclemarkettest.OpUploadChunk))
			}
		}
	}
}

// The response to the initiate call with the first chunk is lost, or the call is
// interrupted: the upload request is found, also when it counts one chunk.
func TestUploadLostInitiateWithFirstChunk(t *testing.T) {
	t.Parallel()
	for name, fault := range uploadFaults {
		for _, interrupted := range []bool{false, true} {
			if interrupted && fault.Stall != oraclemarkettest.StallResponse {
				continue
			}
			t.Run(name, func(t *testing.T) {
				t.Parallel()
				synctest.Test(t, func(t *testing.T) {
					r := inMemory(t, serverOptions{insists(), oraclemarkettest.WithListLag(3 * time.Second), oraclemarkettest.WithChunkCountLag(2 * time.Second)}, nil)
					lost := fault
					lost.Operation, lost.Skip, lost.Process = oraclemarkettest.OpInitiate, 1, fault.Process || interrupted
					r.Inject(lost)
					data, store := randomBytes(5*testChunk), &memStore{}
					ctx := t.Context()
					if interrupted {
						var cancel context.CancelFunc
						ctx, cancel = context.WithTimeout(ctx, time.Second)
						defer cancel()
					}
					_, err := r.images.Upload(ctx, imageOf(data, store))
					if interrupted {
						require.ErrorIs(t, err, context.DeadlineExceeded)
						var left *oraclemarket.UploadError
						require.ErrorAs(t, err, &left)
						require.Zero(t, left.UploadRequestID)
						require.ErrorContains(t, err, "its upload request may exist")
						_, err = r.images.Upload(t.Context(), imageOf(data, store))
					}
					require.NoError(t, err)
					u := r.only(t)
					requireImage(t, u, data)
					for number, times := range u.Receipts {
						require.LessOrEqual(t, times, map[bool]int{true: 2, false: 1}[number == 1], number)
					}
					store.empty(t)
				})
			})
		}
	}
}

// An initiate call without the first chunk is lost, and the next one refused:
// nothing that has a chunk can be its upload request.
func TestUploadLostInitiateThenRefused(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		r := inMemory(t, serverOptions{insists()}, nil)
		foreign := r.other(t, 3, func(i *oraclemarket.InitiateUploadRequest) { i.File, i.Size = strings.NewReader("another"), 7 })
		r.Inject(oraclemarkettest.Fault{Operation: oraclemarkettest.OpInitiate, Drop: oraclemarkettest.DropBefore})
		data := randomBytes(3 * testChunk)
		done, err := r.images.Upload(t.Context(), imageOf(data, nil))
		require.NoError(t, err)
		require.NotEqual(t, foreign, done.UploadRequestID)
		u, _ := r.Upload(done.UploadRequestID)
		requireImage(t, u, data)
		u, _ = r.Upload(foreign)
		require.Len(t, u.Chunks, 1)
	})
}

// Between two calls the file became another one, of which only the first chunk
// differs, and not in its first MiB.
func TestUploadFirstChunkOfAnotherFile(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		r := inMemory(t, serverOptions{insists()}, nil)
		data, store := randomBytes(4*mib), &memStore{}
		upload := func() *oraclemarket.ImageUpload {
			req := imageOf(data, store)
			req.ChunkSize = 2 * mib
			return req
		}
		r.Inject(oraclemarkettest.Fault{Operation: oraclemarkettest.OpInitiate, Skip: 1, Stall: oraclemarkettest.StallResponse, Process: true})
		ctx, cancel := context.WithTimeout(t.Context(), time.Second)
		defer cancel()
		_, err := r.images.Upload(ctx, upload())
		require.ErrorIs(t, err, context.DeadlineExceeded)
		data = bytes.Clone(data)
		data[mib+mib/2] ^= 1
		_, err = r.images.Upload(t.Context(), upload())
		require.ErrorIs(t, err, oraclemarket.ErrSourceChanged)
		require.Zero(t, r.Count(oraclemarkettest.OpMerge))
		data[mib+mib/2] ^= 1
		_, err = r.images.Upload(t.Context(), upload())
		require.NoError(t, err)
		requireImage(t, r.only(t), data)
	})
}

// A proxy limits the size of requests. The error says what to change, and a
// smaller size is then taken.
func TestUploadChunkTooLarge(t *testing.T) {
	t.Parallel()
	r := overTCP(t, serverOptions{oraclemarkettest.WithBodyLimit(3 * testChunk)}, nil)
	data, store := randomBytes(12*testChunk), &memStore{}
	req := imageOf(data, store)
	req.ChunkSize = 4 * testChunk
	_, err := r.images.Upload(t.Context(), req)
	failed := asUploadError(t, err)
	require.Equal(t, http.StatusRequestEntityTooLarge, failed.StatusCode)
	require.ErrorContains(t, err, "set a smaller ImageUpload.ChunkSize")
	var left *oraclemarket.UploadError
	require.ErrorAs(t, err, &left)
	abandoned := left.UploadRequestID

	req.ChunkSize = 2 * testChunk
	req.Progress = func(p oraclemarket.UploadProgress) {
		require.Equal(t, abandoned, p.AbandonedID)
		require.NotEqual(t, abandoned, p.UploadRequestID)
	}
	done, err := r.images.Upload(t.Context(), req)
	require.NoError(t, err)
	require.Len(t, r.Uploads(), 2)
	u, _ := r.Upload(done.UploadRequestID)
	requireImage(t, u, data)
	store.empty(t)
}

// The last chunk is shorter than the others, so there is a size that passes.
func TestUploadChunkTooLargeButTheLast(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		r := inMemory(t, nil, nil)
		r.Inject(oraclemarkettest.Fault{
			Operation: oraclemarkettest.OpUploadChunk, Delay: 100 * time.Millisecond, Times: -1,
			Match:  func(req *http.Request) bool { return req.Header.Get("X-Chunk-Number") != "3" },
			Status: http.StatusRequestEntityTooLarge,
		})
		req := imageOf(randomBytes(9*testChunk), nil)
		req.ChunkSize = 4 * testChunk
		_, err := r.images.Upload(t.Context(), req)
		require.Equal(t, http.StatusRequestEntityTooLarge, asUploadError(t, err).StatusCode)
		require.ErrorContains(t, err, "(one of 1000 bytes passed)")
	})
}

// Nobody chose the size of the chunks, so the upload does it by itself, once.
func TestUploadShrinksChunks(t *testing.T) {
	t.Parallel()
	data := randomBytes(9 * mib)
	for limit, passes := range map[int64]bool{5 * mib: true, 2 * mib: false} {
		r := overTCP(t, serverOptions{oraclemarkettest.WithBodyLimit(limit)}, nil)
		store := &memStore{}
		req := imageOf(data, store)
		req.ChunkSize = 0
		var last oraclemarket.UploadProgress
		req.Progress = func(p oraclemarket.UploadProgress) { last = p }
		done, err := r.images.Upload(t.Context(), req)
		require.Len(t, r.Uploads(), 2)
		require.Equal(t, r.Uploads()[0].ID, last.AbandonedID)
		if !passes {
			require.Equal(t, http.StatusRequestEntityTooLarge, asUploadError(t, err).StatusCode)
			continue
		}
		require.NoError(t, err)
		require.Equal(t, 3, last.Chunks)
		u, _ := r.Upload(done.UploadRequestID)
		requireImage(t, u, data)
		store.empty(t)
	}
}

// So it does where the first chunk goes with the initiate call: that leaves
// nothing behind.
func TestUploadShrinksTheFirstChunk(t *testing.T) {
	t.Parallel()
	data := randomBytes(9 * mib)
	r := overTCP(t, serverOptions{insists(), oraclemarkettest.WithBodyLimit(5 * mib)}, nil)
	req := imageOf(data, &memStore{})
	req.ChunkSize = 0
	_, err := r.images.Upload(t.Context(), req)
	require.NoError(t, err)
	requireImage(t, r.only(t), data)
}

// The upload request whose chunks were too large is not taken for that of the
// smaller ones if the response to their initiate call is lost, and errors name
// it.
func TestUploadShrinksAndLosesInitiate(t *testing.T) {
	t.Parallel()
	for name, test := range map[string]struct {
		second oraclemarkettest.Fault // of the initiate call
		ends   bool
	}{
		"lost":        {oraclemarkettest.Fault{Drop: oraclemarkettest.DropBefore}, false},
		"interrupted": {oraclemarkettest.Fault{Stall: oraclemarkettest.StallResponse}, true},
		"refused":     {oraclemarkettest.Fault{Status: http.StatusForbidden}, true},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) {
				uncounted := oraclemarkettest.WithDialect(oraclemarkettest.Dialect{NoChunkCounts: true})
				r := inMemory(t, serverOptions{uncounted, oraclemarkettest.WithBodyLimit(5 * mib)}, nil)
				test.second.Operation, test.second.Skip = oraclemarkettest.OpInitiate, 1
				r.Inject(test.second)
				data, store := randomBytes(9*mib), &memStore{}
				upload := func(ctx context.Context) error {
					req := imageOf(data, store)
					req.ChunkSize = 0
					_, err := r.images.Upload(ctx, req)
					return err
				}
				ctx, cancel := context.WithCancel(t.Context())
				defer cancel()
				if test.ends {
					time.AfterFunc(time.Second, cancel)
				}
				err := upload(ctx)
				if test.ends {
					abandoned := r.only(t).ID
					var left *oraclemarket.UploadError
					require.ErrorAs(t, err, &left)
					require.Contains(t, []int64{left.UploadRequestID, left.AbandonedID}, abandoned)
					require.ErrorContains(t, err, fmt.Sprintf("upload request %d", abandoned))
				}
				if name == "interrupted" {
					err = upload(t.Context())
				}
				if name != "refused" {
					require.NoError(t, err)
					require.Len(t, r.Uploads(), 2)
					requireImage(t, r.Uploads()[1], data)
					store.empty(t)
				}
			})
		})
	}
}
