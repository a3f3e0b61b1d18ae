package wire

import (
	"context"
	"fmt"
	"net/http"
	"net/url"
)

// ProxyError reports a forward proxy that refused a connection to the service,
// which saw nothing of the request.
type ProxyError struct {
	Proxy      string // host and port, "" if not known
	StatusCode int
}

// Error implements error.
func (e *ProxyError) Error() string {
	name := "the proxy"
	if e.Proxy != "" {
		name += " " + e.Proxy
	}
	return fmt.Sprintf("%s refused the connection: %d %s", name, e.StatusCode, http.StatusText(e.StatusCode))
}

// AsProxyError returns a *[ProxyError] for the error of a round trip through a
// transport without a hook of ours, which has the text of the proxy's status and
// no more, and other errors as they are.
func AsProxyError(t *http.Transport, req *http.Request, err error) error {
	for code := 400; code < 600; code++ {
		if text := http.StatusText(code); text != "" && text == err.Error() {
			return &ProxyError{Proxy: proxyOf(t, req), StatusCode: code}
		}
	}
	return err
}

// proxyOf returns the host of the proxy of a request, "" if that is not known.
func proxyOf(t *http.Transport, req *http.Request) string {
	if t.Proxy == nil {
		return ""
	}
	u, err := t.Proxy(req)
	if err != nil || u == nil {
		return ""
	}
	return u.Host
}

// onConnectResponse is for [http.Transport.OnProxyConnectResponse].
func onConnectResponse(_ context.Context, proxy *url.URL, _ *http.Request, resp *http.Response) error {
	if resp.StatusCode == http.StatusOK {
		return nil
	}
	return &ProxyError{Proxy: proxy.Host, StatusCode: resp.StatusCode}
}
