package multiplaytest_test

import (
	"net/http"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/imagejobs/imagejobs-go/multiplay/multiplaytest"
)

func TestBearerTokens(t *testing.T) {
	s := start(t, multiplaytest.WithBearerTokens("first", "second"), multiplaytest.WithJobTime(0))
	require.Equal(t, "first", s.Token)
	require.Empty(t, s.AccessKey+s.SecretKey)
	const update = "/cfp/v1/imageupdate/create?imageid=1249&machineid=95394&desc=alpha-build&url=s3%3A%2F%2Fa%3Ab%40c%2F"
	require.InDelta(t, 4711, get(t, s, update)["updateid"], 0)
	require.Equal(t, "Completed", get(t, s, "/cfp/v1/imageupdate/4711/status")["jobstatename"])
	require.InDelta(t, 3, get(t, s, "/cfp/v2/project/1337/image/1249/status")["completed_machines"], 0)

	status := func(path, access, secret string) int {
		status, _ := call(t, s, http.MethodGet, path, access, secret)
		return status
	}
	const list = "/cfp/v1/imageinstall/status"
	require.Equal(t, http.StatusForbidden, status("/cfp/v2/project/1/image/1249/status", "bearer", "first"))
	require.Equal(t, http.StatusUnauthorized, status(list, "test-access-key", "test-secret-key"))
	require.Equal(t, http.StatusUnauthorized, status(list, "bearer", "third"))
	require.Equal(t, http.StatusUnauthorized, status(list, "bearer", ""))

	s.RejectToken("first")
	require.Equal(t, http.StatusUnauthorized, status(list, "bearer", "first"))
	require.Equal(t, http.StatusOK, status(list, "bearer", "second"))
	s.RejectToken("second")
	require.Equal(t, http.StatusUnauthorized, status(list, "bearer", "second"))
}

// With keys a bearer token is not accepted.
func TestBearerTokenWithKeys(t *testing.T) {
	s := start(t)
	require.Empty(t, s.Token)
	status, _ := call(t, s, http.MethodGet, "/cfp/v1/imageinstall/status?accountserviceid=1337", "bearer", "")
	require.Equal(t, http.StatusUnauthorized, status)
}
