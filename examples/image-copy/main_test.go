package main

import (
	"bufio"
	"bytes"
	"context"
	"encoding/json"
	"flag"
	"io"
	"net/http"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"go.uber.org/goleak"

	"github.com/imagejobs/imagejobs-go/imagereplicator"
	"github.com/imagejobs/imagejobs-go/imagereplicator/imagereplicatortest"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// start is a service and the environment to log in at it.
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
	for _, name := range []string{
		"IMAGE_REPLICATOR_ENDPOINT", "IMAGE_REPLICATOR_TOKEN", "OS_AUTH_URL", "OS_CLOUD",
		"OS_APPLICATION_CREDENTIAL_ID", "OS_APPLICATION_CREDENTIAL_NAME", "OS_APPLICATION_CREDENTIAL_SECRET",
	} {
		t.Setenv(name, "")
	}
}

const (
	image  = imagereplicatortest.ImageID
	first  = imagereplicatortest.DestinationTenantID
	second = imagereplicatortest.ThirdTenantID
)

func TestCopy(t *testing.T) {
	server := start(t, imagereplicatortest.WithJobTime(0))
	var out bytes.Buffer
	require.NoError(t, run(t.Context(), []string{"-image", image, "-to", first + ", " + second + "," + first}, &out, &out))
	jobs := server.Jobs()[1:]
	require.Len(t, jobs, 2)
	lines := strings.Split(out.String(), "\n")
	for _, job := range jobs {
		require.Contains(t, lines[2]+lines[3], "job "+job.ID+": image "+image+" to tenant "+job.DestinationTenantID)
		require.Contains(t, out.String(), job.DestinationTenantID+": 100% replicated")
		require.Regexp(t, job.DestinationTenantID+` +`+job.DestinationRegionID+` +`+job.ID+` +replicated +`+job.DestinationImageID, out.String())
	}
}

func TestCopyJSON(t *testing.T) {
	start(t, imagereplicatortest.WithJobTime(0))
	var out bytes.Buffer
	require.NoError(t, run(t.Context(), []string{"-json", "-image", image, "-to", first + "," + second}, &out, &out))
	var events []string
	for lines := bufio.NewScanner(&out); lines.Scan(); {
		var event struct{ Event, JobID string }
		require.NoError(t, json.Unmarshal(lines.Bytes(), &event))
		events = append(events, event.Event)
	}
	require.Equal(t, []string{"job", "job", "status", "status", "result", "result"}, events)
}

func TestCopyFails(t *testing.T) {
	server := start(t, imagereplicatortest.WithJobTime(0), imagereplicatortest.WithOutcome(imagereplicator.StatusError))
	var out bytes.Buffer
	err := run(t.Context(), []string{"-image", image, "-to", first + ",nowhere"}, &out, &out)
	require.ErrorContains(t, err, "2 of 2 copies not done:")
	require.ErrorContains(t, err, "nowhere: imagereplicator.Jobs.Create")
	require.ErrorContains(t, err, "ended with status \"error\"")
	require.Regexp(t, `nowhere +- +- +not created +-`, out.String())
	require.Regexp(t, first+` +ot2 +`+server.Jobs()[1].ID+` +error`, out.String())
}

// Ctrl-C ends it at once and says how to go on; what it says works.
func TestInterrupt(t *testing.T) {
	server := start(t, imagereplicatortest.WithJobTime(time.Hour))
	for _, cancels := range []bool{false, true} {
		out := &lines{}
		ctx, interrupt := context.WithCancel(t.Context())
		out.on = func(line string) {
			if strings.Contains(line, "replicat") {
				interrupt()
			}
		}
		began := time.Now()
		args := []string{"-image", image, "-to", first}
		if cancels {
			args = append(args, "-cancel-on-interrupt")
		}
		err := run(ctx, args, out, out)
		interrupt()
		require.Less(t, time.Since(began), 5*time.Second)
		jobs := server.Jobs()
		job := jobs[len(jobs)-1]
		require.ErrorContains(t, err, "to follow it:\n  image-copy -job "+job.ID+" -watch")
		if cancels {
			require.ErrorContains(t, err, "asked to be canceled")
			require.Equal(t, 1, server.Processed(imagereplicatortest.OpCancel))
		} else {
			require.Equal(t, imagereplicator.StatusReplicateRequested, job.Status)
			require.Zero(t, server.Count(imagereplicatortest.OpCancel))
		}
		server.SetStatus(job.ID, imagereplicator.StatusReplicated)
		var shown bytes.Buffer
		require.NoError(t, run(t.Context(), []string{"-job", job.ID, "-watch"}, &shown, &shown))
		require.Contains(t, shown.String(), job.ID+" replicated 100%")
	}
}

// lines calls on with each line that is written.
type lines struct {
	mu   sync.Mutex
	text string
	on   func(string)
}

func (l *lines) Write(p []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.text += string(p)
	for {
		line, rest, found := strings.Cut(l.text, "\n")
		if !found {
			return len(p), nil
		}
		l.text = rest
		l.on(line)
	}
}

func TestShow(t *testing.T) {
	clearEnv(t)
	server := imagereplicatortest.NewServer()
	defer server.Close()
	t.Setenv("IMAGE_REPLICATOR_ENDPOINT", server.URL)
	t.Setenv("IMAGE_REPLICATOR_TOKEN", imagereplicatortest.Token)
	var out bytes.Buffer
	require.NoError(t, run(t.Context(), []string{"-job", imagereplicatortest.JobID}, &out, &out))
	require.Equal(t, imagereplicatortest.JobID+" cancel_requested   0%: Test-image-Ubuntu ("+image+") from ot1 to ot2, tenant "+first+", image -\n", out.String())
	out.Reset()
	require.NoError(t, run(t.Context(), []string{"-json", "-job", imagereplicatortest.JobID}, &out, &out))
	var job imagereplicator.Job
	require.NoError(t, json.Unmarshal(out.Bytes(), &job))
	require.Equal(t, server.Jobs()[0], job)

	server.SetStatus(imagereplicatortest.JobID, imagereplicator.StatusCanceled)
	err := run(t.Context(), []string{"-watch", "-job", imagereplicatortest.JobID}, &out, &out)
	require.EqualError(t, err, `imagereplicator: job `+imagereplicatortest.JobID+` ended with status "canceled"`)
}

func TestBuiltIn(t *testing.T) {
	clearEnv(t)
	var out bytes.Buffer
	require.NoError(t, run(t.Context(), nil, &out, &out))
	require.Contains(t, out.String(), "no endpoint given: using the built-in service")
	require.Contains(t, out.String(), "this was the built-in service: nothing was copied")
	require.Equal(t, 3, strings.Count(out.String(), ": 100% replicated"))

	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	require.ErrorIs(t, run(ctx, []string{"-job", imagereplicatortest.JobID, "-watch"}, &out, &out), context.Canceled)

	t.Setenv("OS_CLOUD", "nowhere")
	t.Setenv("OS_CLIENT_CONFIG_FILE", "/does/not/exist")
	require.ErrorContains(t, run(t.Context(), []string{"-job", "j"}, io.Discard, io.Discard), "FromCloud: ")
}

func TestArguments(t *testing.T) {
	server := start(t)
	for want, args := range map[string][]string{
		"-job goes without -image and -to":             {"-job", "j", "-to", first},
		"-watch goes with -job":                        {"-watch", "-image", image, "-to", first},
		"-image and -to are required with an endpoint": {"-image", image},
		`unexpected argument "more"`:                   {"-job", "j", "more"},
		"flag provided but not defined: -region":       {"-region", "jp1"},
	} {
		require.EqualError(t, run(t.Context(), args, io.Discard, io.Discard), want)
	}
	var usage bytes.Buffer
	require.ErrorIs(t, run(t.Context(), []string{"-h"}, io.Discard, &usage), flag.ErrHelp)
	require.Contains(t, usage.String(), "OS_AUTH_URL")

	t.Setenv("OS_PASSWORD", "wrong")
	err := run(t.Context(), []string{"-job", "j"}, io.Discard, io.Discard)
	require.ErrorIs(t, err, imagereplicator.ErrUnauthorized)
	t.Setenv("OS_PASSWORD", "")
	require.ErrorContains(t, run(t.Context(), []string{"-job", "j"}, io.Discard, io.Discard), "OS_PASSWORD")
	t.Setenv("IMAGE_REPLICATOR_ENDPOINT", server.URL)
	require.EqualError(t, run(t.Context(), []string{"-job", "j"}, io.Discard, io.Discard), "set IMAGE_REPLICATOR_TOKEN beside IMAGE_REPLICATOR_ENDPOINT")
	for _, r := range server.Requests() {
		require.NotEqual(t, http.StatusOK, r.Status)
	}
}
