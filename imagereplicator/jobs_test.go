package imagereplicator_test

import (
	"encoding/json"
	"io"
	"net/http"
	"testing"

	"github.com/jarcoal/httpmock"
	"github.com/stretchr/testify/require"

	"github.com/imagejobs/imagejobs-go/imagereplicator"
)

// executionExample is the job of the API reference's execution example.
func executionExample() imagereplicator.Job {
	return imagereplicator.Job{
		ID:                  "33911588-c299-4369-a240-7e5b741cdb6a",
		Status:              imagereplicator.StatusCancelRequested,
		CopyProgress:        0,
		SourceImageID:       "335eef3f-551d-46e1-8781-173f43209d48",
		SourceImageName:     "Test-image-Ubuntu",
		SourceRegionID:      "ot1",
		SourceTenantID:      "236ae314ef6944f4ab98fa7519e54325",
		DestinationImageID:  "",
		DestinationRegionID: "ot2",
		DestinationTenantID: "91b5c7c09cbd45caa3c146fd67ae471e",
	}
}

func TestJobDecodesExecutionExample(t *testing.T) {
	var job imagereplicator.Job
	require.NoError(t, json.Unmarshal([]byte(fixture(t, "job_execution_example.json")), &job))
	require.Equal(t, executionExample(), job)
}

func TestJobDecodesEachSpelling(t *testing.T) {
	want := executionExample()
	want.Status = imagereplicator.StatusReplicating
	want.CopyProgress = 12
	want.DestinationImageID = "0b1e5d34-5c3c-4d0f-9c0e-0f6f4bde6a01"

	var job imagereplicator.Job
	require.NoError(t, json.Unmarshal([]byte(fixture(t, "job_spaced.json")), &job))
	require.Equal(t, want, job)

	want.SourceImageName = "" // in no table
	require.NoError(t, json.Unmarshal([]byte(fixture(t, "job_table.json")), &job))
	require.Equal(t, want, job)
}

func TestJobDecodesLeniently(t *testing.T) {
	for _, test := range []struct {
		name, data string
		want       imagereplicator.Job
	}{
		{"destination image absent", `{"job_id": "j", "status": "replicating"}`, imagereplicator.Job{ID: "j", Status: "replicating"}},
		{"destination image null", `{"job_id": "j", "status": "replicating", "destination_image_id": null}`, imagereplicator.Job{ID: "j", Status: "replicating"}},
		{"destination image set", `{"job_id": "j", "destination_image_id": "d"}`, imagereplicator.Job{ID: "j", DestinationImageID: "d"}},
		{"the real key wins", `{"destination_image_id": "d", "destination_image id": "e"}`, imagereplicator.Job{DestinationImageID: "d"}},
		{"null beside the spaced key", `{"destination_image_id": null, "destination_image id": "e"}`, imagereplicator.Job{DestinationImageID: "e"}},
		{"image name null", `{"source_image_name": null}`, imagereplicator.Job{}},
		{"progress as text", `{"copy_progress": "37"}`, imagereplicator.Job{CopyProgress: 37}},
		{"progress as percentage", `{"copy_progress": "37%"}`, imagereplicator.Job{CopyProgress: 37}},
		{"progress null", `{"copy_progress": null}`, imagereplicator.Job{}},
		{"unknown status", `{"status": "waiting_for_tape"}`, imagereplicator.Job{Status: "waiting_for_tape"}},
		{"unknown keys", `{"schema": "/v2/schemas/job", "owner": {"id": 1}, "job_id": "j"}`, imagereplicator.Job{ID: "j"}},
	} {
		t.Run(test.name, func(t *testing.T) {
			var job imagereplicator.Job
			require.NoError(t, json.Unmarshal([]byte(test.data), &job))
			require.Equal(t, test.want, job)
		})
	}
	var job imagereplicator.Job
	require.Error(t, json.Unmarshal([]byte(`{"copy_progress": "half"}`), &job))
}

func TestJobMarshalsBack(t *testing.T) {
	for _, job := range []imagereplicator.Job{
		executionExample(),
		{ID: "j", Status: "replicated", CopyProgress: 100, DestinationImageID: "d"},
	} {
		data, err := json.Marshal(job)
		require.NoError(t, err)
		var again imagereplicator.Job
		require.NoError(t, json.Unmarshal(data, &again))
		require.Equal(t, job, again)
	}
}

func TestStatus(t *testing.T) {
	for status, want := range map[imagereplicator.Status]struct{ terminal, cancelable bool }{
		"replicate_requested": {false, true},
		"replicating":         {false, true},
		"replicated":          {true, false},
		"cancel_requested":    {false, false},
		"canceling":           {false, false},
		"canceled":            {true, false},
		"error":               {true, false},
		"waiting_for_tape":    {false, false},
		"":                    {false, false},
	} {
		require.Equal(t, want.terminal, status.Terminal(), status)
		require.Equal(t, want.cancelable, status.Cancelable(), status)
	}
}

func TestCreate(t *testing.T) {
	client, mock := mocked(t)
	var got *http.Request
	var body []byte
	mock.RegisterResponder(http.MethodPost, jobsURL, func(r *http.Request) (*http.Response, error) {
		got = r
		body, _ = io.ReadAll(r.Body)
		return answer(t, http.StatusAccepted, "create.json")(r)
	})
	id, err := client.Jobs.Create(t.Context(), &imagereplicator.CreateJobRequest{
		ImageID:             "4ddf938a-2cff-46a8-ab7b-efb48c8f79a7",
		DestinationTenantID: "72ab9350a47a4173966ad02dc51b32a1",
	})
	require.NoError(t, err)
	require.Equal(t, jobID, id)
	require.JSONEq(t, `{"image_id": "4ddf938a-2cff-46a8-ab7b-efb48c8f79a7", "tenant_id_dst": "72ab9350a47a4173966ad02dc51b32a1"}`, string(body))
	require.Equal(t, "application/json", got.Header.Get("Content-Type"))
	require.Equal(t, token, got.Header.Get("X-Auth-Token"))
}

// The page of a proxy does not mean that the job is being canceled.
func TestCancelPage(t *testing.T) {
	mock := httpmock.NewMockTransport()
	mock.RegisterNoResponder(httpmock.NewStringResponder(200, "<html>Please log in</html>"))
	client, err := imagereplicator.New("https://glance.example.com", imagereplicator.StaticToken("t0k3n"),
		imagereplicator.WithHTTPClient(&http.Client{Transport: mock}), imagereplicator.WithRetry(2, 0, 0))
	require.NoError(t, err)
	err = client.Jobs.Cancel(t.Context(), "33911588-c299-4369-a240-7e5b741cdb6a")
	require.ErrorContains(t, err, "no content was expected")
	require.Equal(t, 2, mock.GetTotalCallCount())
}

func TestArguments(t *testing.T) {
	client, mock := mocked(t)
	jobs, ctx := client.Jobs, t.Context()
	create := func(req *imagereplicator.CreateJobRequest) func() error {
		return func() error { _, err := jobs.Create(ctx, req); return err }
	}
	for want, call := range map[string]func() error{
		"imagereplicator: CreateJobRequest: must not be nil":                                  create(nil),
		"imagereplicator: CreateJobRequest.ImageID: must not be empty":                        create(&imagereplicator.CreateJobRequest{DestinationTenantID: "t"}),
		"imagereplicator: CreateJobRequest.ImageID: must be valid UTF-8":                      create(&imagereplicator.CreateJobRequest{ImageID: "\xff", DestinationTenantID: "t"}),
		"imagereplicator: CreateJobRequest.DestinationTenantID: must not be empty":            create(&imagereplicator.CreateJobRequest{ImageID: "i"}),
		"imagereplicator: Jobs.Get: jobID: must not be empty":                                 func() error { _, err := jobs.Get(ctx, ""); return err },
		"imagereplicator: Jobs.Get: jobID: must not contain a slash":                          func() error { _, err := jobs.Get(ctx, "a/b"); return err },
		"imagereplicator: Jobs.Cancel: jobID: must not be a dot segment":                      func() error { return jobs.Cancel(ctx, "..") },
		"imagereplicator: Jobs.Get: jobID: must not contain control characters":               func() error { _, err := jobs.Wait(ctx, "a\r\nb"); return err },
		"imagereplicator: WithPollInterval: must not be negative":                             func() error { _, err := jobs.Wait(ctx, "j", imagereplicator.WithPollInterval(-1, 0)); return err },
		"imagereplicator: WithPollInterval: the longest interval must not be below the first": func() error { _, err := jobs.Wait(ctx, "j", imagereplicator.WithPollInterval(2, 1)); return err },
	} {
		err := call()
		require.EqualError(t, err, want)
		require.ErrorIs(t, err, imagereplicator.ErrInvalidArgument)
	}
	require.Zero(t, mock.GetTotalCallCount())
}

func TestGet(t *testing.T) {
	client, mock := mocked(t)
	mock.RegisterResponder(http.MethodGet, jobURL, answer(t, http.StatusOK, "job_execution_example.json"))
	job, err := client.Jobs.Get(t.Context(), jobID)
	require.NoError(t, err)
	require.Equal(t, executionExample(), *job)
}

func TestGetEscapesTheID(t *testing.T) {
	client, mock := mocked(t)
	var got string
	mock.RegisterNoResponder(func(r *http.Request) (*http.Response, error) {
		got = r.URL.EscapedPath()
		return answer(t, http.StatusNotFound, "error_404_webob.json")(r)
	})
	_, err := client.Jobs.Get(t.Context(), "a b?c#d")
	require.ErrorIs(t, err, imagereplicator.ErrNotFound)
	require.Equal(t, "/v2/extension/image_replicator/jobs/a%20b%3Fc%23d", got)
}

func TestAnswersThatAreNone(t *testing.T) {
	for name, body := range map[string]string{
		"empty object": `{}`,
		"null":         `null`,
		"an array":     `[]`,
		"no status":    `{"job_id": "j"}`,
		"a page":       `<html>hello</html>`,
		"nothing":      ``,
	} {
		t.Run(name, func(t *testing.T) {
			client, mock := mocked(t)
			mock.RegisterResponder(http.MethodGet, jobURL, httpmock.NewStringResponder(http.StatusOK, body))
			mock.RegisterResponder(http.MethodPost, jobsURL, httpmock.NewStringResponder(http.StatusAccepted, `{"id": 1}`+body))

			_, err := client.Jobs.Get(t.Context(), jobID)
			require.ErrorContains(t, err, "the answer is not")
			failure := new(imagereplicator.Error)
			require.ErrorAs(t, err, &failure)
			require.Equal(t, 3, failure.Attempts, "a proxy's page goes by")

			_, err = client.Jobs.Create(t.Context(), &imagereplicator.CreateJobRequest{ImageID: "i", DestinationTenantID: "t"})
			require.ErrorIs(t, err, imagereplicator.ErrAmbiguous)
			require.ErrorContains(t, err, "look for it with Jobs.List")
			require.Equal(t, 1, mock.GetCallCountInfo()[http.MethodPost+" "+jobsURL])
		})
	}
}

func TestList(t *testing.T) {
	client, mock := mocked(t)
	mock.RegisterResponder(http.MethodGet, jobsURL, answer(t, http.StatusOK, "list.json"))
	jobs, err := client.Jobs.List(t.Context())
	require.NoError(t, err)
	require.Len(t, jobs, 2)
	require.Equal(t, executionExample(), *jobs[0])
	require.Equal(t, imagereplicator.StatusReplicated, jobs[1].Status)
	require.EqualValues(t, 100, jobs[1].CopyProgress)
	require.Equal(t, "0b1e5d34-5c3c-4d0f-9c0e-0f6f4bde6a01", jobs[1].DestinationImageID)
	require.Empty(t, jobs[1].SourceImageName)
}

func TestListForms(t *testing.T) {
	for body, want := range map[string]int{`[]`: 0, `[null, {"job_id": "j"}]`: 1} {
		client, mock := mocked(t)
		mock.RegisterResponder(http.MethodGet, jobsURL, httpmock.NewStringResponder(http.StatusOK, body))
		jobs, err := client.Jobs.List(t.Context())
		require.NoError(t, err)
		require.Len(t, jobs, want, body)
	}
	for _, body := range []string{`{"jobs": []}`, `null`} {
		client, mock := mocked(t)
		mock.RegisterResponder(http.MethodGet, jobsURL, httpmock.NewStringResponder(http.StatusOK, body))
		_, err := client.Jobs.List(t.Context())
		require.ErrorContains(t, err, "the answer is not the JSON expected")
	}
}

func TestCancel(t *testing.T) {
	client, mock := mocked(t)
	mock.RegisterResponder(http.MethodDelete, jobURL, httpmock.NewStringResponder(http.StatusNoContent, ""))
	require.NoError(t, client.Jobs.Cancel(t.Context(), jobID))

	mock.RegisterResponder(http.MethodDelete, jobURL, answer(t, http.StatusConflict, "error_409_webob.json"))
	err := client.Jobs.Cancel(t.Context(), jobID)
	require.ErrorIs(t, err, imagereplicator.ErrConflict)
	require.ErrorContains(t, err, "only a job that is replicate_requested or replicating can be canceled")
	require.Zero(t, mock.GetCallCountInfo()[http.MethodGet+" "+jobURL])
}

// A cancellation whose answer was lost is repeated, and refused because the
// first one is under way.
func TestCancelRepeated(t *testing.T) {
	for status, accepted := range map[imagereplicator.Status]bool{
		"cancel_requested": true, "canceling": true, "canceled": true, "replicated": false, "error": false, "replicating": false,
	} {
		client, mock := mocked(t)
		mock.RegisterResponder(http.MethodDelete, jobURL,
			httpmock.NewErrorResponder(io.ErrUnexpectedEOF).Then(answer(t, http.StatusConflict, "error_409_webob.json")))
		mock.RegisterResponder(http.MethodGet, jobURL,
			httpmock.NewJsonResponderOrPanic(http.StatusOK, imagereplicator.Job{ID: jobID, Status: status}))
		err := client.Jobs.Cancel(t.Context(), jobID)
		if accepted {
			require.NoError(t, err, status)
		} else {
			require.ErrorIs(t, err, imagereplicator.ErrConflict, status)
		}
	}
}

func FuzzJob(f *testing.F) {
	for _, name := range []string{"job_execution_example.json", "job_spaced.json", "job_table.json"} {
		f.Add(fixture(f, name))
	}
	f.Add(`{"job_id": 1, "status": true, "copy_progress": "1e3%"}`)
	f.Add(`null`)
	f.Fuzz(func(t *testing.T, data string) {
		var job imagereplicator.Job
		if json.Unmarshal([]byte(data), &job) != nil {
			return
		}
		again, err := json.Marshal(job)
		require.NoError(t, err)
		var same imagereplicator.Job
		require.NoError(t, json.Unmarshal(again, &same))
		require.Equal(t, job, same)
	})
}
