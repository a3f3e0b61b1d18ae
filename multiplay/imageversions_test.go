package multiplay_test

import (
	"math"
	"net/url"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/imagejobs/imagejobs-go/multiplay"
)

func TestImageVersions(t *testing.T) {
	created := &multiplay.ImageVersionStatus{ImageVersionID: 31, Job: multiplay.Job{
		State: multiplay.JobCreated, StateID: 1, Created: unix(1700000000), Updated: unix(1700000000),
	}}
	create := func(name string, req *multiplay.CreateImageVersionRequest, query url.Values) call {
		return call{
			name: name, path: "/cfp/v1/imageversion/create", query: query, fixture: "version.json", want: created,
			do: func(c *multiplay.Client) (any, error) { return c.ImageVersions.Create(t.Context(), req) },
		}
	}
	run(t, []call{
		create("least", &multiplay.CreateImageVersionRequest{DiffID: 1234}, url.Values{"diffid": {"1234"}, "restart": {"0"}}),
		create("most", &multiplay.CreateImageVersionRequest{
			DiffID: 1234, Restart: true, Full: true, Force: true, GameBuild: "1.2", InstallAt: unix(1700000000),
			DisableTimeout: 90 * time.Minute, DisablePercentage: 12.345,
		}, url.Values{
			"diffid": {"1234"}, "restart": {"1"}, "full": {"1"}, "force": {"1"}, "game_build": {"1.2"}, "install_at": {"1700000000"},
			"disable_timeout": {"90"}, "disable_percentage": {"12.35"},
		}),
		create("now", &multiplay.CreateImageVersionRequest{DiffID: 1234, InstallNow: true, DisableTimeout: time.Minute}, url.Values{
			"diffid": {"1234"}, "restart": {"0"}, "install_at": {"NOW()"}, "disable_timeout": {"1"}, "disable_percentage": {"0.00"},
		}),
		{
			name: "status", path: "/cfp/v1/imageversion/31/status", fixture: "version.json", want: created,
			do: func(c *multiplay.Client) (any, error) { return c.ImageVersions.Status(t.Context(), 31) },
		},
	})
	require.Equal(t, created, roundTrip(t, created))
}

func TestImageVersionRequestIsChecked(t *testing.T) {
	client, mock := mockClient(t)
	for field, req := range map[string]*multiplay.CreateImageVersionRequest{
		"DiffID":            {},
		"InstallNow":        {DiffID: 1, InstallNow: true, InstallAt: unix(1700000000)},
		"InstallAt":         {DiffID: 1, InstallAt: unix(-1)},
		"DisableTimeout":    {DiffID: 1, DisableTimeout: 90 * time.Second},
		"DisablePercentage": {DiffID: 1, DisablePercentage: 5},
	} {
		_, err := client.ImageVersions.Create(t.Context(), req)
		require.ErrorIs(t, err, multiplay.ErrInvalidArgument)
		require.ErrorContains(t, err, "multiplay: CreateImageVersionRequest."+field+": ")
	}
	for _, percentage := range []float64{-1, 100.1, math.NaN(), math.Inf(1)} {
		_, err := client.ImageVersions.Create(t.Context(), &multiplay.CreateImageVersionRequest{
			DiffID: 1, DisableTimeout: time.Minute, DisablePercentage: percentage,
		})
		require.ErrorContains(t, err, "multiplay: CreateImageVersionRequest.DisablePercentage: must be 0 to 100")
	}
	require.Zero(t, mock.GetTotalCallCount())
}
