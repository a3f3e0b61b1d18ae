package oraclemarkettest_test

import (
	"bytes"
	"fmt"
	"io"
	"net/http"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/imagejobs/imagejobs-go/oraclemarket/oraclemarkettest"
)

// BenchmarkUploadChunk measures receiving chunks, from a client that only
// sends.
func BenchmarkUploadChunk(b *testing.B) {
	const size = 16 << 20
	begin := "--b\r\nContent-Disposition: form-data; name=\"file\"; filename=\"x\"\r\n\r\n"
	end := "\r\n--b--\r\n"
	// All values of a byte, as in a real image: mime/multipart is slower on
	// bytes without a carriage return.
	values := make([]byte, 256)
	for i := range values {
		values[i] = byte(i)
	}
	body := begin + string(bytes.Repeat(values, size/len(values))) + end
	for name, opts := range map[string][]oraclemarkettest.Option{
		"kept":      nil,
		"discarded": {oraclemarkettest.WithDiscard()},
	} {
		b.Run(name, func(b *testing.B) {
			s := oraclemarkettest.NewServer(opts...)
			defer s.Close()
			transport := &http.Transport{WriteBufferSize: 256 << 10}
			defer transport.CloseIdleConnections()
			post := func(path, contentType string, body io.Reader, headers ...string) {
				req, err := http.NewRequestWithContext(b.Context(), http.MethodPost, s.URL+images+path, body)
				require.NoError(b, err)
				headers = append(headers, "Content-Type", contentType, "X-File-Name", "x",
					"X-Oracle-UserId", s.User, "Authorization", "Bearer "+s.Token)
				for i := 0; i < len(headers); i += 2 {
					req.Header.Set(headers[i], headers[i+1])
				}
				resp, err := transport.RoundTrip(req)
				require.NoError(b, err)
				require.NoError(b, resp.Body.Close())
				require.Equal(b, http.StatusOK, resp.StatusCode)
			}
			initiate, contentType := form(field{name: "json", value: chunkJSON}, field{name: "uploadType", value: "Chunk"})
			post("", contentType, initiate, "X-Number-Of-Chunks", "1")
			path := fmt.Sprintf("/%d/chunk", s.Uploads()[0].ID)
			b.SetBytes(size)
			b.ReportAllocs()
			for b.Loop() {
				post(path, "multipart/form-data; boundary=b", strings.NewReader(body), "X-Chunk-Number", "1")
			}
		})
	}
}
