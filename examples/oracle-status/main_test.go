package main

import (
	"bytes"
	"encoding/json"
	"io"
	"testing"

	"github.com/stretchr/testify/require"
	"go.uber.org/goleak"

	"github.com/imagejobs/imagejobs-go/examples/internal/cli"
	"github.com/imagejobs/imagejobs-go/examples/internal/clitest"
	"github.com/imagejobs/imagejobs-go/examples/internal/oracle"
	"github.com/imagejobs/imagejobs-go/oraclemarket"
	"github.com/imagejobs/imagejobs-go/oraclemarket/oraclemarkettest"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

func clearEnv(t *testing.T) {
	t.Helper()
	for _, name := range oracle.Variables() {
		t.Setenv(name, "")
	}
}

func TestStatus(t *testing.T) {
	server := oraclemarkettest.NewServer()
	defer server.Close()
	clearEnv(t)
	t.Setenv("ORACLE_MARKETPLACE_ENDPOINT", server.URL)
	t.Setenv("ORACLE_MARKETPLACE_USER", server.User)
	t.Setenv("ORACLE_MARKETPLACE_TOKEN", server.Token)
	for _, watch := range []string{"-watch=false", "-watch"} {
		var out, errs bytes.Buffer
		require.Equal(t, cli.Done, run(t.Context(), []string{"-id", "2797087", watch}, &out, &errs), errs.String())
		require.Contains(t, out.String(), "2797087 Completed: APS1826_WWP_061218 OL67 Linux, wordpress.tar.gz\n  chunks: 75 of 75\n  US2 COMMERCIAL CHERRY: Completed, 100%")
		require.Empty(t, clitest.Repeated(out.String()))
	}

	var out bytes.Buffer
	require.Equal(t, cli.Done, run(t.Context(), []string{"-id", "2797087", "-watch", "-json"}, &out, io.Discard))
	var names []string
	for line := range bytes.Lines(out.Bytes()) {
		var got struct {
			cli.Event

			Detail *oraclemarket.MachineImageUploadRequest `json:"detail"`
		}
		require.NoError(t, json.Unmarshal(line, &got))
		names = append(names, got.Event.Event)
		if got.Event.Event == cli.Result {
			require.Equal(t, int64(2797087), got.Detail.UploadRequestID)
			require.Equal(t, "Completed", got.State)
		}
	}
	require.Equal(t, []string{cli.Begin, cli.Status, cli.Result, cli.End}, names)
}

func TestExitCodes(t *testing.T) {
	server := oraclemarkettest.NewServer()
	defer server.Close()
	rejected := server.AddImage(oraclemarkettest.Image{Application: "app", Status: oraclemarkettest.Rejected})
	require.Equal(t, int64(7934470), rejected)
	clearEnv(t)
	t.Setenv("ORACLE_MARKETPLACE_ENDPOINT", server.URL)
	t.Setenv("ORACLE_MARKETPLACE_TOKEN", server.Token)
	for _, test := range []struct {
		user   string
		args   []string
		code   int
		stderr string
	}{
		{server.User, []string{"-id", "1"}, cli.Failed, "404"},
		{server.User, []string{"-id", "7934470", "-watch"}, cli.Ended, "Rejected"},
		{server.User, nil, cli.Usage, "-id must be positive"},
		{"", []string{"-id", "1"}, cli.Usage, "ORACLE_MARKETPLACE_USER must be set"},
	} {
		t.Setenv("ORACLE_MARKETPLACE_USER", test.user)
		var errs bytes.Buffer
		require.Equal(t, test.code, run(t.Context(), test.args, io.Discard, &errs), errs.String())
		require.Contains(t, errs.String(), test.stderr)
	}
}

// If nothing names the real service there is a built-in one, with something to
// show.
func TestDemo(t *testing.T) {
	clearEnv(t)
	var out bytes.Buffer
	require.Equal(t, cli.Done, run(t.Context(), nil, &out, io.Discard))
	require.Regexp(t, `^demo: using the built-in service at http://127\.0\.0\.1:`, out.String())
	require.Contains(t, out.String(), "sample-image 1.0 Linux")
	require.Regexp(t, `\ndemo: that was the built-in service; the real one was not called\n$`, out.String())
}
