package transport

import (
	"crypto/tls"
	"errors"
	"io"
	"log"
	"net/http"
	"net/http/httptest"
	"net/url"
	"sync/atomic"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/imagejobs/imagejobs-go/internal/wire"
)

// A forward proxy that refuses saw nothing of the request, and would refuse it
// again: a wrong password sent five times locks accounts.
func TestProxyRefuses(t *testing.T) {
	for _, status := range []int{http.StatusProxyAuthRequired, http.StatusForbidden} {
		for _, own := range []bool{true, false} {
			for _, call := range []*Call{get(Once), get(Safe), post(Once, BytesBody("text/plain", []byte("x")))} {
				var asked atomic.Int64
				proxy := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
					asked.Add(1)
					w.WriteHeader(status)
				}))
				t.Cleanup(proxy.Close)
				u, err := url.Parse(proxy.URL)
				require.NoError(t, err)
				u.User = url.UserPassword("user", "pw12pw12")
				config := Config{BaseURL: "https://h.example", Retry: noWait(5)}
				if !own {
					config.HTTPClient = &http.Client{Transport: &http.Transport{Proxy: http.ProxyURL(u)}}
				}
				c := newClient(t, config)
				if own {
					for _, tr := range ownTransports(t, c) {
						tr.Proxy = http.ProxyURL(u)
					}
				}
				_, _, err = do(t.Context(), c, call)
				require.EqualValues(t, 1, asked.Load(), "%v", err)
				require.NotErrorIs(t, err, ErrAmbiguous)
				require.False(t, IsTransient(err))
				e, ok := errors.AsType[*wire.ProxyError](err)
				require.True(t, ok, "%v", err)
				require.Equal(t, status, e.StatusCode)
				require.Equal(t, u.Host, e.Proxy)
				require.Equal(t, "check the proxy, its user and its password", failure(t, err).Hint)
				require.NotContains(t, err.Error(), "pw12")
			}
		}
	}
}

// A proxy that is down for a moment is asked again.
func TestProxyIsDown(t *testing.T) {
	var asked atomic.Int64
	proxy := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		asked.Add(1)
		w.WriteHeader(http.StatusBadGateway)
	}))
	defer proxy.Close()
	u, err := url.Parse(proxy.URL)
	require.NoError(t, err)
	c := newClient(t, Config{BaseURL: "https://h.example", Retry: noWait(3)})
	for _, tr := range ownTransports(t, c) {
		tr.Proxy = http.ProxyURL(u)
	}
	_, _, err = do(t.Context(), c, get(Once))
	require.EqualValues(t, 3, asked.Load())
	require.NotErrorIs(t, err, ErrAmbiguous)
	require.True(t, IsTransient(err))
}

// With TLS 1.3 a server refuses a missing client certificate after the request
// may have been sent. It read none of it.
func TestCertificateRequired(t *testing.T) {
	for _, version := range []uint16{tls.VersionTLS12, tls.VersionTLS13} {
		for _, call := range []*Call{get(Once), get(Safe), post(Once, BytesBody("text/plain", []byte("x")))} {
			var served atomic.Int64
			s := httptest.NewUnstartedServer(http.HandlerFunc(func(http.ResponseWriter, *http.Request) { served.Add(1) }))
			s.Config.ErrorLog = log.New(io.Discard, "", 0)
			s.TLS = &tls.Config{ClientAuth: tls.RequireAnyClientCert, MinVersion: version, MaxVersion: version}
			s.StartTLS()
			t.Cleanup(s.Close)
			c := newClient(t, Config{BaseURL: s.URL, Retry: noWait(5)})
			trust(t, c, &s.TLS.Certificates[0])
			_, _, err := do(t.Context(), c, call)
			require.Equal(t, 1, failure(t, err).Attempts, "%v", err)
			require.NotErrorIs(t, err, ErrAmbiguous)
			require.False(t, IsTransient(err))
			require.Equal(t, "check the client certificate and the TLS settings", failure(t, err).Hint, "%v", err)
			require.Zero(t, served.Load())
		}
	}
}

// Credentials that a proxy refused come with that hint, once.
func TestHintOfCredentials(t *testing.T) {
	proxy := &Error{Err: &wire.ProxyError{Proxy: "proxy.example:3128", StatusCode: http.StatusProxyAuthRequired}}
	proxy.Hint = proxy.nextStep()
	require.NotEmpty(t, proxy.Hint)
	outer := &Error{Err: &localError{"getting a token failed", proxy}}
	require.Empty(t, outer.nextStep())
}
