//go:build unix

package main

import (
	"bufio"
	"bytes"
	"errors"
	"os"
	"os/exec"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/imagejobs/imagejobs-go/examples/internal/cli"
)

// A process that is interrupted, or whose output is closed as by | head -1,
// leaves nothing behind.
func TestProcessLeavesNothingBehind(t *testing.T) {
	clearEnv(t)
	for name, end := range map[string]func(*os.Process, *os.File) error{
		"interrupt":   func(p *os.Process, _ *os.File) error { return p.Signal(os.Interrupt) },
		"closed pipe": func(_ *os.Process, r *os.File) error { return r.Close() },
	} {
		t.Run(name, func(t *testing.T) {
			tmp := t.TempDir()
			t.Setenv("TMPDIR", tmp)
			t.Setenv(asProgram, "1")
			program, err := os.Executable()
			require.NoError(t, err)
			r, w, err := os.Pipe()
			require.NoError(t, err)
			defer func() { _ = r.Close() }()
			var errs bytes.Buffer
			command := exec.CommandContext(t.Context(), program)
			command.Stdout, command.Stderr = w, &errs
			require.NoError(t, command.Start())
			require.NoError(t, w.Close())
			line, err := bufio.NewReader(r).ReadString('\n')
			require.NoError(t, err)
			require.Contains(t, line, "demo: ")
			require.NoError(t, end(command.Process, r))
			exit, ok := errors.AsType[*exec.ExitError](command.Wait())
			require.True(t, ok)
			require.Equal(t, cli.Interrupted, exit.ExitCode(), errs.String())
			entries, err := os.ReadDir(tmp)
			require.NoError(t, err)
			require.Empty(t, entries)
		})
	}
}
