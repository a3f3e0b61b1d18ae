package main

import (
	"bufio"
	"bytes"
	"context"
	"encoding/json"
	"io"
	"os"
	"os/exec"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
	"go.uber.org/goleak"

	"github.com/imagejobs/imagejobs-go/examples/internal/cli"
)

// asProgram makes the test binary the sandbox itself.
const asProgram = "SANDBOX_TEST_AS_PROGRAM"

func TestMain(m *testing.M) {
	if os.Getenv(asProgram) != "" {
		main()
	}
	goleak.VerifyTestMain(m)
}

// Every command works as it is printed, in a shell.
func TestPrintedCommandsWork(t *testing.T) {
	if _, err := exec.LookPath("curl"); err != nil {
		t.Skip("there is no curl")
	}
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	reader, writer := io.Pipe()
	ended := make(chan int, 1)
	go func() {
		ended <- run(ctx, []string{"-speed", "100"}, writer, io.Discard)
		_ = writer.Close()
	}()
	var commands []string
	lines := bufio.NewScanner(reader)
	for lines.Scan() && !strings.HasPrefix(lines.Text(), "# Ctrl-C") {
		if strings.HasPrefix(lines.Text(), "curl ") || strings.HasPrefix(lines.Text(), "head ") {
			commands = append(commands, lines.Text())
		}
	}
	require.NotEmpty(t, commands)
	dir := t.TempDir()
	for _, command := range commands {
		if strings.HasPrefix(command, "head ") {
			require.NoError(t, inShell(t, dir, command).Run())
			continue
		}
		out, err := inShell(t, dir, command+" --silent --show-error --fail-with-body").CombinedOutput()
		require.NoError(t, err, "%s\n%s", command, out)
		require.Contains(t, string(out), `{"`, command)
	}
	cancel()
	require.Equal(t, cli.Done, <-ended)
}

func inShell(t *testing.T, dir, command string) *exec.Cmd {
	t.Helper()
	shell := exec.CommandContext(t.Context(), "sh", "-c", "export no_proxy='*'; "+command)
	shell.Dir = dir
	return shell
}

// A shell reads the environment of a sandbox in the background, as -h shows.
func TestEnvInAShell(t *testing.T) {
	t.Setenv(asProgram, "1")
	shell := inShell(t, t.TempDir(), `eval "$("$SANDBOX" -env &)"
		trap 'kill "$SANDBOX_PID" && while kill -0 "$SANDBOX_PID" 2>/dev/null; do sleep 0.05; done' EXIT
		curl --silent --show-error --fail-with-body --user "$MULTIPLAY_ACCESS_KEY:$MULTIPLAY_SECRET_KEY" \
			"$MULTIPLAY_ENDPOINT/cfp/v1/image/options?accountserviceid=$MULTIPLAY_ACCOUNT_SERVICE_ID"`)
	program, err := os.Executable()
	require.NoError(t, err)
	shell.Env = append(shell.Environ(), "SANDBOX="+program)
	out, err := shell.CombinedOutput()
	require.NoError(t, err, string(out))
	require.Contains(t, string(out), `"imageid":1249`)
}

// printed runs the sandbox until it closes its output or has printed an object.
func printed(t *testing.T, args ...string) string {
	t.Helper()
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	reader, writer := io.Pipe()
	ended := make(chan int, 1)
	go func() {
		ended <- run(ctx, args, writer, io.Discard)
		_ = writer.Close()
	}()
	text := bufio.NewReader(reader)
	var all strings.Builder
	for {
		line, err := text.ReadString('\n')
		all.WriteString(line)
		if err != nil || strings.HasPrefix(line, "{") {
			break
		}
	}
	require.Empty(t, ended) // it runs on
	cancel()
	require.Equal(t, cli.Done, <-ended)
	return all.String()
}

func TestEnvPrintsExportsAlone(t *testing.T) {
	text := printed(t, "-env")
	for line := range strings.Lines(text) {
		require.Regexp(t, `^export [A-Z_]+=\S+\n$`, line)
	}
	for _, name := range []string{"ORACLE_MARKETPLACE_ENDPOINT", "OS_AUTH_URL", "MULTIPLAY_ENDPOINT", "SANDBOX_PID"} {
		require.Contains(t, text, "export "+name+"=")
	}
}

func TestJSONPrintsAddresses(t *testing.T) {
	var got addresses
	require.NoError(t, json.Unmarshal([]byte(printed(t, "-json")), &got))
	require.Equal(t, os.Getpid(), got.PID)
	require.Equal(t, got.Env["ORACLE_MARKETPLACE_ENDPOINT"], got.Addresses["oraclemarket"])
	require.Equal(t, got.Env["OS_AUTH_URL"], got.Addresses["keystone"])
	require.Equal(t, got.Env["MULTIPLAY_ENDPOINT"], got.Addresses["multiplay"])
	require.Regexp(t, `^http://127\.0\.0\.1:\d+$`, got.Addresses["imagereplicator"])
}

func TestQuote(t *testing.T) {
	require.Equal(t, "http://127.0.0.1:80/v3", quote("http://127.0.0.1:80/v3"))
	require.Equal(t, `'a b'`, quote("a b"))
	require.Equal(t, `'it'\''s'`, quote("it's"))
}

func TestBadFlags(t *testing.T) {
	for want, args := range map[string][]string{
		"-speed must be positive":                  {"-speed", "0"},
		"-oracle-addr: ":                           {"-oracle-addr", "127.0.0.1:99999"},
		"-env must not be set together with -json": {"-env", "-json"},
		"unexpected argument":                      {"x"},
		"flag provided but not defined: ":          {"-demo"},
	} {
		var out, errs bytes.Buffer
		require.NotEqual(t, cli.Done, run(t.Context(), args, &out, &errs))
		require.Contains(t, errs.String(), want)
		require.Empty(t, out.String())
	}
}
