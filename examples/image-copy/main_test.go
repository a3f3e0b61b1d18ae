package main

import (
	"bytes"
	"context"
	"encoding/json"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"go.uber.org/goleak"

	"github.com/imagejobs/imagejobs-go/examples/internal/cli"
	"github.com/imagejobs/imagejobs-go/examples/internal/clitest"
	"github.com/imagejobs/imagejobs-go/imagereplicator"
	"github.com/imagejobs/imagejobs-go/imagereplicator/imagereplicatortest"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// start starts a service and sets the environment to log in at it.
func start(t *testing.T, opts ...imagereplicatortest.Option) *imagereplicatortest.Server {
	t.Helper()
	server := imagereplicatortest.NewServer(opts...)
	t.Cleanup(server.Close)
	clearEnv(t)
	for _, line := range server.Env() {
		name, value, _ := strings.Cut(line, "=")
		t.Setenv(name, value)
	}
	return server
}

func clearEnv(t *testing.T) {
	t.Helper()
	for _, name := range variables() {
		t.Setenv(name, "")
	}
}

// runProgram runs the program and returns what it printed.
func runProgram(ctx context.Context, args ...string) (code int, stdout, stderr string) {
	var out, errs bytes.Buffer
	code = run(ctx, args, &out, &errs)
	return code, out.String(), errs.String()
}

const (
	image  = imagereplicatortest.ImageID
	first  = imagereplicatortest.DestinationTenantID
	second = imagereplicatortest.ThirdTenantID
)

func TestCopy(t *testing.T) {
	server := start(t, imagereplicatortest.WithJobTime(0))
	code, out, errs := runProgram(t.Context(), "-image", image, "-to", first+", "+second+","+first)
	require.Equal(t, cli.Done, code, errs)
	jobs := server.Jobs()[1:]
	require.Len(t, jobs, 2)
	for _, job := range jobs {
		require.Contains(t, out, "job "+job.ID+"\n  copies to tenant "+job.DestinationTenantID+"\n")
		require.Contains(t, out, job.DestinationTenantID+": 100% replicated\n")
		require.Contains(t, out, job.DestinationTenantID+"  "+job.DestinationRegionID+"     replicated\n  job    "+job.ID+"\n  image  "+job.DestinationImageID+"\n")
	}
	require.Empty(t, clitest.Repeated(out))
	for line := range strings.Lines(out) {
		require.LessOrEqual(t, len(line), 80)
	}
}

func TestCopyJSON(t *testing.T) {
	start(t, imagereplicatortest.WithJobTime(0))
	code, out, _ := runProgram(t.Context(), "-json", "-image", image, "-to", first+","+second)
	require.Equal(t, cli.Done, code)
	var names []string
	for line := range strings.Lines(out) {
		var e cli.Event
		require.NoError(t, json.Unmarshal([]byte(line), &e))
		names = append(names, e.Event)
		if e.Event == cli.Result {
			require.Equal(t, "replicated", e.State)
			require.NotEmpty(t, e.IDs["imageId"])
		}
	}
	require.Equal(t, []string{
		cli.Begin, cli.Notice, cli.Started, cli.Started, cli.Status, cli.Status, cli.Result, cli.Result, cli.End,
	}, names)
}

func TestExitCodes(t *testing.T) {
	server := start(t, imagereplicatortest.WithJobTime(0))
	server.Inject(imagereplicatortest.Fault{Operation: imagereplicatortest.OpCreate, Status: http.StatusBadGateway, Process: true})
	// Without a list the job of a lost create cannot be found.
	server.Inject(imagereplicatortest.Fault{Operation: imagereplicatortest.OpList, Status: http.StatusForbidden, Times: -1})
	result := filepath.Join(t.TempDir(), "result.json")
	code, _, errs := runProgram(t.Context(), "-image", image, "-to", first, "-result", result)
	require.Equal(t, cli.Ambiguous, code, errs)
	data, err := os.ReadFile(result)
	require.NoError(t, err)
	var got cli.Outcome
	require.NoError(t, json.Unmarshal(data, &got))
	require.Equal(t, "ambiguous", got.Error.Kind)
	require.Equal(t, cli.IDs{"copies": []any{map[string]any{"tenantId": first}}}, got.IDs)

	code, _, errs = runProgram(t.Context(), "-image", image, "-to", first, "-job", "")
	require.Equal(t, cli.Done, code, errs)
	code, _, errs = runProgram(t.Context(), "-image", "no-such-image", "-to", first)
	require.Equal(t, cli.Failed, code, errs)
}

func TestCopyFails(t *testing.T) {
	server := start(t, imagereplicatortest.WithJobTime(0), imagereplicatortest.WithOutcome(imagereplicator.StatusError))
	code, out, errs := runProgram(t.Context(), "-image", image, "-to", first+",nowhere")
	require.Equal(t, cli.Ended, code)
	require.Contains(t, errs, "2 of 2 copies not done:")
	require.Contains(t, errs, "nowhere: imagereplicator.Jobs.Create")
	require.Contains(t, errs, "ended with status \"error\"")
	require.Regexp(t, `nowhere +- +not created\n  job    -\n`, out)
	require.Regexp(t, first+`  ot2     error\n  job    `+server.Jobs()[1].ID, out)
}

// Ctrl-C ends it at once and prints how to follow the copies; that works.
func TestInterrupt(t *testing.T) {
	server := start(t, imagereplicatortest.WithJobTime(time.Hour))
	for _, cancels := range []bool{false, true} {
		ctx, interrupt := context.WithCancel(t.Context())
		out := &lines{on: func(line string) {
			if strings.Contains(line, "replicat") {
				interrupt()
			}
		}}
		began := time.Now()
		args := []string{"-image", image, "-to", first}
		if cancels {
			args = append(args, "-cancel-on-interrupt")
		}
		var errs bytes.Buffer
		require.Equal(t, cli.Interrupted, run(ctx, args, out, &errs))
		interrupt()
		require.Less(t, time.Since(began), 5*time.Second)
		jobs := server.Jobs()
		job := jobs[len(jobs)-1]
		require.Contains(t, errs.String(), "to follow it:\n  image-copy -job "+job.ID+" -watch\n")
		if cancels {
			require.Contains(t, errs.String(), "the cancellation requested")
			require.Equal(t, 1, server.Processed(imagereplicatortest.OpCancel))
		} else {
			require.Equal(t, imagereplicator.StatusReplicateRequested, job.Status)
			require.Zero(t, server.Count(imagereplicatortest.OpCancel))
		}
		server.SetStatus(job.ID, imagereplicator.StatusReplicated)
		code, shown, _ := runProgram(t.Context(), "-job", job.ID, "-watch")
		require.Equal(t, cli.Done, code)
		require.Contains(t, shown, job.ID+"\n  replicated, 100%\n")
		require.Empty(t, clitest.Repeated(shown))
	}
}

// lines calls on with each line that is written.
type lines struct {
	mu sync.Mutex
	on func(string)
}

func (l *lines) Write(p []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.on(string(p)) // the program writes whole lines
	return len(p), nil
}

func TestShow(t *testing.T) {
	clearEnv(t)
	server := imagereplicatortest.NewServer(imagereplicatortest.WithJobTime(0))
	defer server.Close()
	t.Setenv(endpointVariable, server.URL)
	t.Setenv(tokenVariable, imagereplicatortest.Token)
	code, out, errs := runProgram(t.Context(), "-job", imagereplicatortest.JobID)
	require.Equal(t, cli.Done, code, errs)
	require.Equal(t, strings.Join([]string{
		imagereplicatortest.JobID,
		"  cancel_requested, 0%",
		"  from ot1: image " + image + " (Test-image-Ubuntu)",
		"  to ot2: tenant " + first + ", image -", "",
	}, "\n"), out)

	_, out, _ = runProgram(t.Context(), "-json", "-job", imagereplicatortest.JobID)
	for line := range strings.Lines(out) {
		var e struct {
			cli.Event

			Detail *imagereplicator.Job `json:"detail"`
		}
		require.NoError(t, json.Unmarshal([]byte(line), &e))
		if e.Event.Event == cli.Result {
			require.Equal(t, server.Jobs()[0], *e.Detail)
		}
	}

	server.SetStatus(imagereplicatortest.JobID, imagereplicator.StatusCanceled)
	code, _, errs = runProgram(t.Context(), "-watch", "-job", imagereplicatortest.JobID)
	require.Equal(t, cli.Ended, code)
	require.Equal(t, "image-copy: imagereplicator: job "+imagereplicatortest.JobID+" ended with status \"canceled\"\n", errs)
}

func TestCheck(t *testing.T) {
	server := start(t)
	code, out, errs := runProgram(t.Context(), "-check", "-image", image, "-to", first)
	require.Equal(t, cli.Done, code, errs)
	require.Equal(t, "checked: arguments and credentials; nothing was copied\n", out)
	require.Len(t, server.Jobs(), 1)
	t.Setenv("OS_PASSWORD", "wrong")
	code, _, errs = runProgram(t.Context(), "-check", "-image", image, "-to", first)
	require.Equal(t, cli.Failed, code)
	require.Contains(t, errs, "401")
}

func TestDemo(t *testing.T) {
	clearEnv(t)
	code, out, errs := runProgram(t.Context())
	require.Equal(t, cli.Done, code, errs)
	require.Regexp(t, `^demo: using the built-in service at `, out)
	require.Regexp(t, `\ndemo: that was the built-in service; the real one was not called\n$`, out)
	require.Equal(t, 3, strings.Count(out, ": 100% replicated"))

	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	code, _, _ = runProgram(ctx, "-demo", "-job", imagereplicatortest.JobID, "-watch")
	require.Equal(t, cli.Interrupted, code)
}

func TestArguments(t *testing.T) {
	server := start(t)
	usage := func(want string, args ...string) {
		t.Helper()
		code, out, errs := runProgram(t.Context(), args...)
		require.Equal(t, cli.Usage, code, errs)
		require.Contains(t, errs, want)
		require.Empty(t, out)
	}
	usage("-job must not be set together with -image or -to", "-job", "j", "-to", first)
	usage("-watch requires -job", "-watch", "-image", image, "-to", first)
	usage("-watch requires -job", "-demo", "-watch")
	usage("-to must not be empty", "-image", image)
	usage("-image must not be empty")
	usage(`unexpected argument "more"`, "-job", "j", "more")
	usage("flag provided but not defined: -region", "-region", "jp1")
	t.Setenv("OS_PASSWORD", "")
	usage("OS_PASSWORD must", "-job", "j")
	t.Setenv(endpointVariable, server.URL)
	usage("IMAGE_REPLICATOR_ENDPOINT and IMAGE_REPLICATOR_TOKEN must be set together", "-job", "j")
	t.Setenv(tokenVariable, "token")
	usage("-job must", "-job", "a/b")
	t.Setenv(endpointVariable, "http://example.com")
	usage("IMAGE_REPLICATOR_ENDPOINT ", "-job", "j")
	require.Empty(t, server.Requests())

	clearEnv(t) // but the job names the real service
	usage("OS_AUTH_URL must not be empty", "-job", "j")
	t.Setenv("OS_CLOUD", "nowhere")
	t.Setenv("OS_CLIENT_CONFIG_FILE", "/does/not/exist")
	usage("nowhere", "-job", "j")

	code, out, _ := runProgram(t.Context(), "-h")
	require.Equal(t, cli.Done, code)
	require.Contains(t, out, "OS_AUTH_URL")
}
