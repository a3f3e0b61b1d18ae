package multiplay

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
func TestStatusAllocations(t *testing.T) {
	body, err := os.ReadFile("testdata/update_status.json")
	require.NoError(t, err)
	client, err := New(1, "access", "secret", WithHTTPClient(&http.Client{Transport: canned{body}}))
	require.NoError(t, err)
	count := testing.AllocsPerRun(100, func() {
		_, err := client.ImageUpdates.Status(t.Context(), 4711)
		require.NoError(t, err)
	})
	t.Logf("%.0f allocations", count)
	require.LessOrEqual(t, count, 55.0)
}
