package oraclemarket_test

import (
	"bytes"
	"context"
	"errors"
	"io"
	"net/http"
	"strconv"
	"sync/atomic"
	"testing"
	"testing/iotest"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/imagejobs/imagejobs-go/oraclemarket"
	"github.com/imagejobs/imagejobs-go/oraclemarket/oraclemarkettest"
)

// pipe is data that can be read once.
type pipe struct {
	io.Reader

	read atomic.Int64
}

func (p *pipe) Read(b []byte) (int, error) {
	n, err := p.Reader.Read(b)
	p.read.Add(int64(n))
	return n, err
}

// streamOf is an upload of data from a pipe.
func streamOf(data []byte, store oraclemarket.CheckpointStore) (*oraclemarket.ImageUpload, *pipe) {
	req := imageOf(data, store)
	p := &pipe{Reader: bytes.NewReader(data)}
	req.File, req.Reader = nil, p
	return req, p
}

func TestUploadReader(t *testing.T) {
	t.Parallel()
	for _, size := range []int{1, testChunk - 1, testChunk, testChunk + 1, 5 * testChunk, 33*testChunk + 7} {
		t.Run(strconv.Itoa(size), func(t *testing.T) {
			t.Parallel()
			r := overTCP(t, nil, nil)
			data := randomBytes(size)
			req, p := streamOf(data, &memStore{})
			p.Reader = iotest.HalfReader(p.Reader)
			_, err := r.images.Upload(t.Context(), req)
			require.NoError(t, err)
			require.EqualValues(t, size, p.read.Load())
			r.requireWire(t, data, 1, req.FileName, req.FileName)
			requireImage(t, r.only(t), data)
		})
	}
}

// Chunks are sent again from memory, and no more of them are held than are sent
// at once.
func TestUploadReaderRetries(t *testing.T) {
	t.Parallel()
	for _, unchecked := range []bool{false, true} {
		synctest.Test(t, func(t *testing.T) {
			r := inMemory(t, nil, nil)
			r.Inject(oraclemarkettest.Fault{Operation: oraclemarkettest.OpUploadChunk, Status: http.StatusServiceUnavailable, Times: 5})
			r.Inject(oraclemarkettest.Fault{Operation: oraclemarkettest.OpUploadChunk, Drop: oraclemarkettest.DropAfter, Times: 3})
			r.Inject(oraclemarkettest.Fault{Operation: oraclemarkettest.OpUploadChunk, Delay: time.Second, Times: -1})
			data := randomBytes(20 * testChunk)
			req, p := streamOf(data, &memStore{})
			req.DisableChecksum = unchecked
			req.Progress = func(now oraclemarket.UploadProgress) {
				require.LessOrEqual(t, p.read.Load(), int64(now.Chunks+2*req.Concurrency)*testChunk)
			}
			var early atomic.Int64
			time.AfterFunc(100*time.Millisecond, func() { early.Store(p.read.Load()) })
			_, err := r.images.Upload(t.Context(), req)
			require.NoError(t, err)
			require.EqualValues(t, 3*testChunk, early.Load())
			require.EqualValues(t, len(data), p.read.Load())
			requireImage(t, r.only(t), data)
			r.requireReceipts(t, r.only(t))
		})
	}
}

// A resumed upload sends what is missing and compares the rest, whether a pipe or
// a file began it, and whichever goes on.
func TestUploadReaderResume(t *testing.T) {
	t.Parallel()
	for name, test := range map[string]struct{ began, resumed bool }{
		"pipe to pipe": {true, true}, "pipe to file": {true, false}, "file to pipe": {false, true},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) {
				r := inMemory(t, nil, nil)
				store := &memStore{}
				data := randomBytes(20 * testChunk)
				request := func(piped bool, data []byte) *oraclemarket.ImageUpload {
					req, _ := streamOf(data, store)
					if !piped {
						req = imageOf(data, store)
					}
					return req
				}
				req := request(test.began, data)
				_, err := r.images.Upload(r.interruptAfter(t.Context(), req, 7), req)
				require.ErrorIs(t, err, context.Canceled)
				kept := store.only(t).numbers()
				require.GreaterOrEqual(t, len(kept), 7)

				other := bytes.Clone(data)
				other[(kept[0]-1)*testChunk+1]++
				_, err = r.images.Upload(t.Context(), request(test.resumed, other))
				require.ErrorIs(t, err, oraclemarket.ErrSourceChanged)
				require.Zero(t, r.Count(oraclemarkettest.OpMerge))
				require.Equal(t, kept, store.only(t).numbers())

				_, err = r.images.Upload(t.Context(), request(test.resumed, data))
				require.NoError(t, err)
				requireImage(t, r.only(t), data)
				for _, number := range kept {
					require.LessOrEqual(t, r.only(t).Receipts[number], 1)
				}
				store.empty(t)
			})
		})
	}
}

// A service that wants the first chunk early gets it, and again where it does not
// count it.
func TestUploadReaderFirstChunk(t *testing.T) {
	t.Parallel()
	for _, counts := range []bool{false, true} {
		synctest.Test(t, func(t *testing.T) {
			r := inMemory(t, serverOptions{insists()}, nil)
			if !counts {
				r.Inject(oraclemarkettest.Fault{Operation: oraclemarkettest.OpGet, Status: http.StatusNotFound})
			}
			data := randomBytes(5 * testChunk)
			req, p := streamOf(data, &memStore{})
			_, err := r.images.Upload(t.Context(), req)
			require.NoError(t, err)
			require.EqualValues(t, len(data), p.read.Load())
			requireImage(t, r.only(t), data)
		})
	}
}

// Smaller chunks would need what was read already.
func TestUploadReaderTooLarge(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		r := inMemory(t, serverOptions{oraclemarkettest.WithBodyLimit(5 << 20)}, nil)
		req, _ := streamOf(make([]byte, 17<<20), nil)
		req.ChunkSize = 0
		_, err := r.images.Upload(t.Context(), req)
		e, ok := errors.AsType[*oraclemarket.Error](err)
		require.True(t, ok, err)
		require.Equal(t, http.StatusRequestEntityTooLarge, e.StatusCode)
		require.Len(t, r.Uploads(), 1)
	})
}

func TestUploadReaderFails(t *testing.T) {
	t.Parallel()
	broken := errors.New("broken pipe")
	for name, test := range map[string]struct {
		reader io.Reader
		want   string
	}{
		"short":  {bytes.NewReader(make([]byte, 5*testChunk-1)), "it is shorter than its size of 5000"},
		"broken": {io.MultiReader(bytes.NewReader(make([]byte, 2*testChunk)), iotest.ErrReader(broken)), broken.Error()},
		"panics": {readFunc(func([]byte) (int, error) { panic("in Read") }), "in Read"},
		"empty":  {readFunc(func([]byte) (int, error) { return 0, nil }), io.ErrNoProgress.Error()},
		"wrong":  {readFunc(func(p []byte) (int, error) { return len(p) + 1, nil }), "ReadAt returned"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) {
				r := inMemory(t, nil, nil)
				req, p := streamOf(make([]byte, 5*testChunk), &memStore{})
				p.Reader = test.reader
				req.Reader = test.reader
				_, err := r.images.Upload(t.Context(), req)
				require.ErrorContains(t, err, test.want)
				require.Zero(t, r.Count(oraclemarkettest.OpMerge))
			})
		})
	}
	req, _ := streamOf([]byte("image"), nil)
	req.Size = 0
	require.EqualError(t, req.Validate(), "oraclemarket: ImageUpload.Size: must be positive, not 0")
	req.File = bytes.NewReader(nil)
	require.EqualError(t, req.Validate(), "oraclemarket: ImageUpload.Reader: must be nil if File is set")
}

type readFunc func([]byte) (int, error)

func (f readFunc) Read(p []byte) (int, error) { return f(p) }
