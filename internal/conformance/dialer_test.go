package conformance

import (
	"bufio"
	"context"
	"crypto/tls"
	"fmt"
	"net"
	"net/http"
	"net/url"
	"sync/atomic"
	"testing"

	"github.com/imagejobs/imagejobs-go/internal/emulator"
)

// dialer connects to a listener in memory, whatever the address, and counts the
// addresses that were not expected.
type dialer struct {
	pipe  *emulator.PipeListener
	first func(n int64) (net.Conn, error) // nil to connect; may return nil, nil to connect as well
	n     atomic.Int64
	other atomic.Int64 // connections to any address but the expected
	addr  string
}

func (d *dialer) dial(ctx context.Context, network, addr string) (net.Conn, error) {
	n := d.n.Add(1)
	if addr != d.addr {
		d.other.Add(1)
		return nil, fmt.Errorf("a connection to %s was asked for", addr)
	}
	if d.first != nil {
		if conn, err := d.first(n); conn != nil || err != nil {
			return conn, err
		}
	}
	return d.pipe.DialContext(ctx, network, addr)
}

// httpClient sends through d. Connections for https are pipes as well: what TLS
// does is tested elsewhere.
func (d *dialer) httpClient(t *testing.T) *http.Client {
	t.Helper()
	return client(t, &http.Transport{DialContext: d.dial, DialTLSContext: d.dial, MaxConnsPerHost: 64, MaxIdleConnsPerHost: 64})
}

// httpsClient is one that speaks TLS on its connections.
func (d *dialer) httpsClient(t *testing.T, config *tls.Config) *http.Client {
	t.Helper()
	return client(t, &http.Transport{DialContext: d.dial, TLSClientConfig: config})
}

// proxiedClient sends through a forward proxy that responds to each CONNECT
// with a status.
func (d *dialer) proxiedClient(t *testing.T, status int) *http.Client {
	t.Helper()
	d.addr = "proxy.example:3128"
	d.first = func(int64) (net.Conn, error) {
		ours, theirs := net.Pipe()
		go func() {
			defer theirs.Close()
			if _, err := http.ReadRequest(bufio.NewReader(theirs)); err != nil {
				return
			}
			_, _ = fmt.Fprintf(theirs, "HTTP/1.1 %d %s\r\nServer: squid\r\nContent-Length: 0\r\n\r\n", status, http.StatusText(status))
		}()
		return ours, nil
	}
	proxy := &url.URL{Scheme: "http", Host: d.addr, User: url.UserPassword("user", mark)}
	return client(t, &http.Transport{DialContext: d.dial, Proxy: http.ProxyURL(proxy)})
}

func client(t *testing.T, tr *http.Transport) *http.Client {
	t.Helper()
	t.Cleanup(tr.CloseIdleConnections)
	return &http.Client{Transport: tr}
}

const pipeBase = "http://127.0.0.1"

// inMemory returns the services and an env that reaches them, for a bubble of
// virtual time.
func inMemory(t *testing.T) (*services, *dialer, *env) {
	t.Helper()
	pipe := emulator.NewPipeListener()
	s := newServices(t, pipe)
	d := &dialer{pipe: pipe, addr: "127.0.0.1:80"}
	return s, d, &env{base: pipeBase, client: d.httpClient(t)}
}

// overSockets is the same on loopback, in real time.
func overSockets(t *testing.T) (*services, *http.Transport, *env) {
	t.Helper()
	s := newServices(t, nil)
	tr := &http.Transport{}
	t.Cleanup(tr.CloseIdleConnections)
	return s, tr, &env{base: s.URL(), client: &http.Client{Transport: tr}, retry: true}
}
