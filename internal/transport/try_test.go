package transport

import (
	"net"
	"net/http"
	"testing"

	"github.com/stretchr/testify/require"
)

// A body of no bytes is a length of 0: net/http takes a length of 0 beside a
// body for unknown and would send it chunked.
func TestEmptyBodyHasALength(t *testing.T) {
	for _, upload := range []bool{false, true} {
		var got http.Request
		s := serveTCP(t, func(c net.Conn, r *http.Request) bool {
			got = *r
			return answer(okJSON(`{}`))(c, r)
		})
		c := newClient(t, Config{BaseURL: s.url()})
		call := post(Once, BytesBody("text/plain", nil))
		call.Upload = upload
		_, _, err := Do[result](t.Context(), c, call)
		require.NoError(t, err)
		require.Empty(t, got.TransferEncoding)
		require.Equal(t, []string{"0"}, got.Header["Content-Length"])
	}
}
