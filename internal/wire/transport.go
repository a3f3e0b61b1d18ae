package wire

import (
	"context"
	"crypto/tls"
	"net"
	"net/http"

	"github.com/hashicorp/go-cleanhttp"
)

// NewTransport returns an http.Transport for parallel uploads: HTTP/1 only, TLS
// 1.2 or better, and idle connections per host for slots requests. Its
// connections hold a failed write back until the response was read.
func NewTransport(slots int) *http.Transport {
	t := cleanhttp.DefaultPooledTransport()
	t.MaxIdleConns = max(t.MaxIdleConns, slots)
	t.MaxIdleConnsPerHost = slots
	t.TLSClientConfig = &tls.Config{MinVersion: tls.VersionTLS12}
	// Parallel chunks want parallel connections; HTTP/2 would put all of them
	// through one, under one congestion window.
	t.ForceAttemptHTTP2 = false
	t.Protocols = new(http.Protocols)
	t.Protocols.SetHTTP1(true)
	t.OnProxyConnectResponse = onConnectResponse
	WrapDialer(t)
	return t
}

// WrapDialer makes t open the connections that [NewTransport] promises, on top
// of t.DialContext, which must not be nil. A test that replaces the DialContext
// of such a transport calls it again. It replaces DialTLSContext, which takes
// TLSClientConfig and TLSHandshakeTimeout from t when it dials; both must be
// set.
func WrapDialer(t *http.Transport) {
	dial := t.DialContext
	t.DialContext = func(ctx context.Context, network, addr string) (net.Conn, error) {
		conn, err := dial(ctx, network, addr)
		if err != nil {
			return nil, err
		}
		return newLingerConn(conn), nil
	}
	t.DialTLSContext = func(ctx context.Context, network, addr string) (net.Conn, error) {
		conn, err := dial(ctx, network, addr)
		if err != nil {
			return nil, err
		}
		return handshake(ctx, t, newLingerConn(conn), addr)
	}
}
