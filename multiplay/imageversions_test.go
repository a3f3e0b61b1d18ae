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
		create("least", &multiplay.CreateImageVersionRequest{DiffID: 1234}, url.Values{
			"diffid": {"1234"}, "restart": {"0"}, "install_at": {"NOW()"},
		}),
		create("manual", &multiplay.CreateImageVersionRequest{DiffID: 1234, Install: multiplay.InstallManual}, url.Values{
			"diffid": {"1234"}, "restart": {"0"},
		}),
		create("most", &multiplay.CreateImageVersionRequest{
			DiffID: 1234, Restart: true, Full: true, Force: true, GameBuild: "1.2", InstallAt: unix(1700000000),
			DisableTimeout: 90 * time.Minute, DisablePercentage: 12.345,
		}, url.Values{
			"diffid": {"1234"}, "restart": {"1"}, "full": {"1"}, "force": {"1"}, "game_build": {"1.2"}, "install_at": {"1700000000"},
			"disable_timeout": {"90"}, "disable_percentage": {"12.35"},
		}),
		create("now", &multiplay.CreateImageVersionRequest{
			DiffID: 1234, Install: multiplay.InstallNow, DisableTimeout: time.Minute, DisablePercentage: 0.01,
		}, url.Values{
			"diffid": {"1234"}, "restart": {"0"}, "install_at": {"NOW()"}, "disable_timeout": {"1"}, "disable_percentage": {"0.01"},
		}),
		create("scheduled", &multiplay.CreateImageVersionRequest{
			DiffID: 1234, Install: multiplay.InstallScheduled, InstallAt: unix(1700000000),
		}, url.Values{"diffid": {"1234"}, "restart": {"0"}, "install_at": {"1700000000"}}),
		{
			name: "status", path: "/cfp/v1/imageversion/31/status", fixture: "version.json", want: created,
			do: func(c *multiplay.Client) (any, error) { return c.ImageVersions.Status(t.Context(), 31) },
		},
	})
	require.Equal(t, created, roundTrip(t, created))
}

func TestImageVersionRequestIsChecked(t *testing.T) {
	client, mock := mockClient(t)
	for want, req := range map[string]*multiplay.CreateImageVersionRequest{
		"DiffID: must be positive":                              {},
		`Install: must be now, scheduled or manual, not "soon"`: {DiffID: 1, Install: "soon"},
		`InstallAt: must not be set with Install "now"`:         {DiffID: 1, Install: multiplay.InstallNow, InstallAt: unix(1700000000)},
		`InstallAt: must not be set with Install "manual"`:      {DiffID: 1, Install: multiplay.InstallManual, InstallAt: unix(1700000000)},
		"InstallAt: must be set for InstallScheduled":           {DiffID: 1, Install: multiplay.InstallScheduled},
		"InstallAt: must be after 1970":                         {DiffID: 1, InstallAt: unix(-1)},
		"DisableTimeout: must be whole minutes, not 1m30s":      {DiffID: 1, DisableTimeout: 90 * time.Second, DisablePercentage: 5},
		"DisableTimeout: must be whole minutes, not -1m0s":      {DiffID: 1, DisableTimeout: -time.Minute, DisablePercentage: 5},
		"DisablePercentage: needs DisableTimeout":               {DiffID: 1, DisablePercentage: 5},
		"DisableTimeout: needs DisablePercentage":               {DiffID: 1, DisableTimeout: time.Minute},
	} {
		_, err := client.ImageVersions.Create(t.Context(), req)
		require.ErrorIs(t, err, multiplay.ErrInvalidArgument)
		require.EqualError(t, err, "multiplay: CreateImageVersionRequest."+want)
	}
	for _, percentage := range []float64{-1, 0.001, 100.1, math.NaN(), math.Inf(1)} {
		_, err := client.ImageVersions.Create(t.Context(), &multiplay.CreateImageVersionRequest{
			DiffID: 1, DisableTimeout: time.Minute, DisablePercentage: percentage,
		})
		require.ErrorContains(t, err, "multiplay: CreateImageVersionRequest.DisablePercentage: must be 0.01 to 100")
	}
	require.Zero(t, mock.GetTotalCallCount())
}
