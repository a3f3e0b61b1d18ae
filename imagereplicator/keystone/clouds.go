package keystone

import (
	"bytes"
	"cmp"
	"crypto/tls"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"regexp"
	"strings"

	"github.com/gophercloud/gophercloud/v2"
	"github.com/gophercloud/gophercloud/v2/openstack/config/clouds"
	"gopkg.in/yaml.v2"
)

// FromCloud returns the options of a cloud in clouds.yaml and secure.yaml. They
// are read from OS_CLIENT_CONFIG_FILE if it is set, else from the current
// folder and the user's and the system's configuration.
//
// user_domain_… is the user's domain and project_domain_… the project's. Where
// one is missing, it is domain_…, or else the id "default". An id takes
// precedence over a name. auth_type is optional and must agree with the
// credentials.
//
// The endpoint is that of region_name and interface (or endpoint_type), or
// image_endpoint_override. cacert, cert, key and verify configure TLS and set
// Options.HTTPClient. OS_REGION_NAME, OS_INTERFACE, OS_IMAGE_ENDPOINT_OVERRIDE,
// OS_CACERT, OS_CERT, OS_KEY and OS_INSECURE take precedence.
//
// Every error is an [*imagereplicator.ArgumentError].
func FromCloud(name string) (Options, error) {
	if name = strings.TrimSpace(name); name == "" {
		return Options{}, invalid("FromCloud: name", "must not be empty")
	}
	failed := func(err error) (Options, error) {
		return Options{}, invalid("FromCloud", "%s", quoted.ReplaceAllString(err.Error(), "`…`"))
	}
	opts := []clouds.ParseOption{clouds.WithCloudName(name)}
	insecure, err := insecureEnv()
	if err != nil {
		return Options{}, err
	}
	if insecure != nil {
		opts = append(opts, clouds.WithInsecure(*insecure))
	}
	auth, endpoint, tlsConfig, err := parse(opts)
	if err != nil {
		return failed(fmt.Errorf("cloud %q: %w", name, err))
	}
	rest, err := readCloud(name)
	if err != nil {
		return failed(err)
	}
	if err := checkAuthType("FromCloud: auth_type", rest.AuthType, &auth); err != nil {
		return Options{}, err
	}
	if ways := waysOf(&auth); len(ways) > 1 {
		return Options{}, invalid("FromCloud: auth", "must have only one of the credentials for %s", strings.Join(ways, " and "))
	}
	kind := string(endpoint.Availability) // of a profile, too
	if given := cmp.Or(env("OS_INTERFACE"), rest.EndpointType, rest.Interface); given != "" {
		if kind, err = interfaceOf(given); err != nil {
			return Options{}, renamed(err, "FromCloud: interface")
		}
	}
	return Options{
		AuthURL:     auth.IdentityEndpoint,
		Credentials: AuthOptions(normalized(auth)),
		Region:      endpoint.Region,
		Interface:   kind,
		Endpoint:    cmp.Or(env("OS_IMAGE_ENDPOINT_OVERRIDE"), rest.ImageEndpointOverride),
		HTTPClient:  httpClient(tlsConfig),
	}, nil
}

// parse is clouds.Parse, which panics at a cloud without credentials.
func parse(opts []clouds.ParseOption) (auth gophercloud.AuthOptions, endpoint gophercloud.EndpointOpts, config *tls.Config, err error) {
	defer func() {
		if recover() != nil {
			err = errors.New("it has no auth")
		}
	}()
	return clouds.Parse(opts...)
}

// quoted is a value that the YAML decoder repeats because it has the wrong
// type; it can be a piece of a secret.
var quoted = regexp.MustCompile("`.*`")

// cloud is what gophercloud does not return of one.
type cloud struct {
	AuthType              string `yaml:"auth_type"`
	Interface             string `yaml:"interface"`
	EndpointType          string `yaml:"endpoint_type"`
	ImageEndpointOverride string `yaml:"image_endpoint_override"`
}

// readCloud reads the file that gophercloud found, and secure.yaml beside it.
func readCloud(name string) (cloud, error) {
	for _, file := range cloudsFiles() {
		public, err := os.ReadFile(file)
		if err != nil {
			continue
		}
		found, err := decodeCloud(public, name)
		if err != nil {
			return found, err
		}
		secure, err := os.ReadFile(filepath.Join(filepath.Dir(file), "secure.yaml"))
		if err != nil {
			return found, nil //nolint:nilerr // it is optional
		}
		first, err := decodeCloud(secure, name)
		return cloud{
			AuthType:              cmp.Or(first.AuthType, found.AuthType),
			Interface:             cmp.Or(first.Interface, found.Interface),
			EndpointType:          cmp.Or(first.EndpointType, found.EndpointType),
			ImageEndpointOverride: cmp.Or(first.ImageEndpointOverride, found.ImageEndpointOverride),
		}, err
	}
	return cloud{}, nil
}

func decodeCloud(data []byte, name string) (cloud, error) {
	var all struct {
		Clouds map[string]cloud `yaml:"clouds"`
	}
	err := yaml.Unmarshal(bytes.TrimPrefix(data, []byte("\ufeff")), &all)
	return all.Clouds[name], err
}

// cloudsFiles returns where gophercloud searches for clouds.yaml.
func cloudsFiles() []string {
	if file := os.Getenv("OS_CLIENT_CONFIG_FILE"); file != "" {
		return []string{file}
	}
	config := os.Getenv("XDG_CONFIG_HOME")
	if home, err := os.UserHomeDir(); err == nil && config == "" {
		config = filepath.Join(home, ".config")
	}
	return []string{"clouds.yaml", filepath.Join(config, "openstack", "clouds.yaml"), "/etc/openstack/clouds.yaml"}
}
