//go:build linux

package keystone_test

import (
	"maps"
	"net/http"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/imagejobs/imagejobs-go/imagereplicator"
)

// What is configured of TLS counts for Keystone, our client and gophercloud's.
// Options.HTTPClient is what the other tests use.
func (c *cloud) testTLS(t *testing.T) {
	other := newAuthority(t)
	cert, key := files(t, c.issue(t, "builder"))
	for name, test := range map[string]struct {
		env      env    // besides an authority
		settings string // of the same meaning in clouds.yaml
		client   string // who the client is to the server
		trusted  bool
	}{
		"nothing":           {env{}, "", "", false},
		"authority":         {env{"OS_CACERT": c.file}, ", cacert: '" + c.file + "'", "", true},
		"another authority": {env{"OS_CACERT": other.file}, ", cacert: '" + other.file + "'", "", false},
		"no verification":   {env{"OS_INSECURE": "true"}, ", verify: false", "", true},
		"verification":      {env{"OS_INSECURE": "false"}, ", verify: true", "", false},
		"client certificate": {
			env{"OS_CACERT": c.file, "OS_CERT": cert, "OS_KEY": key},
			", cacert: '" + c.file + "', cert: '" + cert + "', key: '" + key + "'", "builder", true,
		},
	} {
		t.Run(name, func(t *testing.T) {
			check := func(header http.Header, err error) {
				t.Helper()
				if test.trusted {
					require.NoError(t, err)
					require.Equal(t, test.client, header.Get("X-Client"))
					return
				}
				var failed *imagereplicator.Error
				require.ErrorAs(t, err, &failed)
				require.Equal(t, 1, failed.Attempts)
				require.ErrorContains(t, err, "certificate signed by unknown authority")
			}
			e := c.env(env{"OS_CACERT": ""})
			maps.Copy(e, test.env)
			e.set(t)
			check(c.fromEnv(t))
			c.cloudsYAML(t, "region_name: RegionOne"+test.settings, nil)
			check(c.fromEnv(t))
		})
	}
}
