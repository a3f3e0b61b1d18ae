package conformance

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"io"
	"log"
	"net"
	"net/http"
	"net/http/httptest"
	"reflect"
	"strings"
	"syscall"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/imagejobs/imagejobs-go/imagereplicator"
	"github.com/imagejobs/imagejobs-go/internal/emulator"
	"github.com/imagejobs/imagejobs-go/internal/transport"
	"github.com/imagejobs/imagejobs-go/multiplay"
	"github.com/imagejobs/imagejobs-go/oraclemarket"
)

// Each operation with each fault, for every request and for the first alone: how many requests reach the service, how
// many it carries out, what the error is, and how long the call takes.
func TestFaultMatrix(t *testing.T) {
	list := faults()
	for i, o := range operations() {
		t.Run(o.String(), func(t *testing.T) {
			t.Parallel()
			usual := result(t, o)
			for j, f := range list {
				if leftOut(i, j) {
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

// result is what the operation gives when nothing goes wrong.
func result(t *testing.T, o *operation) any {
	t.Helper()
	var usual any
	synctest.Test(t, func(t *testing.T) {
		s, _, e := inMemory(t)
		var err error
		usual, err = o.run(t.Context(), e)
		require.NoError(t, err)
		require.Equal(t, 1, s.Processed(o.target), "a good answer is enough")
		require.NotEmpty(t, s.Requests())
	})
	return usual
}

func cell(t *testing.T, o *operation, f *fault, always bool, usual any) {
	t.Helper()
	s, d, e := inMemory(t)
	times := 1
	if always {
		times = -1
	}
	if f.server != nil {
		inject := f.server(good(o.target))
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
	ctx, cancel := context.WithTimeout(t.Context(), afterwards)
	defer cancel()
	start := time.Now()
	got, err := o.run(ctx, e)
	took := time.Since(start)

	want := expect(o, f, always)
	requests := s.Count(o.target)
	if f.dial != nil && always {
		// Nothing got through, not even what comes before the target.
		require.Empty(t, s.Requests())
	}
	require.Zero(t, d.other.Load(), "connections to other hosts")
	if want.endless {
		require.ErrorIs(t, err, context.DeadlineExceeded)
		require.Less(t, requests, int(afterwards/time.Second))
		return
	}
	require.GreaterOrEqual(t, took, want.least)
	require.LessOrEqual(t, took, want.most)
	require.LessOrEqual(t, requests, want.requests, "%v", err)
	require.GreaterOrEqual(t, requests, min(want.atLeast, want.requests), "%v", err)
	if o.class == once || o.class == adopted {
		require.LessOrEqual(t, s.Processed(o.target), 1, "%v", err)
	}
	if want.atLeast == want.requests {
		require.Equal(t, want.processed, s.Processed(o.target), "%v", err)
	}
	if want.ok {
		require.NoError(t, err)
		if want.same {
			require.True(t, reflect.DeepEqual(usual, got), "%+v\n%+v", usual, got)
		}
		return
	}
	checkError(t, o, f, want, err)
}

func checkError(t *testing.T, o *operation, f *fault, want outcome, err error) {
	t.Helper()
	require.Error(t, err)
	requireNoSecret(t, err)
	require.Equal(t, want.ambiguous, errors.Is(err, transport.ErrAmbiguous), "%v", err)
	require.NotErrorIs(t, err, transport.ErrInvalidArgument)
	if want.plain {
		return
	}
	e := failure(t, o, err)
	if want.atLeast == want.requests && o.class != adopted {
		require.Equal(t, want.attempts, e.Attempts, "%v", err)
	}
	if want.atLeast == want.requests {
		require.Equal(t, f.status, statusOf(e), "%v", err)
	}
	for code, sentinel := range map[int]error{
		401: transport.ErrUnauthorized, 403: transport.ErrForbidden, 404: transport.ErrNotFound,
		409: transport.ErrConflict, 429: transport.ErrTooManyRequests,
	} {
		require.Equal(t, f.status == code, errors.Is(err, sentinel), "%v: %v", sentinel, err)
	}
	require.Equal(t, f.status >= 500, errors.Is(err, transport.ErrServer), "%v", err)
	require.Equal(t, f.kind == tooLarge, errors.Is(err, transport.ErrResponseTooLarge), "%v", err)
	require.Equal(t, f.slow && o.upload, errors.Is(err, transport.ErrStalled), "%v", err)
	if f.slow && !o.upload {
		timeout, ok := errors.AsType[interface {
			error
			Timeout() bool
		}](err)
		require.True(t, ok && timeout.Timeout(), "%v", err)
	}
	switch {
	case f.kind == redirect:
		require.ErrorContains(t, err, "redirects to https://elsewhere.example/path, which is not followed")
	case f.wait > longestWait:
		if !want.ambiguous { // there is something more urgent to say then
			require.ErrorContains(t, err, "asks to wait")
		}
		require.Greater(t, e.RetryAfter, longestWait)
	case f.wait > 0 && !f.waitOnce:
		require.Equal(t, f.wait, e.RetryAfter)
	}
}

// statusOf is the status of a failed call, unless it is the 2xx of an answer that could not be used.
func statusOf(e *transport.Error) int {
	if e.StatusCode < 300 {
		return 0
	}
	return e.StatusCode
}

// failure is the package's own error in err: the innermost, where a login failed.
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

// A handshake that breaks off is a connection that never was.
func TestTLSHandshakeBreaksOff(t *testing.T) {
	for _, o := range operations() {
		t.Run(o.String(), func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) {
				s := newServices(t, emulator.NewPipeListener())
				d := &dialer{addr: "127.0.0.1:443"}
				d.first = func(int64) (net.Conn, error) {
					client, server := net.Pipe()
					go func() {
						_, _ = server.Read(make([]byte, 1))
						_ = server.Close()
					}()
					return client, nil
				}
				client := d.httpsClient(t, nil)
				_, err := o.run(t.Context(), &env{base: "https://127.0.0.1", client: client})
				e := failure(t, o, err)
				require.Equal(t, tries, e.Attempts, "%v", err)
				require.EqualValues(t, tries, d.n.Load())
				require.NotErrorIs(t, err, transport.ErrAmbiguous)
				require.Empty(t, s.Requests())
			})
		})
	}
}

// closedPort is an address where nobody listens. The kernel gives no listener
// such a low port by chance, which it does with one that was just closed.
const closedPort = "127.0.0.1:1"

// What only the kernel and a real handshake can do: a port where nobody
// listens, a server that does not speak TLS, and a certificate that nobody
// trusts.
func TestConnectionsThatFail(t *testing.T) {
	plain := newServices(t, nil)
	untrusted := httptest.NewUnstartedServer(nil)
	untrusted.Config.ErrorLog = log.New(io.Discard, "", 0)
	untrusted.StartTLS()
	t.Cleanup(untrusted.Close)

	for _, o := range operations() {
		t.Run(o.String(), func(t *testing.T) {
			for _, c := range []struct {
				base     string
				attempts int
				is       func(error) bool
			}{
				{"http://" + closedPort, tries, func(err error) bool { return errors.Is(err, syscall.ECONNREFUSED) }},
				{"https://" + strings.TrimPrefix(plain.URL(), "http://"), tries, isA[tls.RecordHeaderError]},
				{untrusted.URL, 1, isA[x509.UnknownAuthorityError]}, // another try would meet the same
			} {
				if o.pkg == "keystone" && c.attempts > 1 {
					continue // its waits cannot be set, and take real time here
				}
				tr := &http.Transport{}
				_, err := o.run(t.Context(), &env{base: c.base, client: &http.Client{Transport: tr}, retry: true})
				tr.CloseIdleConnections()
				e := failure(t, o, err)
				require.True(t, c.is(err), "%v", err)
				require.Equal(t, c.attempts, e.Attempts, "%v", err)
				require.Zero(t, e.StatusCode)
				require.NotErrorIs(t, err, transport.ErrAmbiguous)
				requireNoSecret(t, err)
			}
		})
	}
	require.Empty(t, plain.Requests())
}

func isA[E error](err error) bool {
	_, ok := errors.AsType[E](err)
	return ok
}
