package keystone_test

import (
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
	"strings"
	"testing"
	"time"

	"github.com/gophercloud/gophercloud/v2/openstack/image/v2/images"
	"github.com/stretchr/testify/require"

	"github.com/imagejobs/imagejobs-go/imagereplicator/imagereplicatortest"
	"github.com/imagejobs/imagejobs-go/imagereplicator/keystone"
)

// behindTLS returns a proxy in front of the test server, with a certificate that
// nobody trusts, and a file with that.
func behindTLS(t *testing.T, clientAuth tls.ClientAuthType) (front *httptest.Server, authority string) {
	t.Helper()
	server := imagereplicatortest.NewServer()
	t.Cleanup(server.Close)
	target, err := url.Parse(server.URL)
	require.NoError(t, err)
	proxy := httputil.NewSingleHostReverseProxy(target)
	proxy.Transport = &http.Transport{DisableKeepAlives: true}
	mux := http.NewServeMux()
	mux.Handle("/", proxy)
	mux.HandleFunc("GET /v2/images/i", func(w http.ResponseWriter, _ *http.Request) { _, _ = io.WriteString(w, `{"id": "i"}`) })
	front = httptest.NewUnstartedServer(mux)
	front.TLS = &tls.Config{ClientAuth: clientAuth}
	front.Config.ErrorLog = log.New(io.Discard, "", 0)
	front.StartTLS()
	t.Cleanup(front.Close)
	authority = writePEM(t, "CERTIFICATE", front.Certificate().Raw)
	for _, line := range server.Env() {
		if name, value, ok := strings.Cut(line, "="); ok {
			t.Setenv(name, value)
		}
	}
	t.Setenv("OS_AUTH_URL", front.URL+"/v3")
	t.Setenv("OS_IMAGE_ENDPOINT_OVERRIDE", front.URL)
	return front, authority
}

func writePEM(t *testing.T, kind string, data []byte) string {
	t.Helper()
	file := filepath.Join(t.TempDir(), "file.pem")
	require.NoError(t, os.WriteFile(file, pem.EncodeToMemory(&pem.Block{Type: kind, Bytes: data}), 0o600))
	return file
}

// clientCertificate returns files with a certificate and its key.
func clientCertificate(t *testing.T) (cert, key string) {
	t.Helper()
	private, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	require.NoError(t, err)
	template := &x509.Certificate{SerialNumber: big.NewInt(1), NotAfter: time.Now().Add(time.Hour)}
	raw, err := x509.CreateCertificate(rand.Reader, template, template, &private.PublicKey, private)
	require.NoError(t, err)
	data, err := x509.MarshalPKCS8PrivateKey(private)
	require.NoError(t, err)
	return writePEM(t, "CERTIFICATE", raw), writePEM(t, "PRIVATE KEY", data)
}

// use logs in, lists jobs and looks up an image: each over a connection of its
// own options.
func use(t *testing.T, o keystone.Options) error {
	t.Helper()
	if o.HTTPClient != nil {
		defer o.HTTPClient.CloseIdleConnections()
	}
	session, err := keystone.New(t.Context(), o)
	if err != nil {
		return err
	}
	client, err := session.Client()
	require.NoError(t, err)
	_, err = client.Jobs.List(t.Context())
	require.NoError(t, err, "the replicator client has them, too")
	service, err := session.ImageService()
	require.NoError(t, err)
	_, err = images.Get(t.Context(), service, "i").Extract()
	require.NoError(t, err, "and so has gophercloud")
	return nil
}

func TestTLSFromEnv(t *testing.T) {
	environment(t, nil)
	_, authority := behindTLS(t, tls.NoClientCert)
	fromEnv := func() error {
		o, err := keystone.FromEnv()
		require.NoError(t, err)
		return use(t, o)
	}
	require.ErrorContains(t, fromEnv(), "certificate signed by unknown authority")
	t.Setenv("OS_CACERT", authority)
	require.NoError(t, fromEnv())
	t.Setenv("OS_CACERT", "")
	t.Setenv("OS_INSECURE", "true")
	require.NoError(t, fromEnv())
	t.Setenv("OS_INSECURE", "false")
	require.ErrorContains(t, fromEnv(), "certificate signed by unknown authority")
}

func TestClientCertificateFromEnv(t *testing.T) {
	environment(t, nil)
	_, authority := behindTLS(t, tls.RequireAnyClientCert)
	t.Setenv("OS_CACERT", authority)
	o, err := keystone.FromEnv()
	require.NoError(t, err)
	require.Error(t, use(t, o))
	cert, key := clientCertificate(t)
	t.Setenv("OS_CERT", cert)
	t.Setenv("OS_KEY", key)
	o, err = keystone.FromEnv()
	require.NoError(t, err)
	require.NoError(t, use(t, o))
}

func TestTLSFromCloud(t *testing.T) {
	environment(t, nil)
	front, authority := behindTLS(t, tls.NoClientCert)
	for name, test := range map[string]struct {
		settings, insecure string
		trusted            bool
	}{
		"nothing":           {"", "", false},
		"cacert":            {"cacert: '" + authority + "', ", "", true},
		"verify":            {"verify: false, ", "", true},
		"OS_INSECURE":       {"", "1", true},
		"OS_INSECURE wins":  {"verify: false, ", "0", false},
		"verify by default": {"verify: true, ", "", false},
	} {
		t.Run(name, func(t *testing.T) {
			cloudsYAML(t, "clouds: {studio: {"+test.settings+"image_endpoint_override: '"+front.URL+"/v2', "+
				"auth: {auth_url: '"+front.URL+"/v3', username: test-api-key, password: test-api-secret, project_id: "+tenant+"}}}", "")
			t.Setenv("OS_INSECURE", test.insecure)
			o, err := keystone.FromCloud("studio")
			require.NoError(t, err)
			if o.HTTPClient != nil {
				transport, ok := o.HTTPClient.Transport.(*http.Transport)
				require.True(t, ok)
				require.EqualValues(t, tls.VersionTLS12, transport.TLSClientConfig.MinVersion)
			}
			err = use(t, o)
			if !test.trusted {
				require.ErrorContains(t, err, "certificate signed by unknown authority")
				return
			}
			require.NoError(t, err)
		})
	}
}
