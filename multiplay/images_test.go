package multiplay_test

import (
	"net/http"
	"net/url"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/imagejobs/imagejobs-go/multiplay"
)

func TestImages(t *testing.T) {
	image := &multiplay.Image{
		ImageID: 1249, Active: true, Path: "/images/1249", LatestVersionID: 31, GameVersionID: 1250,
		CreatedBy: 1, UpdatedBy: 2, CreatedAt: unix(1700000000), UpdatedAt: unix(1700000000),
	}
	counts := multiplay.MachineCounts{Pending: 1, Failed: 2, Completed: 3}
	rollout := &multiplay.RolloutStatus{
		MachineCounts: counts,
		Fleets: map[string]multiplay.FleetRollout{
			"f1": {MachineCounts: counts, Regions: map[string]multiplay.RegionRollout{"r1": {Name: "Europe", MachineCounts: counts}}},
			"f2": {},
		},
	}
	setActive := func(active bool) func(c *multiplay.Client) (any, error) {
		return func(c *multiplay.Client) (any, error) { return c.Images.SetActive(t.Context(), 1249, active) }
	}
	run(t, []call{
		{
			name: "activate", path: "/cfp/v1/image/1249/update", query: url.Values{"active": {"1"}}, fixture: "image.json",
			do: setActive(true), want: image,
		},
		{
			name: "deactivate", path: "/cfp/v1/image/1249/update", query: url.Values{"active": {"0"}}, fixture: "image.json",
			do: setActive(false), want: image,
		},
		{
			name: "rollout", path: "/cfp/v2/project/1337/image/1249/status", fixture: "rollout.json",
			do:   func(c *multiplay.Client) (any, error) { return c.Images.RolloutStatus(t.Context(), 1249, nil) },
			want: rollout,
		},
		{
			name: "rollout in detail", path: "/cfp/v2/project/1337/image/1249/status", fixture: "rollout.json",
			query: url.Values{"detail": {"true"}},
			do: func(c *multiplay.Client) (any, error) {
				return c.Images.RolloutStatus(t.Context(), 1249, &multiplay.RolloutStatusOptions{Detail: true})
			},
			want: rollout,
		},
	})
	require.Equal(t, image, roundTrip(t, image))

	require.Equal(t, rollout, roundTrip(t, rollout))

	client, mock := mockClient(t)
	mock.RegisterResponder("GET", base+"/cfp/v1/image/7/update", respondWith(`{"active":0,"imageid":"7"}`))
	flat, err := client.Images.SetActive(t.Context(), 7, false) // as the table of the document has it
	require.NoError(t, err)
	require.Equal(t, &multiplay.Image{ImageID: 7}, flat)

	// Before there was failed_machines.
	mock.RegisterResponder("GET", base+"/cfp/v2/project/1337/image/7/status",
		respondWith(`{"pending_machines":1,"completed_machines":2,"fleets":[]}`))
	old, err := client.Images.RolloutStatus(t.Context(), 7, nil)
	require.NoError(t, err)
	require.Equal(t, &multiplay.RolloutStatus{MachineCounts: multiplay.MachineCounts{Pending: 1, Completed: 2}}, old)
}

func TestImageOptions(t *testing.T) {
	client, mock := mockClient(t)
	var query url.Values
	mock.RegisterResponder("GET", base+"/cfp/v1/image/options", func(r *http.Request) (*http.Response, error) {
		query = r.URL.Query()
		return respondWith(fixture(t, "image_options.json"))(r)
	})

	var last multiplay.Attempt
	options, err := client.Images.Options(multiplay.CaptureAttempt(multiplay.CaptureAttempt(t.Context(), &last), nil), nil)
	require.Equal(t, http.StatusOK, last.StatusCode, "of any call")
	require.NoError(t, err)
	require.Equal(t, url.Values{"accountserviceid": {"1337"}}, query)
	require.Equal(t, int64(218595), options.DiffID)
	require.Equal(t, int64(4711), options.UpdateID)
	require.Equal(t, []multiplay.GameOption{{GameID: 77, Name: "Test game"}}, options.Games)
	require.Equal(t, []multiplay.ImageOption{{ImageID: 1249, Name: "Test image", GameVersionID: "1250"}}, options.Images)
	require.Equal(t, []multiplay.MachineOption{{MachineID: 95394, Name: "build-1"}}, options.Machines)

	show(options)
	show(*options)
	require.Equal(t, "s3://UPDATEKEY:updatesecret%2F1@bucket/folder/", options.UpdateURL.Reveal())
	stored := roundTrip(t, options)
	require.True(t, stored.UpdateURL.IsZero())
	stored.UpdateURL = options.UpdateURL
	require.Equal(t, options.Games, stored.Games)

	_, err = client.Images.Options(t.Context(), &multiplay.ImageOptionsRequest{GameID: 77, ImageID: 1249, GameVersionIdentifier: "v1"})
	require.NoError(t, err)
	require.Equal(t, url.Values{
		"accountserviceid": {"1337"}, "gameid": {"77"}, "imageid": {"1249"}, "gameversion_identifier": {"v1"},
	}, query)

	for field, req := range map[string]*multiplay.ImageOptionsRequest{
		"GameID":                {ImageID: 1},
		"GameVersionIdentifier": {GameVersionIdentifier: "v1"},
		"ImageID":               {GameID: 1, ImageID: -1},
	} {
		_, err := client.Images.Options(t.Context(), req)
		require.ErrorIs(t, err, multiplay.ErrInvalidArgument)
		require.ErrorContains(t, err, "multiplay: ImageOptionsRequest."+field+": ")
	}
}

// A broken response may hold the update_url as well.
func TestBrokenImageOptionsAreNotShown(t *testing.T) {
	client, mock := mockClient(t)
	mock.RegisterResponder("GET", base+"/cfp/v1/image/options",
		respondWith(`{"update_url":"s3://UPDATEKEY:updatesecret%2F1@bucket/"`))
	_, err := client.Images.Options(t.Context(), nil)
	failed := requireAs[*multiplay.Error](t, err)
	require.Empty(t, failed.Body)
	require.Equal(t, 3, failed.Attempts)
}
