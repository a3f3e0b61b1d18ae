package conformance

import (
	"bytes"
	"context"
	"io"
	"net/http"
	"os"
	"runtime"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/imagejobs/imagejobs-go/imagereplicator"
	"github.com/imagejobs/imagejobs-go/multiplay"
	"github.com/imagejobs/imagejobs-go/oraclemarket"
)

// taker takes every request whole and answers with one body, so that what is counted is ours and what net/http does
// above a transport.
type taker struct{ answer, buf []byte }

func newTaker(t *testing.T, file string) *http.Client {
	t.Helper()
	answer, err := os.ReadFile(file)
	require.NoError(t, err)
	return &http.Client{Transport: taker{answer, make([]byte, 32<<10)}}
}

func (c taker) RoundTrip(req *http.Request) (*http.Response, error) {
	if req.Body != nil {
		nowhere := struct{ io.Writer }{io.Discard} // its ReadFrom has a buffer of its own
		if _, err := io.CopyBuffer(nowhere, req.Body, c.buf); err != nil {
			return nil, err
		}
	}
	return &http.Response{
		StatusCode: http.StatusOK, Header: http.Header{"Content-Type": {"application/json"}},
		ContentLength: int64(len(c.answer)), Body: io.NopCloser(bytes.NewReader(c.answer)), Request: req,
	}, nil
}

// zeros is an image of any size.
type zeros struct{}

func (zeros) ReadAt(p []byte, _ int64) (int, error) {
	clear(p)
	return len(p), nil
}

const allocServer = "http://127.0.0.1"

func allocOracle(t *testing.T, answer string) *oraclemarket.Client {
	t.Helper()
	c, err := oraclemarket.New("partner@example.com", oraclemarket.StaticToken("token"), oraclemarket.WithBaseURL(allocServer),
		oraclemarket.WithHTTPClient(newTaker(t, "../../oraclemarket/testdata/"+answer)))
	require.NoError(t, err)
	return c
}

func sendChunk(ctx context.Context, c *oraclemarket.Client, size int64) error {
	_, err := c.MachineImages.UploadChunk(ctx, 2797087, &oraclemarket.Chunk{Number: 1, FileName: "image.tar.gz", File: zeros{}, Size: size})
	return err
}

// Nothing is allocated for what a chunk holds.
func TestChunksAreNotHeld(t *testing.T) {
	c := allocOracle(t, "chunk.json")
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

// How many allocations a call makes does not depend on the machine. The most are what was counted, and two more; what
// grows past them needs a reason.
func TestAllocations(t *testing.T) {
	for name, hot := range map[string]struct {
		counted float64
		call    func(t *testing.T) func(context.Context) error
	}{
		"MachineImages.Get": {48, func(t *testing.T) func(context.Context) error {
			t.Helper()
			c := allocOracle(t, "status.json")
			return func(ctx context.Context) error { _, err := c.MachineImages.Get(ctx, 2797087); return err }
		}},
		"MachineImages.UploadChunk": {92, func(t *testing.T) func(context.Context) error {
			t.Helper()
			c := allocOracle(t, "chunk.json")
			return func(ctx context.Context) error { return sendChunk(ctx, c, 64<<10) }
		}},
		"Jobs.Get": {38, func(t *testing.T) func(context.Context) error {
			t.Helper()
			c, err := imagereplicator.New(allocServer, imagereplicator.StaticToken("token"),
				imagereplicator.WithHTTPClient(newTaker(t, "../../imagereplicator/testdata/job_execution_example.json")))
			require.NoError(t, err)
			return func(ctx context.Context) error {
				_, err := c.Jobs.Get(ctx, "33911588-c299-4369-a240-7e5b741cdb6a")
				return err
			}
		}},
		"ImageUpdates.Status": {34, func(t *testing.T) func(context.Context) error {
			t.Helper()
			c, err := multiplay.New(multiplay.AccessKey(1, "access", "secret"), multiplay.WithBaseURL(allocServer),
				multiplay.WithHTTPClient(newTaker(t, "../../multiplay/testdata/update_status.json")))
			require.NoError(t, err)
			return func(ctx context.Context) error { _, err := c.ImageUpdates.Status(ctx, 4711); return err }
		}},
	} {
		t.Run(name, func(t *testing.T) {
			call := hot.call(t)
			count := testing.AllocsPerRun(100, func() { require.NoError(t, call(t.Context())) })
			t.Logf("%.0f allocations", count)
			require.LessOrEqual(t, count, hot.counted+allocSlack)
		})
	}
}
