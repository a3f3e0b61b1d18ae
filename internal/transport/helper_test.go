package transport

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"go.uber.org/goleak"

	"github.com/imagejobs/imagejobs-go/internal/auth"
	"github.com/imagejobs/imagejobs-go/internal/decode"
	"github.com/imagejobs/imagejobs-go/internal/emulator"
	"github.com/imagejobs/imagejobs-go/internal/rawhttp"
	"github.com/imagejobs/imagejobs-go/internal/wire"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// serve runs until the test ends.
func serve(t *testing.T, l net.Listener, handle rawhttp.Handler) *rawhttp.Server {
	t.Helper()
	s := rawhttp.Serve(l, handle)
	t.Cleanup(s.Close)
	return s
}

// serveTCP listens on a loopback port.
func serveTCP(t *testing.T, handle rawhttp.Handler) *rawhttp.Server {
	t.Helper()
	s := rawhttp.ServeTCP(handle)
	t.Cleanup(s.Close)
	return s
}

// last is a response after which the connection is closed.
func last(text string) rawhttp.Handler {
	return func(c net.Conn, r *http.Request) bool {
		rawhttp.Respond(text)(c, r)
		return false
	}
}

func okJSON(body string) string {
	return rawhttp.Response("200 OK", "Content-Type: application/json\r\n", body)
}

// sequence has the nth handler respond to the nth request, and the last from then on.
func sequence(handlers ...rawhttp.Handler) rawhttp.Handler {
	var n atomic.Int64
	return func(c net.Conn, r *http.Request) bool {
		i := min(int(n.Add(1)), len(handlers)) - 1
		return handlers[i](c, r)
	}
}

// newClient is a client with errors left as they are.
func newClient(t *testing.T, config Config) *Client {
	t.Helper()
	if config.Package == "" {
		config.Package = "jobs"
	}
	if config.WrapError == nil {
		config.WrapError = func(e *Error, _ string) error { return e }
	}
	if config.Invalid == nil {
		config.Invalid = invalid
	}
	if config.Decoder == nil {
		config.Decoder = decode.New()
	}
	c, err := New(config)
	require.NoError(t, err)
	t.Cleanup(func() { closeIdle(c) })
	return c
}

func invalid(field, problem string) error {
	return fmt.Errorf("%w: %s: %s", ErrInvalidArgument, field, problem)
}

func closeIdle(c *Client) {
	for _, next := range []http.RoundTripper{c.retry.next.next, c.retry.next.once} {
		if closer, ok := next.(interface{ CloseIdleConnections() }); ok {
			closer.CloseIdleConnections()
		}
	}
}

// pipeURL is a base URL for clients whose connections are pipes in memory.
const pipeURL = "http://127.0.0.1"

// pipeClient is a client and its server for a bubble of virtual time: all that
// the client has by default, but for the dialing.
func pipeClient(t *testing.T, config Config, handle rawhttp.Handler) (*Client, *rawhttp.Server) {
	t.Helper()
	l := emulator.NewPipeListener()
	s := serve(t, l, handle)
	return dialingClient(t, config, l.DialContext), s
}

func dialingClient(t *testing.T, config Config, dial func(ctx context.Context, network, addr string) (net.Conn, error)) *Client {
	t.Helper()
	if config.BaseURL == "" {
		config.BaseURL = pipeURL
	}
	c := newClient(t, config)
	for _, tr := range ownTransports(t, c) {
		tr.DialContext = dial
		tr.Proxy = nil // whatever the environment says
		tr.TLSClientConfig = &tls.Config{MinVersion: tls.VersionTLS12}
		wire.WrapDialer(tr)
	}
	return c
}

// ownTransports returns what c sends with when it was given nothing.
func ownTransports(t *testing.T, c *Client) []*http.Transport {
	t.Helper()
	next, ok := c.retry.next.next.(*http.Transport)
	require.True(t, ok)
	once, ok := c.retry.next.once.(*http.Transport)
	require.True(t, ok)
	return []*http.Transport{next, once}
}

// errRefused stands for the error of a port where nobody listens, which not all
// systems have under one name.
var errRefused = errors.New("connection refused")

// noWait is a retry loop that does not keep a test waiting.
func noWait(attempts int) *Retry { return &Retry{MaxAttempts: attempts} }

// result is what the calls of these tests decode.
type result struct {
	Name string `json:"name"`
	List []int  `json:"list,omitempty"`
}

// do sends a call whose response is a result.
func do(ctx context.Context, c *Client, call *Call) (result, *Response, error) {
	return Do(ctx, c, call, func(r *Response) (result, error) {
		var v result
		err := r.JSON(&v)
		return v, err
	})
}

// doEmpty sends a call that makes nothing of the response.
func doEmpty(ctx context.Context, c *Client, call *Call) (*Response, error) {
	_, resp, err := Do(ctx, c, call, func(*Response) (struct{}, error) { return struct{}{}, nil })
	return resp, err
}

func get(class Repeat) *Call {
	return &Call{Operation: "Jobs.Get", Method: http.MethodGet, Path: []string{"jobs", "7"}, Repeat: class}
}

func post(class Repeat, body *Body) *Call {
	return &Call{Operation: "Jobs.Create", Method: http.MethodPost, Path: []string{"jobs"}, Body: body, Repeat: class}
}

// failure is err as the transport's own error.
func failure(t *testing.T, err error) *Error {
	t.Helper()
	require.Error(t, err)
	e, ok := errors.AsType[*Error](err)
	require.True(t, ok, "%T: %v", err, err)
	return e
}

// bearer is the credentials of a token that does not change.
func bearer(token string) auth.Credentials {
	return auth.Token(
		func(context.Context) (string, time.Time, error) { return token, time.Time{}, nil },
		"Authorization", "Bearer ")
}

// records is a slog handler that keeps each record as text.
type records struct {
	mu    sync.Mutex
	lines strings.Builder
}

func (r *records) Write(p []byte) (int, error) {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.lines.Write(p)
}

func (r *records) String() string {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.lines.String()
}

func (r *records) logger() *slog.Logger {
	return slog.New(slog.NewTextHandler(r, &slog.HandlerOptions{Level: slog.LevelDebug}))
}

// after does something when the response was read.
type after struct {
	http.RoundTripper
	do func()
}

func (a after) RoundTrip(r *http.Request) (*http.Response, error) {
	resp, err := a.RoundTripper.RoundTrip(r)
	if err == nil {
		resp.Body = &afterClose{resp.Body, a.do}
	}
	return resp, err
}

type afterClose struct {
	io.ReadCloser
	do func()
}

func (a *afterClose) Close() error {
	defer a.do()
	return a.ReadCloser.Close()
}

// overTLS is a client of a server that speaks TLS, on our own transport; dial
// may be nil.
func overTLS(t *testing.T, config Config, handle http.HandlerFunc, wrap func(net.Conn) net.Conn) *Client {
	t.Helper()
	s := httptest.NewTLSServer(handle)
	t.Cleanup(s.Close)
	config.BaseURL = s.URL
	c := dialingClient(t, config, func(ctx context.Context, network, addr string) (net.Conn, error) {
		conn, err := new(net.Dialer).DialContext(ctx, network, addr)
		if err != nil || wrap == nil {
			return conn, err
		}
		return wrap(conn), nil
	})
	trust(t, c, &s.TLS.Certificates[0])
	return c
}

// trust has the client take that certificate.
func trust(t *testing.T, c *Client, certificate *tls.Certificate) {
	t.Helper()
	pool := x509.NewCertPool()
	pool.AddCert(certificate.Leaf)
	for _, tr := range ownTransports(t, c) {
		tr.TLSClientConfig.RootCAs = pool
	}
}
