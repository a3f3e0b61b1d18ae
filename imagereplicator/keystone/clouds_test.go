package keystone_test

import (
	"net/http"
	"os"
	"path/filepath"
	"testing"

	"github.com/jarcoal/httpmock"
	"github.com/stretchr/testify/require"

	"github.com/imagejobs/imagejobs-go/imagereplicator"
	"github.com/imagejobs/imagejobs-go/imagereplicator/imagereplicatortest"
	"github.com/imagejobs/imagejobs-go/imagereplicator/keystone"
)

// cloudsYAML writes the files and has them found.
func cloudsYAML(t *testing.T, public, secure string) {
	t.Helper()
	for _, name := range []string{"OS_CACERT", "OS_CERT", "OS_KEY", "OS_INTERFACE", "OS_REGION_NAME"} {
		t.Setenv(name, "")
	}
	dir := t.TempDir()
	require.NoError(t, os.WriteFile(filepath.Join(dir, "clouds.yaml"), []byte(public), 0o600))
	if secure != "" {
		require.NoError(t, os.WriteFile(filepath.Join(dir, "secure.yaml"), []byte(secure), 0o600))
	}
	t.Setenv("OS_CLIENT_CONFIG_FILE", filepath.Join(dir, "clouds.yaml"))
}

func TestFromCloud(t *testing.T) {
	server := imagereplicatortest.NewServer()
	defer server.Close()
	cloudsYAML(t, `
clouds:
  studio:
    region_name: ot2
    auth:
      auth_url: `+server.AuthURL+`
      username: `+server.APIKey+`
      user_domain_id: default
      project_id: `+imagereplicatortest.TenantID+`
  app:
    region_name: ot1
    auth_type: v3applicationcredential
    auth:
      auth_url: `+server.AuthURL+`
      application_credential_id: `+server.ApplicationCredentialID+`
      application_credential_secret: `+server.ApplicationCredentialSecret+`
`, `
clouds:
  studio:
    auth:
      password: `+server.APISecret+`
`)
	for _, name := range []string{"studio", "app"} {
		o, err := keystone.FromCloud(name)
		require.NoError(t, err)
		require.Nil(t, o.HTTPClient)
		o.HTTPClient = &http.Client{Transport: &http.Transport{DisableKeepAlives: true}}
		_, endpoint, err := keystone.New(t.Context(), o)
		require.NoError(t, err)
		require.Equal(t, server.URL, endpoint)
	}
	require.Equal(t, 2, server.Processed(imagereplicatortest.OpIssueToken))

	t.Setenv("OS_CLOUD", "studio")
	o, err := keystone.FromEnv()
	require.NoError(t, err)
	require.Equal(t, "ot2", o.Region)
	t.Setenv("OS_REGION_NAME", "ot1")
	o, err = keystone.FromEnv()
	require.NoError(t, err)
	require.Equal(t, "ot1", o.Region)
}

// The fields of Options go before those of the file.
func TestFromCloudForAnotherTenant(t *testing.T) {
	cloudsYAML(t, "clouds: {studio: {region_name: jp1, auth: {auth_url: '"+authURL+"', username: key, password: "+secret+", project_name: p, user_domain_id: default}}}", "")
	o, err := keystone.FromCloud("studio")
	require.NoError(t, err)
	mock := httpmock.NewMockTransport()
	var got *http.Request
	var body string
	mock.RegisterResponder(http.MethodPost, tokensURL, recorded(issued(t, http.StatusCreated), &got, &body))
	o.HTTPClient = &http.Client{Transport: mock}
	o.TenantID = tenant
	_, _, err = keystone.New(t.Context(), o)
	require.NoError(t, err)
	require.Contains(t, body, `"scope":{"project":{"id":"`+tenant+`"}}`)
}

func TestFromCloudIsSent(t *testing.T) {
	for name, test := range map[string]struct{ auth, sent string }{
		"a domain for each": {
			"username: u, password: " + secret + ", project_name: p, user_domain_name: UDom, project_domain_name: PDom",
			passwordLogin(`"name": "u", "domain": {"name": "UDom"}`, `"name": "p", "domain": {"name": "PDom"}`),
		},
		"ids before names": {
			"username: u, password: " + secret + ", project_name: p, user_domain_name: UDom, user_domain_id: ud, " +
				"project_domain_name: PDom, project_domain_id: pd",
			passwordLogin(`"name": "u", "domain": {"id": "ud"}`, `"name": "p", "domain": {"id": "pd"}`),
		},
		"project id": {
			"username: u, password: " + secret + ", project_name: p, project_id: pid, user_domain_name: UDom, project_domain_name: PDom",
			passwordLogin(`"name": "u", "domain": {"name": "UDom"}`, `"id": "pid"`),
		},
		"no domain": {
			"username: u, password: " + secret + ", project_name: p",
			passwordLogin(`"name": "u", "domain": {"id": "default"}`, `"name": "p", "domain": {"id": "default"}`),
		},
		"user id": {
			"username: u, user_id: uid, password: " + secret + ", project_name: p, user_domain_name: UDom, project_domain_name: PDom",
			passwordLogin(`"id": "uid"`, `"name": "p", "domain": {"name": "PDom"}`),
		},
		"token": {
			"token: " + secret + ", username: u, user_domain_name: UDom, project_name: p, project_domain_name: PDom",
			`{"auth": {"identity": {"methods": ["token"], "token": {"id": "` + secret + `"}},
				"scope": {"project": {"name": "p", "domain": {"name": "PDom"}}}}}`,
		},
	} {
		t.Run(name, func(t *testing.T) {
			cloudsYAML(t, "clouds: {studio: {auth: {auth_url: '"+authURL+"', "+test.auth+"}}}", "")
			o, err := keystone.FromCloud("studio")
			require.NoError(t, err)
			require.JSONEq(t, test.sent, sent(t, o))
		})
	}
}

// A cloud without a section of credentials is an error, not a crash.
func TestFromCloudWithoutAuth(t *testing.T) {
	cloudsYAML(t, "clouds: {studio: {region_name: jp1}}", "")
	_, err := keystone.FromCloud("studio")
	require.EqualError(t, err, `keystone: FromCloud: cloud "studio" has no auth`)
	require.ErrorIs(t, err, imagereplicator.ErrInvalidArgument)
}

func TestFromCloudErrors(t *testing.T) {
	cloudsYAML(t, "clouds: {studio: {auth: "+secret+"}}", "")
	_, err := keystone.FromCloud("studio")
	require.ErrorIs(t, err, imagereplicator.ErrInvalidArgument)
	require.ErrorContains(t, err, "keystone: FromCloud: yaml: unmarshal errors")
	require.NotContains(t, err.Error(), secret[:5])

	_, err = keystone.FromCloud("")
	require.EqualError(t, err, "keystone: FromCloud: name: must not be empty")
	cloudsYAML(t, "clouds: {}", "")
	_, err = keystone.FromCloud("studio")
	require.ErrorContains(t, err, `cloud "studio" not found`)
}

func TestFromCloudTLS(t *testing.T) {
	cloudsYAML(t, "clouds: {studio: {verify: false, auth: {auth_url: '"+authURL+"'}}}", "")
	o, err := keystone.FromCloud("studio")
	require.NoError(t, err)
	transport, ok := o.HTTPClient.Transport.(*http.Transport)
	require.True(t, ok)
	require.True(t, transport.TLSClientConfig.InsecureSkipVerify)
	require.EqualValues(t, 0x0303, transport.TLSClientConfig.MinVersion)
}
