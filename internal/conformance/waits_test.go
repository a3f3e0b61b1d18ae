package conformance

import (
	"net/http"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/imagejobs/imagejobs-go/internal/emulator"
	"github.com/imagejobs/imagejobs-go/internal/transport"
)

// watches returns the sequences that follow something until it ends.
func watches(t *testing.T) []sequence {
	t.Helper()
	var list []sequence
	for _, s := range sequences(t.Context()) {
		if !strings.HasSuffix(s.name, ".All") {
			list = append(list, s)
		}
	}
	require.NotEmpty(t, list)
	return list
}

// A job that was seen is given time: what says that it is gone or not to be
// seen ends waiting after half a minute, what passes after the outage limit.
// Whatever ends before does not show.
func TestWhatWasSeenIsGivenTime(t *testing.T) {
	for name, f := range map[string]struct {
		fault emulator.Fault
		bound time.Duration // 0 for at once
		only  string        // the package that it is for
	}{
		"401":               {emulator.Fault{Status: http.StatusUnauthorized}, 0, ""},
		"403":               {emulator.Fault{Status: http.StatusForbidden}, lag, ""},
		"404":               {emulator.Fault{Status: http.StatusNotFound}, lag, ""},
		"refused in a 200":  {emulator.Fault{Body: `{"success":false,"error_message":"denied"}`}, lag, "multiplay"},
		"a 200 of a page":   {emulator.Fault{Body: `<html>Sign in</html>`}, outageLimit, ""},
		"meaningless JSON":  {emulator.Fault{Body: `{}`}, outageLimit, ""},
		"502":               {emulator.Fault{Status: http.StatusBadGateway}, outageLimit, ""},
		"522":               {emulator.Fault{Status: 522}, outageLimit, ""},
		"429, Retry-After":  {emulator.Fault{Status: http.StatusTooManyRequests, RetryAfter: "20"}, outageLimit, ""},
		"503, an hour":      {emulator.Fault{Status: http.StatusServiceUnavailable, RetryAfter: "3600"}, outageLimit, ""},
		"broken connection": {emulator.Fault{Drop: emulator.DropBefore}, outageLimit, ""},
	} {
		for i, s := range watches(t) {
			if f.only != "" && !strings.HasPrefix(s.name, f.only) {
				continue
			}
			t.Run(name+"/"+s.name, func(t *testing.T) {
				t.Parallel()
				synctest.Test(t, func(t *testing.T) { endures(t, i, &f.fault, f.bound) })
			})
		}
	}
}

// endures requires that a sequence that has seen its job bears a fault for
// bound, but no longer.
func endures(t *testing.T, which int, f *emulator.Fault, bound time.Duration) {
	t.Helper()
	for _, ends := range []bool{false, true} { // before the bound
		if ends && bound == 0 {
			continue
		}
		s, _, e := inMemory(t)
		one := watches(t)[which]
		s.Inject(emulator.Fault{Operation: one.target, Body: one.body, ContentType: "application/json"})
		began := time.Now()
		fault := *f
		fault.Operation, fault.Times = one.target, -1
		fault.Match = func(*http.Request) bool { return !ends || time.Since(began) < bound/2 }
		s.Inject(fault)
		seq, err := one.client(e)
		require.NoError(t, err)
		seen := 0
		var last error
		for err := range seq {
			if last = err; err == nil {
				seen++
			}
		}
		took := time.Since(began)
		require.Positive(t, seen)
		if ends {
			require.NoError(t, last)
			require.GreaterOrEqual(t, took, bound/2)
			continue
		}
		require.Error(t, last)
		require.ErrorContains(t, last, "waiting for ")
		require.NotContains(t, last.Error(), "no status seen")
		require.GreaterOrEqual(t, took, bound)
		require.LessOrEqual(t, took, bound+4*time.Minute)
		require.Equal(t, bound == outageLimit, transport.IsTransient(last))
	}
}
