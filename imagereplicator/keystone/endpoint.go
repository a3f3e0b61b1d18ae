package keystone

import (
	"cmp"
	"fmt"
	"regexp"
	"slices"
	"strings"

	"github.com/imagejobs/imagejobs-go/internal/redact"
	"github.com/imagejobs/imagejobs-go/internal/transport"
)

// imageType is the service type of the image storage in the catalog.
const imageType = "image"

var version = regexp.MustCompile(`/v\d+(\.\d+)?$`)

// userInfo is what no error may show of an address.
var userInfo = regexp.MustCompile(`//[^/]*@`)

func withoutUser(url string) string { return userInfo.ReplaceAllString(url, "//"+redact.Redacted+"@") }

// unversioned returns an endpoint as the replicator's paths need it: catalogs
// have /v1, /v2, /v2.0 or nothing at its end.
func unversioned(url string) string {
	return version.ReplaceAllString(strings.TrimRight(strings.TrimSpace(url), "/"), "")
}

// interfaceOf returns what a catalog calls the kind of endpoint, by that name
// or by the older one, such as "internalURL".
func interfaceOf(name string) (string, error) {
	switch kind := strings.TrimSuffix(strings.TrimSpace(name), "URL"); kind {
	case "":
		return "public", nil
	case "public", "internal", "admin":
		return kind, nil
	default:
		return "", invalid("Options.Interface", `must be "public", "internal" or "admin", not %q`, name)
	}
}

// checkEndpoint finds before the login what imageEndpoint would find after it.
func checkEndpoint(o *Options) error {
	if o.Endpoint != "" {
		_, err := imageEndpoint(o, nil)
		return err
	}
	_, err := interfaceOf(o.Interface)
	return err
}

// imageEndpoint returns the endpoint to use. gophercloud's own search takes the
// first of several.
func imageEndpoint(o *Options, catalog []service) (string, error) {
	if o.Endpoint != "" {
		return checked(o, unversioned(o.Endpoint), "")
	}
	kind, err := interfaceOf(o.Interface)
	if err != nil {
		return "", err
	}
	region := strings.TrimSpace(o.Region)
	var found, all, regions []string
	for _, s := range catalog {
		if s.Type != imageType {
			continue
		}
		for _, e := range s.Endpoints {
			name := cmp.Or(e.Region, e.RegionID)
			all = append(all, fmt.Sprintf("%s %s %s", name, e.Interface, withoutUser(e.URL)))
			if e.Interface != kind {
				continue
			}
			regions = append(regions, name)
			if region == "" || region == e.Region || region == e.RegionID {
				found = append(found, unversioned(e.URL))
			}
		}
	}
	slices.Sort(found)
	slices.Sort(regions)
	found, regions = slices.Compact(found), slices.Compact(regions)
	const instead = "or set Options.Endpoint (image_endpoint_override, OS_IMAGE_ENDPOINT_OVERRIDE)"
	has := "the service catalog has no image endpoints"
	if len(all) > 0 {
		has = "the service catalog has the image endpoints " + strings.Join(all, ", ")
	}
	switch {
	case len(found) == 1:
		return checked(o, found[0], fmt.Sprintf("must be set, since that of the service catalog, %s, cannot be used: ", withoutUser(found[0])))
	case len(all) == 0:
		return "", invalid("Options.Endpoint", "must not be empty: %s for this tenant", has)
	case len(regions) == 0:
		return "", invalid("Options.Interface", "there is no %s endpoint; %s; choose one of these interfaces, %s", kind, has, instead)
	case len(found) == 0:
		return "", invalid("Options.Region", "there is no %s endpoint in region %q; %s; choose one of these regions, %s", kind, region, has, instead)
	case region == "" && len(regions) > 1:
		return "", invalid("Options.Region", "must not be empty; %s; choose one of these regions, %s", has, instead)
	default:
		return "", invalid("Options.Endpoint", "must not be empty; %s; more than one of them matches", has)
	}
}

// checked returns the endpoint unless no client could use it.
func checked(o *Options, endpoint, prefix string) (string, error) {
	_, err := transport.New(transport.Config{
		BaseURL:      endpoint,
		InsecureName: "Options.InsecureHTTP",
		InsecureHTTP: o.InsecureHTTP,
		Invalid:      func(_, problem string) error { return invalid("Options.Endpoint", "%s%s", prefix, problem) },
	})
	if err != nil {
		return "", err
	}
	return endpoint, nil
}
