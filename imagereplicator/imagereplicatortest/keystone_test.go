package imagereplicatortest_test

import (
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/imagejobs/imagejobs-go/imagereplicator/imagereplicatortest"
	"github.com/imagejobs/imagejobs-go/internal/emulator"
)

func TestTenants(t *testing.T) {
	server := start(t, imagereplicatortest.WithTenant("tenant-of-mine", "jp1"))
	got := call(t, server, http.MethodPost, "/v3/auth/tokens", login(server, "tenant-of-mine"))
	require.Equal(t, http.StatusCreated, got.status, got.body)
	mine := "X-Auth-Token: " + got.header.Get("X-Subject-Token")

	require.Equal(t, "[]", call(t, server, http.MethodGet, jobs, "", mine).body)
	require.Equal(t, http.StatusNotFound, call(t, server, http.MethodGet, jobs+"/"+imagereplicatortest.JobID, "", mine).status)
	require.Equal(t, http.StatusNotFound, call(t, server, http.MethodDelete, jobs+"/"+imagereplicatortest.JobID, "", mine).status)
	require.Contains(t, got.body, `"region_id":"jp1"`)
	require.Contains(t, call(t, server, http.MethodGet, jobs, "").body, imagereplicatortest.JobID)
}

func login(server *imagereplicatortest.Server, tenant string) string {
	return `{"auth": {"identity": {"methods": ["password"], "password": {"user": {"domain": {"id": "default"}, "name": "` + server.APIKey +
		`", "password": "` + server.APISecret + `"}}}, "scope": {"project": {"id": "` + tenant + `"}}}}`
}

func TestKeystone(t *testing.T) {
	clock := emulator.NewManualClock(time.Date(2018, 7, 13, 7, 22, 37, 523381000, time.UTC))
	server := start(t, imagereplicatortest.WithClock(clock.Now))
	got := call(t, server, http.MethodPost, "/v3/auth/tokens", login(server, imagereplicatortest.TenantID))
	require.Equal(t, http.StatusCreated, got.status)
	require.Contains(t, got.body, `"expires_at":"2018-07-13T08:22:37.523381Z"`)
	token := got.header.Get("X-Subject-Token")
	require.NotContains(t, got.body, token)
	auth, subject := "X-Auth-Token: "+token, "X-Subject-Token: "+token

	require.Equal(t, http.StatusOK, call(t, server, http.MethodGet, jobs, "", auth).status)
	got = call(t, server, http.MethodGet, "/v3/auth/tokens", "", auth, subject)
	require.Equal(t, http.StatusOK, got.status)
	require.Equal(t, token, got.header.Get("X-Subject-Token"))
	rescoped := call(t, server, http.MethodPost, "/v3/auth/tokens",
		`{"auth": {"identity": {"methods": ["token"], "token": {"id": "`+token+`"}}, "scope": {"project": {"id": "`+imagereplicatortest.ThirdTenantID+`"}}}}`)
	require.Equal(t, http.StatusCreated, rescoped.status)

	clock.Advance(59*time.Minute + 59*time.Second)
	require.Equal(t, http.StatusOK, call(t, server, http.MethodGet, jobs, "", auth).status)
	clock.Advance(time.Second)
	require.Equal(t, http.StatusUnauthorized, call(t, server, http.MethodGet, jobs, "", auth).status)
	require.Equal(t, http.StatusUnauthorized, call(t, server, http.MethodGet, jobs, "", "X-Auth-Token: "+rescoped.header.Get("X-Subject-Token")).status)
	require.Equal(t, http.StatusNotFound, call(t, server, http.MethodGet, "/v3/auth/tokens", "", subject).status)
	require.Equal(t, 2, server.TokensIssued())

	server.ExpireTokens()
	require.Equal(t, http.StatusOK, call(t, server, http.MethodGet, jobs, "").status, "the static one stays")
	server.RejectToken(imagereplicatortest.Token)
	require.Equal(t, http.StatusUnauthorized, call(t, server, http.MethodGet, jobs, "").status)
}

func application(id, secret string) string {
	return `{"auth": {"identity": {"methods": ["application_credential"], "application_credential": {"id": "` + id + `", "secret": "` + secret + `"}}}}`
}

func TestKeystoneRefusals(t *testing.T) {
	server := start(t)
	good := login(server, imagereplicatortest.TenantID)
	for body, want := range map[string]int{
		`{}`: http.StatusBadRequest,
		strings.ReplaceAll(good, server.APISecret, "wrong"):                        http.StatusUnauthorized,
		strings.ReplaceAll(good, server.APIKey, "wrong"):                           http.StatusUnauthorized,
		strings.ReplaceAll(good, imagereplicatortest.TenantID, "nowhere"):          http.StatusUnauthorized,
		strings.ReplaceAll(good, `["password"]`, `["oauth1"]`):                     http.StatusUnauthorized,
		strings.ReplaceAll(good, `"id": "default"`, `"id": "other"`):               http.StatusUnauthorized,
		`{"auth": {"identity": {"methods": ["token"], "token": {"id": "wrong"}}}}`: http.StatusUnauthorized,
		application(server.ApplicationCredentialID, "wrong"):                       http.StatusUnauthorized,
		application("wrong", server.ApplicationCredentialSecret):                   http.StatusNotFound,
	} {
		got := call(t, server, http.MethodPost, "/v3/auth/tokens", body)
		require.Equal(t, want, got.status, body)
		require.Equal(t, want == http.StatusUnauthorized, got.header.Get("WWW-Authenticate") != "")
		require.Contains(t, got.body, `{"error":{"code":`)
	}
	require.Zero(t, server.TokensIssued())
}

func TestCredentialsOfOptions(t *testing.T) {
	server := start(t, imagereplicatortest.WithAPIKey("k1", "s1"), imagereplicatortest.WithApplicationCredential("a1", "s2"),
		imagereplicatortest.WithStaticTokens("t1", "t2"))
	require.Equal(t, []string{"k1", "s1", "a1", "s2"},
		[]string{server.APIKey, server.APISecret, server.ApplicationCredentialID, server.ApplicationCredentialSecret})
	other := start(t)
	for body, want := range map[string]int{
		login(server, imagereplicatortest.TenantID):                                   http.StatusCreated,
		application("a1", "s2"):                                                       http.StatusCreated,
		login(other, imagereplicatortest.TenantID):                                    http.StatusUnauthorized,
		application(other.ApplicationCredentialID, other.ApplicationCredentialSecret): http.StatusNotFound,
	} {
		require.Equal(t, want, call(t, server, http.MethodPost, "/v3/auth/tokens", body).status, body)
	}
	for token, want := range map[string]int{
		"t1": http.StatusOK, "t2": http.StatusOK, imagereplicatortest.Token: http.StatusUnauthorized,
	} {
		require.Equal(t, want, call(t, server, http.MethodGet, jobs, "", "X-Auth-Token: "+token).status, token)
	}
}
