package cli

import (
	"context"
	"fmt"
	"io"
	"os"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/imagejobs/imagejobs-go/examples/internal/clitest"
)

// onTerminal runs a command on a terminal of its own and returns what is on the
// screen at last.
func onTerminal(t *testing.T, columns int, do func(context.Context, *Output, *clitest.Terminal) error) string {
	t.Helper()
	t.Setenv("TERM", "xterm")
	t.Setenv("NO_COLOR", "")
	t.Setenv("CI", "")
	tty, err := clitest.Open(columns, 24)
	require.NoError(t, err)
	command(func(ctx context.Context, out *Output) error { return do(ctx, out, tty) }).Run(t.Context(), []string{"-id", "1"}, tty.TTY, io.Discard)
	screen, err := tty.Close()
	require.NoError(t, err)
	for _, line := range tty.Wrapped() {
		require.NotContains(t, line, "%", "a bar wrapped")
	}
	return screen
}

const tenant = "91b5c7c09cbd45caa3c146fd67ae471e"

// What is on the screen while bars move, when they have ended, and after Ctrl-C.
func TestTerminals(t *testing.T) {
	for _, columns := range []int{40, 80, 120} {
		t.Run(strconv.Itoa(columns), func(t *testing.T) {
			var text strings.Builder
			capture := func(title, screen string) { _, _ = fmt.Fprintf(&text, "--- %s\n%s", title, screen) }
			move := func(out *Output, done, percent int64) {
				out.Bar("uploading").Set(Event{Event: Moved, Progress: BytesProgress(done<<20, 1<<30, 12<<20, time.Duration(1024-done)*time.Second/12)})
				out.Bar(tenant).Set(Event{Event: Status, State: "replicating", Progress: &Progress{Percent: percent}})
			}
			last := onTerminal(t, columns, func(_ context.Context, out *Output, tty *clitest.Terminal) error {
				out.Line("releasing image 1249")
				bytes, percent := out.Bar("uploading"), out.Bar(tenant)
				bytes.Set(Event{Event: Moved, Progress: BytesProgress(300<<20, 1<<30, 12<<20, 724*time.Second/12)})
				percent.Set(Event{Event: Status, State: "replicating", Progress: &Progress{Percent: 40}})
				capture("moving", tty.WaitFor(" 40%"))
				out.Line("a line meanwhile")
				bytes.Set(Event{Event: Moved, Progress: BytesProgress(1<<30, 1<<30, 12<<20, 0)})
				percent.Set(Event{Event: Status, State: "replicated", Progress: &Progress{Percent: 100}})
				out.Finish()
				out.Line("the result")
				return nil
			})
			capture("ended", last)
			last = onTerminal(t, columns, func(_ context.Context, out *Output, tty *clitest.Terminal) error {
				move(out, 300, 100)
				tty.WaitFor("100%")
				require.NoError(t, tty.Type("\x03"))
				tty.WaitFor("^C")
				out.Finish()
				out.Line("interrupted")
				return nil
			})
			capture("interrupted after one of two", last)
			want, err := clitest.Golden(fmt.Sprintf("terminal-%d.txt", columns), text.String())
			require.NoError(t, err)
			require.Equal(t, want, text.String())
		})
	}
}

// Where bars would not work there are lines.
func TestTerminalsWithoutBars(t *testing.T) {
	for name, test := range map[string]struct {
		columns  int
		variable string
		value    string
	}{
		"no width": {0, "TERM", "xterm"}, "too narrow": {19, "TERM", "xterm"},
		"dumb": {80, "TERM", "dumb"}, "no TERM": {80, "TERM", ""},
		"no color": {80, "NO_COLOR", "1"}, "CI": {80, "CI", "true"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Setenv("TERM", "xterm")
			t.Setenv("NO_COLOR", "")
			t.Setenv("CI", "")
			t.Setenv(test.variable, test.value)
			tty, err := clitest.Open(test.columns, 24)
			require.NoError(t, err)
			require.False(t, showsBars(tty.TTY))
			_, err = tty.Close()
			require.NoError(t, err)
		})
	}
	require.False(t, showsBars(io.Discard))
	r, w, err := os.Pipe()
	require.NoError(t, err)
	require.False(t, showsBars(w))
	require.NoError(t, r.Close())
	require.NoError(t, w.Close())
}
