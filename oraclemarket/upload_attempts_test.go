package oraclemarket_test

import (
	"context"
	"net/http"
	"slices"
	"sync"
	"testing"
	"testing/synctest"

	"github.com/stretchr/testify/require"

	"github.com/imagejobs/imagejobs-go/oraclemarket"
	"github.com/imagejobs/imagejobs-go/oraclemarket/oraclemarkettest"
)

// An upload sends its chunks again by itself: observers learn which attempt of
// the chunk it was, and whoever captures sees the last request of all.
func TestUploadCountsTheAttemptsOfAChunk(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		var mu sync.Mutex
		var numbers []int
		r := inMemory(t, nil, clientOptions{oraclemarket.WithObserver(func(_ context.Context, a oraclemarket.Attempt) {
			mu.Lock()
			defer mu.Unlock()
			if a.Op == "oraclemarket.MachineImages.UploadChunk" {
				numbers = append(numbers, a.Number)
			}
		})})
		second := func(r *http.Request) bool { return r.Header.Get("X-Chunk-Number") == "2" }
		r.Inject(oraclemarkettest.Fault{Operation: oraclemarkettest.OpUploadChunk, Match: second, Status: 503, Times: 2})
		r.Inject(oraclemarkettest.Fault{Operation: oraclemarkettest.OpUploadChunk, Match: second, Status: 400})
		data := randomBytes(3 * testChunk)
		var last oraclemarket.Attempt
		_, err := r.images.Upload(oraclemarket.CaptureAttempt(t.Context(), &last), imageOf(data, nil))
		require.NoError(t, err)
		requireImage(t, r.only(t), data)
		slices.Sort(numbers)
		require.Equal(t, []int{1, 1, 1, 2, 3, 4}, numbers)
		require.Equal(t, "oraclemarket.MachineImages.Get", last.Op)
		require.Equal(t, 200, last.StatusCode)
	})
}
