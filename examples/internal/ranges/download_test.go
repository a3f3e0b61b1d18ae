package ranges

import (
	"net/http"
	"net/http/httptest"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
)

// What a server lacks is an error that says so, after one request.
func TestRefusals(t *testing.T) {
	respond := func(status int, headers ...string) http.HandlerFunc {
		return func(w http.ResponseWriter, _ *http.Request) {
			for i := 0; i < len(headers); i += 2 {
				w.Header().Set(headers[i], headers[i+1])
			}
			w.WriteHeader(status)
			_, _ = w.Write([]byte("x"))
		}
	}
	for want, handler := range map[string]http.HandlerFunc{
		"200 OK in place of 206 Partial Content: the server does not serve ranges (no Accept-Ranges)":    respond(200, "ETag", `"1"`),
		"200 OK in place of 206 Partial Content: the server does not serve ranges (Accept-Ranges: none)": respond(200, "Accept-Ranges", "none"),
		"416 Range Not Satisfiable: the object is empty, or the server cannot serve ranges of it":        respond(416, "Content-Range", "bytes */0"),
		"the response does not say how large the object is":                                              respond(206, "ETag", `"1"`, "Content-Range", "bytes 0-0/*"),
		"a 206 Partial Content without a valid Content-Range":                                            respond(206, "ETag", `"1"`),
		"asked for bytes 0-0, the response has 1-1":                                                      respond(206, "ETag", `"1"`, "Content-Range", "bytes 1-1/9"),
		"asked for bytes 0-0, the response has 0-8":                                                      respond(206, "ETag", `"1"`, "Content-Range", "bytes 0-8/9"),
		"the response has neither ETag nor Last-Modified, without which a change":                        respond(206, "Content-Range", "bytes 0-0/9"),
		"the response is encoded, so that its ranges are not those of the image":                         respond(206, "ETag", `"1"`, "Content-Range", "bytes 0-0/9", "Content-Encoding", "gzip"),
		"403 Forbidden": respond(403),
		"404 Not Found": respond(404),
		"503 Service Unavailable, Retry-After: 3600":       respond(503, "Retry-After", "3600"),
		"more than 5 redirects":                            respond(302, "Location", "/image"),
		"redirects to example.com, which is not encrypted": respond(307, "Location", "ftp://example.com/image"),
		"redirects to what is no URL":                      respond(302, "Location", "http://%"),
		"302 Found":                                        respond(302),
	} {
		var requests atomic.Int64
		server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			requests.Add(1)
			handler(w, r)
		}))
		u, err := ParseURL(server.URL + "/image")
		require.NoError(t, err)
		_, err = OpenURL(t.Context(), u, time.Millisecond)
		require.ErrorContains(t, err, "GET "+server.URL+"/…/image: ")
		require.ErrorContains(t, err, want)
		require.Equal(t, !strings.HasPrefix(want, "503"), IsFinal(err), want)
		if want != "more than 5 redirects" {
			require.EqualValues(t, 1, requests.Load(), want)
		}
		server.Close()
	}
}
