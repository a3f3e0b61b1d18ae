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

// AsProxyError returns a *[ProxyError] for the error of an [http.Transport]
// without a hook of ours, which has the text of the proxy's status and no more,
// and other errors as they are.
func AsProxyError(err error) error {
	for code := 400; code < 600; code++ {
		if text := http.StatusText(code); text != "" && text == err.Error() {
			return &ProxyError{StatusCode: code}
		}
	}
	return err
}

// onConnectResponse is for [http.Transport.OnProxyConnectResponse].
func onConnectResponse(_ context.Context, proxy *url.URL, _ *http.Request, resp *http.Response) error {
	if resp.StatusCode == http.StatusOK {
		return nil
	}
	return &ProxyError{Proxy: proxy.Host, StatusCode: resp.StatusCode}
}
