package main

import (
	"bytes"
	"context"
	"encoding/json"
	"io"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
	"go.uber.org/goleak"

	"github.com/imagejobs/imagejobs-go/examples/internal/clanforge"
	"github.com/imagejobs/imagejobs-go/examples/internal/cli"
	"github.com/imagejobs/imagejobs-go/examples/internal/clitest"
	"github.com/imagejobs/imagejobs-go/multiplay"
	"github.com/imagejobs/imagejobs-go/multiplay/multiplaytest"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

func clearEnv(t *testing.T) {
	t.Helper()
	for _, name := range clanforge.Variables() {
		t.Setenv(name, "")
	}
}

// runProgram runs the program and returns what it printed.
func runProgram(ctx context.Context, args ...string) (code int, stdout, stderr string) {
	var out, errs bytes.Buffer
	code = run(ctx, args, &out, &errs)
	return code, out.String(), errs.String()
}

func TestStatus(t *testing.T) {
	server := multiplaytest.NewServer(multiplaytest.WithJobTime(0))
	defer server.Close()
	clearEnv(t)
	for _, line := range server.Env() {
		name, value, _ := strings.Cut(line, "=")
		t.Setenv(name, value)
	}
	server.Next(multiplaytest.Update, multiplaytest.Outcome{}, multiplaytest.Outcome{State: multiplay.JobFailed, Error: "no such bucket"})
	for range 2 {
		_, err := sample(t.Context(), server.Client())
		require.NoError(t, err)
	}
	code, out, errs := runProgram(t.Context(), "-update", "4711")
	require.Equal(t, cli.Done, code, errs)
	require.Regexp(t, `^update 4711: Completed, 100%, changed 20`, out)

	code, out, _ = runProgram(t.Context(), "-update", "4711", "-watch", "-json")
	require.Equal(t, cli.Done, code)
	var names []string
	for line := range strings.Lines(out) {
		var got struct {
			cli.Event

			Detail *multiplay.ImageUpdateStatus `json:"detail"`
		}
		require.NoError(t, json.Unmarshal([]byte(line), &got))
		names = append(names, got.Event.Event)
		if got.Event.Event == cli.Result {
			require.Equal(t, int64(4711), got.Detail.UpdateID)
			require.Equal(t, multiplay.JobCompleted, got.Detail.State)
		}
	}
	require.Equal(t, []string{cli.Begin, cli.Status, cli.Result, cli.End}, names)

	code, out, errs = runProgram(t.Context(), "-update", "4712", "-watch")
	require.Equal(t, cli.Ended, code)
	require.Contains(t, errs, `image update 4712 ended with state "Failed": no such bucket`)
	require.Contains(t, out, "\n  no such bucket\n")
	require.Empty(t, clitest.Repeated(out))

	code, _, _ = runProgram(t.Context(), "-update", "5")
	require.Equal(t, cli.Failed, code)
	code, _, errs = runProgram(t.Context())
	require.Equal(t, cli.Usage, code)
	require.Contains(t, errs, "-update must be positive")
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	code, _, _ = runProgram(ctx, "-update", "4711")
	require.Equal(t, cli.Interrupted, code)
}

// If nothing names the real service there is a built-in one, with something to
// show.
func TestDemo(t *testing.T) {
	clearEnv(t)
	code, out, _ := runProgram(t.Context())
	require.Equal(t, cli.Done, code)
	require.Regexp(t, `^demo: using the built-in service at http://127\.0\.0\.1:`, out)
	require.Regexp(t, `update 4711: (Created|Pending|Queued|Running|Completed), \d+%`, out) // it moves by the clock
	require.Regexp(t, `\ndemo: that was the built-in service; the real one was not called\n$`, out)

	t.Setenv("MULTIPLAY_SECRET_KEY", "a credential names the real service")
	code, out, errs := runProgram(t.Context())
	require.Equal(t, cli.Usage, code)
	require.Empty(t, out)
	require.Contains(t, errs, "MULTIPLAY_")

	var help bytes.Buffer
	require.Equal(t, cli.Done, run(t.Context(), []string{"-h"}, &help, io.Discard))
	require.Contains(t, help.String(), "MULTIPLAY_ENDPOINT")
}
