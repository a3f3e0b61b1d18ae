package keystone_test

import (
	"net/http"
	"testing"

	"github.com/gophercloud/gophercloud/v2/openstack/image/v2/images"
	"github.com/jarcoal/httpmock"
	"github.com/stretchr/testify/require"

	"github.com/imagejobs/imagejobs-go/imagereplicator"
	"github.com/imagejobs/imagejobs-go/imagereplicator/keystone"
)

func TestRegions(t *testing.T) {
	mock := httpmock.NewMockTransport()
	mock.RegisterResponder(http.MethodPost, tokensURL, issued(t, http.StatusCreated))
	o := options(mock)
	o.Region = "JP4"
	_, endpoint, err := logIn(t.Context(), o)
	require.NoError(t, err)
	require.Equal(t, "https://glance-jp4-ecl.api.ntt.com", endpoint)

	const has = "the service catalog has the image endpoints jp1 internal http://10.0.0.1:9292, " +
		"jp1 public https://glance-jp1-ecl.api.ntt.com/, JP4 public https://glance-jp4-ecl.api.ntt.com"
	const instead = "or set Options.Endpoint (image_endpoint_override, OS_IMAGE_ENDPOINT_OVERRIDE)"
	const one, none = `[{"type": "image", "endpoints": [`, `[{"type": "compute", "endpoints": [{"interface": "public", "url": "https://nova.example.com"}]}]`
	for name, test := range map[string]struct {
		region, kind, catalog string
		want                  string
	}{
		"another region": {"us1", "", "", `Options.Region: there is no public endpoint in region "us1"; ` + has + "; choose one of these regions, " + instead},
		"no region":      {"", "", "", "Options.Region: must not be empty; " + has + "; choose one of these regions, " + instead},
		"no such kind":   {"jp1", "admin", "", "Options.Interface: there is no admin endpoint; " + has + "; choose one of these interfaces, " + instead},
		"plain http": {"jp1", "internal", "", "Options.Endpoint: must be set, since that of the service catalog, http://10.0.0.1:9292, cannot be used: " +
			"must be https, because plain http would send the credentials unencrypted; Options.InsecureHTTP permits that in a trusted network"},
		"no catalog":     {"jp1", "", `[]`, "Options.Endpoint: must not be empty: the service catalog has no image endpoints for this tenant"},
		"no image there": {"jp1", "", none, "Options.Endpoint: must not be empty: the service catalog has no image endpoints for this tenant"},
		"several": {"jp1", "", one + `{"interface": "public", "region": "jp1", "url": "https://a.example.com"}, {"interface": "public", "region": "jp1", "url": "https://b.example.com"}]}]`,
			"Options.Endpoint: must not be empty; the service catalog has the image endpoints jp1 public https://a.example.com, jp1 public https://b.example.com; more than one of them matches"},
		"regions by id": {"", "", one + `{"interface": "public", "region_id": "jp1", "url": "https://a.example.com"}, {"interface": "public", "region": null, "region_id": "jp2", "url": "https://b.example.com"}]}]`,
			"Options.Region: must not be empty; the service catalog has the image endpoints jp1 public https://a.example.com, jp2 public https://b.example.com; choose one of these regions, " + instead},
		"a password": {"", "", one + `{"interface": "public", "region": "jp1", "url": "https://user:pass@w@a.example.com"}]}]`,
			"Options.Endpoint: must be set, since that of the service catalog, https://REDACTED@a.example.com, cannot be used: must not contain user info"},
		"a password among several": {"jp2", "", one + `{"interface": "public", "region": "jp1", "url": "https://user:pass@a.example.com"}]}]`,
			`Options.Region: there is no public endpoint in region "jp2"; the service catalog has the image endpoints jp1 public https://REDACTED@a.example.com; choose one of these regions, ` + instead},
	} {
		t.Run(name, func(t *testing.T) {
			mock := httpmock.NewMockTransport()
			mock.RegisterResponder(http.MethodPost, tokensURL, issued(t, http.StatusCreated))
			if test.catalog != "" {
				mock.RegisterResponder(http.MethodPost, tokensURL, catalog(test.catalog))
			}
			o := options(mock)
			o.Region, o.Interface = test.region, test.kind
			session, err := keystone.New(t.Context(), o)
			require.NoError(t, err, "the tokens can be used")
			require.Equal(t, token, sentToken(t, session.TokenSource()))
			endpoint, err := session.Endpoint()
			require.Empty(t, endpoint)
			require.EqualError(t, err, "imagereplicator: keystone."+test.want)
			require.ErrorIs(t, err, imagereplicator.ErrInvalidArgument)
			_, again := session.Client()
			require.Equal(t, err, again)
			_, again = session.ImageService()
			require.Equal(t, err, again)

			o.Endpoint = "https://other.example.com/v2/"
			_, endpoint, err = logIn(t.Context(), o)
			require.NoError(t, err)
			require.Equal(t, "https://other.example.com", endpoint)
		})
	}
}

// catalog responds to a login with a token of that catalog that never expires.
func catalog(services string) httpmock.Responder {
	return httpmock.NewStringResponder(http.StatusCreated, `{"token": {"expires_at": null, "catalog": `+services+`}}`).
		HeaderSet(http.Header{"X-Subject-Token": {token}})
}

// However the catalog spells the endpoint, the paths are the documented ones.
func TestEndpointVersions(t *testing.T) {
	for url, want := range map[string]string{
		"https://glance.example.com":                "https://glance.example.com",
		"https://glance.example.com/":               "https://glance.example.com",
		"https://glance.example.com/v1":             "https://glance.example.com",
		"https://glance.example.com/v2":             "https://glance.example.com",
		"https://glance.example.com/v2/":            "https://glance.example.com",
		"https://glance.example.com/v2.0":           "https://glance.example.com",
		"https://cloud.example.com/dev1/image/v2.0": "https://cloud.example.com/dev1/image",
		"https://cloud.example.com/dev1":            "https://cloud.example.com/dev1",
		" https://glance.example.com/v2/ ":          "https://glance.example.com", //nolint:gocritic // as a catalog has it
	} {
		mock := httpmock.NewMockTransport()
		mock.RegisterResponder(http.MethodPost, tokensURL, catalog(`[{"type": "image", "endpoints": [{"interface": "public", "url": "`+url+`"}]}]`))
		mock.RegisterResponder(http.MethodGet, want+"/v2/extension/image_replicator/jobs", httpmock.NewStringResponder(http.StatusOK, "[]"))
		mock.RegisterResponder(http.MethodGet, want+"/v2/images/i", httpmock.NewStringResponder(http.StatusOK, `{"id": "i"}`))
		o := options(mock)
		o.Region = ""
		session, err := keystone.New(t.Context(), o)
		require.NoError(t, err)
		client, err := session.Client()
		require.NoError(t, err)
		_, err = client.Jobs.List(t.Context())
		require.NoError(t, err, url)
		service, err := session.ImageService()
		require.NoError(t, err)
		image, err := images.Get(t.Context(), service, "i").Extract()
		require.NoError(t, err, url)
		require.Equal(t, "i", image.ID)
	}
}

func TestInterfaces(t *testing.T) {
	const services = `[{"type": "image", "endpoints": [
		{"interface": "public", "region": "jp1", "url": "https://public.example.com"},
		{"interface": "internal", "region": "jp1", "url": "https://internal.example.com"},
		{"interface": "admin", "region": "jp1", "url": "https://admin.example.com"}]}]`
	for kind, want := range map[string]string{
		"": "public", "public": "public", "publicURL": "public", "internal": "internal", "internalURL": "internal", "admin": "admin", "adminURL": "admin",
	} {
		mock := httpmock.NewMockTransport()
		mock.RegisterResponder(http.MethodPost, tokensURL, catalog(services))
		o := options(mock)
		o.Interface = kind
		_, endpoint, err := logIn(t.Context(), o)
		require.NoError(t, err)
		require.Equal(t, "https://"+want+".example.com", endpoint)
	}
}
