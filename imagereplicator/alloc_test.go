package imagereplicator

import (
	"bytes"
	"io"
	"net/http"
	"os"
	"testing"

	"github.com/stretchr/testify/require"
)

// canned answers every request with one body and costs next to nothing.
type canned struct{ body []byte }

func (c canned) RoundTrip(req *http.Request) (*http.Response, error) {
	return &http.Response{
		StatusCode: http.StatusOK, Header: http.Header{"Content-Type": {"application/json"}},
		ContentLength: int64(len(c.body)), Body: io.NopCloser(bytes.NewReader(c.body)), Request: req,
	}, nil
}

func BenchmarkGet(b *testing.B) {
	body, err := os.ReadFile("testdata/job_execution_example.json")
	require.NoError(b, err)
	client, err := New("http://127.0.0.1", StaticToken("token"), WithHTTPClient(&http.Client{Transport: canned{body}}))
	require.NoError(b, err)
	b.ReportAllocs()
	for b.Loop() {
		_, err := client.Jobs.Get(b.Context(), "33911588-c299-4369-a240-7e5b741cdb6a")
		require.NoError(b, err)
	}
}
