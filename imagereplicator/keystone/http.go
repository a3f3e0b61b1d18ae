package keystone

import (
	"fmt"
	"net"
	"net/http"
	"strings"

	"github.com/hashicorp/go-cleanhttp"

	"github.com/imagejobs/imagejobs-go/imagereplicator"
)

// clientOptions returns the options of an image replicator client.
func clientOptions(o *Options) []imagereplicator.Option {
	opts := []imagereplicator.Option{
		imagereplicator.WithHTTPClient(o.HTTPClient),
		imagereplicator.WithUserAgent(o.UserAgent),
		imagereplicator.WithLogger(o.Logger),
	}
	if o.InsecureHTTP {
		opts = append(opts, imagereplicator.WithInsecureHTTP())
	}
	return opts
}

// directClient returns the client of gophercloud's own requests. net/http would
// take X-Auth-Token along on a redirect to another host.
func directClient(o *Options) http.Client {
	var client http.Client
	if o.HTTPClient != nil {
		client = *o.HTTPClient
	}
	if client.Transport == nil {
		client.Transport = cleanhttp.DefaultPooledTransport()
	}
	if !o.InsecureHTTP {
		client.Transport = encrypted{client.Transport}
	}
	client.CheckRedirect = func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }
	return client
}

// encrypted refuses plain http to hosts that are not loopback addresses.
type encrypted struct{ next http.RoundTripper }

func (e encrypted) RoundTrip(r *http.Request) (*http.Response, error) {
	host := r.URL.Hostname()
	ip := net.ParseIP(host)
	if r.URL.Scheme == "http" && !strings.EqualFold(host, "localhost") && (ip == nil || !ip.IsLoopback()) {
		return nil, fmt.Errorf("%s: plain http would send the token unencrypted to %s: use https, or Options.InsecureHTTP in a trusted network", pkg, r.URL.Host)
	}
	return e.next.RoundTrip(r)
}

// CloseIdleConnections lets http.Client close those below.
func (e encrypted) CloseIdleConnections() {
	if next, ok := e.next.(interface{ CloseIdleConnections() }); ok {
		next.CloseIdleConnections()
	}
}
