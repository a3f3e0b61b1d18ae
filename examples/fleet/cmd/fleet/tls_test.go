package main

import (
	"bytes"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"encoding/pem"
	"io"
	"log"
	"math/big"
	"net/http"
	"net/http/httptest"
	"net/http/httputil"
	"net/url"
	"os"
	"path/filepath"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/imagejobs/imagejobs-go/examples/internal/cli"
)

// tlsProxy takes TLS connections to a Temporal server, which has none itself.
type tlsProxy struct {
	env []string // how to reach it

	mu     sync.Mutex
	logins map[[2]string]int // requests by client certificate and authorization
}

func newTLSProxy(t *testing.T, temporal string, clients *x509.CertPool) *tlsProxy {
	t.Helper()
	p := &tlsProxy{logins: map[[2]string]int{}}
	transport := &http.Transport{Protocols: new(http.Protocols)}
	transport.Protocols.SetUnencryptedHTTP2(true)
	t.Cleanup(transport.CloseIdleConnections)
	forward := httputil.NewSingleHostReverseProxy(&url.URL{Scheme: "http", Host: temporal})
	forward.Transport, forward.FlushInterval, forward.ErrorLog = transport, -1, log.New(io.Discard, "", 0)
	server := httptest.NewUnstartedServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		certificate := ""
		if len(r.TLS.PeerCertificates) > 0 {
			certificate = r.TLS.PeerCertificates[0].Subject.CommonName
		}
		p.mu.Lock()
		p.logins[[2]string{certificate, r.Header.Get("Authorization")}]++
		p.mu.Unlock()
		forward.ServeHTTP(w, r)
	}))
	server.EnableHTTP2, server.Config.ErrorLog = true, log.New(io.Discard, "", 0)
	server.TLS = &tls.Config{ClientCAs: clients, MinVersion: tls.VersionTLS12}
	if clients != nil {
		server.TLS.ClientAuth = tls.RequireAndVerifyClientCert
	}
	server.StartTLS()
	t.Cleanup(server.Close)
	p.env = []string{
		addressVariable + "=" + server.Listener.Addr().String(),
		"TEMPORAL_TLS_SERVER_CA_CERT_PATH=" + pemFile(t, "CERTIFICATE", server.Certificate().Raw),
	}
	return p
}

// requireOnly requires that all requests logged in so.
func (p *tlsProxy) requireOnly(t *testing.T, certificate, authorization string) {
	t.Helper()
	p.mu.Lock()
	defer p.mu.Unlock()
	require.Len(t, p.logins, 1)
	require.Positive(t, p.logins[[2]string{certificate, authorization}], p.logins)
}

func pemFile(t *testing.T, kind string, data []byte) string {
	t.Helper()
	path := filepath.Join(t.TempDir(), "pem")
	require.NoError(t, os.WriteFile(path, pem.EncodeToMemory(&pem.Block{Type: kind, Bytes: data}), 0o600))
	return path
}

// clientCertificate makes a certificate, and the variables that use it.
func clientCertificate(t *testing.T, name string) (pool *x509.CertPool, env []string) {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	require.NoError(t, err)
	template := &x509.Certificate{SerialNumber: big.NewInt(1), NotAfter: time.Now().Add(time.Hour), ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageClientAuth}}
	template.Subject.CommonName = name
	der, err := x509.CreateCertificate(rand.Reader, template, template, key.Public(), key)
	require.NoError(t, err)
	certificate, err := x509.ParseCertificate(der)
	require.NoError(t, err)
	secret, err := x509.MarshalPKCS8PrivateKey(key)
	require.NoError(t, err)
	pool = x509.NewCertPool()
	pool.AddCert(certificate)
	return pool, []string{
		"TEMPORAL_TLS_CLIENT_CERT_PATH=" + pemFile(t, "CERTIFICATE", der),
		"TEMPORAL_TLS_CLIENT_KEY_PATH=" + pemFile(t, "PRIVATE KEY", secret),
	}
}

// A worker and a command log in with a client certificate, or with an API key
// over TLS.
func TestLogin(t *testing.T) {
	t.Parallel()
	r := newUpload(t, 8, 2, 0)
	pool, certificate := clientCertificate(t, "fleet")
	mutual, key := newTLSProxy(t, r.temporal.Address, pool), newTLSProxy(t, r.temporal.Address, nil)
	plain := r.env
	upload := []string{"upload", "-application", "A", "-os", "Linux", "-source", r.in.Source, "-version"}
	with := func(env ...[]string) {
		r.env = plain
		for _, e := range env {
			r.env = append(r.env[:len(r.env):len(r.env)], e...)
		}
	}

	with(mutual.env, certificate)
	worker := r.worker()
	_, code := r.command(append(upload, "1")...)
	require.Zero(t, code)
	kill(worker)
	mutual.requireOnly(t, "fleet", "")
	with(mutual.env)
	events, code := r.command("status")
	require.Equal(t, cli.Failed, code)
	require.Contains(t, events[0].Message, "with TLS and no client certificate")
	mutual.requireOnly(t, "fleet", "")

	with(key.env, []string{"TEMPORAL_API_KEY=secret-key"})
	worker = r.worker()
	_, code = r.command(append(upload, "2")...)
	require.Zero(t, code)
	kill(worker)
	key.requireOnly(t, "", "Bearer secret-key")

	with(key.env[:1])
	events, code = r.command("status")
	require.Equal(t, cli.Failed, code)
	require.Contains(t, events[0].Message, "without TLS")

	with([]string{"TEMPORAL_TLS_SERVER_CA_CERT_PATH=" + filepath.Join(t.TempDir(), "none")})
	events, code = r.command("status")
	require.Equal(t, cli.Usage, code)
	require.Contains(t, events[0].Message, "failed reading server CA cert path")
}

// An API key is not sent where there is no TLS.
func TestKeyNeedsTLS(t *testing.T) {
	const key = "secret-key"
	var received bytes.Buffer
	var mu sync.Mutex
	server := httptest.NewUnstartedServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
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
