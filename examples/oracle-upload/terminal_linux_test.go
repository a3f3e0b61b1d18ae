package main

import (
	"bytes"
	"context"
	"fmt"
	"net/http"
	"regexp"
	"strconv"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/imagejobs/imagejobs-go/examples/internal/cli"
	"github.com/imagejobs/imagejobs-go/examples/internal/clitest"
	"github.com/imagejobs/imagejobs-go/oraclemarket/oraclemarkettest"
)

// rates and times differ from run to run.
var (
	rates = regexp.MustCompile(`,? +[0-9.]+ [KMG]?i?B/s(, \d+s left)?`)
	times = regexp.MustCompile(`in [0-9.]+m?s`)
)

// What is on the screen at the end: an upload, one that Ctrl-C ends, and the one
// that resumes it.
func TestTerminal(t *testing.T) {
	t.Setenv("TERM", "xterm")
	t.Setenv("NO_COLOR", "")
	t.Setenv("CI", "")
	for _, columns := range []int{40, 80, 120, 0} {
		t.Run(strconv.Itoa(columns), func(t *testing.T) {
			server, args := start(t)
			var text strings.Builder
			capture := func(ctx context.Context, title string, tty *clitest.Terminal, want int) {
				var errs bytes.Buffer
				require.Equal(t, want, run(ctx, args, tty.TTY, &errs), errs.String())
				screen, err := tty.Close()
				require.NoError(t, err)
				for _, line := range tty.Wrapped() {
					require.NotContains(t, line, "[=", "a bar wrapped")
				}
				screen = times.ReplaceAllString(rates.ReplaceAllString(screen, " RATE"), "in TIME")
				_, _ = fmt.Fprintf(&text, "--- %s\n%s", title, screen)
			}
			open := func() *clitest.Terminal {
				tty, err := clitest.Open(columns, 24)
				require.NoError(t, err)
				return tty
			}
			capture(t.Context(), "upload", open(), cli.Done)

			tty := open()
			ctx, cancel := context.WithCancel(t.Context())
			defer cancel()
			server.Inject(oraclemarkettest.Fault{
				Operation: oraclemarkettest.OpUploadChunk,
				Match: func(r *http.Request) bool {
					if r.Header.Get("X-Chunk-Number") != "4" {
						return false
					}
					if columns > 0 {
						tty.WaitFor("%")
					}
					_ = tty.Type("\x03")
					tty.WaitFor("^C")
					cancel()
					return true
				},
				Stall: oraclemarkettest.StallResponse,
			})
			args = append(args, "-concurrency", "1", "-overwrite")
			capture(ctx, "interrupted", tty, cli.Interrupted)
			capture(t.Context(), "resumed", open(), cli.Done)

			want, err := clitest.Golden(fmt.Sprintf("terminal-%d.txt", columns), text.String())
			require.NoError(t, err)
			require.Equal(t, want, text.String())
		})
	}
}
