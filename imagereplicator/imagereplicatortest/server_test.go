package imagereplicatortest_test

import (
	"encoding/json"
	"io"
	"net/http"
	"os"
	"os/exec"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"go.uber.org/goleak"

	"github.com/imagejobs/imagejobs-go/imagereplicator"
	"github.com/imagejobs/imagejobs-go/imagereplicator/imagereplicatortest"
	"github.com/imagejobs/imagejobs-go/internal/emulator"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

const jobs = "/v2/extension/image_replicator/jobs"

type response struct {
	status int
	header http.Header
	body   string
}

func start(t *testing.T, opts ...imagereplicatortest.Option) *imagereplicatortest.Server {
	t.Helper()
	server := imagereplicatortest.NewServer(opts...)
	t.Cleanup(server.Close)
	return server
}

// call sends a request as curl would, with more headers as "Name: value".
func call(t *testing.T, server *imagereplicatortest.Server, method, path, body string, headers ...string) response {
	t.Helper()
	r, err := http.NewRequestWithContext(t.Context(), method, server.URL+path, strings.NewReader(body))
	require.NoError(t, err)
	r.Header.Set("X-Auth-Token", imagereplicatortest.Token)
	r.Header.Set("Content-Type", "application/json")
	for _, line := range headers {
		name, value, _ := strings.Cut(line, ": ")
		r.Header.Set(name, value)
	}
	resp, err := (&http.Transport{DisableKeepAlives: true}).RoundTrip(r)
	require.NoError(t, err)
	defer resp.Body.Close()
	data, err := io.ReadAll(resp.Body)
	require.NoError(t, err)
	return response{resp.StatusCode, resp.Header, string(data)}
}

func create(t *testing.T, server *imagereplicatortest.Server) string {
	t.Helper()
	got := call(t, server, http.MethodPost, jobs,
		`{"image_id": "`+imagereplicatortest.ImageID+`", "tenant_id_dst": "`+imagereplicatortest.DestinationTenantID+`"}`)
	require.Equal(t, http.StatusAccepted, got.status, got.body)
	var created struct {
		JobID string `json:"job_id"`
	}
	require.NoError(t, json.Unmarshal([]byte(got.body), &created))
	require.Regexp(t, `^[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}$`, created.JobID)
	return created.JobID
}

// get returns a job as GET shows it.
func get(t *testing.T, server *imagereplicatortest.Server, id string) map[string]any {
	t.Helper()
	got := call(t, server, http.MethodGet, jobs+"/"+id, "")
	require.Equal(t, http.StatusOK, got.status, got.body)
	var job map[string]any
	require.NoError(t, json.Unmarshal([]byte(got.body), &job))
	require.Len(t, job, 10)
	return job
}

func TestStates(t *testing.T) {
	clock := emulator.NewManualClock(time.Now())
	server := start(t, imagereplicatortest.WithClock(clock.Now), imagereplicatortest.WithJobTime(60*time.Second), imagereplicatortest.WithSpeed(2))
	id := create(t, server)
	var destination any
	for _, step := range []struct {
		advance  time.Duration
		status   string
		progress float64
	}{{0, "replicate_requested", 0}, {5 * time.Second, "replicating", 0}, {10 * time.Second, "replicating", 40}, {15 * time.Second, "replicated", 100}} {
		clock.Advance(step.advance)
		job := get(t, server, id)
		require.Equal(t, step.status, job["status"])
		require.InDelta(t, step.progress, job["copy_progress"], 0)
		if step.status == "replicate_requested" {
			require.Nil(t, job["destination_image_id"])
			continue
		}
		if destination == nil {
			destination = job["destination_image_id"]
			require.NotEmpty(t, destination)
		}
		require.Equal(t, destination, job["destination_image_id"])
	}
	require.Equal(t, http.StatusConflict, call(t, server, http.MethodDelete, jobs+"/"+id, "").status)
}

func TestCancellation(t *testing.T) {
	clock := emulator.NewManualClock(time.Now())
	server := start(t, imagereplicatortest.WithClock(clock.Now), imagereplicatortest.WithJobTime(60*time.Second), imagereplicatortest.WithCancelLag(2*time.Minute))
	id := create(t, server)
	clock.Advance(35 * time.Second)
	got := call(t, server, http.MethodDelete, jobs+"/"+id, "")
	require.Equal(t, http.StatusNoContent, got.status)
	require.Empty(t, got.body)
	require.Equal(t, "application/json; charset=UTF-8", got.header.Get("Content-Type"))
	for _, step := range []struct {
		advance time.Duration
		status  string
	}{{0, "cancel_requested"}, {119 * time.Second, "cancel_requested"}, {time.Second, "canceling"}, {30 * time.Second, "canceled"}} {
		clock.Advance(step.advance)
		job := get(t, server, id)
		require.Equal(t, step.status, job["status"])
		require.InDelta(t, 50, job["copy_progress"], 0, "what was copied stays")
		require.NotEmpty(t, job["destination_image_id"])
		require.Equal(t, http.StatusConflict, call(t, server, http.MethodDelete, jobs+"/"+id, "").status)
	}
}

func TestLostCancellation(t *testing.T) {
	clock := emulator.NewManualClock(time.Now())
	server := start(t, imagereplicatortest.WithClock(clock.Now), imagereplicatortest.WithLostCancel())
	id := create(t, server)
	require.Equal(t, http.StatusNoContent, call(t, server, http.MethodDelete, jobs+"/"+id, "").status)
	require.Equal(t, "cancel_requested", get(t, server, id)["status"])
	clock.Advance(time.Minute)
	require.Equal(t, "replicated", get(t, server, id)["status"])
}

func TestOutcome(t *testing.T) {
	clock := emulator.NewManualClock(time.Now())
	server := start(t, imagereplicatortest.WithClock(clock.Now), imagereplicatortest.WithOutcome(imagereplicator.StatusError))
	id := create(t, server)
	clock.Advance(time.Minute)
	require.Equal(t, "error", get(t, server, id)["status"])
	require.InDelta(t, 50, get(t, server, id)["copy_progress"], 0)
}

func TestSetStatus(t *testing.T) {
	clock := emulator.NewManualClock(time.Now())
	server := start(t, imagereplicatortest.WithClock(clock.Now))
	first, second := create(t, server), create(t, server)
	require.True(t, server.SetStatus(second, "waiting_for_tape"))
	require.False(t, server.SetStatus("unknown", imagereplicator.StatusError))
	clock.Advance(time.Minute)
	require.Equal(t, "replicated", get(t, server, first)["status"])
	require.Equal(t, "waiting_for_tape", get(t, server, second)["status"])

	require.True(t, server.SetStatus(imagereplicatortest.JobID, imagereplicator.StatusReplicating))
	require.Equal(t, http.StatusNoContent, call(t, server, http.MethodDelete, jobs+"/"+imagereplicatortest.JobID, "").status)
	require.Equal(t, "cancel_requested", get(t, server, imagereplicatortest.JobID)["status"])
	require.True(t, server.SetStatus(imagereplicatortest.JobID, imagereplicator.StatusReplicated))
	require.InDelta(t, 100, get(t, server, imagereplicatortest.JobID)["copy_progress"], 0)

	all := server.Jobs()
	require.Len(t, all, 3)
	require.Equal(t, []string{imagereplicatortest.JobID, first, second}, []string{all[0].ID, all[1].ID, all[2].ID})
}

func TestCreateRefusals(t *testing.T) {
	server := start(t, imagereplicatortest.WithImage(imagereplicatortest.Image{ID: "image-in-queue", Status: "queued"}))
	unknown := "00000000-0000-4000-8000-000000000000"
	for body, want := range map[string]int{
		``:                  http.StatusBadRequest,
		`[]`:                http.StatusBadRequest,
		`{}`:                http.StatusBadRequest,
		`{"image_id": "x"}`: http.StatusBadRequest,
		`{"image_id": "` + imagereplicatortest.ImageID + `"}`:                                                                  http.StatusBadRequest,
		`{"image_id": "` + unknown + `", "tenant_id_dst": "` + imagereplicatortest.DestinationTenantID + `"}`:                  http.StatusNotFound,
		`{"image_id": "` + imagereplicatortest.ImageID + `", "tenant_id_dst": "` + strings.ReplaceAll(unknown, "-", "") + `"}`: http.StatusNotFound,
		`{"image_id": "image-in-queue", "tenant_id_dst": "` + imagereplicatortest.DestinationTenantID + `"}`:                   http.StatusConflict,
	} {
		require.Equal(t, want, call(t, server, http.MethodPost, jobs, body).status, body)
	}
	require.Equal(t, http.StatusUnsupportedMediaType, call(t, server, http.MethodPost, jobs, "{}", "Content-Type: text/plain").status)
	require.Zero(t, server.Processed(imagereplicatortest.OpCreate))
	require.Len(t, server.Jobs(), 1)
}

func TestErrorsByAccept(t *testing.T) {
	server := start(t)
	for accept, want := range map[string]response{
		"application/json": {header: http.Header{"Content-Type": {"application/json; charset=UTF-8"}}, body: `"code":"404 Not Found"`},
		"*/*":              {header: http.Header{"Content-Type": {"text/html; charset=UTF-8"}}, body: "<h1>404 Not Found</h1>"},
		"text/plain":       {header: http.Header{"Content-Type": {"text/plain; charset=UTF-8"}}, body: "404 Not Found\n\nNo job found with ID j"},
	} {
		got := call(t, server, http.MethodGet, jobs+"/j", "", "Accept: "+accept)
		require.Equal(t, http.StatusNotFound, got.status)
		require.Equal(t, want.header.Get("Content-Type"), got.header.Get("Content-Type"))
		require.Contains(t, got.body, want.body)
	}
	require.Equal(t, http.StatusNotFound, call(t, server, http.MethodGet, "/v2/images", "").status)
	require.Equal(t, http.StatusMethodNotAllowed, call(t, server, http.MethodPut, jobs, "").status)
}

func TestStart(t *testing.T) {
	server := start(t)
	_, err := imagereplicatortest.Start(strings.TrimPrefix(server.URL, "http://"))
	require.ErrorContains(t, err, "imagereplicatortest: ")
	require.Contains(t, server.Env(), "OS_AUTH_URL="+server.URL+"/v3")
	require.Panics(t, func() { server.Client(imagereplicator.WithRetry(0, 0, 0)) })
}

// The commands work as printed.
func TestCurl(t *testing.T) {
	if _, err := exec.LookPath("curl"); err != nil {
		t.Skip("there is no curl")
	}
	server := start(t)
	var responses []string
	for _, command := range server.Curl() {
		out, err := exec.CommandContext(t.Context(), "sh", "-c", "export no_proxy='*'; "+command+" --silent --show-error --fail-with-body").CombinedOutput()
		require.NoError(t, err, "%s\n%s", command, out)
		responses = append(responses, string(out))
	}
	documented, err := os.ReadFile("../testdata/job_execution_example.json")
	require.NoError(t, err)
	require.Equal(t, string(documented), responses[0])
	require.Equal(t, "["+string(documented)+"]", responses[1])
	require.Contains(t, responses[2], `{"job_id": "`+server.Jobs()[1].ID)
	require.Contains(t, responses[3], `{"token":{`)
}

func TestFaults(t *testing.T) {
	server := start(t)
	server.Inject(imagereplicatortest.Fault{Operation: imagereplicatortest.OpGet, Status: http.StatusUnauthorized})
	got := call(t, server, http.MethodGet, jobs+"/"+imagereplicatortest.JobID, "")
	require.Equal(t, "401 Unauthorized\n\nAuthentication required.\n\n", got.body)
	server.Inject(imagereplicatortest.Fault{Operation: imagereplicatortest.OpList, Body: "{}"})
	require.Equal(t, "{}", call(t, server, http.MethodGet, jobs, "").body)
	require.Zero(t, server.FaultsLeft())
	server.Inject(imagereplicatortest.Fault{Status: http.StatusConflict, Times: -1})
	require.Equal(t, http.StatusConflict, call(t, server, http.MethodGet, jobs, "").status)
	server.ClearFaults()
	require.Equal(t, http.StatusOK, call(t, server, http.MethodGet, jobs, "").status)
	require.Equal(t, 3, server.Count(imagereplicatortest.OpList))
	require.Equal(t, 2, server.Processed(imagereplicatortest.OpList))
	require.Len(t, server.Requests(), 4)
	require.True(t, server.Requests()[0].Faulted)
	require.Equal(t, http.StatusOK, server.Requests()[3].Status)
}

// A create whose response gets lost has made a job all the same.
func TestLostCreate(t *testing.T) {
	server := start(t)
	server.Inject(imagereplicatortest.Fault{Operation: imagereplicatortest.OpCreate, Status: http.StatusBadGateway, Process: true})
	require.Equal(t, http.StatusBadGateway, call(t, server, http.MethodPost, jobs,
		`{"image_id": "`+imagereplicatortest.ImageID+`", "tenant_id_dst": "`+imagereplicatortest.DestinationTenantID+`"}`).status)
	require.Len(t, server.Jobs(), 2)
}

func TestListLag(t *testing.T) {
	clock := emulator.NewManualClock(time.Now())
	server := start(t, imagereplicatortest.WithClock(clock.Now), imagereplicatortest.WithListLag(3*time.Second))
	id := create(t, server)
	listed := func() bool { return strings.Contains(call(t, server, http.MethodGet, jobs, "").body, id) }
	require.Equal(t, "replicate_requested", get(t, server, id)["status"])
	clock.Advance(3*time.Second - 1)
	require.False(t, listed())
	clock.Advance(1)
	require.True(t, listed())
}

func TestOutage(t *testing.T) {
	server := start(t)
	end := server.StartOutage(imagereplicatortest.Outage{Status: http.StatusBadGateway})
	for _, path := range []string{jobs, "/v3/auth/tokens"} {
		require.Equal(t, http.StatusBadGateway, call(t, server, http.MethodGet, path, "").status)
	}
	end()
	require.Equal(t, http.StatusOK, call(t, server, http.MethodGet, jobs, "").status)
}
