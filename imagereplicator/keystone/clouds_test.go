package keystone_test

import (
	"cmp"
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

// cloudsYAML writes the files where they are found.
func cloudsYAML(t *testing.T, public, secure string) {
	t.Helper()
	environment(t, nil)
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
		_, endpoint, err := logIn(t.Context(), o)
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

// The fields of Options take precedence over the file.
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
	_, _, err = logIn(t.Context(), o)
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
	require.EqualError(t, err, `imagereplicator: keystone.FromCloud: cloud "studio": it has no auth`)
	require.ErrorIs(t, err, imagereplicator.ErrInvalidArgument)
}

func TestFromCloudErrors(t *testing.T) {
	cloudsYAML(t, "clouds: {studio: {auth: "+secret+"}}", "")
	_, err := keystone.FromCloud("studio")
	require.ErrorIs(t, err, imagereplicator.ErrInvalidArgument)
	require.ErrorContains(t, err, `keystone.FromCloud: cloud "studio": yaml: unmarshal errors`)
	require.NotContains(t, err.Error(), secret[:5])

	_, err = keystone.FromCloud("")
	require.EqualError(t, err, "imagereplicator: keystone.FromCloud: name: must not be empty")
	cloudsYAML(t, "clouds: {}", "")
	_, err = keystone.FromCloud("studio")
	require.ErrorContains(t, err, `cloud "studio" not found`)
}

// What gophercloud's parser keeps to itself.
func TestFromCloudEndpoint(t *testing.T) {
	for name, test := range map[string]struct {
		public, secure     string
		auth               string // a token's, if empty
		env                map[string]string
		kind, endpoint     string
		region, wantsError string
	}{
		"nothing":                       {kind: "public"},
		"interface":                     {public: "interface: internal, ", kind: "internal"},
		"endpoint_type":                 {public: "endpoint_type: adminURL, ", kind: "admin"},
		"both":                          {public: "endpoint_type: internal, interface: admin, ", kind: "internal"},
		"OS_INTERFACE":                  {public: "interface: internal, ", env: map[string]string{"OS_INTERFACE": "admin"}, kind: "admin"},
		"wrong interface":               {public: "interface: intern, ", wantsError: `FromCloud: interface: must be "public", "internal" or "admin", not "intern"`},
		"override":                      {public: "image_endpoint_override: 'https://a.example.com', ", kind: "public", endpoint: "https://a.example.com"},
		"override in secure":            {secure: "clouds: {studio: {image_endpoint_override: 'https://b.example.com'}}", kind: "public", endpoint: "https://b.example.com"},
		"override by OS":                {public: "image_endpoint_override: 'https://a.example.com', ", env: map[string]string{"OS_IMAGE_ENDPOINT_OVERRIDE": "https://c.example.com"}, kind: "public", endpoint: "https://c.example.com"},
		"auth_type that fits":           {public: "auth_type: v3token, ", kind: "public"},
		"auth_type left over":           {public: "auth_type: v3applicationcredential, ", wantsError: `FromCloud: auth_type: must not be "v3applicationcredential": the credentials are for token`},
		"auth_type of what comes later": {public: "auth_type: v3applicationcredential, ", auth: "auth_url: '" + authURL + "'", kind: "public"},
		"two credentials": {
			auth:       "auth_url: '" + authURL + "', token: " + secret + ", username: u, password: " + secret,
			wantsError: "FromCloud: auth: must have only one of the credentials for password and token",
		},
		"region of OS": {public: "region_name: jp1, ", env: map[string]string{"OS_REGION_NAME": "jp2"}, kind: "public", region: "jp2"},
	} {
		t.Run(name, func(t *testing.T) {
			cloudsYAML(t, "\ufeffclouds: {studio: {"+test.public+"auth: {"+cmp.Or(test.auth, "auth_url: '"+authURL+"', token: "+secret)+"}}}", test.secure)
			for name, value := range test.env {
				t.Setenv(name, value)
			}
			o, err := keystone.FromCloud("studio")
			if test.wantsError != "" {
				require.EqualError(t, err, "imagereplicator: keystone."+test.wantsError)
				require.ErrorIs(t, err, imagereplicator.ErrInvalidArgument)
				return
			}
			require.NoError(t, err)
			require.Equal(t, test.kind, o.Interface)
			require.Equal(t, test.endpoint, o.Endpoint)
			require.Equal(t, test.region, o.Region)
		})
	}
}

func TestCloudsFileIsFound(t *testing.T) {
	environment(t, nil)
	t.Setenv("OS_CLIENT_CONFIG_FILE", "")
	home := t.TempDir()
	t.Setenv("HOME", home)
	t.Setenv("USERPROFILE", home) // on Windows
	t.Setenv("XDG_CONFIG_HOME", "")
	write := func(folder, endpoint string) {
		require.NoError(t, os.MkdirAll(folder, 0o700))
		require.NoError(t, os.WriteFile(filepath.Join(folder, "clouds.yaml"),
			[]byte("clouds: {studio: {image_endpoint_override: '"+endpoint+"', auth: {auth_url: '"+authURL+"', token: t}}}"), 0o600))
	}
	read := func() string {
		o, err := keystone.FromCloud("studio")
		require.NoError(t, err)
		return o.Endpoint
	}
	t.Chdir(t.TempDir())
	write(filepath.Join(home, ".config", "openstack"), "https://home.example.com")
	require.Equal(t, "https://home.example.com", read())
	t.Setenv("XDG_CONFIG_HOME", filepath.Join(home, "xdg"))
	write(filepath.Join(home, "xdg", "openstack"), "https://xdg.example.com")
	require.Equal(t, "https://xdg.example.com", read())
	write(".", "https://here.example.com")
	require.Equal(t, "https://here.example.com", read())
}
