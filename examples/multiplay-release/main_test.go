package main

import (
	"bufio"
	"bytes"
	"context"
	"encoding/json"
	"io"
	"net/http"
	"os"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"go.uber.org/goleak"

	"github.com/imagejobs/imagejobs-go/multiplay"
	"github.com/imagejobs/imagejobs-go/multiplay/multiplaytest"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

const secret = "se%2Fcret%40of%3Athe%20build"

// start starts a server and sets the environment for it.
func start(t *testing.T, opts ...multiplaytest.Option) *multiplaytest.Server {
	t.Helper()
	server := multiplaytest.NewServer(append(opts, multiplaytest.WithDialect(multiplaytest.Dialect{StartInstalls: true}))...)
	t.Cleanup(server.Close)
	for _, line := range server.Env() {
		name, value, _ := strings.Cut(line, "=")
		t.Setenv(name, value)
	}
	t.Setenv("MULTIPLAY_SOURCE_URL", "s3://key:"+secret+"@builds/server/42/")
	return server
}

// args are the least there must be.
func args(more ...string) []string {
	return append([]string{
		"-image", strconv.Itoa(multiplaytest.ImageID), "-machine", strconv.Itoa(multiplaytest.MachineID), "-description", "build 42",
	}, more...)
}

func TestRelease(t *testing.T) {
	server := start(t, multiplaytest.WithJobTime(0))
	server.LockImage(multiplaytest.ImageID)
	var out, errs bytes.Buffer
	require.NoError(t, run(t.Context(), args("-restart", "-full", "-reject-locking"), &out, &errs))
	require.Empty(t, errs.String())
	require.True(t, strings.HasPrefix(out.String(), "releasing image 1249\nrejected diff 4711, which locked the image\nupdate : 100% Completed (4712)\n"), out.String())
	require.Contains(t, out.String(), "rollout: 100% 3 of 3 machines\nreleased version 4714 of image 1249 to 3 machines\n")
	require.Equal(t, "s3://key:"+secret+"@builds/server/42/", server.Updates()[0].SourceURL)
	require.True(t, server.Versions()[0].Full && server.Versions()[0].Restart)
	require.NotContains(t, out.String(), "cret")
}

func TestJSON(t *testing.T) {
	start(t, multiplaytest.WithJobTime(0))
	var out bytes.Buffer
	require.NoError(t, run(t.Context(), args("-json"), &out, &out))
	var last multiplay.ReleaseResult
	lines := bufio.NewScanner(&out)
	for lines.Scan() {
		last = multiplay.ReleaseResult{}
		require.NoError(t, json.Unmarshal(lines.Bytes(), &last), lines.Text())
	}
	require.Equal(t, int64(3), last.Rollout.Completed)
	require.NotZero(t, last.ImageVersionID)
}

// Ctrl-C ends it at once; the command it prints goes on from there.
func TestInterrupted(t *testing.T) {
	server := start(t, multiplaytest.WithJobTime(time.Hour))
	ctx, interrupt := context.WithCancel(t.Context())
	defer interrupt()
	reader, writer := io.Pipe()
	ended := make(chan error, 1)
	go func() {
		err := run(ctx, args("-restart", "-retries", "2"), writer, io.Discard)
		ended <- err
		_ = writer.CloseWithError(err)
	}()
	var text strings.Builder
	lines := bufio.NewScanner(reader)
	var interrupted time.Time
	for lines.Scan() {
		text.WriteString(lines.Text() + "\n")
		if strings.Contains(lines.Text(), "Created") && interrupted.IsZero() {
			interrupted = time.Now()
			interrupt()
		}
	}
	require.ErrorIs(t, <-ended, context.Canceled)
	require.Less(t, time.Since(interrupted), 10*time.Second)
	const command = "to go on: multiplay-release "
	_, after, found := strings.Cut(text.String(), command)
	require.True(t, found, text.String())
	require.Equal(t, "-image 1249 -machine 95394 -update 4711 -diff 0 -version 0 -restart=true -retries=2\n", after)
	require.Equal(t, 1, server.Count(multiplaytest.OpUpdateCreate))
}

func TestGoingOn(t *testing.T) {
	server := start(t, multiplaytest.WithJobTime(0))
	server.Inject(multiplaytest.Fault{Operation: multiplaytest.OpVersionCreate, Status: http.StatusBadGateway})
	var out bytes.Buffer
	require.ErrorIs(t, run(t.Context(), args(), &out, &out), multiplay.ErrAmbiguous)
	require.Contains(t, out.String(), "it is not known whether the service carried out the last call: look before going on\n")
	_, after, found := strings.Cut(strings.TrimSpace(out.String()), "to go on: multiplay-release ")
	require.True(t, found)
	require.NoError(t, os.Unsetenv("MULTIPLAY_SOURCE_URL")) // t.Setenv puts it back
	require.NoError(t, run(t.Context(), strings.Fields(after), &out, &out))
	require.Len(t, server.Updates(), 1)
	require.Len(t, server.Versions(), 1)
}

func TestFailures(t *testing.T) {
	server := start(t, multiplaytest.WithJobTime(0))
	server.Next(multiplaytest.Update, multiplaytest.Outcome{State: multiplay.JobFailed, Error: "no such bucket"})
	var out bytes.Buffer
	require.ErrorContains(t, run(t.Context(), args(), &out, &out), "no such bucket")
	require.Contains(t, out.String(), "Failed (4711): no such bucket\nto go on: multiplay-release ")
	server.LockImage(multiplaytest.ImageID)
	require.ErrorContains(t, run(t.Context(), args(), &out, &out), "image locked by diffid: ")
	require.Contains(t, out.String(), "stopped before there was an update\n")

	err := run(t.Context(), args("-source-url", "s3://key:"+"se/cret@builds"), &out, &out)
	require.ErrorIs(t, err, multiplay.ErrInvalidArgument)
	require.ErrorContains(t, run(t.Context(), nil, &out, &out), "-image is required with an endpoint")
	require.ErrorContains(t, run(t.Context(), []string{"-image", "1249"}, &out, &out), "-machine is required with an endpoint")
	require.ErrorContains(t, run(t.Context(), []string{"x"}, &out, &out), "unexpected argument")
	require.NotContains(t, out.String()+err.Error(), "cret")

	for name, want := range map[string]string{
		"MULTIPLAY_ACCOUNT_SERVICE_ID": "set MULTIPLAY_ACCOUNT_SERVICE_ID to a number",
		"MULTIPLAY_SECRET_KEY":         "set MULTIPLAY_ACCESS_KEY and MULTIPLAY_SECRET_KEY",
	} {
		before := os.Getenv(name)
		t.Setenv(name, "")
		require.EqualError(t, run(t.Context(), args(), &out, &out), want)
		t.Setenv(name, before)
	}
}

func TestHelp(t *testing.T) {
	var out bytes.Buffer
	require.Error(t, run(t.Context(), []string{"-h"}, io.Discard, &out))
	require.Contains(t, out.String(), "MULTIPLAY_SOURCE_URL")
	require.Contains(t, out.String(), "MULTIPLAY_ENDPOINT")
}
