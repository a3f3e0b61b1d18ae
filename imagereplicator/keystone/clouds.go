package keystone

import (
	"crypto/tls"
	"fmt"
	"net/http"
	"regexp"

	"github.com/gophercloud/gophercloud/v2"
	"github.com/gophercloud/gophercloud/v2/openstack/config/clouds"
	"github.com/hashicorp/go-cleanhttp"

	"github.com/imagejobs/imagejobs-go/internal/transport"
)

// FromCloud are the options of a cloud in clouds.yaml and secure.yaml, which
// are looked for where OS_CLIENT_CONFIG_FILE says, in the current folder, in
// the user's and in the system's configuration. OS_REGION_NAME goes before the
// file's region. A certificate authority or client certificate named there is
// in HTTPClient, which is then the one to give to imagereplicator.New, too.
//
// user_domain_… is the user's domain, project_domain_… the project's, and
// domain_… either's that is not given; without any it is the id "default". Where
// both are given, an id goes before a name. What cannot be read is an error that
// matches imagereplicator.ErrInvalidArgument.
func FromCloud(name string) (Options, error) {
	if name == "" {
		return Options{}, transport.Invalid(pkg, "FromCloud: name", "must not be empty")
	}
	auth, endpoint, tlsConfig, err := parse(name)
	if err != nil {
		return Options{}, transport.Invalid(pkg, "FromCloud", "%s", quoted.ReplaceAllString(err.Error(), "`…`"))
	}
	return Options{Auth: settled(auth), Region: endpoint.Region, HTTPClient: httpClient(tlsConfig)}, nil
}

// parse is clouds.Parse, which panics at a cloud without credentials.
func parse(name string) (auth gophercloud.AuthOptions, endpoint gophercloud.EndpointOpts, config *tls.Config, err error) {
	defer func() {
		if recover() != nil {
			err = fmt.Errorf("cloud %q has no auth", name)
		}
	}()
	return clouds.Parse(clouds.WithCloudName(name))
}

// quoted is a value that the YAML decoder repeats because it has the wrong
// type; it can be a piece of a secret.
var quoted = regexp.MustCompile("`.*`")

// httpClient is a client for a TLS configuration that says anything.
func httpClient(config *tls.Config) *http.Client {
	if config == nil || config.RootCAs == nil && len(config.Certificates) == 0 && !config.InsecureSkipVerify {
		return nil
	}
	config.MinVersion = max(config.MinVersion, tls.VersionTLS12)
	transport := cleanhttp.DefaultPooledTransport()
	transport.TLSClientConfig = config
	return &http.Client{Transport: transport}
}
