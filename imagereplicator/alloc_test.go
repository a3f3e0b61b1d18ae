package imagereplicator

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
	body, err := os.ReadFile("testdata/job_execution_example.json")
	require.NoError(t, err)
	client, err := New("http://127.0.0.1", StaticToken("token"), WithHTTPClient(&http.Client{Transport: canned{body}}))
	require.NoError(t, err)
	count := testing.AllocsPerRun(100, func() {
		_, err := client.Jobs.Get(t.Context(), "33911588-c299-4369-a240-7e5b741cdb6a")
		require.NoError(t, err)
	})
	t.Logf("%.0f allocations", count)
	require.LessOrEqual(t, count, 48.0)
}
