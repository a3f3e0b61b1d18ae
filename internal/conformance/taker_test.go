package conformance

import (
	"bytes"
	"io"
	"net/http"
	"os"
	"testing"

	"github.com/stretchr/testify/require"
)

// statusFiles has the response of each call of package statuscalls.
var statusFiles = map[string]string{
	"MachineImages.Get":   "../../oraclemarket/testdata/status.json",
	"Jobs.Get":            "../../imagereplicator/testdata/job_execution_example.json",
	"ImageUpdates.Status": "../../multiplay/testdata/update_status.json",
}

// taker takes every request whole and returns one body, so that what is counted
// is ours and what net/http does above a transport.
type taker struct {
	body, buf []byte
	taken     func() // nil for nothing
}

func newTaker(t *testing.T, file string) *taker {
	t.Helper()
	body, err := os.ReadFile(file)
	require.NoError(t, err)
	return &taker{body: body, buf: make([]byte, 32<<10)}
}

func (c *taker) RoundTrip(req *http.Request) (*http.Response, error) {
	if c.taken != nil {
		c.taken()
	}
	if req.Body != nil {
		nowhere := struct{ io.Writer }{io.Discard} // its ReadFrom has a buffer of its own
		if _, err := io.CopyBuffer(nowhere, req.Body, c.buf); err != nil {
			return nil, err
		}
	}
	return &http.Response{
		StatusCode: http.StatusOK, Header: http.Header{"Content-Type": {"application/json"}},
		ContentLength: int64(len(c.body)), Body: io.NopCloser(bytes.NewReader(c.body)), Request: req,
	}, nil
}
