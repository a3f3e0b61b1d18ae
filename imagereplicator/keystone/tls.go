package keystone

import (
	"crypto/tls"
	"crypto/x509"
	"net/http"
	"os"
	"path/filepath"
	"strings"

	"github.com/hashicorp/go-cleanhttp"
)

// httpClient returns a client for a TLS configuration, nil if it sets nothing.
func httpClient(config *tls.Config) *http.Client {
	if config == nil || config.RootCAs == nil && len(config.Certificates) == 0 && !config.InsecureSkipVerify {
		return nil
	}
	config.MinVersion = max(config.MinVersion, tls.VersionTLS12)
	transport := cleanhttp.DefaultPooledTransport()
	transport.TLSClientConfig = config
	return &http.Client{Transport: transport}
}

// clientFromEnv returns a client for the environment's TLS settings, as
// gophercloud does for clouds.yaml.
func clientFromEnv() (*http.Client, error) {
	var config tls.Config
	insecure, err := insecureEnv()
	if err != nil {
		return nil, err
	}
	config.InsecureSkipVerify = insecure != nil && *insecure //nolint:gosec // asked for by the user
	if name := env("OS_CACERT"); name != "" {
		data, err := os.ReadFile(home(name))
		if err != nil {
			return nil, invalid("FromEnv: OS_CACERT", "%v", err)
		}
		config.RootCAs = x509.NewCertPool()
		if !config.RootCAs.AppendCertsFromPEM(data) {
			return nil, invalid("FromEnv: OS_CACERT", "%s has no certificate in PEM form", name)
		}
	}
	switch cert, key := env("OS_CERT"), env("OS_KEY"); {
	case cert == "" && key == "":
	case cert == "":
		return nil, invalid("FromEnv: OS_CERT", "must not be empty with OS_KEY")
	case key == "":
		return nil, invalid("FromEnv: OS_KEY", "must not be empty with OS_CERT")
	default:
		pair, err := tls.LoadX509KeyPair(home(cert), home(key))
		if err != nil {
			return nil, invalid("FromEnv: OS_CERT", "%v", err)
		}
		config.Certificates = []tls.Certificate{pair}
	}
	return httpClient(&config), nil
}

// insecureEnv returns the value of OS_INSECURE, nil if it is not set.
func insecureEnv() (*bool, error) {
	var value bool
	switch text := strings.ToLower(env("OS_INSECURE")); text {
	case "":
		return nil, nil //nolint:nilnil // three values
	case "1", "t", "true", "y", "yes", "on":
		value = true
	case "0", "f", "false", "n", "no", "off":
	default:
		return nil, invalid("FromEnv: OS_INSECURE", "must be true or false, not %q", text)
	}
	return &value, nil
}

// home returns the path with the user's home folder for "~".
func home(path string) string {
	rest, ok := strings.CutPrefix(path, "~/")
	folder, err := os.UserHomeDir()
	if !ok || err != nil {
		return path
	}
	return filepath.Join(folder, rest)
}
