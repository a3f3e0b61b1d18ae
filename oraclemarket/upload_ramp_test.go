package oraclemarket_test

import (
	"crypto/md5"
	"hash"
	"net/http"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/imagejobs/imagejobs-go/oraclemarket"
	"github.com/imagejobs/imagejobs-go/oraclemarket/oraclemarkettest"
)

// chunkCounter counts the chunks in flight.
type chunkCounter struct {
	next http.RoundTripper

	mu        sync.Mutex
	now, most int
}

func (c *chunkCounter) count(n int) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.now += n
	c.most = max(c.most, c.now)
}

func (c *chunkCounter) RoundTrip(req *http.Request) (*http.Response, error) {
	if strings.HasSuffix(req.URL.Path, "/chunk") {
		c.count(1)
		defer c.count(-1)
	}
	return c.next.RoundTrip(req)
}

// A slow line has few chunks in flight, unless it is asked for more; a fast one
// has all that there may be.
func TestUploadChunksInFlight(t *testing.T) {
	t.Parallel()
	for name, test := range map[string]struct {
		concurrency int
		perSecond   int64
		most        int
	}{
		"slow":            {0, 20 << 10, 2}, // one, and another that is tried
		"slow, asked for": {3, 20 << 10, 3},
		"fast":            {0, 10 << 20, 4},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) {
				counter := &chunkCounter{}
				r := inMemoryThrough(t, nil, func(next http.RoundTripper) http.RoundTripper {
					counter.next = next
					return counter
				})
				data := randomBytes(10 * mib)
				req := imageOf(data, nil)
				req.ChunkSize, req.Concurrency, req.BytesPerSecond = mib/2, test.concurrency, test.perSecond
				_, err := r.images.Upload(t.Context(), req)
				require.NoError(t, err)
				require.Equal(t, test.most, counter.most)
				requireImage(t, r.only(t), data)
			})
		})
	}
}

// By default the next chunk has its checksum by the time it may go out: the line
// does not wait for it.
func TestUploadChecksumAhead(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		counter := &chunkCounter{}
		r := inMemoryThrough(t, nil, func(next http.RoundTripper) http.RoundTripper {
			counter.next = next
			return counter
		})
		r.Inject(oraclemarkettest.Fault{Operation: oraclemarkettest.OpUploadChunk, Times: -1, Delay: 800 * time.Millisecond})
		const chunks = 200
		req := imageOf(randomBytes(chunks*testChunk), nil)
		req.Concurrency, req.NoWait = 0, true
		req.NewMD5 = func() hash.Hash { return slowHash{md5.New()} }
		start := time.Now()
		_, err := r.images.Upload(t.Context(), req)
		require.NoError(t, err)
		require.Equal(t, oraclemarket.DefaultConcurrency, counter.most)
		require.Less(t, time.Since(start), chunks/oraclemarket.DefaultConcurrency*900*time.Millisecond)
	})
}

// slowHash takes 200 ms for a chunk.
type slowHash struct{ hash.Hash }

func (h slowHash) Write(p []byte) (int, error) {
	if len(p) > 0 {
		<-time.After(200 * time.Millisecond)
	}
	return h.Hash.Write(p)
}
