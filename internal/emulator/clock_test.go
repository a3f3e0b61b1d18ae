package emulator_test

import (
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/imagejobs/imagejobs-go/internal/emulator"
)

func TestClock(t *testing.T) {
	start := time.Unix(1700000000, 0)
	manual := emulator.NewManualClock(start)
	clock := emulator.NewClock(manual.Now, 10)
	manual.Advance(3 * time.Second)
	require.Equal(t, start.Add(3*time.Second), clock.Now())
	require.Equal(t, 30*time.Second, clock.Since(start))
	require.Equal(t, start.Add(2*time.Second), clock.At(start, 20*time.Second))

	var zero emulator.Clock
	require.WithinDuration(t, time.Now(), zero.Now(), time.Minute)
	require.Equal(t, start.Add(time.Second), zero.At(start, time.Second))
}

func TestTimeline(t *testing.T) {
	line := emulator.Timeline[string]{emulator.In("queued", 2*time.Second), emulator.In("running", 5*time.Second), emulator.In("done", 0)}
	for _, test := range []struct {
		ran   time.Duration
		state string
		since time.Duration
	}{
		{-time.Second, "queued", 0},
		{0, "queued", 0},
		{2*time.Second - 1, "queued", 0},
		{2 * time.Second, "running", 2 * time.Second},
		{7 * time.Second, "done", 7 * time.Second},
		{time.Hour, "done", 7 * time.Second},
	} {
		state, since := line.At(test.ran)
		require.Equal(t, test.state, state, test.ran)
		require.Equal(t, test.since, since, test.ran)
	}
}

func TestPercent(t *testing.T) {
	require.Equal(t, 0, emulator.Percent(-time.Second, time.Second))
	require.Equal(t, 33, emulator.Percent(time.Second, 3*time.Second))
	require.Equal(t, 100, emulator.Percent(4*time.Second, 3*time.Second))
	require.Equal(t, 100, emulator.Percent(0, 0))
}
