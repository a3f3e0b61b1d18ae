//go:build linux

package keystone_test

import (
	"net/http"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/imagejobs/imagejobs-go/imagereplicator"
	"github.com/imagejobs/imagejobs-go/imagereplicator/imagereplicatortest"
	"github.com/imagejobs/imagejobs-go/imagereplicator/keystone"
)

func (c *cloud) testEndpoints(t *testing.T) {
	for name, test := range map[string]struct {
		region, kind, endpoint string
		want                   string
	}{
		"public by default":         {"RegionOne", "", "", "/dev1/image"},
		"public":                    {"RegionOne", "publicURL", "", "/dev1/image"},
		"internal":                  {"RegionOne", "internal", "", "/dev1/internal/image"},
		"internal, the only region": {"", "internalURL", "", "/dev1/internal/image"},
		"another region":            {"RegionTwo", "public", "", "/dev2/image"},
		"one of several":            {"RegionThree", "public", c.front.URL + "/dev3/other/v1/", "/dev3/other"},
		"whatever the catalog has":  {"", "admin", c.front.URL + "/dev1/image/v2", "/dev1/image"},
	} {
		t.Run(name, func(t *testing.T) {
			o := c.options(test.region)
			o.Interface, o.Endpoint = test.kind, test.endpoint
			header, err := c.use(t, o)
			require.NoError(t, err)
			require.Equal(t, test.want, header.Get("X-Forwarded-Prefix"))
		})
	}
}

func (c *cloud) testConfiguredEndpoints(t *testing.T) {
	const internal, two, other = "/dev1/internal/image", "/dev2/image", "/dev3/other"
	for name, test := range map[string]struct {
		env  env
		want string
	}{
		"interface":     {env{"OS_INTERFACE": "internal"}, internal},
		"endpoint type": {env{"OS_ENDPOINT_TYPE": "internalURL"}, internal},
		"region":        {env{"OS_REGION_NAME": "RegionTwo"}, two},
		"endpoint":      {env{"OS_IMAGE_ENDPOINT_OVERRIDE": c.front.URL + "/dev3/other/v1", "OS_REGION_NAME": ""}, other},
	} {
		t.Run(name, func(t *testing.T) {
			c.env(test.env).set(t)
			header, err := c.fromEnv(t)
			require.NoError(t, err)
			require.Equal(t, test.want, header.Get("X-Forwarded-Prefix"))
		})
	}
	for name, test := range map[string]struct {
		settings string
		env      env
		want     string
	}{
		"cloud's interface":                   {"region_name: RegionOne, interface: internal", nil, internal},
		"cloud's endpoint type":               {"region_name: RegionOne, endpoint_type: internalURL", nil, internal},
		"cloud's interface, but the variable": {"region_name: RegionOne, interface: admin", env{"OS_INTERFACE": "internal"}, internal},
		"cloud's region":                      {"region_name: RegionTwo", nil, two},
		"cloud's endpoint":                    {"image_endpoint_override: '" + c.front.URL + "/dev3/other/v2.0'", nil, other},
	} {
		t.Run(name, func(t *testing.T) {
			c.cloudsYAML(t, "cacert: '"+c.file+"', "+test.settings, test.env)
			header, err := c.fromEnv(t)
			require.NoError(t, err)
			require.Equal(t, test.want, header.Get("X-Forwarded-Prefix"))
		})
	}
}

// Without exactly one endpoint there is a list of those that the catalog has.
func (c *cloud) testNoEndpoint(t *testing.T) {
	for name, test := range map[string]struct {
		region, kind string
		want         string
	}{
		"region missing": {"", "public", "keystone.Options.Region: must not be empty"},
		"no such region": {"RegionFour", "public", `keystone.Options.Region: there is no public endpoint in region "RegionFour"`},
		"not there":      {"RegionTwo", "internal", `keystone.Options.Region: there is no internal endpoint in region "RegionTwo"`},
		"no such kind":   {"RegionOne", "admin", "keystone.Options.Interface: there is no admin endpoint"},
		"several":        {"RegionThree", "public", "keystone.Options.Endpoint: must not be empty"},
	} {
		t.Run(name, func(t *testing.T) {
			o := c.options(test.region)
			o.Interface = test.kind
			s, err := keystone.New(t.Context(), o)
			require.NoError(t, err)
			_, err = s.Client()
			require.ErrorIs(t, err, imagereplicator.ErrInvalidArgument)
			require.ErrorContains(t, err, test.want)
			for _, e := range endpoints {
				require.ErrorContains(t, err, e.region+" "+e.kind+" "+c.front.URL+e.path)
			}
			c.tokensWork(t, s)
		})
	}
}

// tokensWork checks that a session without an endpoint has usable tokens.
func (c *cloud) tokensWork(t *testing.T, s *keystone.Session) {
	t.Helper()
	client, err := imagereplicator.New(c.front.URL+"/dev1/image", s.TokenSource(), imagereplicator.WithHTTPClient(c.http))
	require.NoError(t, err)
	_, err = client.Jobs.Get(t.Context(), imagereplicatortest.JobID)
	require.NoError(t, err)
}

func (c *cloud) testNoImageService(t *testing.T) {
	const want = "the service catalog has no image endpoints for this tenant"
	noEndpoint := func(o keystone.Options) {
		t.Helper()
		s, err := keystone.New(t.Context(), o)
		require.NoError(t, err)
		_, err = s.Endpoint()
		require.ErrorContains(t, err, want)
		c.tokensWork(t, s)
	}
	noEndpoint(keystone.Options{AuthURL: c.identity(), Credentials: keystone.Token(c.userToken(t, "")), HTTPClient: c.http}) // of no tenant

	admin := c.adminToken(t)
	c.api(t, http.MethodPatch, "/services/"+c.service, admin, `{"service": {"enabled": false}}`)
	defer c.api(t, http.MethodPatch, "/services/"+c.service, admin, `{"service": {"enabled": true}}`)
	noEndpoint(c.options("RegionOne"))
}
