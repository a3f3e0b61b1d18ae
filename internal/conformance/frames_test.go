package conformance

import (
	"net/http"
	"runtime"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/imagejobs/imagejobs-go/internal/conformance/statuscalls"
)

// mostFrames is how deep a status call may be nested, from the method to the
// RoundTripper.
const mostFrames = 8

// A reader who follows a call meets each function of it in one short stack.
func TestFrames(t *testing.T) {
	for _, s := range statuscalls.All() {
		t.Run(s.Name, func(t *testing.T) {
			var stack []string
			rt := newTaker(t, statusFiles[s.Name])
			rt.taken = func() { stack = callers() }
			call, err := s.SDK(pipeBase, &http.Client{Transport: rt})
			require.NoError(t, err)
			require.NoError(t, call(t.Context()))
			last := -1
			for i, frame := range stack {
				if strings.HasSuffix(frame, s.Method) {
					last = i
				}
			}
			require.GreaterOrEqual(t, last, 0, "%v", stack)
			frames := stack[:last+1]
			t.Logf("%d frames:\n%s", len(frames), strings.Join(frames, "\n"))
			require.Contains(t, frames[0], "RoundTrip")
			require.LessOrEqual(t, len(frames), mostFrames)
		})
	}
}

// callers returns the functions under way, the RoundTripper's first.
func callers() []string {
	var counters [64]uintptr
	n := runtime.Callers(0, counters[:])
	frames := runtime.CallersFrames(counters[:n])
	var names []string
	for {
		frame, more := frames.Next()
		if len(names) > 0 || strings.HasSuffix(frame.Function, ".RoundTrip") {
			names = append(names, frame.Function)
		}
		if !more {
			return names
		}
	}
}
