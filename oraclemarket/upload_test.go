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
	"strconv"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/imagejobs/imagejobs-go/oraclemarket"
	"github.com/imagejobs/imagejobs-go/oraclemarket/oraclemarkettest"
)

// requireWire checks everything that went over the wire for an upload.
func (r *uploadRig) requireWire(t *testing.T, data []byte, first int, name, headerName string) {
	t.Helper()
	chunks := (len(data)-1)/testChunk + 1
	for _, req := range r.Requests() {
		require.Empty(t, req.TransferEncoding, req.Operation)
		require.Equal(t, req.ContentLength, req.BodyBytes, req.Operation)
		switch req.Operation {
		case oraclemarkettest.OpInitiate:
			require.Equal(t, strconv.Itoa(chunks), req.Header.Get("X-Number-Of-Chunks"))
			require.Equal(t, headerName, req.Header.Get("X-File-Name"))
			require.Len(t, req.Parts, 2)
		case oraclemarkettest.OpUploadChunk:
			number, err := strconv.Atoi(req.Header.Get("X-Chunk-Number"))
			require.NoError(t, err)
			require.GreaterOrEqual(t, number, first)
			require.Less(t, number, first+chunks)
			content := data[(number-first)*testChunk : min((number-first+1)*testChunk, len(data))]
			require.Equal(t, md5Hex(content), req.Header.Get("X-MD5-Checksum"))
			require.Equal(t, headerName, req.Header.Get("X-File-Name"))
			require.Equal(t, []oraclemarkettest.Part{{Name: "file", FileName: name, Size: int64(len(content))}}, req.Parts)
		}
	}
	require.Equal(t, chunks, r.Count(oraclemarkettest.OpUploadChunk))
	require.Equal(t, 1, r.Count(oraclemarkettest.OpInitiate))
	require.Equal(t, 1, r.Count(oraclemarkettest.OpMerge))
}

func TestUploadOverSocket(t *testing.T) {
	t.Parallel()
	for i, size := range []int{1, testChunk - 1, testChunk, testChunk + 1, 5 * testChunk, 33*testChunk + 7} {
		t.Run(strconv.Itoa(size), func(t *testing.T) {
			t.Parallel()
			for _, concurrency := range []int{1, 2, 3, 8} {
				first := (i + concurrency) % 2
				r := overTCP(t, serverOptions{oraclemarkettest.WithFirstChunkNumber(first)},
					clientOptions{oraclemarket.WithFirstChunkNumber(first)})
				data := randomBytes(size)
				store := &memStore{}
				req := imageOf(data, store)
				req.Concurrency = concurrency
				done, err := r.images.Upload(t.Context(), req)
				require.NoError(t, err)

				u := r.only(t)
				require.Equal(t, u.ID, done.UploadRequestID)
				require.Equal(t, oraclemarket.StatusCompleted, done.StatusName)
				require.Equal(t, req.FileName, u.FileName)
				requireImage(t, u, data)
				r.requireReceipts(t, u)
				r.requireWire(t, data, first, req.FileName, req.FileName)
				store.empty(t)
			}
		})
	}
}

func TestUploadFileNames(t *testing.T) {
	t.Parallel()
	for name, header := range map[string]string{
		"plain.img":        "plain.img",
		`my "quoted".img`:  `my "quoted".img`,
		"with spaces .img": "with spaces .img",
		"semi;colon=1.img": "semi;colon=1.img",
		"образ 映像.qcow2":   "%D0%BE%D0%B1%D1%80%D0%B0%D0%B7%20%E6%98%A0%E5%83%8F.qcow2",
	} {
		r := overTCP(t, nil, nil)
		data := randomBytes(2*testChunk + 1)
		path := filepath.Join(t.TempDir(), name)
		require.NoError(t, os.WriteFile(path, data, 0o600))
		dir := filepath.Join(t.TempDir(), "made", "by us")
		req := imageOf(nil, oraclemarket.FileCheckpoints(dir))
		req.FileName, req.File, req.Size = "", nil, 0
		_, err := r.images.UploadFile(t.Context(), path, req)
		require.NoError(t, err)
		u := r.only(t)
		require.Equal(t, name, u.FileName)
		requireImage(t, u, data)
		r.requireWire(t, data, 1, name, header)

		left, err := os.ReadDir(dir)
		require.NoError(t, err)
		require.Empty(t, left, "checkpoint and lock are gone")
		require.Zero(t, req.Size, "the caller's request is not changed")
	}
}

func TestUploadFileOwnName(t *testing.T) {
	t.Parallel()
	r := overTCP(t, nil, nil)
	path := filepath.Join(t.TempDir(), "disk.raw")
	require.NoError(t, os.WriteFile(path, randomBytes(10), 0o600))
	_, err := r.images.UploadFile(t.Context(), path, imageOf(nil, nil))
	require.NoError(t, err)
	require.Equal(t, "wordpress.tar.gz", r.only(t).FileName)
}

// countedMD5 is MD5 by another name.
type countedMD5 struct {
	hash.Hash
	written *atomic.Int64
}

func (c countedMD5) Write(p []byte) (int, error) {
	c.written.Add(int64(len(p)))
	return c.Hash.Write(p)
}

func TestUploadNewMD5(t *testing.T) {
	t.Parallel()
	r := overTCP(t, nil, nil)
	data := randomBytes(4*testChunk + 500)
	var written atomic.Int64
	req := imageOf(data, nil)
	req.NewMD5 = func() hash.Hash {
		return countedMD5{md5.New(), &written}
	}
	_, err := r.images.Upload(t.Context(), req)
	require.NoError(t, err)
	require.EqualValues(t, len(data), written.Load())
	r.requireWire(t, data, 1, req.FileName, req.FileName)
}

func TestUploadDisableChecksum(t *testing.T) {
	t.Parallel()
	r := overTCP(t, serverOptions{oraclemarkettest.WithDiscard()}, nil)
	// A response whose checksum is another one does not matter then.
	r.Inject(oraclemarkettest.Fault{
		Operation: oraclemarkettest.OpUploadChunk,
		Body:      `{"uploadRequestId":"7934470","checksum":"00000000000000000000000000000000","uploadedChunks":1,"pendingChunks":0}`,
	})
	data := randomBytes(3 * testChunk)
	req := imageOf(data, nil)
	req.DisableChecksum = true
	req.NewMD5 = func() hash.Hash { panic("not wanted") }
	_, err := r.images.Upload(t.Context(), req)
	require.NoError(t, err)
	require.Zero(t, r.FaultsLeft())
	require.Equal(t, 3, r.Count(oraclemarkettest.OpUploadChunk))
	for _, req := range r.Requests() {
		require.NotContains(t, req.Header, "X-Md5-Checksum")
	}
	require.Equal(t, md5Hex(data[:testChunk]), r.only(t).Chunks[1].MD5)
}

func TestUploadStatusChanged(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		r := inMemory(t, serverOptions{oraclemarkettest.WithJobTime(10 * time.Minute)}, nil)
		req := imageOf(randomBytes(2*testChunk), nil)
		var seen []oraclemarket.Status
		req.StatusChanged = func(m *oraclemarket.MachineImageUploadRequest) {
			if len(seen) == 0 || seen[len(seen)-1] != m.StatusName {
				seen = append(seen, m.StatusName)
			}
		}
		began := time.Now()
		done, err := r.images.Upload(t.Context(), req)
		require.NoError(t, err)
		require.Equal(t, []oraclemarket.Status{
			oraclemarket.StatusPending, oraclemarket.StatusInProgress,
			oraclemarket.StatusVirusScanInProgress, oraclemarket.StatusCompleted,
		}, seen)
		require.Equal(t, oraclemarket.StatusCompleted, done.StatusName)
		took := time.Since(began)
		require.GreaterOrEqual(t, took, 10*time.Minute)
		require.Less(t, took, 10*time.Minute+16*time.Second, "one interval at most after the end")
	})
}

func TestUploadArguments(t *testing.T) {
	t.Parallel()
	r := overTCP(t, nil, nil)
	for field, spoil := range map[string]func(*oraclemarket.ImageUpload){
		"ImageUpload.Application":     func(u *oraclemarket.ImageUpload) { u.Application = " " },
		"ImageUpload.Version":         func(u *oraclemarket.ImageUpload) { u.Version = "" },
		"ImageUpload.OperatingSystem": func(u *oraclemarket.ImageUpload) { u.OperatingSystem = "" },
		"ImageUpload.FileName":        func(u *oraclemarket.ImageUpload) { u.FileName = "a\r\nb" },
		"ImageUpload.File":            func(u *oraclemarket.ImageUpload) { u.File = nil },
		"ImageUpload.Size":            func(u *oraclemarket.ImageUpload) { u.Size = 0 },
		"ImageUpload.ChunkSize":       func(u *oraclemarket.ImageUpload) { u.ChunkSize = -1 },
		"ImageUpload.Concurrency":     func(u *oraclemarket.ImageUpload) { u.Concurrency = -1 },
		"ImageUpload.NewMD5":          func(u *oraclemarket.ImageUpload) { u.NewMD5 = func() hash.Hash { return nil } },
		"ImageUpload.BytesPerSecond":  func(u *oraclemarket.ImageUpload) { u.BytesPerSecond = -1 },
		"WithPollInterval": func(u *oraclemarket.ImageUpload) {
			u.WaitOptions = []oraclemarket.WaitOption{oraclemarket.WithPollInterval(-1, 0)}
		},
	} {
		store := &memStore{}
		req := imageOf(randomBytes(3), store)
		spoil(req)
		_, err := r.images.Upload(t.Context(), req)
		require.ErrorIs(t, err, oraclemarket.ErrInvalidArgument, field)
		require.ErrorContains(t, err, "oraclemarket: "+field+": ")
		require.Empty(t, store.saved, field)
	}
	req := imageOf(randomBytes(3), nil)
	req.Concurrency = 65
	_, err := r.images.Upload(t.Context(), req)
	require.EqualError(t, err, "oraclemarket: ImageUpload.Concurrency: must be at most 64, not 65")
	req = imageOf(randomBytes(3), nil)
	req.ChunkSize, req.Size = 1, 2<<20
	_, err = r.images.Upload(t.Context(), req)
	require.EqualError(t, err, "oraclemarket: ImageUpload.ChunkSize: makes more than 1048576 chunks of 2097152 bytes")
	_, err = r.images.Upload(t.Context(), nil)
	require.EqualError(t, err, "oraclemarket: ImageUpload: must not be nil")
	_, err = r.images.UploadFile(t.Context(), "any", nil)
	require.EqualError(t, err, "oraclemarket: ImageUpload: must not be nil")
	_, err = r.images.UploadFile(t.Context(), t.TempDir(), imageOf(nil, nil))
	require.ErrorIs(t, err, oraclemarket.ErrInvalidArgument)
	_, err = r.images.UploadFile(t.Context(), filepath.Join(t.TempDir(), "none"), imageOf(nil, nil))
	require.ErrorIs(t, err, os.ErrNotExist)
	require.Empty(t, r.Requests())
}

func TestUploadFirstErrorWins(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		r := inMemory(t, nil, nil)
		third := func(req *http.Request) bool { return req.Header.Get("X-Chunk-Number") == "3" }
		r.Inject(oraclemarkettest.Fault{Operation: oraclemarkettest.OpUploadChunk, Match: third, Status: http.StatusForbidden})
		r.Inject(oraclemarkettest.Fault{Operation: oraclemarkettest.OpUploadChunk, Stall: oraclemarkettest.StallResponse, Times: -1})
		began := time.Now()
		_, err := r.images.Upload(t.Context(), imageOf(randomBytes(8*testChunk), nil))
		require.ErrorIs(t, err, oraclemarket.ErrForbidden)
		require.NotErrorIs(t, err, context.Canceled)
		require.ErrorContains(t, err, "interrupted after 0 of 8 chunks: chunk 3: ")
		require.Less(t, time.Since(began), time.Second, "the others were not waited for")
		require.LessOrEqual(t, r.Count(oraclemarkettest.OpUploadChunk), 3, "no other was begun")
	})
}

func TestUploadCancel(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		r := inMemory(t, nil, nil)
		data := randomBytes(9 * testChunk)
		store := &memStore{}
		r.Inject(oraclemarkettest.Fault{Operation: oraclemarkettest.OpUploadChunk, Skip: 4, Stall: oraclemarkettest.StallResponse, Times: -1})
		ctx, cancel := context.WithCancelCause(t.Context())
		stop := errors.New("enough")
		var cancelled time.Time
		go func() {
			synctest.Wait() // four chunks are acknowledged, the others stall
			cancelled = time.Now()
			cancel(stop)
		}()
		_, err := r.images.Upload(ctx, imageOf(data, store))
		require.ErrorIs(t, err, context.Canceled)
		require.ErrorIs(t, err, stop)
		require.Less(t, time.Since(cancelled), time.Second)
		id := r.only(t).ID
		require.ErrorContains(t, err, fmt.Sprintf("oraclemarket: upload request %d interrupted after 4 of 9 chunks", id))
		require.Len(t, store.only(t).numbers(), 4)

		r.ClearFaults()
		_, err = r.images.Upload(t.Context(), imageOf(data, store))
		require.NoError(t, err)
		u := r.only(t)
		requireImage(t, u, data)
		for number, times := range u.Receipts {
			require.Equal(t, 1, times, "chunk %d", number)
		}
	})
}

// waitingSource is one that gives nothing while it is held.
type waitingSource struct {
	io.ReaderAt

	held func() bool
	free <-chan struct{}
}

func (w waitingSource) ReadAt(p []byte, off int64) (int, error) {
	if w.held() {
		<-w.free
	}
	return w.ReaderAt.ReadAt(p, off)
}

// Why the context ended is known to the chunks, too, that only wait to be hashed.
func TestUploadCancelledWhileHashing(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		r := inMemory(t, nil, nil)
		data := randomBytes(64 * testChunk)
		free := make(chan struct{})
		req := imageOf(data, nil)
		req.File = waitingSource{bytes.NewReader(data), func() bool { return r.Count(oraclemarkettest.OpInitiate) > 0 }, free}
		req.Concurrency = 64
		ctx, cancel := context.WithCancelCause(t.Context())
		stop := errors.New("enough")
		go func() {
			synctest.Wait() // some are being hashed, the others wait
			cancel(stop)
			synctest.Wait()
			close(free)
		}()
		_, err := r.images.Upload(ctx, req)
		require.ErrorIs(t, err, context.Canceled)
		require.ErrorIs(t, err, stop)
	})
}

func TestUploadCancelledBefore(t *testing.T) {
	t.Parallel()
	r := overTCP(t, nil, nil)
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	store := &memStore{}
	_, err := r.images.Upload(ctx, imageOf(randomBytes(9), store))
	require.ErrorIs(t, err, context.Canceled)
	require.Zero(t, r.Count(oraclemarkettest.OpInitiate))
}

// roundTripper is a function as http.RoundTripper.
type roundTripper func(*http.Request) (*http.Response, error)

func (f roundTripper) RoundTrip(r *http.Request) (*http.Response, error) { return f(r) }

// closeHook does something when a response was read.
type closeHook struct {
	io.ReadCloser
	do func()
}

func (c closeHook) Close() error {
	defer c.do()
	return c.ReadCloser.Close()
}

func TestUploadKeepsAcknowledgementsWhileCancelled(t *testing.T) {
	t.Parallel()
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	transport := &http.Transport{}
	t.Cleanup(transport.CloseIdleConnections)
	r := overTCP(t, nil, clientOptions{oraclemarket.WithHTTPClient(&http.Client{Transport: roundTripper(
		func(req *http.Request) (*http.Response, error) {
			resp, err := transport.RoundTrip(req)
			if err == nil && req.Header.Get("X-Chunk-Number") == "2" {
				resp.Body = closeHook{resp.Body, cancel}
			}
			return resp, err
		})})})
	store := &memStore{}
	req := imageOf(randomBytes(9*testChunk), store)
	req.Concurrency = 1
	_, err := r.images.Upload(ctx, req)
	require.ErrorIs(t, err, context.Canceled)
	require.Equal(t, []int{1, 2}, store.only(t).numbers())
}

// wrongChecksum is the response to a chunk that arrived with other bytes.
const wrongChecksum = `{"uploadRequestId":"7934470","checksum":"00000000000000000000000000000000","uploadedChunks":1,"pendingChunks":2}`

func TestUploadChecksumOfResponse(t *testing.T) {
	t.Parallel()
	for _, fault := range []oraclemarkettest.Fault{
		{Body: wrongChecksum},
		{Status: http.StatusBadRequest}, // as the service may say it
	} {
		fault.Operation = oraclemarkettest.OpUploadChunk
		fault.Match = func(req *http.Request) bool { return req.Header.Get("X-Chunk-Number") == "2" }
		data := randomBytes(3 * testChunk)

		fault.Times = 2
		r := overTCP(t, nil, nil)
		r.Inject(fault)
		_, err := r.images.Upload(t.Context(), imageOf(data, nil))
		require.NoError(t, err)
		require.Equal(t, 5, r.Count(oraclemarkettest.OpUploadChunk))
		requireImage(t, r.only(t), data)

		fault.Times = 3
		r = overTCP(t, nil, nil)
		r.Inject(fault)
		store := &memStore{}
		req := imageOf(data, store)
		req.Concurrency = 1
		_, err = r.images.Upload(t.Context(), req)
		require.ErrorContains(t, err, "interrupted after 1 of 3 chunks: chunk 2: ")
		require.NotErrorIs(t, err, oraclemarket.ErrSourceChanged)
		require.Equal(t, 1+3, r.Count(oraclemarkettest.OpUploadChunk))
		require.Zero(t, r.Count(oraclemarkettest.OpMerge))
		require.Equal(t, []int{1}, store.only(t).numbers())
	}
}

// corrupted flips a bit of the 500th byte that is read.
type corrupted struct {
	io.ReadCloser
	read *int
}

func (c corrupted) Read(p []byte) (int, error) {
	n, err := c.ReadCloser.Read(p)
	if i := 499 - *c.read; i >= 0 && i < n {
		p[i] ^= 1
	}
	*c.read += n
	return n, err
}

// Bytes that change on their way are refused by the service, and sent again.
func TestUploadCorruptedOnTheWay(t *testing.T) {
	t.Parallel()
	transport := &http.Transport{}
	t.Cleanup(transport.CloseIdleConnections)
	var once sync.Once
	r := overTCP(t, nil, clientOptions{oraclemarket.WithHTTPClient(&http.Client{Transport: roundTripper(
		func(req *http.Request) (*http.Response, error) {
			if req.Header.Get("X-Chunk-Number") == "3" {
				once.Do(func() { req.Body = corrupted{req.Body, new(int)} })
			}
			return transport.RoundTrip(req)
		})})})
	data := randomBytes(5 * testChunk)
	_, err := r.images.Upload(t.Context(), imageOf(data, nil))
	require.NoError(t, err)
	require.Equal(t, 6, r.Count(oraclemarkettest.OpUploadChunk))
	require.Equal(t, 5, r.Processed(oraclemarkettest.OpUploadChunk))
	requireImage(t, r.only(t), data)
}
