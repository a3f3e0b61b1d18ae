package multiplay_test

import (
	"encoding/json"
	"net/url"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/imagejobs/imagejobs-go/multiplay"
)

func TestImageInstalls(t *testing.T) {
	queued := multiplay.Job{State: multiplay.JobQueued, StateID: 3, Created: unix(1700000000), Updated: unix(1700000000)}
	install := multiplay.ImageInstall{
		JobID: 51, Job: queued, TargetImageVersionID: 31,
		Machine: `{"id":7}`, Location: "Amsterdam", ImagePath: "/images/1249", Restart: true, InstallAt: unix(1700003600),
	}
	run(t, []call{
		{
			name: "list", path: "/cfp/v1/imageinstall/status", fixture: "installs.json",
			do:   func(c *multiplay.Client) (any, error) { return c.ImageInstalls.List(t.Context()) },
			want: []multiplay.ImageInstall{install},
		},
		{
			name: "queue machine", path: "/cfp/v1/imageinstall/51/queue", fixture: "queued_machine.json",
			query: url.Values{"mirroring": {"false"}},
			do: func(c *multiplay.Client) (any, error) {
				return c.ImageInstalls.Queue(t.Context(), &multiplay.QueueImageInstallRequest{JobID: 51})
			},
			want: &multiplay.QueuedImageInstall{MachineJobID: 52, Job: queued, InstallsSquashed: json.RawMessage(`[51]`)},
		},
		{
			name: "queue mirror", path: "/cfp/v1/imageinstall/51/queue", fixture: "queued_mirror.json",
			query: url.Values{"mirroring": {"true"}},
			do: func(c *multiplay.Client) (any, error) {
				return c.ImageInstalls.Queue(t.Context(), &multiplay.QueueImageInstallRequest{JobID: 51, Mirroring: true})
			},
			want: &multiplay.QueuedImageInstall{VersionMirrorID: 53, Job: queued},
		},
	})
	require.Equal(t, install, roundTrip(t, install))
}

func TestNoInstalls(t *testing.T) {
	for _, body := range []string{`{"installs":[]}`, `{"installs":null}`, `{"installs":{}}`} {
		client, mock := mockClient(t)
		mock.RegisterResponder("GET", base+"/cfp/v1/imageinstall/status", respondWith(body))
		installs, err := client.ImageInstalls.List(t.Context())
		require.NoError(t, err)
		require.Empty(t, installs)
	}
}
