package oraclemarket_test

import (
	"context"
	"net/http"
	"os"
	"runtime"
	"strconv"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/imagejobs/imagejobs-go/oraclemarket"
	"github.com/imagejobs/imagejobs-go/oraclemarket/oraclemarkettest"
)

// slowStore takes its time for each save, and counts them.
type slowStore struct {
	memStore

	takes time.Duration
	saves atomic.Int64
	under atomic.Int64
}

func (s *slowStore) Save(ctx context.Context, key string, state []byte) error {
	if s.under.Add(1) > 1 {
		panic("two saves at once")
	}
	defer s.under.Add(-1)
	s.saves.Add(1)
	<-time.After(s.takes)
	return s.memStore.Save(ctx, key, state)
}

// Saves that wait are joined: a slow store costs an upload its time now and
// then, not once a chunk.
func TestSlowStore(t *testing.T) {
	t.Parallel()
	const chunks = 320
	upload := func(takes time.Duration) (took time.Duration, saves int64) {
		synctest.Test(t, func(t *testing.T) {
			r := inMemory(t, serverOptions{oraclemarkettest.WithJobTime(0)}, nil)
			r.Inject(oraclemarkettest.Fault{Operation: oraclemarkettest.OpUploadChunk, Times: -1, Delay: time.Second})
			data := randomBytes(chunks*testChunk - 1)
			store := &slowStore{takes: takes}
			req := imageOf(data, store)
			req.Concurrency = 16
			req.Progress = func(p oraclemarket.UploadProgress) {
				require.LessOrEqual(t, p.Chunks, len(store.only(t).numbers()), "what is reported is kept")
			}
			start := time.Now()
			_, err := r.images.Upload(t.Context(), req)
			require.NoError(t, err)
			requireImage(t, r.only(t), data)
			took, saves = time.Since(start), store.saves.Load()
			require.NotContains(t, string(store.saved[len(store.saved)-1]), `"sent"`, "it has what is under way alone")
		})
		return took, saves
	}
	fast, _ := upload(0)
	slow, joined := upload(100 * time.Millisecond)
	t.Logf("%s, and %s with %d saves of 100 ms", fast, slow, joined)
	require.Less(t, slow, fast+fast/10)
	require.Less(t, joined, int64(chunks))
}

// hangingStore never returns from one of its methods until it is released.
type hangingStore struct {
	memStore

	method  string
	release chan struct{}
}

func (s *hangingStore) hang(method string) {
	if s.method == method {
		<-s.release
	}
}

func (s *hangingStore) Load(ctx context.Context, key string) ([]byte, error) {
	s.hang("Load")
	return s.memStore.Load(ctx, key)
}

func (s *hangingStore) Save(ctx context.Context, key string, state []byte) error {
	s.hang("Save")
	return s.memStore.Save(ctx, key, state)
}

// A store that hangs holds Upload up for a few seconds past its context.
func TestHangingStore(t *testing.T) {
	t.Parallel()
	for _, method := range []string{"Load", "Save"} {
		t.Run(method, func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) {
				r := inMemory(t, nil, nil)
				store := &hangingStore{method: method, release: make(chan struct{})}
				defer close(store.release)
				ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
				defer cancel()
				start := time.Now()
				_, err := r.images.Upload(ctx, imageOf(randomBytes(3*testChunk), store))
				require.ErrorIs(t, err, context.DeadlineExceeded)
				require.ErrorContains(t, err, "the store did not return within 5s")
				require.LessOrEqual(t, time.Since(start), 66*time.Second)
			})
		})
	}
}

// hangingLock never returns from its lock, or from the lock's end, until it is
// released.
type hangingLock struct {
	hangingStore

	unlocked atomic.Int64
}

func (s *hangingLock) Lock(context.Context, string) (func() error, error) {
	s.hang("Lock")
	return func() error {
		s.hang("unlock")
		s.unlocked.Add(1)
		return nil
	}, nil
}

// A lock that hangs is no different. One that comes too late is given back, and
// one of a store that may still write is kept until it has.
func TestHangingLock(t *testing.T) {
	t.Parallel()
	for _, method := range []string{"Lock", "unlock", "Load", "Save"} {
		t.Run(method, func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) {
				r := inMemory(t, nil, nil)
				store := &hangingLock{hangingStore: hangingStore{method: method, release: make(chan struct{})}}
				ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
				defer cancel()
				start := time.Now()
				_, err := r.images.Upload(ctx, imageOf(randomBytes(3*testChunk), store))
				require.ErrorIs(t, err, context.DeadlineExceeded)
				require.ErrorContains(t, err, "the store did not return within 5s")
				require.LessOrEqual(t, time.Since(start), 66*time.Second)
				synctest.Wait()
				require.Zero(t, store.unlocked.Load())
				close(store.release)
				synctest.Wait()
				require.EqualValues(t, 1, store.unlocked.Load())
			})
		})
	}
}

// stuckStore keeps what it gets, but for one save that does not return until it
// is released.
type stuckStore struct {
	memStore

	at      int
	saves   atomic.Int64
	release chan struct{}
}

func (s *stuckStore) Save(ctx context.Context, key string, state []byte) error {
	if s.saves.Add(1) == int64(s.at) {
		<-s.release
	}
	return s.memStore.Save(ctx, key, state)
}

// While a save of a chunk does not return, no more chunks go out than there may
// be unsaved ones; the end of the context ends the upload, whose store is not
// called again. What comes of the chunks depends on the service: it takes them
// again, or refuses them. Then they count if the file system shows that no other
// file was sent, and else the error says which it is about.
func TestUnsavedChunks(t *testing.T) {
	t.Parallel()
	const path = "testdata/list_page1.json" // which has been there for a while
	data, err := os.ReadFile(path)
	require.NoError(t, err)
	for name, test := range map[string]struct{ refused, vouched bool }{
		"taken again":                    {false, false},
		"refused by 409":                 {true, false},
		"refused by 409, of an old file": {true, true},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			if test.vouched && runtime.GOOS != "linux" && runtime.GOOS != "darwin" {
				t.Skip("no file system that vouches")
			}
			synctest.Test(t, func(t *testing.T) {
				const atOnce = 3
				<-time.After(100 * 365 * 24 * time.Hour) // the file is older than the clock of a bubble
				r := inMemory(t, nil, nil)
				store := &stuckStore{at: 4, release: make(chan struct{})}
				defer close(store.release)
				reported := 0
				upload := func(ctx context.Context, store oraclemarket.CheckpointStore) error {
					req := imageOf(data, store)
					req.ChunkSize, req.Concurrency = int64(len(data)/20+1), atOnce
					req.Progress = func(p oraclemarket.UploadProgress) { reported = p.Chunks }
					if test.vouched {
						_, err := r.images.UploadFile(ctx, path, req)
						return err
					}
					_, err := r.images.Upload(ctx, req)
					return err
				}
				ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
				defer cancel()
				start := time.Now()
				require.ErrorIs(t, upload(ctx, store), context.DeadlineExceeded)
				require.LessOrEqual(t, time.Since(start), 66*time.Second)
				require.EqualValues(t, 4, store.saves.Load(), "not called again")
				kept := store.only(t).numbers()
				require.LessOrEqual(t, reported, len(kept), "what is reported is kept")
				unsaved := r.Processed(oraclemarkettest.OpUploadChunk) - len(kept)
				require.Positive(t, unsaved)
				require.LessOrEqual(t, unsaved, 2*atOnce)

				if test.refused {
					there := r.only(t).Receipts
					r.Inject(oraclemarkettest.Fault{
						Operation: oraclemarkettest.OpUploadChunk, Status: http.StatusConflict, Times: -1,
						Match: func(q *http.Request) bool {
							number, err := strconv.Atoi(q.Header.Get("X-Chunk-Number"))
							return err == nil && there[number] > 0
						},
					})
				}
				err := upload(t.Context(), &store.memStore)
				if test.refused && !test.vouched {
					require.ErrorIs(t, err, oraclemarket.ErrConflict)
					require.ErrorContains(t, err, "chunk ")
					require.Zero(t, r.Count(oraclemarkettest.OpMerge))
					r.ClearFaults()
					err = upload(t.Context(), &store.memStore)
				}
				require.NoError(t, err)
				u := r.only(t)
				requireImage(t, u, data)
				twice := 0
				for _, times := range u.Receipts {
					twice += times - 1
				}
				require.LessOrEqual(t, twice, unsaved)
				if test.vouched {
					require.Zero(t, twice)
				}
				for _, number := range kept {
					require.Equal(t, 1, u.Receipts[number], "chunk %d was sent again", number)
				}
			})
		})
	}
}

// A chunk that fails does not hurry the store, which has those before it to
// keep, as long as the upload's own context lasts.
func TestSlowStoreOfFailedUpload(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		r := inMemory(t, nil, nil)
		r.Inject(oraclemarkettest.Fault{Operation: oraclemarkettest.OpUploadChunk, Skip: 2, Times: -1, Status: http.StatusNotFound})
		store := &slowStore{takes: time.Minute}
		req := imageOf(randomBytes(9*testChunk), store)
		req.Concurrency = 1
		_, err := r.images.Upload(t.Context(), req)
		require.ErrorIs(t, err, oraclemarket.ErrNotFound)
		require.Len(t, store.only(t).numbers(), 2)
	})
}
