package conformance

import (
	"crypto/tls"
	"crypto/x509"
	"errors"
	"io"
	"log"
	"net"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"testing"
	"testing/synctest"

	"github.com/stretchr/testify/require"

	"github.com/imagejobs/imagejobs-go/imagereplicator"
	"github.com/imagejobs/imagejobs-go/internal/emulator"
	"github.com/imagejobs/imagejobs-go/internal/transport"
)

// A handshake that breaks off is a connection that never was.
func TestTLSHandshakeBreaksOff(t *testing.T) {
	broken := fault{kind: unsent}
	for _, o := range operations() {
		t.Run(o.String(), func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) {
				s := newServices(t, emulator.NewPipeListener())
				d := &dialer{addr: "127.0.0.1:443"}
				d.first = func(int64) (net.Conn, error) {
					ours, theirs := net.Pipe()
					go func() {
						_, _ = theirs.Read(make([]byte, 1))
						_ = theirs.Close()
					}()
					return ours, nil
				}
				client := d.httpsClient(t, nil)
				_, err := o.run(t.Context(), &env{base: "https://127.0.0.1", client: client})
				want := expect(o.begins(), &broken, true)
				checkError(t, o, &broken, &want, err)
				require.GreaterOrEqual(t, d.n.Load(), int64(attempts))
				require.Empty(t, s.Requests())
			})
		})
	}
}

// closedPort is an address where nobody listens. The kernel assigns no such
// low port to a listener, as it may do with one that was just closed.
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
				{"http://" + closedPort, attempts, func(err error) bool { return errors.Is(err, errRefused) }},
				{"https://" + strings.TrimPrefix(plain.URL(), "http://"), attempts, isA[tls.RecordHeaderError]},
				{untrusted.URL, 1, isA[x509.UnknownAuthorityError]}, // another attempt would meet the same
			} {
				if o.pkg == "keystone" && c.attempts > 1 {
					continue // its waits cannot be set, and take real time here
				}
				tr := &http.Transport{}
				_, err := o.run(t.Context(), &env{base: c.base, client: &http.Client{Transport: tr}, retry: true})
				tr.CloseIdleConnections()
				e := failure(t, o, err)
				require.True(t, c.is(err), "%v", err)
				want := c.attempts
				if first := o.begins(); first.patient || first.class == adopted || o.login {
					want = 1 // something else repeats it
				}
				require.Equal(t, want, e.Attempts, "%v", err)
				require.Zero(t, e.StatusCode)
				require.NotErrorIs(t, err, transport.ErrAmbiguous)
				require.Equal(t, c.attempts > 1, transport.IsTransient(err))
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

// A call that must not be sent twice has connections of its own, which are not
// kept for long: none that the service is about to close.
func TestOnceCallsHaveConnectionsOfTheirOwn(t *testing.T) {
	for name, calls := range map[string]func(*testing.T, *env) (read, change func() error){
		"oraclemarket": func(t *testing.T, e *env) (read, change func() error) {
			t.Helper()
			c, err := e.oracleClient(nil)
			require.NoError(t, err)
			return func() error { _, err := c.MachineImages.Get(t.Context(), 7); return err },
				func() error { _, err := initiate(t.Context(), c); return err }
		},
		"imagereplicator": func(t *testing.T, e *env) (read, change func() error) {
			t.Helper()
			c, err := e.replicatorClient()
			require.NoError(t, err)
			req := &imagereplicator.CreateJobRequest{ImageID: "image", DestinationTenantID: "tenant"}
			return func() error { _, err := c.Jobs.Get(t.Context(), "job"); return err },
				func() error { _, err := c.Jobs.Create(t.Context(), req); return err }
		},
		"multiplay": func(t *testing.T, e *env) (read, change func() error) {
			t.Helper()
			c, err := e.multiplayClient()
			require.NoError(t, err)
			return func() error { _, err := c.ImageUpdates.Status(t.Context(), 7); return err },
				func() error { _, err := c.ImageUpdates.Retry(t.Context(), 7); return err }
		},
	} {
		t.Run(name, func(t *testing.T) {
			s := newServices(t, nil)
			type request struct {
				from   string
				change bool
			}
			var requests []request
			s.Inject(emulator.Fault{Times: -1, Match: func(r *http.Request) bool {
				requests = append(requests, request{r.RemoteAddr, r.Method == http.MethodPost || strings.HasSuffix(r.URL.Path, "/retry")})
				return false
			}})
			read, change := calls(t, &env{base: s.URL()})
			for _, call := range []func() error{read, change, read} {
				require.NoError(t, call())
			}
			var own, others []string
			for _, r := range requests {
				if r.change {
					own = append(own, r.from)
				} else {
					others = append(others, r.from)
				}
			}
			require.Len(t, own, 1)
			require.GreaterOrEqual(t, len(others), 2)
			require.Len(t, slices.Compact(others), 1)
			require.NotEqual(t, own[0], others[0])
		})
	}
}
