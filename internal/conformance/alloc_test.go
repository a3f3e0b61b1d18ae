package conformance

import (
	"context"
	"net/http"
	"net/http/httptest"
	"os"
	"runtime"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/imagejobs/imagejobs-go/internal/conformance/statuscalls"
	"github.com/imagejobs/imagejobs-go/oraclemarket"
)

// A status call allocates less than the same call by hand with a time limit,
// over one kind of connection.
func TestStatusCallsBeatCallsByHand(t *testing.T) {
	for _, s := range statuscalls.All() {
		t.Run(s.Name, func(t *testing.T) {
			body, err := os.ReadFile(statusFiles[s.Name])
			require.NoError(t, err)
			server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
				w.Header().Set("Content-Type", "application/json")
				_, _ = w.Write(body)
			}))
			defer server.Close()
			tr := &http.Transport{MaxIdleConnsPerHost: 64}
			defer tr.CloseIdleConnections()
			call, err := s.SDK(server.URL, &http.Client{Transport: tr})
			require.NoError(t, err)
			ours := allocations(t, call)
			byHand := allocations(t, s.ByHand(server.URL, &http.Client{Transport: tr, Timeout: attemptTimeout}))
			t.Logf("%.0f allocations, %.0f by hand, those of the server included", ours, byHand)
			require.Less(t, ours, byHand+allocSlack-1)
		})
	}
}

// How many allocations a call makes does not depend on the machine. The most
// are what was counted, and one more; what grows past that needs a reason.
func TestAllocations(t *testing.T) {
	counted := map[string]float64{"MachineImages.Get": 28, "Jobs.Get": 25, "ImageUpdates.Status": 27}
	for _, s := range statuscalls.All() {
		t.Run(s.Name, func(t *testing.T) {
			call, err := s.SDK(pipeBase, &http.Client{Transport: newTaker(t, statusFiles[s.Name])})
			require.NoError(t, err)
			most, ok := counted[s.Name]
			require.True(t, ok)
			count := allocations(t, call)
			t.Logf("%.0f allocations", count)
			require.LessOrEqual(t, count, most+allocSlack)
		})
	}
	t.Run("MachineImages.UploadChunk", func(t *testing.T) {
		const counted = 78
		c := chunkClient(t)
		count := allocations(t, func(ctx context.Context) error { return sendChunk(ctx, c, 64<<10) })
		t.Logf("%.0f allocations", count)
		require.LessOrEqual(t, count, float64(counted+allocSlack))
	})
}

func allocations(t *testing.T, call func(context.Context) error) float64 {
	t.Helper()
	return testing.AllocsPerRun(100, func() { require.NoError(t, call(t.Context())) })
}

// Nothing is allocated for what a chunk holds.
func TestChunksAreNotHeld(t *testing.T) {
	c := chunkClient(t)
	var taken []uint64
	for _, size := range []int64{64 << 10, 16 << 20} {
		var before, after runtime.MemStats
		runtime.ReadMemStats(&before)
		require.NoError(t, sendChunk(t.Context(), c, size))
		runtime.ReadMemStats(&after)
		taken = append(taken, after.TotalAlloc-before.TotalAlloc)
	}
	t.Log(taken)
	require.InDelta(t, taken[0], taken[1], 64<<10)
}

// zeros is an image of any size.
type zeros struct{}

func (zeros) ReadAt(p []byte, _ int64) (int, error) {
	clear(p)
	return len(p), nil
}

func chunkClient(t *testing.T) *oraclemarket.Client {
	t.Helper()
	c, err := oraclemarket.New("partner@example.com", oraclemarket.StaticToken("token"), oraclemarket.WithBaseURL(pipeBase),
		oraclemarket.WithHTTPClient(&http.Client{Transport: newTaker(t, "../../oraclemarket/testdata/chunk.json")}))
	require.NoError(t, err)
	return c
}

func sendChunk(ctx context.Context, c *oraclemarket.Client, size int64) error {
	_, err := c.MachineImages.UploadChunk(ctx, 8089067, &oraclemarket.Chunk{Number: 1, FileName: "image.tar.gz", File: zeros{}, Size: size})
	return err
}
