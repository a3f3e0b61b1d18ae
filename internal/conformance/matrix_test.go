package conformance

import (
	"context"
	"errors"
	"net"
	"reflect"
	"slices"
	"strconv"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/imagejobs/imagejobs-go/imagereplicator"
	"github.com/imagejobs/imagejobs-go/internal/transport"
	"github.com/imagejobs/imagejobs-go/internal/wire"
	"github.com/imagejobs/imagejobs-go/multiplay"
	"github.com/imagejobs/imagejobs-go/oraclemarket"
)

// Each operation with each fault, for every request and for the first alone:
// how many requests reach the service, how many it carries out, what the error
// is, and how long the call takes.
func TestFaultMatrix(t *testing.T) {
	list := faults()
	for i, o := range operations() {
		t.Run(o.String(), func(t *testing.T) {
			t.Parallel()
			usual := result(t, o)
			for j, f := range list {
				if leftOut(i, j) || f.concerns != nil && !f.concerns(o) || slices.Contains(o.apart, f.name) {
					continue
				}
				for _, always := range []bool{true, false} {
					if f.always && !always {
						continue
					}
					name := f.name + ", once"
					if always {
						name = f.name
					}
					t.Run(name, func(t *testing.T) {
						synctest.Test(t, func(t *testing.T) { cell(t, o, &f, always, usual) })
					})
				}
			}
		})
	}
}

// result returns what the operation does when nothing goes wrong.
func result(t *testing.T, o *operation) any {
	t.Helper()
	var usual any
	synctest.Test(t, func(t *testing.T) {
		s, _, e := inMemory(t)
		var err error
		usual, err = o.run(t.Context(), e)
		require.NoError(t, err)
		require.Equal(t, 1, s.Processed(o.target), "a good response is enough")
		require.NotEmpty(t, s.Requests())
	})
	return usual
}

func cell(t *testing.T, o *operation, f *fault, always bool, usual any) {
	t.Helper()
	s, d, e := inMemory(t)
	prepare(t, o, f, always, s, d, e)
	ctx, cancel := context.WithTimeout(t.Context(), afterwards)
	defer cancel()
	start := time.Now()
	got, err := o.run(ctx, e)
	took := time.Since(start)

	want := expect(o, f, always)
	requests, processed := s.Count(o.target), s.Processed(o.target)
	if (f.dial != nil || f.connect != 0) && always {
		// Nothing got through, not even what comes before the target.
		require.Empty(t, s.Requests())
	}
	require.Zero(t, d.other.Load(), "connections to other hosts")
	requireNoCaches(t, s)
	require.GreaterOrEqual(t, took, want.least, "%v", err)
	require.LessOrEqual(t, took, want.most, "%v", err)
	require.LessOrEqual(t, requests, want.requests, "%v", err)
	require.GreaterOrEqual(t, requests, want.atLeast, "%v", err)
	switch {
	case f.processed && o.asks > 0:
		require.Equal(t, 1, processed, "%v", err)
	case f.processed:
		require.Equal(t, requests, processed, "%v", err)
	default:
		require.Equal(t, btoi(want.ok), processed, "%v", err)
	}
	if o.class == once || o.class == adopted {
		require.LessOrEqual(t, processed, 1, "%v", err)
	}
	if want.ok {
		require.NoError(t, err)
		if want.same {
			require.True(t, reflect.DeepEqual(usual, got), "%+v\n%+v", usual, got)
		}
		return
	}
	checkError(t, o, f, &want, err)
	if f.kind == byProxy {
		require.EqualValues(t, 1, d.n.Load(), "connections to the proxy")
	}
}

// prepare has the fault hit the requests of the operation.
func prepare(t *testing.T, o *operation, f *fault, always bool, s *services, d *dialer, e *env) {
	t.Helper()
	times := 1
	if always {
		times = -1
	}
	if f.server != nil {
		inject := f.server(o)
		inject.Operation, inject.Times = o.target, times
		s.Inject(inject)
	}
	if f.dial != nil {
		d.first = func(n int64) (net.Conn, error) {
			if always || n == 1 {
				return f.dial()
			}
			return nil, nil //nolint:nilnil // to connect
		}
	}
	if f.connect != 0 {
		e.base, e.client = "https://service.example", d.proxiedClient(t, f.connect)
	}
	if f.large {
		e.size = 1 << 20 // more than what is on its way unnoticed
	}
}

// requireNoCaches requires that each request forbids responses of caches.
func requireNoCaches(t *testing.T, s *services) {
	t.Helper()
	for _, r := range s.Requests() {
		require.Equal(t, "no-cache, no-store", r.Header.Get("Cache-Control"), r.Operation)
		require.Equal(t, "no-cache", r.Header.Get("Pragma"), r.Operation)
	}
}

func checkError(t *testing.T, o *operation, f *fault, want *outcome, err error) {
	t.Helper()
	require.Error(t, err)
	requireNoSecret(t, err)
	require.Equal(t, want.ambiguous, errors.Is(err, transport.ErrAmbiguous), "%v", err)
	require.NotErrorIs(t, err, transport.ErrInvalidArgument)
	require.Equal(t, want.transient, transport.IsTransient(err), "%v", err)
	e := failure(t, o, err)
	if want.exact() {
		require.Equal(t, want.attempts, e.Attempts, "%v", err)
		require.Equal(t, f.status, statusOf(e), "%v", err)
	}
	require.LessOrEqual(t, e.Attempts, want.attempts, "%v", err)
	for code, sentinel := range map[int]error{
		401: transport.ErrUnauthorized, 403: transport.ErrForbidden, 404: transport.ErrNotFound,
		409: transport.ErrConflict, 429: transport.ErrTooManyRequests,
	} {
		// That a login's own target is not found says nothing of the call's.
		own := !o.login || code == 401 || code == 429
		require.Equal(t, own && f.status == code, errors.Is(err, sentinel), "%v: %v", sentinel, err)
	}
	require.Equal(t, f.status >= 500, errors.Is(err, transport.ErrServer), "%v", err)
	require.Equal(t, f.kind == tooLarge, errors.Is(err, transport.ErrResponseTooLarge), "%v", err)
	require.Equal(t, f.slow && o.upload, errors.Is(err, wire.ErrStalled), "%v", err)
	if f.slow && !o.upload {
		timeout, ok := errors.AsType[interface {
			error
			Timeout() bool
		}](err)
		require.True(t, ok && timeout.Timeout(), "%v", err)
	}
	checkText(t, o, f, want, e, err)
}

// checkText requires that the error says what is to be done.
func checkText(t *testing.T, o *operation, f *fault, want *outcome, e *transport.Error, err error) {
	t.Helper()
	switch {
	case f.connect != 0:
		require.ErrorContains(t, err, "proxy")
		require.ErrorContains(t, err, strconv.Itoa(f.connect))
	case f.status == 407:
		require.ErrorContains(t, err, "forward proxy")
	case f.kind == redirect:
		require.ErrorContains(t, err, "redirects to https://elsewhere.example/path, which is not followed")
	case o.meaning(f) == refusal:
		require.Equal(t, 200, e.StatusCode)
		require.Equal(t, strings.Contains(f.name, "denied"), strings.Contains(e.Message, "denied"), "%v", err)
	case f.wait > longestWait:
		if !want.ambiguous { // there is something more urgent to say then
			require.ErrorContains(t, err, "asks to wait")
		}
		require.Equal(t, f.wait, e.RetryAfter)
	case f.wait > 0 && !f.waitOnce:
		require.Equal(t, f.wait, e.RetryAfter)
	}
}

// statusOf returns the status of a failed call, unless it is the 2xx of a
// response that could not be used.
func statusOf(e *transport.Error) int {
	if e.StatusCode < 300 {
		return 0
	}
	return e.StatusCode
}

// failure returns the package's own error in err: the innermost, where a login
// failed.
func failure(t *testing.T, o *operation, err error) *transport.Error {
	t.Helper()
	var found *transport.Error
	for {
		var e *transport.Error
		switch o.pkg {
		case "oraclemarket":
			own, _ := errors.AsType[*oraclemarket.Error](err)
			e = (*transport.Error)(own)
		case "multiplay":
			own, _ := errors.AsType[*multiplay.Error](err)
			e = (*transport.Error)(own)
		default: // keystone has the same
			own, _ := errors.AsType[*imagereplicator.Error](err)
			e = (*transport.Error)(own)
		}
		if e == nil {
			break
		}
		found, err = e, e.Err
	}
	require.NotNil(t, found, "%T: %v", err, err)
	return found
}
