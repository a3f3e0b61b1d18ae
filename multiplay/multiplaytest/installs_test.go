package multiplaytest_test

import (
	"strconv"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/imagejobs/imagejobs-go/internal/emulator"
	"github.com/imagejobs/imagejobs-go/multiplay"
	"github.com/imagejobs/imagejobs-go/multiplay/multiplaytest"
)

func TestRollout(t *testing.T) {
	clock := emulator.NewManualClock(time.Unix(1700000000, 0))
	s := start(t, multiplaytest.WithClock(clock.Now), multiplaytest.WithJobTime(80*time.Second), multiplaytest.WithGameMachines(3))
	client := s.Client()
	s.Next(multiplaytest.Install, multiplaytest.Outcome{State: multiplay.JobFailed})
	counts := func(pending, failed, completed int64) {
		t.Helper()
		status, err := client.Images.RolloutStatus(t.Context(), multiplaytest.ImageID, &multiplay.RolloutStatusOptions{Detail: true})
		require.NoError(t, err)
		want := multiplay.MachineCounts{Pending: pending, Failed: failed, Completed: completed}
		require.Equal(t, want, status.MachineCounts)
		for _, fleet := range status.Fleets {
			require.Equal(t, want, fleet.MachineCounts)
			for _, region := range fleet.Regions {
				require.Equal(t, multiplay.RegionRollout{Name: "Europe", MachineCounts: want}, region)
			}
		}
	}
	release := func() {
		t.Helper()
		id := diff(t, client)
		clock.Advance(80 * time.Second)
		_, err := client.ImageVersions.Create(t.Context(), &multiplay.CreateImageVersionRequest{DiffID: id, Install: multiplay.InstallNow})
		require.NoError(t, err)
	}
	counts(0, 0, 3)
	release()
	counts(0, 0, 3) // until the version is complete
	clock.Advance(80 * time.Second)
	counts(3, 0, 0)
	clock.Advance(45 * time.Second) // they take 40, 50 and 60 seconds
	counts(2, 1, 0)

	installs, err := client.ImageInstalls.List(t.Context())
	require.NoError(t, err)
	require.Len(t, installs, 2)
	queued, err := client.ImageInstalls.Queue(t.Context(), &multiplay.QueueImageInstallRequest{JobID: installs[1].JobID})
	require.NoError(t, err)
	require.Equal(t, multiplay.JobCreated, queued.State)
	_, err = client.ImageInstalls.Queue(t.Context(), &multiplay.QueueImageInstallRequest{JobID: 1})
	require.ErrorIs(t, err, multiplay.ErrNotFound)
	clock.Advance(30 * time.Second)
	counts(1, 1, 1)

	// A newer version squashes the unfinished installs of its predecessor.
	release()
	clock.Advance(80 * time.Second)
	counts(3, 0, 0)
	installs, err = client.ImageInstalls.List(t.Context())
	require.NoError(t, err)
	require.Len(t, installs, 3)
	clock.Advance(time.Hour)
	counts(0, 0, 3)
	require.Len(t, s.Versions(), 2)
}

// install makes a version with this install_at and returns the states of its
// installs once the version is complete.
func install(t *testing.T, s *multiplaytest.Server, clock *emulator.ManualClock, installAt string) func() []string {
	t.Helper()
	diff := s.LockImage(multiplaytest.ImageID)
	query := "accountserviceid=1337&restart=0&diffid=" + strconv.FormatInt(diff, 10)
	if installAt != "" {
		query += "&install_at=" + installAt
	}
	get(t, s, "/cfp/v1/imageversion/create?"+query)
	clock.Advance(100 * time.Second)
	return func() (states []string) {
		installs, _ := get(t, s, "/cfp/v1/imageinstall/status?accountserviceid=1337")["installs"].([]any)
		for _, one := range installs {
			state, _ := one.(map[string]any)["jobstatename"].(string)
			states = append(states, state)
		}
		return states
	}
}

func TestInstallAt(t *testing.T) {
	now := time.Unix(1700000000, 0)
	for name, test := range map[string]struct {
		dialect   multiplaytest.Dialect
		installAt string
		before    string        // the state once the version is complete
		wait      time.Duration // until installs start
	}{
		"now":            {installAt: "NOW()", before: "Created"},
		"a past time":    {installAt: "1600000000", before: "Created"},
		"a time":         {installAt: strconv.FormatInt(now.Unix()+700, 10), before: "Pending", wait: 600 * time.Second},
		"not given":      {before: "Pending", wait: -1},
		"by the dialect": {dialect: multiplaytest.Dialect{StartInstalls: true}, before: "Created"},
	} {
		t.Run(name, func(t *testing.T) {
			clock := emulator.NewManualClock(now)
			s := start(t, multiplaytest.WithClock(clock.Now), multiplaytest.WithJobTime(100*time.Second),
				multiplaytest.WithGameMachines(1), multiplaytest.WithDialect(test.dialect))
			states := install(t, s, clock, test.installAt)
			require.Equal(t, []string{test.before}, states())
			if test.wait < 0 {
				clock.Advance(24 * time.Hour)
				require.Equal(t, []string{"Pending"}, states())
				return
			}
			clock.Advance(test.wait + 25*time.Second) // half of what it takes
			require.Equal(t, []string{"Running"}, states())
			clock.Advance(25 * time.Second)
			require.Empty(t, states())
		})
	}
}

// Installs that wait by hand are started one by one.
func TestQueueByHand(t *testing.T) {
	clock := emulator.NewManualClock(time.Unix(1700000000, 0))
	s := start(t, multiplaytest.WithClock(clock.Now), multiplaytest.WithJobTime(100*time.Second), multiplaytest.WithGameMachines(2))
	states := install(t, s, clock, "")
	clock.Advance(time.Hour)
	require.Equal(t, []string{"Pending", "Pending"}, states())
	installs, err := s.Client().ImageInstalls.List(t.Context())
	require.NoError(t, err)
	require.True(t, installs[0].InstallAt.IsZero())
	_, err = s.Client().ImageInstalls.Queue(t.Context(), &multiplay.QueueImageInstallRequest{JobID: installs[0].JobID})
	require.NoError(t, err)
	require.Equal(t, []string{"Created", "Pending"}, states())
	clock.Advance(time.Hour)
	require.Equal(t, []string{"Pending"}, states())
}

// Mirrors have installs of their own, which are queued with mirroring as those
// of machines are without.
func TestMirrors(t *testing.T) {
	clock := emulator.NewManualClock(time.Unix(1700000000, 0))
	s := start(t, multiplaytest.WithClock(clock.Now), multiplaytest.WithJobTime(100*time.Second),
		multiplaytest.WithGameMachines(1), multiplaytest.WithMirrors(2))
	client := s.Client()
	states := install(t, s, clock, "")
	installs, err := client.ImageInstalls.List(t.Context())
	require.NoError(t, err)
	require.Len(t, installs, 3)
	for n, mirror := range []string{"", "mirror-1", "mirror-2"} {
		require.Equal(t, mirror, installs[n].Mirror)
		require.Equal(t, mirror != "", installs[n].Mirroring)
		require.Equal(t, mirror == "", installs[n].Machine != "")
		for _, mirroring := range []bool{!installs[n].Mirroring, installs[n].Mirroring} {
			queued, err := client.ImageInstalls.Queue(t.Context(), &multiplay.QueueImageInstallRequest{JobID: installs[n].JobID, Mirroring: mirroring})
			switch {
			case mirroring != installs[n].Mirroring:
				require.ErrorIs(t, err, multiplay.ErrBadRequest)
				require.ErrorContains(t, err, "mirroring must be "+strconv.FormatBool(!mirroring)+" for install ")
			case mirroring:
				require.NoError(t, err)
				require.Equal(t, installs[n].JobID, queued.VersionMirrorID)
				require.Zero(t, queued.MachineJobID)
			default:
				require.NoError(t, err)
				require.Equal(t, installs[n].JobID, queued.MachineJobID)
				require.Zero(t, queued.VersionMirrorID)
			}
		}
	}
	require.Equal(t, []string{"Created", "Created", "Created"}, states())
	counts, err := client.Images.RolloutStatus(t.Context(), multiplaytest.ImageID, nil)
	require.NoError(t, err)
	require.Equal(t, multiplay.MachineCounts{Pending: 1}, counts.MachineCounts, "mirrors are no machines")
	clock.Advance(50 * time.Second)
	require.Empty(t, states())
}
