package wire

import (
	"cmp"
	"context"
	"crypto/tls"
	"crypto/x509"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"net/http/httptrace"
	"testing"
	"time"

	"go.uber.org/goleak"

	"github.com/imagejobs/imagejobs-go/internal/emulator"
	"github.com/imagejobs/imagejobs-go/internal/rawhttp"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

const testLimit = time.Minute // of the stall guard in these tests

// attempt sends one request as an attempt of a call does.
type attempt struct {
	transport http.RoundTripper
	url       string
	limit     time.Duration // testLimit if zero
}

// send uploads source and returns status and body of the response. The error is
// the source's, or else the cause of the cancellation, or else net/http's.
func (a attempt) send(parent context.Context, source io.Reader, size int64) (status int, content string, err error) {
	ctx, cancel := context.WithCancelCause(parent)
	defer cancel(nil)
	guard := NewStallGuard(cmp.Or(a.limit, testLimit), cancel)
	defer guard.Stop()
	body := NewBody(source, size, guard, cancel)
	defer body.Detach()
	why := func(err error) error {
		if sourceErr := body.SourceErr(); sourceErr != nil {
			return sourceErr
		}
		if err != nil && ctx.Err() != nil {
			return context.Cause(ctx)
		}
		return err
	}
	req, err := http.NewRequestWithContext(httptrace.WithClientTrace(ctx, guard.Trace()), http.MethodPost, a.url, body)
	if err != nil {
		return 0, "", err
	}
	req.ContentLength = size
	resp, err := a.transport.RoundTrip(req)
	if err != nil {
		return 0, "", why(err)
	}
	defer resp.Body.Close()
	guard.ResponseStarted(testLimit / 2)
	data, err := io.ReadAll(resp.Body)
	return resp.StatusCode, string(data), why(err)
}

// serve runs until the test ends.
func serve(t *testing.T, l net.Listener, handle rawhttp.Handler) *rawhttp.Server {
	t.Helper()
	s := rawhttp.Serve(l, handle)
	t.Cleanup(s.Close)
	return s
}

// serveTCP listens on a loopback port. The attempt goes there.
func serveTCP(t *testing.T, handle rawhttp.Handler) (attempt, *rawhttp.Server) {
	t.Helper()
	s := rawhttp.ServeTCP(handle)
	t.Cleanup(s.Close)
	return attempt{transport: newTransport(t, nil), url: s.URL()}, s
}

// servePipe listens in memory, for a bubble of virtual time. The attempt goes
// there; with a certificate it is over TLS.
func servePipe(t *testing.T, certificate *tls.Certificate, handle rawhttp.Handler) (attempt, *rawhttp.Server) {
	t.Helper()
	l := emulator.NewPipeListener()
	tr := newTransport(t, l.DialContext)
	if certificate == nil {
		return attempt{transport: tr, url: "http://127.0.0.1"}, serve(t, l, handle)
	}
	trust(tr, certificate)
	config := &tls.Config{MinVersion: tls.VersionTLS12, Certificates: []tls.Certificate{*certificate}}
	return attempt{transport: tr, url: "https://127.0.0.1"}, serve(t, tls.NewListener(l, config), handle)
}

// overTLS goes to a server of net/http that speaks TLS.
func overTLS(t *testing.T, handle http.HandlerFunc) (attempt, *http.Transport) {
	t.Helper()
	s := httptest.NewTLSServer(handle)
	t.Cleanup(s.Close)
	tr := newTransport(t, nil)
	trust(tr, &s.TLS.Certificates[0])
	return attempt{transport: tr, url: s.URL}, tr
}

type dialFunc func(ctx context.Context, network, addr string) (net.Conn, error)

// newTransport returns the transport of this package, on top of dial if that is
// not nil.
func newTransport(t *testing.T, dial dialFunc) *http.Transport {
	t.Helper()
	tr := NewTransport(4)
	tr.Proxy = nil // whatever the environment says
	if dial != nil {
		tr.DialContext = dial
		WrapDialer(tr)
	}
	t.Cleanup(tr.CloseIdleConnections)
	return tr
}

// trust makes tr trust that certificate.
func trust(tr *http.Transport, certificate *tls.Certificate) {
	pool := x509.NewCertPool()
	pool.AddCert(certificate.Leaf)
	tr.TLSClientConfig.RootCAs = pool
}

// testCertificate returns one for 127.0.0.1.
func testCertificate() *tls.Certificate {
	s := httptest.NewUnstartedServer(nil)
	s.StartTLS()
	defer s.Close()
	return &s.TLS.Certificates[0]
}

func ok(body string) string { return rawhttp.Response("200 OK", "", body) }

// first returns the first bytes of r.
func first(size int64, r io.ReaderAt) io.Reader { return io.NewSectionReader(r, 0, size) }
