//go:build linux

package keystone_test

import (
	"cmp"
	"net/http"
	"testing"

	"github.com/gophercloud/gophercloud/v2"
	"github.com/stretchr/testify/require"

	"github.com/imagejobs/imagejobs-go/imagereplicator"
	"github.com/imagejobs/imagejobs-go/imagereplicator/keystone"
)

func (c *cloud) testLogins(t *testing.T) {
	root := c.front.URL + "/dev1/identity"
	byName := keystone.Options{AuthURL: root, TenantID: c.project, Credentials: keystone.AuthOptions(
		gophercloud.AuthOptions{Username: "builder", Password: userPassword, DomainName: "games"})}
	byID := keystone.Options{AuthURL: root + "/", TenantID: c.project, Credentials: keystone.AuthOptions(
		gophercloud.AuthOptions{UserID: c.user, Password: userPassword})}
	for name, o := range map[string]keystone.Options{
		"API key":                   {AuthURL: c.identity(), Credentials: keystone.APIKey("admin", adminPassword), TenantID: c.adminProject},
		"API key of another domain": byName,
		"user id":                   byID,
		"application credential":    {AuthURL: c.identity() + "/", Credentials: keystone.ApplicationCredential(c.app, appSecret+"\n")},
		"token":                     {AuthURL: c.identity() + "/auth/tokens", Credentials: keystone.Token(c.userToken(t, c.project) + "\n")},
		"token for another tenant":  {AuthURL: c.identity(), Credentials: keystone.Token(c.userToken(t, "")), TenantID: c.project},
	} {
		t.Run(name, func(t *testing.T) {
			o.HTTPClient, o.Region = c.http, "RegionOne"
			_, err := c.use(t, o)
			require.NoError(t, err)
		})
	}
}

func (c *cloud) testLoginsFromEnv(t *testing.T) {
	for name, e := range map[string]env{
		"names": {
			"OS_USERNAME": "builder", "OS_USER_DOMAIN_NAME": "games", "OS_PASSWORD": userPassword,
			"OS_PROJECT_NAME": "studio", "OS_PROJECT_DOMAIN_NAME": "games", "OS_AUTH_TYPE": "password",
		},
		"names in the default domain": {"OS_USERNAME": "admin", "OS_PASSWORD": adminPassword, "OS_PROJECT_NAME": "admin"},
		"ids":                         {"OS_USER_ID": c.user, "OS_PASSWORD": userPassword, "OS_PROJECT_ID": c.project},
		"application credential": {
			"OS_APPLICATION_CREDENTIAL_ID": c.app, "OS_APPLICATION_CREDENTIAL_SECRET": appSecret, "OS_AUTH_TYPE": "v3applicationcredential",
		},
		"application credential's name": {
			"OS_USERNAME": "builder", "OS_USER_DOMAIN_NAME": "games",
			"OS_APPLICATION_CREDENTIAL_NAME": "ci", "OS_APPLICATION_CREDENTIAL_SECRET": appSecret,
		},
		"token": {"OS_TOKEN": c.userToken(t, c.project)},
		"token of a user for a tenant": {
			"OS_TOKEN": c.userToken(t, ""), "OS_USERNAME": "builder", "OS_USER_DOMAIN_NAME": "games",
			"OS_PROJECT_NAME": "studio", "OS_PROJECT_DOMAIN_NAME": "games",
		},
	} {
		t.Run(name, func(t *testing.T) {
			e["OS_AUTH_URL"], e["OS_CACERT"], e["OS_REGION_NAME"] = c.identity(), c.file, "RegionOne"
			e.set(t)
			_, err := c.fromEnv(t)
			require.NoError(t, err)
		})
	}
}

func (c *cloud) testRefusedLogins(t *testing.T) {
	for name, test := range map[string]struct {
		options keystone.Options
		status  int
	}{
		"wrong API secret":               {keystone.Options{Credentials: keystone.APIKey("admin", userPassword), TenantID: c.adminProject}, http.StatusUnauthorized},
		"unknown API key":                {keystone.Options{Credentials: keystone.APIKey("nimda", userPassword), TenantID: c.adminProject}, http.StatusUnauthorized},
		"unknown tenant":                 {keystone.Options{Credentials: keystone.APIKey("admin", adminPassword), TenantID: c.user}, http.StatusUnauthorized},
		"wrong application secret":       {keystone.Options{Credentials: keystone.ApplicationCredential(c.app, userPassword)}, http.StatusUnauthorized},
		"unknown application credential": {keystone.Options{Credentials: keystone.ApplicationCredential(c.user, userPassword)}, http.StatusNotFound},
		"unknown token":                  {keystone.Options{Credentials: keystone.Token(userPassword)}, http.StatusUnauthorized},
		"wrong path":                     {keystone.Options{Credentials: keystone.Token(userPassword), AuthURL: c.front.URL + "/identity/v3"}, http.StatusNotFound},
	} {
		t.Run(name, func(t *testing.T) {
			o := test.options
			o.AuthURL, o.HTTPClient = cmp.Or(o.AuthURL, c.identity()), c.http
			_, err := keystone.New(t.Context(), o)
			var refused *imagereplicator.Error
			require.ErrorAs(t, err, &refused)
			require.Equal(t, test.status, refused.StatusCode)
			require.Equal(t, 1, refused.Attempts)
			require.NotContains(t, err.Error(), userPassword)
			require.NotContains(t, err.Error(), adminPassword)
		})
	}
}
