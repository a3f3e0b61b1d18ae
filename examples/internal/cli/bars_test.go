package cli

import (
	"bytes"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"github.com/vbauerster/mpb/v8"
	"go.uber.org/goleak"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// The bars are drawn by a goroutine of their own: run with -race.
func TestBarsAreDrawnWhileTheyMove(t *testing.T) {
	var out bytes.Buffer
	drawn := make(chan any)
	bars := &Bars{out: &out, progress: mpb.New(mpb.WithOutput(&out), mpb.WithManualRefresh(drawn))}
	bar := bars.Percent("job")
	for i := range int64(100) {
		drawn <- time.Now()
		bar.Set(i, "running", 0)
	}
	bar.Set(100, "done", 0)
	drawn <- time.Now() // a terminal gets its last picture without being told
	bars.Wait()
	require.Contains(t, out.String(), "job ")
	require.Contains(t, out.String(), "done")
}
