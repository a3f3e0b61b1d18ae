package keystone_test

import (
	"net/http"
	"sync"
	"testing"
	"time"

	"github.com/gophercloud/gophercloud/v2"
	"github.com/gophercloud/gophercloud/v2/openstack"
	"github.com/stretchr/testify/require"

	"github.com/imagejobs/imagejobs-go/imagereplicator"
	"github.com/imagejobs/imagejobs-go/imagereplicator/imagereplicatortest"
	"github.com/imagejobs/imagejobs-go/imagereplicator/keystone"
	"github.com/imagejobs/imagejobs-go/internal/emulator"
)

// The whole way: log in, copy to three tenants at once, cancel one, wait for
// all, list them. Over sockets, with a token that the service refuses midway.
func TestCopyToThreeTenants(t *testing.T) {
	clock := emulator.NewManualClock(time.Now())
	server := imagereplicatortest.NewServer(imagereplicatortest.WithClock(clock.Now))
	defer server.Close()
	transport := &http.Transport{}
	defer transport.CloseIdleConnections()
	ctx := t.Context()

	for name, options := range map[string]keystone.Options{
		"API key":                {Credentials: keystone.APIKey(server.APIKey, server.APISecret), TenantID: imagereplicatortest.TenantID},
		"application credential": {Credentials: keystone.ApplicationCredential(server.ApplicationCredentialID, server.ApplicationCredentialSecret)},
	} {
		t.Run(name, func(t *testing.T) {
			options.AuthURL = server.AuthURL
			options.Region = imagereplicatortest.Region
			options.HTTPClient = &http.Client{Transport: transport}
			session, err := keystone.New(ctx, options)
			require.NoError(t, err)
			client, err := session.Client()
			require.NoError(t, err)

			tenants := []string{imagereplicatortest.DestinationTenantID, imagereplicatortest.ThirdTenantID, imagereplicatortest.FourthTenantID}
			ids := make([]string, len(tenants))
			var copies sync.WaitGroup
			for i, tenant := range tenants {
				copies.Go(func() {
					var err error
					ids[i], err = client.Jobs.Create(ctx, &imagereplicator.CreateJobRequest{
						ImageID: imagereplicatortest.OtherImageID, DestinationTenantID: tenant,
					})
					if err != nil {
						t.Error(err)
					}
				})
			}
			copies.Wait()
			require.NoError(t, client.Jobs.Cancel(ctx, ids[2]))
			before := server.TokensIssued()
			server.ExpireTokens()

			ended := make([]*imagereplicator.Job, len(ids))
			failed := make([]error, len(ids))
			for i, id := range ids {
				copies.Go(func() {
					ended[i], failed[i] = client.Jobs.Wait(ctx, id, imagereplicator.WithPollInterval(10*time.Millisecond, 20*time.Millisecond))
				})
			}
			clock.Advance(time.Minute) // nothing ends before
			copies.Wait()
			for i, region := range []string{"ot2", "ot3"} {
				require.NoError(t, failed[i])
				require.Equal(t, imagereplicator.StatusReplicated, ended[i].Status)
				require.Equal(t, region, ended[i].DestinationRegionID)
			}
			state := new(imagereplicator.StateError)
			require.ErrorAs(t, failed[2], &state)
			require.Equal(t, imagereplicator.StatusCanceled, state.Status)
			require.Equal(t, before+1, server.TokensIssued())

			jobs, err := client.Jobs.List(ctx)
			require.NoError(t, err)
			status := map[string]imagereplicator.Status{}
			for _, job := range jobs {
				status[job.ID] = job.Status
			}
			require.Equal(t, imagereplicator.StatusReplicated, status[ids[0]])
			require.Equal(t, imagereplicator.StatusReplicated, status[ids[1]])
			require.Equal(t, imagereplicator.StatusCanceled, status[ids[2]])
			require.Equal(t, imagereplicator.StatusCancelRequested, status[imagereplicatortest.JobID])
		})
	}
}

// A program may have a gophercloud client of its own.
func TestProviderTokensOfGophercloud(t *testing.T) {
	server := imagereplicatortest.NewServer()
	defer server.Close()
	provider, err := openstack.NewClient(server.AuthURL)
	require.NoError(t, err)
	provider.HTTPClient = http.Client{Transport: &http.Transport{DisableKeepAlives: true}}
	require.NoError(t, openstack.Authenticate(t.Context(), provider, gophercloud.AuthOptions{
		IdentityEndpoint: server.AuthURL,
		Username:         server.APIKey,
		Password:         server.APISecret,
		DomainID:         "default",
		TenantID:         imagereplicatortest.TenantID,
		AllowReauth:      true,
	}))
	for _, lent := range []imagereplicator.Provider{provider, &gophercloud.ServiceClient{ProviderClient: provider}} {
		client, err := imagereplicator.New(server.URL, imagereplicator.ProviderTokens(lent),
			imagereplicator.WithHTTPClient(&provider.HTTPClient))
		require.NoError(t, err)
		before := server.TokensIssued()
		_, err = client.Jobs.List(t.Context())
		require.NoError(t, err)
		require.Equal(t, before, server.TokensIssued())
		server.ExpireTokens()
		_, err = client.Jobs.List(t.Context())
		require.NoError(t, err)
		require.Equal(t, before+1, server.TokensIssued())
	}
}
