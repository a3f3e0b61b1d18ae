package transport

import (
	"io"
	"net"
	"net/http"
	"net/http/cookiejar"
	"net/url"
	"testing"
	"testing/synctest"
	"time"

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

func TestCookieJar(t *testing.T) {
	jar, err := cookiejar.New(nil)
	require.NoError(t, err)
	var cookies [][]string
	s := serveTCP(t, func(c net.Conn, r *http.Request) bool {
		cookies = append(cookies, r.Header["Cookie"])
		status := "200 OK"
		if len(cookies) == 2 || len(cookies) == 3 {
			status = "503 Service Unavailable"
		}
		return answer(reply(status, "Set-Cookie: node=n"+string(rune('0'+len(cookies)))+"\r\n", `{}`))(c, r)
	})
	tr := &http.Transport{}
	t.Cleanup(tr.CloseIdleConnections)
	c := newClient(t, Config{BaseURL: s.url(), HTTPClient: &http.Client{Transport: tr, Jar: jar}, Retry: noWait(3)})
	for range 2 {
		_, _, err = Do[result](t.Context(), c, get(Safe))
		require.NoError(t, err)
	}
	require.Equal(t, [][]string{nil, {"node=n1"}, {"node=n2"}, {"node=n3"}}, cookies, "the newest cookie, once")
	u, err := url.Parse(s.url() + "/jobs/7")
	require.NoError(t, err)
	require.Equal(t, "n4", jar.Cookies(u)[0].Value)
}

// The limit of a small call covers its answer.
func TestTryTimeoutCoversTheAnswer(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c, _ := pipeClient(t, Config{Retry: noWait(1)}, func(c net.Conn, _ *http.Request) bool {
			<-time.After(20 * time.Second)
			_, _ = io.WriteString(c, "HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\n{")
			_, _ = io.Copy(io.Discard, c) // until the client gives up
			return false
		})
		start := time.Now()
		_, _, err := Do[result](t.Context(), c, get(Safe))
		require.ErrorIs(t, err, errTryTimeout)
		require.Equal(t, DefaultTryTimeout, time.Since(start))
	})
}
