package imagereplicator_test

import (
	"context"
	"encoding/json"
	"io"
	"net/http"
	"slices"
	"testing"
	"testing/synctest"

	"github.com/jarcoal/httpmock"
	"github.com/stretchr/testify/require"

	"github.com/imagejobs/imagejobs-go/imagereplicator"
	"github.com/imagejobs/imagejobs-go/internal/documents"
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

// listed returns the job of that JSON as the client decodes it.
func listed(t *testing.T, body string) imagereplicator.Job {
	t.Helper()
	client, mock := mocked(t)
	mock.RegisterResponder(http.MethodGet, jobsURL, httpmock.NewStringResponder(http.StatusOK, "["+body+"]"))
	jobs, err := client.Jobs.List(t.Context())
	require.NoError(t, err)
	require.Len(t, jobs, 1)
	return *jobs[0]
}

func TestJobDecodesEachSpelling(t *testing.T) {
	require.Equal(t, executionExample(), listed(t, fixture(t, "job_execution_example.json")))

	want := executionExample()
	want.Status = imagereplicator.StatusReplicating
	want.CopyProgress = 12
	want.DestinationImageID = "0b1e5d34-5c3c-4d0f-9c0e-0f6f4bde6a01"
	require.Equal(t, want, listed(t, fixture(t, "job_spaced.json")))

	want.SourceImageName = "" // in no table
	require.Equal(t, want, listed(t, fixture(t, "job_table.json")))
}

// Each key of the execution example counts, also those that are null or 0 there.
func TestEachKey(t *testing.T) {
	variations := documents.Variations(fixture(t, "job_execution_example.json"))
	require.Len(t, variations, 10)
	seen := map[imagereplicator.Job]string{executionExample(): "the example itself"}
	for name, text := range variations {
		job := listed(t, text)
		require.NotContains(t, seen, job, "%s is like %s", name, seen[job])
		seen[job] = name
	}
}

func TestJobDecodesLeniently(t *testing.T) {
	job := func(change func(*imagereplicator.Job)) imagereplicator.Job {
		j := imagereplicator.Job{ID: "j", Status: "error"}
		change(&j)
		return j
	}
	for name, test := range map[string]struct {
		fields string
		want   imagereplicator.Job
	}{
		"destination image null":         {`"destination_image_id": null`, job(func(*imagereplicator.Job) {})},
		"destination image set":          {`"destination_image_id": "d"`, job(func(j *imagereplicator.Job) { j.DestinationImageID = "d" })},
		"null beside the key with space": {`"destination_image_id": null, "destination_image id": "e"`, job(func(j *imagereplicator.Job) { j.DestinationImageID = "e" })},
		"image name null":                {`"source_image_name": null`, job(func(*imagereplicator.Job) {})},
		"progress as text":               {`"copy_progress": "37"`, job(func(j *imagereplicator.Job) { j.CopyProgress = 37 })},
		"progress as percentage":         {`"copy_progress": "37%"`, job(func(j *imagereplicator.Job) { j.CopyProgress = 37 })},
		"progress in words":              {`"copy_progress": "half"`, job(func(*imagereplicator.Job) {})},
		"progress null":                  {`"copy_progress": null`, job(func(*imagereplicator.Job) {})},
		"unknown status":                 {`"status": "waiting_for_tape"`, job(func(j *imagereplicator.Job) { j.Status = "waiting_for_tape" })},
		"unknown keys":                   {`"schema": "/v2/schemas/job", "owner": {"id": 1}`, job(func(*imagereplicator.Job) {})},
		"names in capitals":              {`"SOURCE_REGION_ID": "jp1"`, job(func(j *imagereplicator.Job) { j.SourceRegionID = "jp1" })},
	} {
		t.Run(name, func(t *testing.T) {
			require.Equal(t, test.want, listed(t, `{"job_id": "j", "status": "error", `+test.fields+`}`))
		})
	}
}

// Programs store jobs.
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
		require.Equal(t, job, listed(t, string(data)))
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

// However the service spells a state, it is the one of the pages; one that they
// do not have is kept as it is.
func TestStatusSpellings(t *testing.T) {
	for text, want := range map[string]imagereplicator.Status{
		"ERROR": "error", "Replicated": "replicated", "REPLICATE_REQUESTED": "replicate_requested", "Cancel_Requested": "cancel_requested",
		"cancelled": "canceled", "Cancelled": "canceled", "CANCELLING": "canceling", "canceled\n": "canceled",
		"Waiting_For_Tape": "Waiting_For_Tape", "errors": "errors",
	} {
		data, err := json.Marshal(map[string]string{"job_id": "j", "status": text})
		require.NoError(t, err)
		require.Equal(t, want, listed(t, string(data)).Status)
		raw := imagereplicator.Status(text)
		require.Equal(t, want.Terminal(), raw.Terminal(), text)
		require.Equal(t, want.Cancelable(), raw.Cancelable(), text)
	}
}

func TestCreate(t *testing.T) {
	client, mock := mocked(t)
	noJobs(mock)
	var got *http.Request
	var body []byte
	mock.RegisterResponder(http.MethodPost, jobsURL, func(r *http.Request) (*http.Response, error) {
		got = r
		body, _ = io.ReadAll(r.Body)
		return respond(t, http.StatusAccepted, "create.json")(r)
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
		"imagereplicator: CreateJobRequest: must not be nil":                       create(nil),
		"imagereplicator: CreateJobRequest.ImageID: must not be empty":             create(&imagereplicator.CreateJobRequest{DestinationTenantID: "t"}),
		"imagereplicator: CreateJobRequest.ImageID: must be valid UTF-8":           create(&imagereplicator.CreateJobRequest{ImageID: "\xff", DestinationTenantID: "t"}),
		"imagereplicator: CreateJobRequest.DestinationTenantID: must not be empty": create(&imagereplicator.CreateJobRequest{ImageID: "i"}),
		"imagereplicator: Jobs.Get: jobID: must not be empty":                      func() error { _, err := jobs.Get(ctx, ""); return err },
		"imagereplicator: Jobs.Get: jobID: must not contain a slash":               func() error { _, err := jobs.Get(ctx, "a/b"); return err },
		"imagereplicator: Jobs.Cancel: jobID: must not be a dot segment":           func() error { return jobs.Cancel(ctx, "..") },
		"imagereplicator: Jobs.Get: jobID: must not contain control characters":    func() error { _, err := jobs.Wait(ctx, "a\r\nb"); return err },
		"imagereplicator: WithPollInterval: must not be negative":                  func() error { _, err := jobs.Wait(ctx, "j", imagereplicator.WithPollInterval(-1, 0)); return err },
		"imagereplicator: WithPollInterval: max must not be below initial":         func() error { _, err := jobs.Wait(ctx, "j", imagereplicator.WithPollInterval(2, 1)); return err },
	} {
		err := call()
		require.EqualError(t, err, want)
		require.ErrorIs(t, err, imagereplicator.ErrInvalidArgument)
	}
	require.Zero(t, mock.GetTotalCallCount())
}

func TestGet(t *testing.T) {
	client, mock := mocked(t)
	var got *http.Request
	mock.RegisterResponder(http.MethodGet, jobURL, func(r *http.Request) (*http.Response, error) {
		got = r
		return respond(t, http.StatusOK, "job_execution_example.json")(r)
	})
	job, err := client.Jobs.Get(t.Context(), jobID)
	require.NoError(t, err)
	require.Equal(t, executionExample(), *job)
	require.Equal(t, token, got.Header.Get("X-Auth-Token"))
	require.Nil(t, got.Body)
	require.Empty(t, got.URL.RawQuery)
	require.Equal(t, 1, mock.GetTotalCallCount())
}

// What a gateway adds to a response is not in the API reference, and does no
// harm. The id of a request is kept for the error.
func TestInsertedHeaders(t *testing.T) {
	client, mock := mocked(t)
	inserted := http.Header{"X-Compute-Request-Id": {"req-1"}, "Date": {"Fri, 10 Jun 2016 04:34:45 GMT"}, "Set-Cookie": {"TS=1"}}
	mock.RegisterResponder(http.MethodGet, jobURL, respond(t, http.StatusOK, "job_execution_example.json").HeaderSet(inserted).
		Then(respond(t, http.StatusNotFound, "error_404_webob.txt").HeaderSet(inserted)))
	job, err := client.Jobs.Get(t.Context(), jobID)
	require.NoError(t, err)
	require.Equal(t, executionExample(), *job)
	_, err = client.Jobs.Get(t.Context(), jobID)
	failure := new(imagereplicator.Error)
	require.ErrorAs(t, err, &failure)
	require.Equal(t, "req-1", failure.RequestID)
}

func TestGetEscapesTheID(t *testing.T) {
	client, mock := mocked(t)
	var got string
	mock.RegisterNoResponder(func(r *http.Request) (*http.Response, error) {
		got = r.URL.EscapedPath()
		return respond(t, http.StatusNotFound, "error_404_webob.json")(r)
	})
	_, err := client.Jobs.Get(t.Context(), "a b?c#d")
	require.ErrorIs(t, err, imagereplicator.ErrNotFound)
	require.Equal(t, "/v2/extension/image_replicator/jobs/a%20b%3Fc%23d", got)
}

// What a 2xx says is believed only if it is a response of the operation.
func TestMalformedResponses(t *testing.T) {
	bodies := map[string]string{
		"an empty object":  `{}`,
		"null":             `null`,
		"other JSON":       `{"status": "maintenance"}`,
		"a message":        `{"message": "busy"}`,
		"an array":         `[{}]`,
		"another job":      `{"job_id": "j", "status": "replicated"}`,
		"no status":        `{"job_id": "` + jobID + `"}`,
		"a null id":        `{"job_id": null, "status": "replicated"}`,
		"an id of objects": `{"job_id": {"id": "j"}, "status": "replicated"}`,
		"a page":           `<html>hello</html>`,
		"nothing":          ``,
	}
	type jobs = *imagereplicator.JobsService
	calls := map[string]struct {
		call     func(context.Context, jobs) error
		attempts int
		but      []string // that are responses of this operation
	}{
		"Get":    {func(ctx context.Context, jobs jobs) error { _, err := jobs.Get(ctx, jobID); return err }, 3, nil},
		"List":   {func(ctx context.Context, jobs jobs) error { _, err := jobs.List(ctx); return err }, 3, nil},
		"Cancel": {func(ctx context.Context, jobs jobs) error { return jobs.Cancel(ctx, jobID) }, 3, []string{"nothing"}},
		"Create": {func(ctx context.Context, jobs jobs) error {
			_, err := jobs.Create(ctx, &imagereplicator.CreateJobRequest{ImageID: "i", DestinationTenantID: "t"})
			return err
		}, 1, []string{"another job", "no status"}},
	}
	for operation, test := range calls {
		for name, body := range bodies {
			t.Run(operation+" "+name, func(t *testing.T) {
				synctest.Test(t, func(t *testing.T) { // for the look-ups of Create
					client, mock := mocked(t)
					mock.RegisterNoResponder(httpmock.NewStringResponder(http.StatusAccepted, body))
					if operation == "Create" {
						noJobs(mock)
					}
					err := test.call(t.Context(), client.Jobs)
					if slices.Contains(test.but, name) {
						require.NoError(t, err)
						return
					}
					require.ErrorContains(t, err, "the response is not the JSON expected")
					failure := new(imagereplicator.Error)
					require.ErrorAs(t, err, &failure)
					require.Equal(t, test.attempts, failure.Attempts)
					require.Equal(t, operation != "Create", imagereplicator.IsTransient(err))
					if operation == "Create" {
						require.ErrorIs(t, err, imagereplicator.ErrAmbiguous)
						require.ErrorContains(t, err, "search Jobs.List for its source image")
					}
				})
			})
		}
	}
}

func TestList(t *testing.T) {
	client, mock := mocked(t)
	mock.RegisterResponder(http.MethodGet, jobsURL, respond(t, http.StatusOK, "list.json"))
	jobs, err := client.Jobs.List(t.Context())
	require.NoError(t, err)
	require.Len(t, jobs, 2)
	require.Equal(t, executionExample(), *jobs[0])
	require.Equal(t, imagereplicator.StatusReplicated, jobs[1].Status)
	require.EqualValues(t, 100, jobs[1].CopyProgress)
	require.Equal(t, "0b1e5d34-5c3c-4d0f-9c0e-0f6f4bde6a01", jobs[1].DestinationImageID)
	require.Empty(t, jobs[1].SourceImageName)
}

func TestListWithoutJobs(t *testing.T) {
	for _, body := range []string{`[]`, `[null]`} {
		client, mock := mocked(t)
		mock.RegisterResponder(http.MethodGet, jobsURL, httpmock.NewStringResponder(http.StatusOK, body))
		jobs, err := client.Jobs.List(t.Context())
		require.NoError(t, err)
		require.Empty(t, jobs)
	}
}

func TestCancel(t *testing.T) {
	client, mock := mocked(t)
	mock.RegisterResponder(http.MethodDelete, jobURL, httpmock.NewStringResponder(http.StatusNoContent, ""))
	require.NoError(t, client.Jobs.Cancel(t.Context(), jobID))

	mock.RegisterResponder(http.MethodDelete, jobURL, respond(t, http.StatusConflict, "error_409_webob.json"))
	err := client.Jobs.Cancel(t.Context(), jobID)
	require.ErrorIs(t, err, imagereplicator.ErrConflict)
	require.ErrorContains(t, err, "only a job that is replicate_requested or replicating can be canceled")
	require.Zero(t, mock.GetCallCountInfo()[http.MethodGet+" "+jobURL])
}

// A cancellation whose response was lost is repeated, and refused because the
// first one is under way.
func TestCancelRepeated(t *testing.T) {
	for status, accepted := range map[imagereplicator.Status]bool{
		"cancel_requested": true, "canceling": true, "canceled": true, "replicated": false, "error": false, "replicating": false,
	} {
		client, mock := mocked(t)
		mock.RegisterResponder(http.MethodDelete, jobURL,
			httpmock.NewErrorResponder(io.ErrUnexpectedEOF).Then(respond(t, http.StatusConflict, "error_409_webob.json")))
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
		client, mock := mocked(t, imagereplicator.WithRetry(1, 0, 0))
		mock.RegisterResponder(http.MethodGet, jobsURL, httpmock.NewStringResponder(http.StatusOK, "["+data+"]"))
		jobs, err := client.Jobs.List(t.Context())
		if err != nil {
			return
		}
		for _, job := range jobs {
			require.NotEmpty(t, job.ID)
			require.NotEmpty(t, job.Status)
			again, err := json.Marshal(job)
			require.NoError(t, err)
			var same imagereplicator.Job
			require.NoError(t, json.Unmarshal(again, &same))
			require.Equal(t, *job, same)
		}
	})
}
