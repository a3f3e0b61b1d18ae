package oraclemarket

import (
	"bytes"
	"io"
	"net/http"
	"os"
	"testing"

	"github.com/stretchr/testify/require"
)

// canned answers every request with one body, so that what is counted is ours
// and what net/http does above a transport.
type canned struct{ body []byte }

func (c canned) RoundTrip(req *http.Request) (*http.Response, error) {
	return &http.Response{
		StatusCode: http.StatusOK, Header: http.Header{"Content-Type": {"application/json"}},
		ContentLength: int64(len(c.body)), Body: io.NopCloser(bytes.NewReader(c.body)), Request: req,
	}, nil
}

// How many allocations a call makes does not depend on the machine. What grows
// past the budget needs a reason.
func TestGetAllocations(t *testing.T) {
	body, err := os.ReadFile("testdata/status.json")
	require.NoError(t, err)
	client, err := New("partner@example.com", StaticToken("token"), WithHTTPClient(&http.Client{Transport: canned{body}}))
	require.NoError(t, err)
	count := testing.AllocsPerRun(100, func() {
		_, err := client.MachineImages.Get(t.Context(), 2797087)
		require.NoError(t, err)
	})
	t.Logf("%.0f allocations", count)
	require.LessOrEqual(t, count, 58.0)
}

// zeros is an image of any size.
type zeros struct{}

func (zeros) ReadAt(p []byte, _ int64) (int, error) {
	clear(p)
	return len(p), nil
}

// taker takes a request's body and answers as canned does.
type taker struct {
	canned

	discard io.Writer // without a ReadFrom
	buf     []byte
}

func (k taker) RoundTrip(req *http.Request) (*http.Response, error) {
	if _, err := io.CopyBuffer(k.discard, req.Body, k.buf); err != nil {
		return nil, err
	}
	return k.canned.RoundTrip(req)
}

// A chunk costs the same whatever its size: nothing is allocated while it is
// read and sent.
func TestChunkAllocations(t *testing.T) {
	body, err := os.ReadFile("testdata/chunk.json")
	require.NoError(t, err)
	transport := taker{canned{body}, struct{ io.Writer }{io.Discard}, make([]byte, 32<<10)}
	client, err := New("partner@example.com", StaticToken("token"), WithHTTPClient(&http.Client{Transport: transport}))
	require.NoError(t, err)
	for _, size := range []int64{64 << 10, 16 << 20} {
		count := testing.AllocsPerRun(20, func() {
			_, err := client.MachineImages.UploadChunk(t.Context(), 2797087, &Chunk{Number: 1, FileName: "image.tar.gz", File: zeros{}, Size: size})
			require.NoError(t, err)
		})
		t.Logf("%.0f allocations for %d bytes", count, size)
		require.LessOrEqual(t, count, 112.0)
	}
}
