package oraclemarket

import (
	"bytes"
	"io"
	"mime"
	"mime/multipart"
	"net/http"
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/jarcoal/httpmock"
	"github.com/stretchr/testify/require"
)

// mockClient is a client whose requests all go to mock, in up to three attempts
// without pauses.
func mockClient(t *testing.T, mock *httpmock.MockTransport, opts ...Option) *Client {
	t.Helper()
	all := append([]Option{
		WithHTTPClient(&http.Client{Transport: mock}),
		WithRetry(3, 0, time.Millisecond),
	}, opts...)
	c, err := New("fname.lname@oracle.com", StaticToken("Access-token"), all...)
	require.NoError(t, err)
	return c
}

func fixture(t *testing.T, name string) []byte {
	t.Helper()
	data, err := os.ReadFile(filepath.Join("testdata", name))
	require.NoError(t, err)
	return data
}

// respondWith returns a responder that keeps the request and its body.
func respondWith(t *testing.T, seen *sentRequest, status int, name string) httpmock.Responder {
	t.Helper()
	body := fixture(t, name)
	return func(req *http.Request) (*http.Response, error) {
		seen.keep(t, req)
		resp := httpmock.NewBytesResponse(status, body)
		resp.Header.Set("Content-Type", "application/json; qs=1")
		return resp, nil
	}
}

type sentRequest struct {
	*http.Request

	body  []byte
	count int
}

func (s *sentRequest) keep(t *testing.T, req *http.Request) {
	t.Helper()
	s.Request = req
	s.body = nil
	s.count++
	if req.Body != nil {
		var err error
		s.body, err = io.ReadAll(req.Body)
		require.NoError(t, err)
	}
}

type part struct{ name, fileName, content string }

// form is the request's body as form data.
func (s *sentRequest) form(t *testing.T) []part {
	t.Helper()
	media, params, err := mime.ParseMediaType(s.Header.Get("Content-Type"))
	require.NoError(t, err)
	require.Equal(t, "multipart/form-data", media)
	require.Equal(t, int64(len(s.body)), s.ContentLength)
	reader := multipart.NewReader(bytes.NewReader(s.body), params["boundary"])
	var parts []part
	for {
		p, err := reader.NextRawPart()
		if err == io.EOF { //nolint:errorlint // multipart returns it bare
			return parts
		}
		require.NoError(t, err)
		content, err := io.ReadAll(p)
		require.NoError(t, err)
		parts = append(parts, part{p.FormName(), p.FileName(), string(content)})
	}
}

func (s *sentRequest) requireCredentials(t *testing.T) {
	t.Helper()
	require.Equal(t, "Bearer Access-token", s.Header.Get("Authorization"))
	require.Equal(t, "fname.lname@oracle.com", s.Header.Get("X-Oracle-UserId"))
}
