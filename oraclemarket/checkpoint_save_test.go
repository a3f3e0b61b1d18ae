package oraclemarket_test

import (
	"context"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"

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
			r := inMemory(t, nil, nil)
			r.Inject(oraclemarkettest.Fault{Operation: oraclemarkettest.OpUploadChunk, Times: -1, Delay: time.Second})
			data := randomBytes(chunks*testChunk - 1)
			store := &slowStore{takes: takes}
			req := imageOf(data, store)
			req.Concurrency = 16
			start := time.Now()
			_, err := r.images.Upload(t.Context(), req)
			require.NoError(t, err)
			requireImage(t, r.only(t), data)
			took, saves = time.Since(start), store.saves.Load()
		})
		return took, saves
	}
	fast, all := upload(0)
	slow, joined := upload(100 * time.Millisecond)
	t.Logf("%s with %d saves, %s with %d saves of 100 ms", fast, all, slow, joined)
	require.Less(t, slow, fast+fast/4)
	// Without the delay, saves are joined where chunks happen to come at once.
	require.Less(t, joined, int64(chunks*2/3))
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
