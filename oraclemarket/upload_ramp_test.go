package oraclemarket_test

import (
	"net/http"
	"strings"
	"sync"
	"testing"
	"testing/synctest"

	"github.com/stretchr/testify/require"
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
