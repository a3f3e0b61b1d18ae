//go:build linux

package keystone_test

import (
	"context"
	"net/http"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"golang.org/x/sync/errgroup"

	"github.com/imagejobs/imagejobs-go/imagereplicator"
	"github.com/imagejobs/imagejobs-go/imagereplicator/imagereplicatortest"
	"github.com/imagejobs/imagejobs-go/imagereplicator/keystone"
)

// soon is how often a job is polled.
const soon = 100 * time.Millisecond

// session logs in and returns a client beside the session.
func session(t *testing.T, o keystone.Options) (*keystone.Session, *imagereplicator.Client) {
	t.Helper()
	s, err := keystone.New(t.Context(), o)
	require.NoError(t, err)
	client, err := s.Client()
	require.NoError(t, err)
	return s, client
}

// loginsOf returns how many tokens are requested while f runs.
func (c *cloud) loginsOf(f func()) int64 {
	before := c.logins.Load()
	f()
	return c.logins.Load() - before
}

// A wait that takes longer than tokens live requests one after the other, but not
// one for each poll.
func (c *cloud) testExpiringTokens(t *testing.T) {
	before := len(c.images.Requests())
	logins := c.loginsOf(func() {
		o, first := c.options("RegionOne"), c.logins.Load()
		o.AuthURL = c.shortLived()
		s, client := session(t, o)
		id, err := client.Jobs.Create(t.Context(), &imagereplicator.CreateJobRequest{
			ImageID: imagereplicatortest.ImageID, DestinationTenantID: imagereplicatortest.DestinationTenantID,
		})
		require.NoError(t, err)
		client, err = s.Client(imagereplicator.WithObserver(func(context.Context, imagereplicator.Attempt) {
			if c.logins.Load() >= first+3 {
				c.images.SetStatus(id, imagereplicator.StatusReplicated)
			}
		}))
		require.NoError(t, err)
		ctx, cancel := context.WithTimeout(t.Context(), limit/2)
		defer cancel()
		_, err = client.Jobs.Wait(ctx, id, imagereplicator.WithPollInterval(soon, soon))
		require.NoError(t, err)
	})
	var polls, refused int64
	for _, r := range c.images.Requests()[before:] {
		switch r.Status {
		case http.StatusOK:
			polls++
		case http.StatusUnauthorized:
			refused++
		}
	}
	t.Logf("%d logins, %d polls, %d tokens found expired", logins, polls, refused)
	require.GreaterOrEqual(t, logins, int64(3))
	require.Less(t, logins, polls)
	// Dates and the ends of tokens are whole seconds.
	require.LessOrEqual(t, refused, logins)
	require.Equal(t, 1, c.images.Processed(imagereplicatortest.OpCreate))
}

// However many find that a token was revoked, one login follows.
func (c *cloud) testRevokedToken(t *testing.T) {
	s, client := session(t, c.options("RegionOne"))
	other, err := s.Client()
	require.NoError(t, err)
	get := func(client *imagereplicator.Client) error {
		_, err := client.Jobs.Get(t.Context(), imagereplicatortest.JobID)
		return err
	}
	require.NoError(t, get(client))
	require.NoError(t, get(other))

	c.revoke(t, s.Provider().Token())
	require.EqualValues(t, 1, c.loginsOf(func() {
		var group errgroup.Group
		for _, client := range []*imagereplicator.Client{client, other, client, other} {
			group.Go(func() error { return get(client) })
		}
		require.NoError(t, group.Wait())
	}))
	c.revoke(t, s.Provider().Token())
	require.EqualValues(t, 1, c.loginsOf(func() {
		require.NoError(t, list(t, s))
		require.NoError(t, get(client))
		require.NoError(t, get(other))
	}))
}

// Where there is no new token, the call fails at once and with the reason.
func (c *cloud) testDeletedCredential(t *testing.T) {
	id := c.application(t, "leaked")
	o := keystone.Options{
		AuthURL: c.identity(), Credentials: keystone.ApplicationCredential(id, appSecret),
		Region: "RegionOne", HTTPClient: c.http,
	}
	_, client := session(t, o)
	c.api(t, http.MethodDelete, "/users/"+c.user+"/application_credentials/"+id, c.userToken(t, c.project), "")
	require.EqualValues(t, 1, c.loginsOf(func() {
		_, err := client.Jobs.Get(t.Context(), imagereplicatortest.JobID)
		require.ErrorIs(t, err, imagereplicator.ErrUnauthorized)
		require.NotErrorIs(t, err, imagereplicator.ErrNotFound, "the job is there")
		require.ErrorContains(t, err, "Could not find Application Credential")
	}))

	token := c.userToken(t, c.project)
	_, client = session(t, keystone.Options{AuthURL: c.identity(), Credentials: keystone.Token(token), Region: "RegionOne", HTTPClient: c.http})
	c.revoke(t, token)
	_, err := client.Jobs.Get(t.Context(), imagereplicatortest.JobID)
	require.ErrorIs(t, err, imagereplicator.ErrUnauthorized)
}
