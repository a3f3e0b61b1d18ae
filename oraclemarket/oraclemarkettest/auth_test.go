package oraclemarkettest_test

import (
	"encoding/base64"
	"encoding/json"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/imagejobs/imagejobs-go/oraclemarket/oraclemarkettest"
)

const authenticate = "/appstore/publisher/v1/authenticate"

func basic(id, secret string) string {
	return "Basic " + base64.StdEncoding.EncodeToString([]byte(id+":"+secret))
}

// token logs in and returns the whole response.
func (g *rig) token() map[string]any {
	g.t.Helper()
	got := g.do(http.MethodGet, authenticate, nil, "Authorization", basic(g.ClientID, g.ClientSecret), "X-Oracle-UserId", "")
	require.Equal(g.t, http.StatusOK, got.status, got.body)
	var response map[string]any
	require.NoError(g.t, json.Unmarshal([]byte(got.body), &response))
	return response
}

func (g *rig) bearer() string {
	g.t.Helper()
	token, _ := g.token()["access_token"].(string)
	return "Bearer " + token
}

// status returns the status of a list call with these headers.
func (g *rig) status(headers ...string) int {
	g.t.Helper()
	return g.do(http.MethodGet, images, nil, headers...).status
}

func TestAuthenticate(t *testing.T) {
	g := newRig(t)
	response := g.token()
	token, _ := response["access_token"].(string)
	delete(response, "access_token")
	require.Equal(t, map[string]any{
		"oracle_client_assertion_type": "urn:ietf:params:oauth:client-assertion-type:jwt-bearer",
		"expires_in":                   604800.0,
		"oracle_tk_context":            "client_assertion",
	}, response)

	parts := strings.Split(token, ".")
	require.Len(t, parts, 3)
	claims, err := base64.RawURLEncoding.DecodeString(parts[1])
	require.NoError(t, err)
	var decoded map[string]any
	require.NoError(t, json.Unmarshal(claims, &decoded))
	require.Equal(t, g.ClientID, decoded["sub"])
	require.Equal(t, "ocmcompute", decoded["iss"])
	require.Equal(t, []any{g.URL + "/appstore/marketplace", g.URL + "/appstore/publisher"}, decoded["aud"])
	require.InDelta(t, start.Unix(), decoded["iat"], 0)
	require.InDelta(t, start.Unix()+604800, decoded["exp"], 0)

	require.Equal(t, http.StatusOK, g.status("Authorization", "Bearer "+token))
	require.Equal(t, http.StatusOK, g.status("Authorization", "bearer "+token))
	require.NotEqual(t, "Bearer "+token, g.bearer())
	require.Equal(t, 2, g.TokensIssued())

	for _, header := range []string{"", "Bearer x", basic(g.ClientID, "x"), basic("x", g.ClientSecret)} {
		g.wantError(401, "client id or secret is wrong", http.MethodGet, authenticate, nil, "Authorization", header)
	}
	require.Equal(t, 2, g.TokensIssued())
	require.Equal(t, 2, g.Processed(oraclemarkettest.OpAuthenticate))
}

func TestOAMToken(t *testing.T) {
	g := newRig(t)
	login := basic(g.ClientID, g.ClientSecret)
	const path, domain = "/oam/oauth2/tokens", "X-USER-IDENTITY-DOMAIN-NAME"
	for _, query := range []string{"", "?grant_type=client_credentials"} {
		got := g.do(http.MethodPost, path+query, nil, "Authorization", login, domain, "usoracle30650", "Content-Type", "application/x-www-form-urlencoded; charset=UTF-8")
		require.Equal(t, http.StatusOK, got.status, got.body)
		var response map[string]any
		require.NoError(t, json.Unmarshal([]byte(got.body), &response))
		require.Equal(t, http.StatusOK, g.status("Authorization", "Bearer "+response["access_token"].(string)))
	}
	form := []string{"Authorization", login, domain, "x", "Content-Type", "application/x-www-form-urlencoded"}
	require.Equal(t, http.StatusOK, g.do(http.MethodPost, path, strings.NewReader("grant_type=client_credentials"), form...).status)
	g.wantError(400, "grant_type", http.MethodPost, path, strings.NewReader("grant_type=password"), form...)
	g.wantError(400, "cannot be read", http.MethodPost, path, strings.NewReader("grant_type=%zz"), form...)
	g.wantError(400, "X-USER-IDENTITY-DOMAIN-NAME", http.MethodPost, path, nil, "Authorization", login)
	g.wantError(401, "client id or secret", http.MethodPost, path, nil, domain, "x")
	require.Equal(t, 3, g.Processed(oraclemarkettest.OpOAMToken))
}

func TestAdmission(t *testing.T) {
	g := newRig(t)
	require.Equal(t, http.StatusOK, g.status())
	require.Equal(t, http.StatusOK, g.status("X-Oracle-UserId", g.User))
	g.wantError(401, "names no user of this account", http.MethodGet, images, nil, "X-Oracle-UserId", "anybody")
	g.wantError(401, "X-Oracle-UserId header is missing", http.MethodGet, images, nil, "X-Oracle-UserId", "")
	g.wantError(401, "no bearer token", http.MethodGet, images, nil, "Authorization", "")
	g.wantError(401, "no bearer token", http.MethodGet, images, nil, "Authorization", basic(g.ClientID, g.ClientSecret))
	g.wantError(401, "unknown or has expired", http.MethodGet, images, nil, "Authorization", "Bearer nonsense")
	require.Equal(t, http.StatusUnauthorized, g.do(http.MethodPost, images, strings.NewReader("x"), "Authorization", "Bearer x").status)
	require.Equal(t, http.StatusUnauthorized, g.do(http.MethodGet, ruby, nil, "Authorization", "Bearer x").status)
	require.Equal(t, http.StatusUnauthorized, g.do(http.MethodHead, at(1), nil, "Authorization", "Bearer x").status)
}

func TestAccept(t *testing.T) {
	g := newRig(t)
	for accept, want := range map[string]int{
		"*/*": 200, "application/json": 200, "application/*;q=0.5": 200, "application/xml, application/json;q=0.1": 200,
		"text/html, */*;q=0.1": 200, "application/xml": 406, "application/json;q=0, application/xml": 406, "text/*": 406, ";": 406,
	} {
		require.Equal(t, want, g.status("Accept", accept), accept)
	}
	g.wantError(406, "sends only application/json", http.MethodGet, images, nil, "Accept", "application/xml;qs=.5")
}

func TestTokenExpiry(t *testing.T) {
	g := newRig(t, oraclemarkettest.WithTokenLifetime(time.Hour))
	first := g.bearer()
	require.InDelta(t, 3600, g.token()["expires_in"], 0)
	g.clock.Advance(time.Hour - time.Second)
	second := g.bearer()
	require.Equal(t, http.StatusOK, g.status("Authorization", first))
	g.clock.Advance(time.Second)
	require.Equal(t, http.StatusUnauthorized, g.status("Authorization", first))
	require.Equal(t, http.StatusOK, g.status("Authorization", second))

	third := g.bearer()
	g.RejectToken(strings.TrimPrefix(second, "Bearer "))
	require.Equal(t, http.StatusUnauthorized, g.status("Authorization", second))
	require.Equal(t, http.StatusOK, g.status("Authorization", third))
	g.ExpireTokens()
	require.Equal(t, http.StatusUnauthorized, g.status("Authorization", third))
	require.Equal(t, http.StatusOK, g.status("Authorization", g.bearer()))

	require.Equal(t, http.StatusOK, g.status("Authorization", "Bearer "+g.Token))
	g.RejectToken(g.Token)
	require.Equal(t, http.StatusUnauthorized, g.status("Authorization", "Bearer "+g.Token))
}

func TestCredentialOptions(t *testing.T) {
	g := newRig(t, oraclemarkettest.WithStaticTokens("a", "b"), oraclemarkettest.WithUsers("me", "you"),
		oraclemarkettest.WithClientCredentials("id", "secret"))
	require.Equal(t, []string{"a", "me", "id", "secret"}, []string{g.Token, g.User, g.ClientID, g.ClientSecret})
	require.Equal(t, http.StatusOK, g.status("Authorization", "Bearer b", "X-Oracle-UserId", "you"))
	require.Equal(t, http.StatusUnauthorized, g.status("Authorization", "Bearer Access-token", "X-Oracle-UserId", "you"))
	g.wantError(401, "names no user", http.MethodGet, images, nil, "Authorization", "Bearer b")
	require.Equal(t, http.StatusOK, g.status("Authorization", g.bearer(), "X-Oracle-UserId", "me"))

	none := newRig(t, oraclemarkettest.WithStaticTokens())
	require.Empty(t, none.Token)
	require.Equal(t, http.StatusUnauthorized, none.status())
	require.Equal(t, http.StatusOK, none.status("Authorization", none.bearer()))
}
