package main

import (
	"context"
	"fmt"
	"io"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/imagejobs/imagejobs-go/examples/internal/cli"
	"github.com/imagejobs/imagejobs-go/examples/internal/clitest"
	"github.com/imagejobs/imagejobs-go/multiplay/multiplaytest"
)

// What is on the screen at the end of a release, and of one that Ctrl-C ends.
func TestTerminal(t *testing.T) {
	t.Setenv("TERM", "xterm")
	t.Setenv("NO_COLOR", "")
	t.Setenv("CI", "")
	for _, columns := range []int{40, 80, 120} {
		for title, jobTime := range map[string]time.Duration{"released": 0, "interrupted": time.Hour} {
			t.Run(fmt.Sprintf("%s-%d", title, columns), func(t *testing.T) {
				start(t, multiplaytest.WithJobTime(jobTime))
				tty, err := clitest.Open(columns, 24)
				require.NoError(t, err)
				ctx, cancel := context.WithCancel(t.Context())
				defer cancel()
				want := cli.Done
				if jobTime > 0 {
					want = cli.Interrupted
					go func() {
						tty.WaitFor(" Created (4711)")
						_ = tty.Type("\x03")
						tty.WaitFor("^C")
						cancel()
					}()
				}
				require.Equal(t, want, run(ctx, arguments(), tty.TTY, io.Discard))
				screen, err := tty.Close()
				require.NoError(t, err)
				for _, line := range tty.Wrapped() {
					require.NotContains(t, line, "%", "a bar wrapped")
				}
				golden, err := clitest.Golden(fmt.Sprintf("%s-%d.txt", title, columns), screen)
				require.NoError(t, err)
				require.Equal(t, golden, screen)
			})
		}
	}
}
