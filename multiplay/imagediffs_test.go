package multiplay_test

import (
	"encoding/json"
	"net/url"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/imagejobs/imagejobs-go/multiplay"
)

func TestImageDiffs(t *testing.T) {
	pending := &multiplay.ImageDiffStatus{DiffID: 1234, Job: multiplay.Job{
		State: multiplay.JobPending, StateID: 2, Created: unix(1700000000), Updated: unix(1700000001),
	}}
	withInfo := &multiplay.ImageDiffStatus{
		DiffID: 1234,
		Job: multiplay.Job{
			State: multiplay.JobCompleted, StateID: 5, Progress: 100,
			Created: unix(1700000000), Started: unix(1700000010), Updated: unix(1700000100),
		},
		Added:    map[string]json.RawMessage{"maps/new.pak": json.RawMessage(`{"size":1}`)},
		Modified: map[string]json.RawMessage{"game/server.bin": json.RawMessage(`{}`)},
		Game:     json.RawMessage(`{"gameid":77}`),
		Machine:  json.RawMessage(`{"machineid":95394}`),
		Image:    json.RawMessage(`{"imageid":1249}`),
	}
	run(t, []call{
		{
			name: "create", path: "/cfp/v1/imagediff/create", fixture: "diff_created.json", want: pending,
			query: url.Values{"imageid": {"1249"}, "machineid": {"95394"}},
			do: func(c *multiplay.Client) (any, error) {
				return c.ImageDiffs.Create(t.Context(), &multiplay.CreateImageDiffRequest{ImageID: 1249, MachineID: 95394})
			},
		},
		{
			name: "create again", path: "/cfp/v1/imagediff/create", fixture: "diff_created.json", want: pending,
			query: url.Values{"imageid": {"1249"}, "machineid": {"95394"}, "diffid": {"1234"}},
			do: func(c *multiplay.Client) (any, error) {
				return c.ImageDiffs.Create(t.Context(), &multiplay.CreateImageDiffRequest{ImageID: 1249, MachineID: 95394, DiffID: 1234})
			},
		},
		{
			name: "status", path: "/cfp/v1/imagediff/1234/status", fixture: "diff_created.json", want: pending,
			do: func(c *multiplay.Client) (any, error) { return c.ImageDiffs.Status(t.Context(), 1234, nil) },
		},
		{
			name: "status with info", path: "/cfp/v1/imagediff/1234/status", fixture: "diff_info.json", want: withInfo,
			query: url.Values{"diff_info": {"1"}},
			do: func(c *multiplay.Client) (any, error) {
				return c.ImageDiffs.Status(t.Context(), 1234, &multiplay.ImageDiffStatusOptions{Info: true})
			},
		},
		{
			name: "retry", path: "/cfp/v1/imagediff/1234/retry", fixture: "diff_retried.json",
			do: func(c *multiplay.Client) (any, error) { return c.ImageDiffs.Retry(t.Context(), 1234) },
			want: &multiplay.ImageDiffStatus{DiffID: 1234, Job: multiplay.Job{
				State: multiplay.JobQueued, StateID: 3, Failures: 1, Created: unix(1700000000), Updated: unix(1700000200),
			}},
		},
		{
			name: "reject", path: "/cfp/v1/imagediff/1234/reject", fixture: "diff_rejected.json",
			query: url.Values{"reinstall": {"0"}},
			do:    func(c *multiplay.Client) (any, error) { return c.ImageDiffs.Reject(t.Context(), 1234, nil) },
			want:  &multiplay.ImageDiffRejection{DiffID: 1234},
		},
		{
			name: "reject and reinstall", path: "/cfp/v1/imagediff/1234/reject", fixture: "diff_reinstalled.json",
			query: url.Values{"reinstall": {"1"}},
			do: func(c *multiplay.Client) (any, error) {
				return c.ImageDiffs.Reject(t.Context(), 1234, &multiplay.RejectImageDiffOptions{Reinstall: true})
			},
			want: &multiplay.ImageDiffRejection{DiffID: 1234, UninstallJobID: 99, Job: multiplay.Job{
				State: multiplay.JobCreated, StateID: 1, Created: unix(1700000000), Updated: unix(1700000000),
			}},
		},
	})
	require.Equal(t, withInfo, roundTrip(t, withInfo))
	require.False(t, withInfo.Empty())
}

func TestEmptyDiff(t *testing.T) {
	for _, files := range []string{
		``, `,"added":[],"modified":[],"removed":[]`, `,"added":{},"modified":{},"removed":{}`, `,"added":null,"modified":null`,
	} {
		require.True(t, diffWith(t, `{"jobstatename":"Completed"`+files+`}`).Empty(), files)
	}
	require.False(t, diffWith(t, `{"jobstatename":"Completed","removed":{"a":null}}`).Empty())
}

func diffWith(t *testing.T, body string) *multiplay.ImageDiffStatus {
	t.Helper()
	client, mock := mockClient(t)
	mock.RegisterNoResponder(respondWith(body))
	diff, err := client.ImageDiffs.Status(t.Context(), 5, nil)
	require.NoError(t, err)
	return diff
}

// A version of an empty diff has to be a full one, so that there are no files
// is believed only of a response that says so.
func TestCompletedDiffWithoutFilesIsNotBelieved(t *testing.T) {
	client, mock := mockClient(t)
	status := func(body string) error {
		mock.RegisterNoResponder(respondWith(body))
		_, err := client.ImageDiffs.Status(t.Context(), 5, &multiplay.ImageDiffStatusOptions{Info: true})
		return err
	}
	err := status(`{"diffid":5,"jobstatename":"Completed"}`)
	require.True(t, multiplay.IsTransient(err))
	require.Equal(t, 3, requireAs[*multiplay.Error](t, err).Attempts)
	for _, body := range []string{
		`{"jobstatename":"Running"}`, `{"jobstatename":"Completed","added":[]}`, `{"jobstatename":"Completed","removed":null}`,
		`{"jobstatename":"Completed","game":{}}`, `{"jobstatename":"Completed","Modified":{}}`,
	} {
		require.NoError(t, status(body), body)
	}
}
