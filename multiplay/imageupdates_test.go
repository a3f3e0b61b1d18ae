package multiplay_test

import (
	"net/url"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/imagejobs/imagejobs-go/multiplay"
)

func TestImageUpdates(t *testing.T) {
	running := &multiplay.ImageUpdateStatus{UpdateID: 4711, Job: multiplay.Job{
		State: multiplay.JobRunning, StateID: 4, Progress: 40,
		Created: unix(1700000000), Started: unix(1700000010), Updated: unix(1700000050), ETA: unix(1700000120),
	}}
	created := &multiplay.ImageUpdateStatus{UpdateID: 4711, Job: multiplay.Job{
		State: multiplay.JobCreated, StateID: 1, Created: unix(1700000000), Updated: unix(1700000000),
	}}
	run(t, []call{
		{
			name: "create", path: "/cfp/v1/imageupdate/create", fixture: "update_created.json", want: created,
			query: url.Values{
				"imageid": {"1249"}, "machineid": {"95394"}, "desc": {"alpha build"},
				"url": {"s3://myuser:mypassword@bucket/key/"},
			},
			do: func(c *multiplay.Client) (any, error) {
				return c.ImageUpdates.Create(t.Context(), &multiplay.CreateImageUpdateRequest{
					ImageID: 1249, MachineID: 95394, Description: "alpha build",
					Source: multiplay.S3Source{AccessKey: multiplay.NewSecret("myuser"), SecretKey: multiplay.NewSecret("mypassword"), Bucket: "bucket", Folder: "key"},
				})
			},
		},
		{
			name: "create without source", path: "/cfp/v1/imageupdate/create", fixture: "update_created.json", want: created,
			query: url.Values{"imageid": {"1249"}, "machineid": {"95394"}, "desc": {"x"}},
			do: func(c *multiplay.Client) (any, error) {
				return c.ImageUpdates.Create(t.Context(), &multiplay.CreateImageUpdateRequest{ImageID: 1249, MachineID: 95394, Description: "x"})
			},
		},
		{
			name: "status", path: "/cfp/v1/imageupdate/4711/status", fixture: "update_status.json", want: running,
			do: func(c *multiplay.Client) (any, error) { return c.ImageUpdates.Status(t.Context(), 4711) },
		},
		{
			name: "retry", path: "/cfp/v1/imageupdate/4711/retry", fixture: "update_created.json", want: created,
			do: func(c *multiplay.Client) (any, error) { return c.ImageUpdates.Retry(t.Context(), 4711) },
		},
	})
	require.Equal(t, running, roundTrip(t, running))
}

func TestUpdateIDIsFilledIn(t *testing.T) {
	client, mock := mockClient(t)
	mock.RegisterResponder("GET", base+"/cfp/v1/imageupdate/12/status", respondWith(`{"jobstatename":"Queued"}`))
	status, err := client.ImageUpdates.Status(t.Context(), 12)
	require.NoError(t, err)
	require.Equal(t, int64(12), status.UpdateID)
}
