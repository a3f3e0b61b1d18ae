package keystone_test

import (
	"net/http"
	"strings"
	"testing"

	"github.com/jarcoal/httpmock"
	"github.com/stretchr/testify/require"

	"github.com/imagejobs/imagejobs-go/imagereplicator"
	"github.com/imagejobs/imagejobs-go/imagereplicator/imagereplicatortest"
	"github.com/imagejobs/imagejobs-go/imagereplicator/keystone"
)

// environment sets what OpenStack programs read to these values alone.
func environment(t *testing.T, values map[string]string) {
	t.Helper()
	for _, name := range []string{
		"OS_CLOUD", "OS_AUTH_URL", "OS_USERNAME", "OS_USERID", "OS_USER_ID", "OS_PASSWORD", "OS_PASSCODE", "OS_TOKEN",
		"OS_PROJECT_ID", "OS_PROJECT_NAME", "OS_TENANT_ID", "OS_TENANT_NAME", "OS_PROJECT_DOMAIN_ID", "OS_PROJECT_DOMAIN_NAME",
		"OS_USER_DOMAIN_ID", "OS_USER_DOMAIN_NAME", "OS_DOMAIN_ID", "OS_DOMAIN_NAME", "OS_DEFAULT_DOMAIN",
		"OS_REGION_NAME", "OS_SYSTEM_SCOPE", "OS_INTERFACE", "OS_ENDPOINT_TYPE", "OS_IMAGE_ENDPOINT_OVERRIDE", "OS_AUTH_TYPE",
		"OS_CACERT", "OS_CERT", "OS_KEY", "OS_INSECURE",
		"OS_APPLICATION_CREDENTIAL_ID", "OS_APPLICATION_CREDENTIAL_NAME", "OS_APPLICATION_CREDENTIAL_SECRET",
	} {
		t.Setenv(name, values[name])
	}
}

func TestFromEnv(t *testing.T) {
	environment(t, nil)
	_, err := keystone.FromEnv()
	require.ErrorIs(t, err, imagereplicator.ErrInvalidArgument)
	require.ErrorContains(t, err, "OS_AUTH_URL")

	server := imagereplicatortest.NewServer()
	defer server.Close()
	for _, line := range server.Env() {
		name, value, _ := strings.Cut(line, "=")
		t.Setenv(name, value)
	}
	o, err := keystone.FromEnv()
	require.NoError(t, err)
	transport := &http.Transport{DisableKeepAlives: true}
	o.HTTPClient = &http.Client{Transport: transport}
	tokens, endpoint, err := logIn(t.Context(), o)
	require.NoError(t, err)
	require.Equal(t, server.URL, endpoint)
	require.NotEmpty(t, sentToken(t, tokens))

	t.Setenv("OS_PASSWORD", "")
	_, err = keystone.FromEnv()
	require.ErrorContains(t, err, "OS_PASSWORD")
}

// sent returns the body of the login that the options lead to.
func sent(t *testing.T, o keystone.Options) string {
	t.Helper()
	mock := httpmock.NewMockTransport()
	var got *http.Request
	var body string
	mock.RegisterResponder(http.MethodPost, tokensURL, recorded(issued(t, http.StatusCreated), &got, &body))
	o.HTTPClient, o.Region = &http.Client{Transport: mock}, "jp1"
	_, _, err := logIn(t.Context(), o)
	require.NoError(t, err)
	return body
}

// passwordLogin returns a login by password; user and project are what differs.
func passwordLogin(user, project string) string {
	return `{"auth": {"identity": {"methods": ["password"], "password": {"user": {` + user + `, "password": "` + secret + `"}}},
		"scope": {"project": {` + project + `}}}}`
}

func TestFromEnvIsSent(t *testing.T) {
	type env map[string]string
	for name, test := range map[string]struct {
		env  env
		sent string
	}{
		"domain of the user": {
			env{"OS_USERNAME": "u", "OS_PASSWORD": secret, "OS_PROJECT_ID": "pid", "OS_USER_DOMAIN_NAME": "UDom"},
			passwordLogin(`"name": "u", "domain": {"name": "UDom"}`, `"id": "pid"`),
		},
		"the usual file": {
			env{
				"OS_USERNAME": "u", "OS_PASSWORD": secret, "OS_PROJECT_NAME": "p",
				"OS_USER_DOMAIN_NAME": "UDom", "OS_PROJECT_DOMAIN_NAME": "PDom",
			},
			passwordLogin(`"name": "u", "domain": {"name": "UDom"}`, `"name": "p", "domain": {"name": "PDom"}`),
		},
		"the file of the dashboard": {
			env{
				"OS_USERNAME": "u", "OS_PASSWORD": secret, "OS_PROJECT_ID": "pid", "OS_PROJECT_NAME": "p",
				"OS_USER_DOMAIN_NAME": "UDom", "OS_PROJECT_DOMAIN_ID": "pd",
			},
			passwordLogin(`"name": "u", "domain": {"name": "UDom"}`, `"id": "pid"`),
		},
		"ids before names": {
			env{
				"OS_USERNAME": "u", "OS_PASSWORD": secret, "OS_TENANT_NAME": "p",
				"OS_USER_DOMAIN_NAME": "UDom", "OS_USER_DOMAIN_ID": "ud", "OS_PROJECT_DOMAIN_NAME": "PDom", "OS_PROJECT_DOMAIN_ID": "pd",
			},
			passwordLogin(`"name": "u", "domain": {"id": "ud"}`, `"name": "p", "domain": {"id": "pd"}`),
		},
		"one domain for both": {
			env{"OS_USERNAME": "u", "OS_PASSWORD": secret, "OS_PROJECT_NAME": "p", "OS_DOMAIN_NAME": "Dom"},
			passwordLogin(`"name": "u", "domain": {"name": "Dom"}`, `"name": "p", "domain": {"name": "Dom"}`),
		},
		"a domain of its own before the one for both": {
			env{
				"OS_USERNAME": "u", "OS_PASSWORD": secret, "OS_PROJECT_NAME": "p",
				"OS_DOMAIN_ID": "d", "OS_USER_DOMAIN_NAME": "UDom", "OS_PROJECT_DOMAIN_NAME": "PDom",
			},
			passwordLogin(`"name": "u", "domain": {"name": "UDom"}`, `"name": "p", "domain": {"name": "PDom"}`),
		},
		"default domain": {
			env{"OS_USERNAME": "u", "OS_PASSWORD": secret, "OS_PROJECT_NAME": "p", "OS_USER_DOMAIN_NAME": "UDom", "OS_DEFAULT_DOMAIN": "dd"},
			passwordLogin(`"name": "u", "domain": {"name": "UDom"}`, `"name": "p", "domain": {"id": "dd"}`),
		},
		"no domain": {
			env{"OS_USERNAME": "u", "OS_PASSWORD": secret, "OS_PROJECT_NAME": "p"},
			passwordLogin(`"name": "u", "domain": {"id": "default"}`, `"name": "p", "domain": {"id": "default"}`),
		},
		"user id": {
			env{
				"OS_USER_ID": "uid", "OS_USERNAME": "u", "OS_USER_DOMAIN_NAME": "UDom", "OS_PASSWORD": secret,
				"OS_PROJECT_NAME": "p", "OS_PROJECT_DOMAIN_NAME": "PDom",
			},
			passwordLogin(`"id": "uid"`, `"name": "p", "domain": {"name": "PDom"}`),
		},
		"user id in one word": {
			env{"OS_USERID": "uid", "OS_PASSWORD": secret, "OS_TENANT_ID": "tid"},
			passwordLogin(`"id": "uid"`, `"id": "tid"`),
		},
		"token": {
			env{
				"OS_TOKEN": secret, "OS_USERNAME": "u", "OS_USER_DOMAIN_NAME": "UDom", "OS_PROJECT_NAME": "p", "OS_PROJECT_DOMAIN_NAME": "PDom",
			},
			`{"auth": {"identity": {"methods": ["token"], "token": {"id": "` + secret + `"}},
				"scope": {"project": {"name": "p", "domain": {"name": "PDom"}}}}}`,
		},
		"application credential": {
			env{
				"OS_APPLICATION_CREDENTIAL_ID": "app", "OS_APPLICATION_CREDENTIAL_NAME": "n", "OS_APPLICATION_CREDENTIAL_SECRET": secret,
				"OS_USERNAME": "u", "OS_PROJECT_NAME": "p",
			},
			`{"auth": {"identity": {"methods": ["application_credential"], "application_credential": {"id": "app", "secret": "` + secret + `"}}}}`,
		},
		"application credential by name": {
			env{
				"OS_APPLICATION_CREDENTIAL_NAME": "n", "OS_APPLICATION_CREDENTIAL_SECRET": secret,
				"OS_USERNAME": "u", "OS_USER_DOMAIN_NAME": "UDom",
			},
			`{"auth": {"identity": {"methods": ["application_credential"], "application_credential": {"name": "n", "secret": "` + secret + `",
				"user": {"name": "u", "domain": {"name": "UDom"}}}}}}`,
		},
	} {
		t.Run(name, func(t *testing.T) {
			test.env["OS_AUTH_URL"] = authURL
			environment(t, test.env)
			o, err := keystone.FromEnv()
			require.NoError(t, err)
			require.JSONEq(t, test.sent, sent(t, o))
		})
	}
}

// A token of a tenant already is asked about, not exchanged.
func TestFromEnvWithAToken(t *testing.T) {
	environment(t, map[string]string{"OS_AUTH_URL": authURL, "OS_TOKEN": secret})
	o, err := keystone.FromEnv()
	require.NoError(t, err)
	mock := httpmock.NewMockTransport()
	mock.RegisterResponder(http.MethodGet, tokensURL, issued(t, http.StatusOK))
	o.HTTPClient, o.Region = &http.Client{Transport: mock}, "jp1"
	_, _, err = logIn(t.Context(), o)
	require.NoError(t, err)
}

func TestFromEnvErrors(t *testing.T) {
	type env map[string]string
	for want, values := range map[string]env{
		"OS_USERNAME: must not be empty: there is no OS_TOKEN and no OS_APPLICATION_CREDENTIAL_ID either": {},
		"OS_USERNAME: must not be empty with OS_PASSWORD":                                                 {"OS_PASSWORD": secret},
		"OS_USERNAME: must not be empty with OS_APPLICATION_CREDENTIAL_NAME":                              {"OS_APPLICATION_CREDENTIAL_NAME": "n", "OS_APPLICATION_CREDENTIAL_SECRET": secret},
		"OS_PASSWORD: must not be empty with OS_USERNAME":                                                 {"OS_USERNAME": "u"},
		"OS_PASSWORD: must not be empty with OS_USER_ID":                                                  {"OS_USERID": "u"},
		"OS_APPLICATION_CREDENTIAL_SECRET: must not be empty with an application credential":              {"OS_APPLICATION_CREDENTIAL_ID": "app"},
		"OS_APPLICATION_CREDENTIAL_ID: must not be empty with an application credential's secret": {
			"OS_APPLICATION_CREDENTIAL_SECRET": secret,
		},
		"OS_TOKEN: must not be set together with OS_PASSWORD": {"OS_USERNAME": "u", "OS_PASSWORD": secret, "OS_TOKEN": secret},
		"OS_TOKEN: must not be set together with OS_APPLICATION_CREDENTIAL_ID or _NAME": {
			"OS_TOKEN": secret, "OS_APPLICATION_CREDENTIAL_ID": "app", "OS_APPLICATION_CREDENTIAL_SECRET": secret,
		},
		"OS_PASSWORD: must not be set together with OS_APPLICATION_CREDENTIAL_ID or _NAME": {
			"OS_USERNAME": "u", "OS_PASSWORD": secret, "OS_APPLICATION_CREDENTIAL_ID": "app", "OS_APPLICATION_CREDENTIAL_SECRET": secret,
		},
		`OS_AUTH_TYPE: must not be "v3applicationcredential": the credentials are for password`: {
			"OS_USERNAME": "u", "OS_PASSWORD": secret, "OS_AUTH_TYPE": "v3applicationcredential",
		},
		`OS_AUTH_TYPE: must not be "password": the credentials are for token`: {"OS_TOKEN": secret, "OS_AUTH_TYPE": "password"},
		`OS_AUTH_TYPE: must not be "v3token": the credentials are for v3applicationcredential`: {
			"OS_APPLICATION_CREDENTIAL_ID": "app", "OS_APPLICATION_CREDENTIAL_SECRET": secret, "OS_AUTH_TYPE": "v3token",
		},
		`OS_AUTH_TYPE: must be password, token or v3applicationcredential, not "v3oidcpassword"`: {
			"OS_USERNAME": "u", "OS_PASSWORD": secret, "OS_AUTH_TYPE": "v3oidcpassword",
		},
		`OS_INTERFACE: must be "public", "internal" or "admin", not "intern"`: {"OS_TOKEN": secret, "OS_INTERFACE": "intern"},
		`OS_INSECURE: must be true or false, not "perhaps"`:                   {"OS_TOKEN": secret, "OS_INSECURE": "perhaps"},
		"OS_CACERT: open none.pem: ":                                          {"OS_TOKEN": secret, "OS_CACERT": "none.pem"},
		"OS_CACERT: testdata/token.json has no certificate in PEM form":       {"OS_TOKEN": secret, "OS_CACERT": "testdata/token.json"},
		"OS_KEY: must not be empty with OS_CERT":                              {"OS_TOKEN": secret, "OS_CERT": "c.pem"},
		"OS_CERT: must not be empty with OS_KEY":                              {"OS_TOKEN": secret, "OS_KEY": "k.pem"},
		"OS_CERT: open c.pem: ":                                               {"OS_TOKEN": secret, "OS_CERT": "c.pem", "OS_KEY": "k.pem"},
	} {
		t.Run(want, func(t *testing.T) {
			values["OS_AUTH_URL"] = authURL
			environment(t, values)
			_, err := keystone.FromEnv()
			if strings.HasSuffix(want, ": ") { // and what the system says
				require.ErrorContains(t, err, "imagereplicator: keystone.FromEnv: "+want)
			} else {
				require.EqualError(t, err, "imagereplicator: keystone.FromEnv: "+want)
			}
			require.ErrorIs(t, err, imagereplicator.ErrInvalidArgument)
		})
	}
	environment(t, map[string]string{"OS_USERNAME": "u", "OS_PASSWORD": secret})
	_, err := keystone.FromEnv()
	require.EqualError(t, err, "imagereplicator: keystone.FromEnv: OS_AUTH_URL: must not be empty")

	// The project may come later, in TenantID; without it New says what is missing.
	environment(t, map[string]string{"OS_AUTH_URL": authURL, "OS_USERNAME": "u", "OS_PASSWORD": secret})
	o, err := keystone.FromEnv()
	require.NoError(t, err)
	_, _, err = logIn(t.Context(), o)
	require.ErrorContains(t, err, "keystone.Options.TenantID: must not be empty")
	require.ErrorContains(t, err, "OS_PROJECT_ID")
	o.TenantID = tenant
	require.JSONEq(t, passwordLogin(`"name": "u", "domain": {"id": "default"}`, `"id": "`+tenant+`"`), sent(t, o))
}
