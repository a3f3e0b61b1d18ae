package multiplaytest_test

import (
	"net/http"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/imagejobs/imagejobs-go/internal/emulator"
	"github.com/imagejobs/imagejobs-go/multiplay"
	"github.com/imagejobs/imagejobs-go/multiplay/multiplaytest"
)

// diff creates a diff and returns its id.
func diff(t *testing.T, client *multiplay.Client) int64 {
	t.Helper()
	made, err := client.ImageDiffs.Create(t.Context(), &multiplay.CreateImageDiffRequest{
		ImageID: multiplaytest.ImageID, MachineID: multiplaytest.MachineID,
	})
	require.NoError(t, err)
	return made.DiffID
}

func TestDiffsAndVersions(t *testing.T) {
	clock := emulator.NewManualClock(time.Unix(1700000000, 0))
	s := start(t, multiplaytest.WithClock(clock.Now), multiplaytest.WithJobTime(100*time.Second), multiplaytest.WithGameMachines(2))
	client := s.Client()
	refuses := func(err error, text string) {
		t.Helper()
		require.ErrorContains(t, err, text)
	}
	version := func(diffID int64, full bool) error {
		_, err := client.ImageVersions.Create(t.Context(), &multiplay.CreateImageVersionRequest{
			DiffID: diffID, Full: full, Install: multiplay.InstallNow,
		})
		return err
	}

	first := diff(t, client)
	refuses(version(first, false), "is Created, not complete or failed")
	_, err := client.ImageDiffs.Reject(t.Context(), first, nil)
	refuses(err, "is Created, not complete or failed")
	clock.Advance(100 * time.Second)
	again, err := client.ImageDiffs.Create(t.Context(), &multiplay.CreateImageDiffRequest{
		ImageID: multiplaytest.ImageID, MachineID: multiplaytest.MachineID, DiffID: first,
	})
	require.NoError(t, err)
	require.Equal(t, first, again.DiffID)
	clock.Advance(100 * time.Second)
	rejected, err := client.ImageDiffs.Reject(t.Context(), first, &multiplay.RejectImageDiffOptions{Reinstall: true})
	require.NoError(t, err)
	require.NotZero(t, rejected.UninstallJobID)
	_, err = client.ImageDiffs.Retry(t.Context(), first)
	refuses(err, "is rejected")

	second := diff(t, client)
	clock.Advance(100 * time.Second)
	require.NoError(t, version(second, true))
	refuses(version(second, true), "has become a version")
	clock.Advance(100 * time.Second)
	installs, err := client.ImageInstalls.List(t.Context())
	require.NoError(t, err)
	require.Len(t, installs, 2)

	// An empty diff requires a full version, which is refused after a full one.
	s.SetFiles(multiplaytest.Files{})
	third := diff(t, client)
	clock.Advance(100 * time.Second)
	refuses(version(third, false), "full must be 1")
	refuses(version(third, true), "the version before is full as well")
}

// A squashed diff can only be rejected, which unlocks the image.
func TestSquashedDiff(t *testing.T) {
	clock := emulator.NewManualClock(time.Unix(1700000000, 0))
	s := start(t, multiplaytest.WithClock(clock.Now))
	s.Next(multiplaytest.Diff, multiplaytest.Outcome{State: multiplay.JobSquashed})
	get(t, s, "/cfp/v1/imagediff/create?accountserviceid=1337&imageid=1249&machineid=95394")
	clock.Advance(time.Minute)
	ask := func(path string) string {
		_, body := call(t, s, http.MethodGet, "/cfp/v1/"+path+"accountserviceid=1337", s.AccessKey, s.SecretKey)
		return body
	}
	require.Equal(t, refused("image locked by diffid: 4711"), ask("imagediff/create?imageid=1249&machineid=95394&"))
	require.Equal(t, refused("image diff 4711 is Squashed, not complete or failed"), ask("imagediff/4711/retry?"))
	require.Equal(t, refused("image diff 4711 is Squashed, not complete or failed"), ask("imageversion/create?diffid=4711&"))
	require.JSONEq(t, `{"diffid": 4711}`, ask("imagediff/4711/reject?reinstall=0&"))
	require.NotEmpty(t, get(t, s, "/cfp/v1/imagediff/create?accountserviceid=1337&imageid=1249&machineid=95394")["diffid"])
}
