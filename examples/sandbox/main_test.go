package main

import (
	"bufio"
	"bytes"
	"context"
	"io"
	"os/exec"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
	"go.uber.org/goleak"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// Every command works as it is printed, in a shell.
func TestPrintedCommandsWork(t *testing.T) {
	if _, err := exec.LookPath("curl"); err != nil {
		t.Skip("there is no curl")
	}
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	reader, writer := io.Pipe()
	ended := make(chan error, 1)
	go func() {
		err := run(ctx, []string{"-speed", "100"}, writer, io.Discard)
		ended <- err
		_ = writer.CloseWithError(err)
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
	require.NoError(t, <-ended)
}

func inShell(t *testing.T, dir, command string) *exec.Cmd {
	t.Helper()
	shell := exec.CommandContext(t.Context(), "sh", "-c", "export no_proxy='*'; "+command)
	shell.Dir = dir
	return shell
}

func TestBadFlags(t *testing.T) {
	var out bytes.Buffer
	require.ErrorContains(t, run(t.Context(), []string{"-speed", "0"}, &out, &out), "-speed must be positive")
	require.ErrorContains(t, run(t.Context(), []string{"-oracle-addr", "127.0.0.1:99999"}, &out, &out), "invalid port")
	require.ErrorContains(t, run(t.Context(), []string{"x"}, &out, &out), "unexpected argument")
}
