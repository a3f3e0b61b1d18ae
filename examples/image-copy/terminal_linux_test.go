package main

import (
	"context"
	"fmt"
	"io"
	"regexp"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/imagejobs/imagejobs-go/examples/internal/cli"
	"github.com/imagejobs/imagejobs-go/examples/internal/clitest"
	"github.com/imagejobs/imagejobs-go/imagereplicator/imagereplicatortest"
)

// uuids of jobs and images differ from run to run, as do the places where they
// are wrapped.
var uuids = regexp.MustCompile(`[0-9a-f]{8}-(?:[0-9a-f-]\n?){26}[0-9a-f]`)

// What is on the screen at the end of three copies, and of three that Ctrl-C
// ends.
func TestTerminal(t *testing.T) {
	t.Setenv("TERM", "xterm")
	t.Setenv("NO_COLOR", "")
	t.Setenv("CI", "")
	to := strings.Join([]string{first, second, imagereplicatortest.FourthTenantID}, ",")
	for _, columns := range []int{40, 80, 120} {
		t.Run(strconv.Itoa(columns), func(t *testing.T) {
			for title, jobTime := range map[string]time.Duration{"copied": 0, "interrupted": time.Hour} {
				start(t, imagereplicatortest.WithJobTime(jobTime))
				tty, err := clitest.Open(columns, 24)
				require.NoError(t, err)
				ctx, cancel := context.WithCancel(t.Context())
				want := cli.Done
				if jobTime > 0 {
					want = cli.Interrupted
					go func() {
						tty.WaitFor(" replicate_requested")
						_ = tty.Type("\x03")
						tty.WaitFor("^C")
						cancel()
					}()
				}
				require.Equal(t, want, run(ctx, []string{"-image", image, "-to", to}, tty.TTY, io.Discard))
				cancel()
				screen, err := tty.Close()
				require.NoError(t, err)
				for _, line := range tty.Wrapped() {
					require.NotContains(t, line, "%", "a bar wrapped")
				}
				got := uuids.ReplaceAllString(screen, "UUID")
				golden, err := clitest.Golden(fmt.Sprintf("%s-%d.txt", title, columns), got)
				require.NoError(t, err)
				require.Equal(t, golden, got)
			}
		})
	}
}
