//go:build linux

package keystone_test

import (
	"context"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/imagejobs/imagejobs-go/imagereplicator/imagereplicatortest"
	"github.com/imagejobs/imagejobs-go/imagereplicator/keystone"
)

func TestKeystone(t *testing.T) {
	requireProgram(t)
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	c := newCloud(ctx, t)
	t.Run("Logins", c.testLogins)
}

func (c *cloud) testLogins(t *testing.T) {
	for name, o := range map[string]keystone.Options{
		"API key": {APIKey: "admin", APISecret: adminPassword, TenantID: c.adminProject},
	} {
		t.Run(name, func(t *testing.T) {
			o.AuthURL, o.HTTPClient, o.Region = c.identity(), c.http, "RegionOne"
			s, err := keystone.New(t.Context(), o)
			require.NoError(t, err)
			client, err := s.Client()
			require.NoError(t, err)
			job, err := client.Jobs.Get(t.Context(), imagereplicatortest.JobID)
			require.NoError(t, err)
			require.NotNil(t, job)
		})
	}
}
