package main

import (
	"bytes"
	"crypto/tls"
	"crypto/x509"
	"encoding/pem"
	"fmt"
	"io"
	"log"
	"net/http"
	"net/http/httptest"
	"net/http/httputil"
	"net/url"
	"os"
	"path/filepath"
	"slices"
	"sync"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/imagejobs/imagejobs-go/examples/internal/cli"
)

// tlsProxy takes TLS connections to a Temporal server, which has none itself.
type tlsProxy struct {
	env         []string // how to reach it
	certificate []string // and to log in with a certificate

	mu     sync.Mutex
	logins map[string]int // requests by client certificates and authorization
}

func newTLSProxy(t *testing.T, temporal string, auth tls.ClientAuthType) *tlsProxy {
	t.Helper()
	p := &tlsProxy{logins: map[string]int{}}
	transport := &http.Transport{Protocols: new(http.Protocols)}
	transport.Protocols.SetUnencryptedHTTP2(true)
	t.Cleanup(transport.CloseIdleConnections)
	forward := httputil.NewSingleHostReverseProxy(&url.URL{Scheme: "http", Host: temporal})
	forward.Transport, forward.FlushInterval, forward.ErrorLog = transport, -1, log.New(io.Discard, "", 0)
	server := httptest.NewUnstartedServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		p.mu.Lock()
		p.logins[fmt.Sprint(len(r.TLS.PeerCertificates), r.Header["Authorization"])]++
		p.mu.Unlock()
		forward.ServeHTTP(w, r)
	}))
	server.EnableHTTP2, server.Config.ErrorLog = true, log.New(io.Discard, "", 0)
	server.TLS = &tls.Config{ClientAuth: auth, MinVersion: tls.VersionTLS12}
	server.StartTLS()
	t.Cleanup(server.Close)
	key, err := x509.MarshalPKCS8PrivateKey(server.TLS.Certificates[0].PrivateKey)
	require.NoError(t, err)
	certificate := pemFile(t, "CERTIFICATE", server.Certificate().Raw)
	p.env = []string{addressVariable + "=" + server.Listener.Addr().String(), "TEMPORAL_TLS_SERVER_CA_CERT_PATH=" + certificate}
	p.certificate = []string{
		"TEMPORAL_TLS_CLIENT_CERT_PATH=" + certificate, "TEMPORAL_TLS_CLIENT_KEY_PATH=" + pemFile(t, "PRIVATE KEY", key),
	}
	return p
}

// requireOnly requires that all requests logged in so.
func (p *tlsProxy) requireOnly(t *testing.T, login string) {
	t.Helper()
	p.mu.Lock()
	defer p.mu.Unlock()
	require.Len(t, p.logins, 1)
	require.Positive(t, p.logins[login], p.logins)
}

func pemFile(t *testing.T, kind string, data []byte) string {
	t.Helper()
	path := filepath.Join(t.TempDir(), "pem")
	require.NoError(t, os.WriteFile(path, pem.EncodeToMemory(&pem.Block{Type: kind, Bytes: data}), 0o600))
	return path
}

// A worker and a command log in with a client certificate, or with an API key
// over TLS.
func TestLogin(t *testing.T) {
	t.Parallel()
	r := newUpload(t, 8, 2, 0)
	mutual, key := newTLSProxy(t, r.temporal.Address, tls.RequireAnyClientCert), newTLSProxy(t, r.temporal.Address, tls.NoClientCert)
	plain := r.env
	for name, c := range map[string]struct {
		proxy *tlsProxy
		env   []string
		login string
	}{
		"certificate": {mutual, mutual.certificate, "1 []"},
		"key":         {key, []string{"TEMPORAL_API_KEY=secret-key"}, "0 [Bearer secret-key]"},
	} {
		r.env = slices.Concat(plain, c.proxy.env, c.env)
		worker := r.worker()
		_, code := r.command("upload", "-application", "A", "-os", "Linux", "-source", r.in.Source, "-version", name)
		require.Zero(t, code)
		kill(worker)
		c.proxy.requireOnly(t, c.login)
	}
	for want, env := range map[string][]string{
		"with TLS and 0 client certificates": mutual.env,
		"without TLS":                        mutual.env[:1],
		"server CA cert":                     {"TEMPORAL_TLS_SERVER_CA_CERT_PATH=missing"},
	} {
		r.env = slices.Concat(plain, env)
		events, code := r.command("status")
		require.NotZero(t, code)
		require.Contains(t, events[0].Message, want)
	}
	mutual.requireOnly(t, "1 []")
}

// An API key is not sent where there is no TLS.
func TestKeyNeedsTLS(t *testing.T) {
	const key = "secret-key"
	var received bytes.Buffer
	var mu sync.Mutex
	server := httptest.NewUnstartedServer(http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) {
		mu.Lock()
		defer mu.Unlock()
		_ = r.Write(&received)
	}))
	server.Config.Protocols = new(http.Protocols)
	server.Config.Protocols.SetUnencryptedHTTP2(true)
	server.Config.ErrorLog = log.New(io.Discard, "", 0)
	server.Start()
	defer server.Close()
	t.Setenv("TEMPORAL_CONFIG_FILE", os.DevNull)
	t.Setenv(addressVariable, server.Listener.Addr().String())
	status := func(name, value, tls string) (int, string) {
		t.Setenv(name, value)
		t.Setenv("TEMPORAL_TLS", tls)
		var errs bytes.Buffer
		code := run(t.Context(), []string{"status"}, io.Discard, &errs)
		return code, errs.String()
	}
	code, text := status("TEMPORAL_NAMESPACE", key, "false") // what is not secret is seen
	require.Equal(t, cli.Failed, code, text)
	require.NotEmpty(t, received.String())
	received.Reset()
	code, text = status("TEMPORAL_GRPC_META_AUTHORIZATION", "Bearer "+key, "false")
	require.Equal(t, cli.Usage, code, text)
	t.Setenv("TEMPORAL_GRPC_META_AUTHORIZATION", "")
	code, text = status("TEMPORAL_API_KEY", key, "false")
	require.Equal(t, cli.Usage, code)
	require.Contains(t, text, "TEMPORAL_API_KEY")
	require.NotContains(t, text, key)
	code, text = status("TEMPORAL_API_KEY", key, "")
	require.Equal(t, cli.Failed, code, text)
	require.NotContains(t, text, key)
	require.Empty(t, received.String())
}
