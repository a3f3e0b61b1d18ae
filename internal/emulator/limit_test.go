package emulator_test

import (
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/imagejobs/imagejobs-go/internal/emulator"
)

func TestRateLimit(t *testing.T) {
	clock := emulator.NewManualClock(time.Unix(1700000000, 0))
	s := start(t, emulator.Config{
		Clock: emulator.NewClock(clock.Now, 0), Limits: emulator.Limits{Rate: 0.5, Burst: 2},
	})
	get := func() reply { return call(t, http.MethodGet, s.URL()+"/echo/7", "") }
	for range 3 {
		require.Equal(t, http.StatusOK, get().status)
	}
	for range 3 {
		got := get()
		require.Equal(t, http.StatusTooManyRequests, got.status)
		require.Equal(t, "2", got.header.Get("Retry-After"))
	}
	clock.Advance(1500 * time.Millisecond)
	require.Equal(t, "1", get().header.Get("Retry-After"), "refused requests cost nothing")
	clock.Advance(500 * time.Millisecond)
	require.Equal(t, http.StatusOK, get().status)
	require.Equal(t, http.StatusTooManyRequests, get().status)
	clock.Advance(time.Hour)
	for range 3 {
		require.Equal(t, http.StatusOK, get().status)
	}
	require.Equal(t, http.StatusTooManyRequests, get().status)
	require.Equal(t, 7, s.Processed("Echo.Get"))
	require.False(t, s.Requests()[3].Faulted)
}

func TestBodySizeLimit(t *testing.T) {
	s := start(t, emulator.Config{Limits: emulator.Limits{BodySize: 1 << 20}})
	put := func(n int) reply { return call(t, http.MethodPut, s.URL()+"/echo", strings.Repeat("x", n)) }
	require.Equal(t, http.StatusAccepted, put(1<<20).status)
	require.Equal(t, "the body is larger than 1048576 bytes\n", put(1<<20+1).body)
	require.Equal(t, http.StatusRequestEntityTooLarge, put(16<<20).status)
	require.Zero(t, s.Requests()[2].BodyBytes)
	require.Equal(t, 1, s.Processed("Echo.Put"))
}
