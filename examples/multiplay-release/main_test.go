package main

import (
	"bytes"
	"context"
	"encoding/json"
	"io"
	"net/http"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"go.uber.org/goleak"

	"github.com/imagejobs/imagejobs-go/examples/internal/clanforge"
	"github.com/imagejobs/imagejobs-go/examples/internal/cli"
	"github.com/imagejobs/imagejobs-go/examples/internal/clitest"
	"github.com/imagejobs/imagejobs-go/multiplay"
	"github.com/imagejobs/imagejobs-go/multiplay/multiplaytest"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

const secret = "se%2Fcret%40of%3Athe%20build"

func clearEnv(t *testing.T) {
	t.Helper()
	for _, name := range append(clanforge.Variables(), sourceVariable) {
		t.Setenv(name, "")
	}
}

// start starts a server and sets the environment for it.
func start(t *testing.T, opts ...multiplaytest.Option) *multiplaytest.Server {
	t.Helper()
	server := multiplaytest.NewServer(append(opts, multiplaytest.WithDialect(multiplaytest.Dialect{StartInstalls: true}))...)
	t.Cleanup(server.Close)
	clearEnv(t)
	for _, line := range server.Env() {
		name, value, _ := strings.Cut(line, "=")
		t.Setenv(name, value)
	}
	t.Setenv(sourceVariable, "s3://key:"+secret+"@builds/server/42/")
	return server
}

// arguments are the least there must be.
func arguments(more ...string) []string {
	return append([]string{
		"-image", strconv.Itoa(multiplaytest.ImageID), "-machine", strconv.Itoa(multiplaytest.MachineID), "-description", "build 42",
	}, more...)
}

// runProgram runs the program and returns what it printed.
func runProgram(ctx context.Context, args ...string) (code int, stdout, stderr string) {
	var out, errs bytes.Buffer
	code = run(ctx, args, &out, &errs)
	return code, out.String(), errs.String()
}

func TestRelease(t *testing.T) {
	server := start(t, multiplaytest.WithJobTime(0))
	server.LockImage(multiplaytest.ImageID)
	code, out, errs := runProgram(t.Context(), arguments("-restart", "-full", "-reject-locking")...)
	require.Equal(t, cli.Done, code, errs)
	require.Empty(t, errs)
	require.True(t, strings.HasPrefix(out, "releasing image 1249\nrejected diff 4711, which locked the image\nupdate: 100% Completed (4712)\n"), out)
	require.Contains(t, out, "rollout: 100% 3 of 3 machines\nreleased version 4714 of image 1249 to 3 machines\n")
	require.Empty(t, clitest.Repeated(out))
	require.Equal(t, "s3://key:"+secret+"@builds/server/42/", server.Updates()[0].SourceURL)
	require.True(t, server.Versions()[0].Full && server.Versions()[0].Restart)
	require.NotContains(t, out, "cret")
}

func TestJSON(t *testing.T) {
	start(t, multiplaytest.WithJobTime(0))
	code, out, _ := runProgram(t.Context(), arguments("-json")...)
	require.Equal(t, cli.Done, code)
	var names []string
	for line := range strings.Lines(out) {
		var e struct {
			cli.Event

			Detail json.RawMessage `json:"detail"`
		}
		require.NoError(t, json.Unmarshal([]byte(line), &e), line)
		names = append(names, e.Event.Event)
		if e.Event.Event == cli.Result {
			var result multiplay.ReleaseResult
			require.NoError(t, json.Unmarshal(e.Detail, &result))
			require.Equal(t, int64(3), result.Rollout.Completed)
			require.Equal(t, cli.IDs{"updateId": 4711.0, "diffId": 4712.0, "imageVersionId": 4713.0}, e.IDs)
		}
	}
	require.Equal(t, []string{cli.Begin, cli.Notice}, names[:2])
	require.Equal(t, []string{cli.Status, cli.Result, cli.End}, names[len(names)-3:])
}

func TestResult(t *testing.T) {
	start(t, multiplaytest.WithJobTime(0))
	name := filepath.Join(t.TempDir(), "result.json")
	code, _, _ := runProgram(t.Context(), arguments("-result", name)...)
	require.Equal(t, cli.Done, code)
	data, err := os.ReadFile(name)
	require.NoError(t, err)
	var got cli.Outcome
	require.NoError(t, json.Unmarshal(data, &got))
	require.Equal(t, cli.IDs{"updateId": 4711.0, "diffId": 4712.0, "imageVersionId": 4713.0}, got.IDs)
	require.Equal(t, "released", got.State)
	require.Zero(t, *got.ExitCode)
	require.NotContains(t, string(data), "cret")
}

func TestCheck(t *testing.T) {
	server := start(t)
	code, out, errs := runProgram(t.Context(), arguments("-check")...)
	require.Equal(t, cli.Done, code, errs)
	require.Equal(t, "checked: arguments, image 1249, machine 95394, and credentials; nothing was released\n", out)
	for want, more := range map[string][]string{
		"-image 5 is not an image":          {"-image", "5"},
		"-machine 5 is not a build machine": {"-machine", "5"},
	} {
		code, _, errs = runProgram(t.Context(), arguments(append(more, "-check")...)...)
		require.Equal(t, cli.Usage, code)
		require.Contains(t, errs, want)
	}
	t.Setenv("MULTIPLAY_SECRET_KEY", "wrong")
	code, _, _ = runProgram(t.Context(), arguments("-check")...)
	require.Equal(t, cli.Failed, code)
	require.Empty(t, server.Updates())
}

// Ctrl-C ends it at once; the command that it prints resumes.
func TestInterrupted(t *testing.T) {
	server := start(t, multiplaytest.WithJobTime(time.Hour))
	ctx, interrupt := context.WithCancel(t.Context())
	defer interrupt()
	var interrupted time.Time
	out := &lines{on: func(line string) {
		if strings.Contains(line, "Created") {
			interrupted = time.Now()
			interrupt()
		}
	}}
	require.Equal(t, cli.Interrupted, run(ctx, arguments("-restart", "-retries", "2"), out, io.Discard))
	require.Less(t, time.Since(interrupted), 10*time.Second)
	require.Contains(t, out.text.String(), "to resume: multiplay-release -image 1249 -machine 95394 -update 4711 -restart=true -retries=2\n")
	require.Equal(t, 1, server.Count(multiplaytest.OpUpdateCreate))
}

// lines calls on with each line that is written.
type lines struct {
	text bytes.Buffer
	on   func(string)
}

func (l *lines) Write(p []byte) (int, error) {
	l.on(string(p)) // the program writes whole lines
	return l.text.Write(p)
}

func TestResume(t *testing.T) {
	server := start(t, multiplaytest.WithJobTime(0))
	server.Inject(multiplaytest.Fault{Operation: multiplaytest.OpVersionCreate, Status: http.StatusBadGateway})
	code, out, errs := runProgram(t.Context(), arguments()...)
	require.Equal(t, cli.Ambiguous, code, errs)
	require.Contains(t, out, "it is not known whether the last call took effect: check before you resume\n")
	_, after, found := strings.Cut(strings.TrimSpace(out), "to resume: multiplay-release ")
	require.True(t, found)
	t.Setenv(sourceVariable, "")
	code, _, errs = runProgram(t.Context(), strings.Fields(after)...)
	require.Equal(t, cli.Done, code, errs)
	require.Len(t, server.Updates(), 1)
	require.Len(t, server.Versions(), 1)
}

func TestFailures(t *testing.T) {
	server := start(t, multiplaytest.WithJobTime(0))
	server.Next(multiplaytest.Update, multiplaytest.Outcome{State: multiplay.JobFailed, Error: "no such bucket"})
	code, out, errs := runProgram(t.Context(), arguments()...)
	require.Equal(t, cli.Ended, code)
	require.Contains(t, errs, "no such bucket")
	require.Contains(t, out, "Failed (4711): no such bucket\nto resume: multiplay-release ")
	server.LockImage(multiplaytest.ImageID)
	code, out, errs = runProgram(t.Context(), arguments()...)
	require.Equal(t, cli.Failed, code)
	require.Contains(t, errs, "image locked by diffid: ")
	require.Contains(t, out, "stopped before there was an update\n")

	for want, args := range map[string][]string{
		"-source-url is not a URL: percent-encode the credentials in it": arguments("-source-url", "s3://key:"+"se/cret@builds"),
		"-image must be positive":        {"-machine", "1"},
		"-machine must be positive":      {"-image", "1249"},
		"-description must not be empty": {"-image", "1249", "-machine", "95394"},
		"-retries must not be negative":  arguments("-retries", "-1"),
		"unexpected argument":            {"x"},
	} {
		code, out, errs := runProgram(t.Context(), args...)
		require.Equal(t, cli.Usage, code, errs)
		require.Contains(t, errs, want)
		require.NotContains(t, out+errs, "cret")
	}
	t.Setenv(sourceVariable, "s3://key:"+"se/cret@builds")
	code, _, errs = runProgram(t.Context(), arguments()...)
	require.Equal(t, cli.Usage, code)
	require.Contains(t, errs, sourceVariable+" is not a URL")
	t.Setenv(sourceVariable, "")
	for name, want := range map[string]string{
		"MULTIPLAY_ACCOUNT_SERVICE_ID": "MULTIPLAY_ACCOUNT_SERVICE_ID must be set",
		"MULTIPLAY_SECRET_KEY":         "MULTIPLAY_SECRET_KEY must be set",
	} {
		before := os.Getenv(name)
		t.Setenv(name, "")
		code, _, errs = runProgram(t.Context(), arguments()...)
		require.Equal(t, cli.Usage, code)
		require.Contains(t, errs, want)
		t.Setenv(name, before)
	}
}

func TestDemo(t *testing.T) {
	server := start(t)
	code, out, _ := runProgram(t.Context(), arguments("-demo", "-check")...)
	require.Equal(t, cli.Done, code)
	require.Regexp(t, `^demo: using the built-in service at `, out)
	require.Regexp(t, `\ndemo: that was the built-in service; the real one was not called\n$`, out)
	require.Empty(t, server.Requests())

	clearEnv(t) // but the image names the real service
	code, out, errs := runProgram(t.Context(), arguments()...)
	require.Equal(t, cli.Usage, code)
	require.Empty(t, out)
	require.Contains(t, errs, "MULTIPLAY_ACCESS_KEY must be set, or MULTIPLAY_TOKEN")

	code, out, _ = runProgram(t.Context(), "-h")
	require.Equal(t, cli.Done, code)
	require.Contains(t, out, "MULTIPLAY_SOURCE_URL")
	require.Contains(t, out, "MULTIPLAY_ENDPOINT")
}
