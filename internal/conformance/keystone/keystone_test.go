//go:build linux

package keystone_test

import (
	"maps"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/gophercloud/gophercloud/v2"
	"github.com/stretchr/testify/require"

	"github.com/imagejobs/imagejobs-go/imagereplicator/imagereplicatortest"
	"github.com/imagejobs/imagejobs-go/imagereplicator/keystone"
)

func TestKeystone(t *testing.T) {
	requireKeystone(t)
	c := newCloud(t)
	t.Run("Logins", c.testLogins)
	t.Run("LoginsFromEnv", c.testLoginsFromEnv)
	t.Run("RefusedLogins", c.testRefusedLogins)
	t.Run("Endpoints", c.testEndpoints)
	t.Run("ConfiguredEndpoints", c.testConfiguredEndpoints)
	t.Run("NoEndpoint", c.testNoEndpoint)
	t.Run("NoImageService", c.testNoImageService)
	t.Run("TLS", c.testTLS)
	t.Run("ExpiringTokens", c.testExpiringTokens)
	t.Run("RevokedToken", c.testRevokedToken)
	t.Run("DeletedCredential", c.testDeletedCredential)
}

// env is what OpenStack programs read from the environment.
type env map[string]string

// set sets these variables and no others.
func (e env) set(t *testing.T) {
	t.Helper()
	for _, line := range os.Environ() {
		if name, _, _ := strings.Cut(line, "="); strings.HasPrefix(name, "OS_") {
			t.Setenv(name, "")
		}
	}
	for name, value := range e {
		t.Setenv(name, value)
	}
}

// env returns what logs in, changed by more.
func (c *cloud) env(more env) env {
	all := env{
		"OS_AUTH_URL": c.identity(), "OS_REGION_NAME": "RegionOne", "OS_CACERT": c.file,
		"OS_USER_ID": c.user, "OS_PASSWORD": userPassword, "OS_PROJECT_ID": c.project,
	}
	maps.Copy(all, more)
	return all
}

// cloudsYAML makes a cloud "studio" with these settings the only one. Its
// password is in a file of its own. More is set beside it.
func (c *cloud) cloudsYAML(t *testing.T, settings string, more env) {
	t.Helper()
	folder := t.TempDir()
	write := func(name, studio string) string {
		file := filepath.Join(folder, name)
		require.NoError(t, os.WriteFile(file, []byte("clouds: {studio: {"+studio+"}}"), 0o600))
		return file
	}
	file := write("clouds.yaml", settings+", auth: {auth_url: '"+c.identity()+"', username: builder, user_domain_name: games, "+
		"project_name: studio, project_domain_name: games}")
	write("secure.yaml", "auth: {password: "+userPassword+"}")
	all := env{"OS_CLOUD": "studio", "OS_CLIENT_CONFIG_FILE": file}
	maps.Copy(all, more)
	all.set(t)
}

// options returns what logs in, in a region.
func (c *cloud) options(region string) keystone.Options {
	return keystone.Options{
		AuthURL: c.identity(), TenantID: c.project, Region: region, HTTPClient: c.http,
		Credentials: keystone.AuthOptions(gophercloud.AuthOptions{UserID: c.user, Password: userPassword}),
	}
}

// fromEnv does what use does with the options of the environment.
func (c *cloud) fromEnv(t *testing.T) (http.Header, error) {
	t.Helper()
	o, err := keystone.FromEnv()
	require.NoError(t, err)
	if o.HTTPClient != nil {
		defer o.HTTPClient.CloseIdleConnections()
	}
	return c.use(t, o)
}

// use logs in and sends a request to the image service, with our client and with
// gophercloud's. It returns the header that arrived there.
func (c *cloud) use(t *testing.T, o keystone.Options) (http.Header, error) {
	t.Helper()
	s, err := keystone.New(t.Context(), o)
	if err != nil {
		return nil, err
	}
	client, err := s.Client()
	if err != nil {
		return nil, err
	}
	_, err = client.Jobs.Get(t.Context(), imagereplicatortest.JobID)
	require.NoError(t, err)
	arrived := c.arrived()
	require.NoError(t, list(t, s))
	require.Equal(t, arrived.Get("X-Forwarded-Prefix"), c.arrived().Get("X-Forwarded-Prefix"))
	return arrived, nil
}

// arrived returns the header of the newest request at the image service.
func (c *cloud) arrived() http.Header {
	all := c.images.Requests()
	return all[len(all)-1].Header
}

// list requests the list of jobs with gophercloud.
func list(t *testing.T, s *keystone.Session) error {
	t.Helper()
	service, err := s.ImageService()
	require.NoError(t, err)
	var jobs []any
	_, err = service.Get(t.Context(), service.ServiceURL("extension", "image_replicator", "jobs"), &jobs, nil)
	return err
}
