package oraclemarket_test

import (
	"context"
	"errors"
	"io"
	"math"
	"runtime"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/imagejobs/imagejobs-go/oraclemarket"
	"github.com/imagejobs/imagejobs-go/oraclemarket/oraclemarkettest"
)

func TestUploadProgress(t *testing.T) {
	t.Parallel()
	const chunks = 12
	synctest.Test(t, func(t *testing.T) {
		r := inMemory(t, nil, nil)
		data := randomBytes(chunks*testChunk - 300)
		store := &memStore{}
		req := imageOf(data, store)
		ctx := r.interruptAfter(t.Context(), req, 4)
		_, err := r.images.Upload(ctx, req)
		require.ErrorIs(t, err, context.Canceled)
		before := len(store.only(t).numbers())

		// Responses get lost, so chunks arrive twice; each takes a second.
		r.Inject(oraclemarkettest.Fault{Operation: oraclemarkettest.OpUploadChunk, Drop: oraclemarkettest.DropAfter, Times: 3})
		r.Inject(oraclemarkettest.Fault{Operation: oraclemarkettest.OpUploadChunk, Delay: time.Second, Times: -1})
		var all []oraclemarket.UploadProgress
		req = imageOf(data, store)
		req.Progress = func(p oraclemarket.UploadProgress) {
			if kept := store.only(t).numbers(); len(kept) < p.Chunks {
				t.Errorf("reported %d chunks with %d in the checkpoint", p.Chunks, len(kept))
			}
			all = append(all, p)
		}
		_, err = r.images.Upload(t.Context(), req)
		require.NoError(t, err)

		id := r.only(t).ID
		last := oraclemarket.UploadProgress{Bytes: int64(before * testChunk), Chunks: before}
		require.Equal(t, last.Bytes, all[0].Bytes)
		require.Equal(t, last.Bytes, all[0].SentBytes)
		for _, p := range all {
			require.Equal(t, id, p.UploadRequestID)
			require.True(t, p.Resumed)
			require.Equal(t, chunks, p.TotalChunks)
			require.EqualValues(t, len(data), p.Total)
			require.LessOrEqual(t, p.Chunks-last.Chunks, 1, "one for each chunk")
			require.Contains(t, []int64{0, testChunk, testChunk - 300}, p.Bytes-last.Bytes)
			require.GreaterOrEqual(t, p.SentBytes, max(last.SentBytes, p.Bytes))
			require.LessOrEqual(t, p.SentBytes, p.Total)
			last = p
		}
		require.Equal(t, chunks, last.Chunks)
		require.EqualValues(t, len(data), all[len(all)-1].Bytes)
	})
}

func TestUploadProgressTimeLeft(t *testing.T) {
	t.Parallel()
	for name, test := range map[string]struct {
		progress oraclemarket.UploadProgress
		left     time.Duration
		known    bool
	}{
		"no rate yet":           {progress: oraclemarket.UploadProgress{Total: 100}},
		"some sent":             {progress: oraclemarket.UploadProgress{Bytes: 10, SentBytes: 40, Total: 100, BytesPerSecond: 20}, left: 3 * time.Second, known: true},
		"a part of a second":    {progress: oraclemarket.UploadProgress{SentBytes: 99, Total: 100, BytesPerSecond: 4}, left: 250 * time.Millisecond, known: true},
		"all sent":              {progress: oraclemarket.UploadProgress{Bytes: 90, SentBytes: 100, Total: 100, BytesPerSecond: 20}},
		"all acknowledged":      {progress: oraclemarket.UploadProgress{Bytes: 100, SentBytes: 100, Total: 100}, known: true},
		"longer than there is":  {progress: oraclemarket.UploadProgress{Total: 1 << 60, BytesPerSecond: 1e-3}, left: math.MaxInt64, known: true},
		"nothing moves anymore": {progress: oraclemarket.UploadProgress{Bytes: 10, SentBytes: 40, Total: 100}},
	} {
		left, known := test.progress.TimeLeft()
		require.Equal(t, test.left, left, name)
		require.Equal(t, test.known, known, name)
	}
}

func TestUploadProgressOneAtATime(t *testing.T) {
	t.Parallel()
	r := overTCP(t, serverOptions{oraclemarkettest.WithDiscard()}, nil)
	req := imageOf(randomBytes(64*testChunk), nil)
	req.Concurrency = 8
	var inside atomic.Int32
	req.Progress = func(oraclemarket.UploadProgress) {
		if inside.Add(1) != 1 {
			t.Error("two goroutines at a time")
		}
		for range 1000 { // lets others in, if they can come
			runtime.Gosched()
		}
		inside.Add(-1)
	}
	_, err := r.images.Upload(t.Context(), req)
	require.NoError(t, err)
}

// On a slow line the bytes move long before a chunk is acknowledged: reports come
// twice a second, with the rate of the line once it is known, and with none once
// nothing moves.
func TestUploadProgressMoves(t *testing.T) {
	t.Parallel()
	const perSecond = 4 << 10
	synctest.Test(t, func(t *testing.T) {
		r := inMemory(t, nil, nil)
		r.Inject(oraclemarkettest.Fault{Operation: oraclemarkettest.OpUploadChunk, Delay: 20 * time.Second})
		data := randomBytes(40 * perSecond)
		req := imageOf(data, nil)
		req.ChunkSize, req.Concurrency, req.BytesPerSecond = int64(len(data)), 1, perSecond
		start := time.Now()
		previous, silent, reports := start, time.Duration(0), 0
		known := false
		req.Progress = func(p oraclemarket.UploadProgress) {
			at := time.Since(start)
			if p.SentBytes < p.Total {
				silent, reports = max(silent, time.Since(previous)), reports+1
			}
			previous = time.Now()
			require.InDelta(t, min(at.Seconds()*perSecond, float64(len(data))), float64(p.SentBytes), perSecond)
			known = known || p.BytesPerSecond > 0
			switch {
			case at < time.Second:
				require.Zero(t, p.BytesPerSecond)
			case at > 5*time.Second && at < 39*time.Second:
				require.InDelta(t, perSecond, p.BytesPerSecond, perSecond/8)
				left, known := p.TimeLeft()
				require.True(t, known)
				require.InDelta(t, 40*time.Second-at, left, float64(6*time.Second))
			case at > 51*time.Second && p.Chunks == 0:
				require.Zero(t, p.BytesPerSecond)
			}
		}
		_, err := r.images.Upload(t.Context(), req)
		require.NoError(t, err)
		require.True(t, known)
		require.LessOrEqual(t, silent, 500*time.Millisecond)
		require.Greater(t, reports, 80)
		requireImage(t, r.only(t), data)
	})
}

// A panic in a report between two chunks ends the upload as one after a chunk
// does.
func TestUploadProgressPanics(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		r := inMemory(t, nil, nil)
		req := imageOf(randomBytes(10*testChunk), nil)
		req.BytesPerSecond = testChunk
		req.Progress = func(p oraclemarket.UploadProgress) {
			if p.SentBytes > p.Bytes {
				panic("in between")
			}
		}
		_, err := r.images.Upload(t.Context(), req)
		require.ErrorContains(t, err, "in between")
	})
}

// The limit holds for all chunks together, and is no stall, however slow it is.
func TestUploadBytesPerSecond(t *testing.T) {
	t.Parallel()
	for name, test := range map[string]struct {
		size, perSecond int64
		stall           time.Duration
	}{
		"slow":             {size: 20 * testChunk, perSecond: 40, stall: 5 * time.Second},
		"fast":             {size: 10 << 20, perSecond: 1 << 20, stall: time.Second},
		"one byte a while": {size: 200, perSecond: 1, stall: 30 * time.Second},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) {
				r := inMemory(t, nil, clientOptions{oraclemarket.WithStallTimeout(test.stall)})
				data := randomBytes(int(test.size))
				req := imageOf(data, nil)
				req.ChunkSize, req.Concurrency, req.BytesPerSecond = test.size/10, 4, test.perSecond
				ctx, cancel := context.WithTimeout(t.Context(), time.Hour)
				defer cancel()
				start := time.Now()
				req.StatusChanged = func(*oraclemarket.MachineImageUploadRequest) { cancel() }
				_, err := r.images.Upload(ctx, req)
				require.ErrorIs(t, err, context.Canceled)
				least := time.Duration(test.size / test.perSecond * int64(time.Second))
				require.InDelta(t, least, time.Since(start), float64(least/20+2*time.Second))
				require.Equal(t, 10, r.Count(oraclemarkettest.OpUploadChunk), "each once")
			})
		})
	}
}

// A deadline ends an upload that waits for its turn when it comes, not before.
func TestUploadBytesPerSecondCancel(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		r := inMemory(t, nil, nil)
		req := imageOf(randomBytes(10*testChunk), nil)
		req.BytesPerSecond = 1
		ctx, cancel := context.WithTimeout(t.Context(), 1234*time.Millisecond)
		defer cancel()
		start := time.Now()
		_, err := r.images.Upload(ctx, req)
		require.ErrorIs(t, err, context.DeadlineExceeded)
		require.Equal(t, 1234*time.Millisecond, time.Since(start))
	})
}

func TestUploadNoWait(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		r := inMemory(t, serverOptions{oraclemarkettest.WithJobTime(time.Hour)}, nil)
		store := &memStore{}
		req := imageOf(randomBytes(3*testChunk), store)
		req.NoWait = true
		start := time.Now()
		merged, err := r.images.Upload(t.Context(), req)
		require.NoError(t, err)
		require.Less(t, time.Since(start), time.Second)
		require.Equal(t, oraclemarket.StatusPending, merged.StatusName)
		store.empty(t)
		done, err := r.images.Wait(t.Context(), merged.UploadRequestID)
		require.NoError(t, err)
		require.Equal(t, oraclemarket.StatusCompleted, done.StatusName)
	})
	// One that has ended badly by then is an error.
	synctest.Test(t, func(t *testing.T) {
		r := inMemory(t, serverOptions{oraclemarkettest.WithJobTime(0), oraclemarkettest.WithOutcome(oraclemarkettest.IsRejected)}, nil)
		req := imageOf(randomBytes(3*testChunk), nil)
		req.NoWait = true
		_, err := r.images.Upload(t.Context(), req)
		_, rejected := errors.AsType[*oraclemarket.StateError](err)
		require.True(t, rejected)
	})
}

// The default chunk size fits the file.
func TestUploadDefaultChunkSize(t *testing.T) {
	t.Parallel()
	for size, chunks := range map[int64]string{
		1: "1", 16 << 20: "1", 16<<20 + 1: "2", 256 << 20: "16", 1 << 30: "64", 1<<30 + 1: "61", 3 << 30: "64", 4 << 30: "64", 8 << 30: "128", 1 << 60: "1048576",
	} {
		synctest.Test(t, func(t *testing.T) {
			r := inMemory(t, nil, nil)
			req := imageOf(nil, nil)
			req.File, req.Size, req.ChunkSize = zeros{}, size, 0
			ctx, cancel := context.WithCancel(t.Context())
			defer cancel()
			req.Progress = func(oraclemarket.UploadProgress) { cancel() }
			_, err := r.images.Upload(ctx, req)
			require.ErrorIs(t, err, context.Canceled)
			for _, sent := range r.Requests() {
				if sent.Operation == oraclemarkettest.OpInitiate {
					require.Equal(t, chunks, sent.Header.Get("X-Number-Of-Chunks"), size)
				}
			}
			require.Equal(t, 1, r.Count(oraclemarkettest.OpInitiate))
		})
	}
}

// zeros is a file of any size.
type zeros struct{}

func (zeros) ReadAt(p []byte, _ int64) (int, error) {
	clear(p)
	return len(p), nil
}

var _ io.ReaderAt = zeros{}
