package multiplaytest_test

import (
	"net/http"
	"os/exec"
	"strings"
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

// A request that curl signed, and what is not signed with these keys, for this
// service, or as a whole.
func TestSignatures(t *testing.T) {
	const (
		path = "/cfp/v1/imageupdate/create?accountserviceid=1337&desc=alpha%20build&imageid=1249&machineid=95394&url=s3%3A%2F%2Fa%3Ab%40c%2F"
		sign = "AWS4-HMAC-SHA256 Credential=test-access-key/20261130/eu-west-1/cf/aws4_request, SignedHeaders=host;x-amz-date, " +
			"Signature=804c5946eaaff1f3ff3cff25dcaeb19586187a20a1157bb0f090d9c051127a89"
		date, host = "20261130T170920Z", "127.0.0.1:37565"
	)
	s := start(t)
	status := func(path, sign, date, host string) int {
		t.Helper()
		r, err := http.NewRequestWithContext(t.Context(), http.MethodGet, s.URL+path, http.NoBody)
		require.NoError(t, err)
		r.Host = host
		r.Header = http.Header{"Authorization": {sign}, "X-Amz-Date": {date}}
		resp, err := (&http.Transport{DisableKeepAlives: true}).RoundTrip(r)
		require.NoError(t, err)
		require.NoError(t, resp.Body.Close())
		return resp.StatusCode
	}
	require.Equal(t, http.StatusOK, status(path, sign, date, host))
	for _, refused := range []int{
		status(strings.Replace(path, "1249", "1250", 1), sign, date, host),
		status(path, sign, "20261130T170921Z", host),
		status(path, sign, "20261129T170920Z", host),
		status(path, sign, date, "127.0.0.1:1"),
		status(path, sign, "", host),
		status(path, strings.Replace(sign, "test-access-key", "other", 1), date, host),
		status(path, strings.Replace(sign, "eu-west-1", "eu-west-2", 1), date, host),
		status(path, strings.Replace(sign, "/cf/", "/s3/", 1), date, host),
		status(path, strings.Replace(sign, "host;", "", 1), date, host),
		status(path, strings.Replace(sign, ";x-amz-date", "", 1), date, host),
		status(path, "AWS4-HMAC-SHA256 ", date, host),
	} {
		require.Equal(t, http.StatusUnauthorized, refused)
	}

	tokens := start(t, multiplaytest.WithBearerTokens("first"))
	got, _ := call(t, tokens, http.MethodGet, path, "bearer", "first")
	require.Equal(t, http.StatusOK, got)
	s = tokens
	require.Equal(t, http.StatusUnauthorized, status(path, sign, date, host), "the successor has tokens alone")
}

func TestCurlSigns(t *testing.T) {
	options, err := exec.CommandContext(t.Context(), "curl", "--help", "all").Output()
	if err != nil || !strings.Contains(string(options), "--aws-sigv4") {
		t.Skip("there is no curl that signs")
	}
	s := start(t)
	for secret, want := range map[string]string{s.SecretKey: "200", "wrong": "401"} {
		out, err := exec.CommandContext(t.Context(), "curl", "--noproxy", "*", "--silent", "--show-error", "--write-out", " %{http_code}",
			"--aws-sigv4", "aws:amz:eu-west-1:cf", "--user", s.AccessKey+":"+secret,
			s.URL+"/cfp/v1/image/options?accountserviceid=1337").CombinedOutput()
		require.NoError(t, err, string(out))
		require.Equal(t, want, string(out[len(out)-3:]), string(out))
	}
}
