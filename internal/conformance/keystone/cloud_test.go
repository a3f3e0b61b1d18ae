//go:build linux

package keystone_test

import (
	"bytes"
	"context"
	"crypto/tls"
	"encoding/json"
	"io"
	"log"
	"net/http"
	"net/http/httptest"
	"net/http/httputil"
	"net/url"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/imagejobs/imagejobs-go/imagereplicator/imagereplicatortest"
)

const (
	adminPassword = "s3cret-of-the-admin"
	userPassword  = "s3cret-of-the-builder"
	appSecret     = "s3cret-of-the-application"

	// jobTime is how long a copy takes: a few lives of a short token.
	jobTime = 6 * time.Second
)

// endpoints are those of the image service in the catalog, below the front.
var endpoints = []struct{ region, kind, path string }{
	{"RegionOne", "public", "/dev1/image"},
	{"RegionOne", "internal", "/dev1/internal/image/v2"},
	{"RegionTwo", "public", "/dev2/image/v2.0"},
	{"RegionThree", "public", "/dev3/image"},
	{"RegionThree", "public", "/dev3/other/v1/"},
}

// cloud is a Keystone and an image service behind one TLS server, and what exists
// there: a user "builder" and a project "studio" in the domain "games".
type cloud struct {
	*authority

	front  *httptest.Server
	images *imagereplicatortest.Server
	http   *http.Client // trusts the cloud
	logins atomic.Int64 // requests for a token

	adminProject, project, user, app string // ids
	service                          string // the id of the image service
}

func newCloud(t *testing.T) *cloud {
	t.Helper()
	c := &cloud{authority: newAuthority(t), images: imagereplicatortest.NewServer(imagereplicatortest.WithJobTime(jobTime))}
	t.Cleanup(c.images.Close)
	c.http = c.client(t)
	c.front = httptest.NewUnstartedServer(nil)
	t.Cleanup(c.front.Close)
	c.front.URL = "https://" + c.front.Listener.Addr().String()

	lasting, short := start(t, c.identity(), adminPassword)
	c.serve(t, lasting, short)
	c.furnish(t)
	return c
}

// identity returns the address of Keystone.
func (c *cloud) identity() string { return c.front.URL + "/dev1/identity/v3" }

// shortLived returns the address where the same Keystone issues tokens of two
// seconds.
func (c *cloud) shortLived() string { return c.front.URL + "/dev1/short/v3" }

// serve starts the TLS server in front of both.
func (c *cloud) serve(t *testing.T, lasting, short *url.URL) {
	t.Helper()
	behind := &http.Transport{DisableKeepAlives: true}
	images, err := url.Parse(c.images.URL)
	require.NoError(t, err)
	quiet := log.New(io.Discard, "", 0)

	mux := http.NewServeMux()
	for path, target := range map[string]*url.URL{"/dev1/identity": lasting, "/dev1/short": short} {
		mux.Handle(path+"/", http.StripPrefix(path, &httputil.ReverseProxy{
			Rewrite: func(r *httputil.ProxyRequest) {
				r.SetURL(target)
				if r.In.Method == http.MethodPost && r.In.URL.Path == "/v3/auth/tokens" {
					c.logins.Add(1)
				}
			},
			Transport: behind, ErrorLog: quiet,
		}))
	}
	for _, e := range endpoints {
		path := unversioned(e.path)
		mux.Handle(path+"/", http.StripPrefix(path, &httputil.ReverseProxy{
			Rewrite: func(r *httputil.ProxyRequest) {
				r.SetURL(images)
				r.Out.Header.Set("X-Forwarded-Prefix", path)
				if certificates := r.In.TLS.PeerCertificates; len(certificates) > 0 {
					r.Out.Header.Set("X-Client", certificates[0].Subject.CommonName)
				}
				// The test server knows its own tokens, and Keystone the others.
				if valid(r.In.Context(), behind, lasting, r.In.Header.Get("X-Auth-Token")) {
					r.Out.Header.Set("X-Auth-Token", imagereplicatortest.Token)
				}
			},
			Transport: behind, ErrorLog: quiet,
		}))
	}
	c.front.Config.Handler = mux
	c.front.Config.ErrorLog = quiet
	c.front.TLS = &tls.Config{
		Certificates: []tls.Certificate{c.issue(t, "front")}, ClientAuth: tls.VerifyClientCertIfGiven, ClientCAs: c.pool(),
	}
	c.front.URL = "" // StartTLS sets it
	c.front.StartTLS()
}

// unversioned returns the path of an endpoint, below which the clients' paths
// have to arrive.
func unversioned(path string) string {
	for _, version := range []string{"/v1/", "/v2", "/v2.0"} {
		path = strings.TrimSuffix(path, version)
	}
	return path
}

// valid asks Keystone, as services do, whether a token is valid.
func valid(ctx context.Context, transport http.RoundTripper, keystone *url.URL, token string) bool {
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, keystone.String()+"/v3/auth/tokens", http.NoBody)
	if err != nil {
		return false
	}
	req.Header.Set("X-Auth-Token", token)
	req.Header.Set("X-Subject-Token", token)
	resp, err := transport.RoundTrip(req)
	if err != nil {
		return false
	}
	_ = resp.Body.Close()
	return resp.StatusCode == http.StatusOK
}

// furnish creates what the tests need.
func (c *cloud) furnish(t *testing.T) {
	t.Helper()
	admin := c.adminToken(t)
	create := func(kind, plural, fields string) (id string) {
		_, body := c.api(t, http.MethodPost, plural, admin, `{"`+kind+`": {`+fields+`}}`)
		var created map[string]struct{ ID string }
		require.NoError(t, json.Unmarshal(body, &created))
		return created[kind].ID
	}
	domain := create("domain", "/domains", `"name": "games"`)
	c.project = create("project", "/projects", `"name": "studio", "domain_id": "`+domain+`"`)
	c.user = create("user", "/users", `"name": "builder", "domain_id": "`+domain+`", "password": "`+userPassword+`"`)

	var found struct {
		Roles    []struct{ ID string }
		Projects []struct{ ID string }
	}
	_, body := c.api(t, http.MethodGet, "/roles?name=member", admin, "")
	require.NoError(t, json.Unmarshal(body, &found))
	_, body = c.api(t, http.MethodGet, "/projects?name=admin", admin, "")
	require.NoError(t, json.Unmarshal(body, &found))
	c.adminProject = found.Projects[0].ID
	c.api(t, http.MethodPut, "/projects/"+c.project+"/users/"+c.user+"/roles/"+found.Roles[0].ID, admin, "")

	create("region", "/regions", `"id": "RegionTwo"`)
	create("region", "/regions", `"id": "RegionThree"`)
	c.service = create("service", "/services", `"type": "image", "name": "glance"`)
	for _, e := range endpoints {
		create("endpoint", "/endpoints", `"service_id": "`+c.service+`", "region_id": "`+e.region+`", "interface": "`+e.kind+
			`", "url": "`+c.front.URL+e.path+`"`)
	}
	c.app = c.application(t, "ci")
}

// application creates an application credential and returns its id.
func (c *cloud) application(t *testing.T, name string) (id string) {
	t.Helper()
	_, body := c.api(t, http.MethodPost, "/users/"+c.user+"/application_credentials", c.userToken(t, c.project),
		`{"application_credential": {"name": "`+name+`", "secret": "`+appSecret+`"}}`)
	var created struct {
		Credential struct{ ID string } `json:"application_credential"`
	}
	require.NoError(t, json.Unmarshal(body, &created))
	return created.Credential.ID
}

// adminToken returns a token of the administrator.
func (c *cloud) adminToken(t *testing.T) string {
	t.Helper()
	return c.logIn(t, `"name": "admin", "domain": {"id": "default"}, "password": "`+adminPassword+`"`,
		`{"project": {"name": "admin", "domain": {"id": "default"}}}`)
}

// userToken returns a token of the builder, for a project or for none.
func (c *cloud) userToken(t *testing.T, project string) string {
	t.Helper()
	scope := `"unscoped"`
	if project != "" {
		scope = `{"project": {"id": "` + project + `"}}`
	}
	return c.logIn(t, `"id": "`+c.user+`", "password": "`+userPassword+`"`, scope)
}

func (c *cloud) logIn(t *testing.T, user, scope string) (token string) {
	t.Helper()
	header, _ := c.api(t, http.MethodPost, "/auth/tokens", "",
		`{"auth": {"identity": {"methods": ["password"], "password": {"user": {`+user+`}}}, "scope": `+scope+`}}`)
	return header.Get("X-Subject-Token")
}

// revoke ends a token before its time.
func (c *cloud) revoke(t *testing.T, token string) {
	t.Helper()
	c.do(t, http.MethodDelete, "/auth/tokens", http.Header{"X-Auth-Token": {token}, "X-Subject-Token": {token}}, "")
}

// api sends a request of Keystone's API, which must succeed.
func (c *cloud) api(t *testing.T, method, path, token, body string) (http.Header, []byte) {
	t.Helper()
	header := http.Header{"Content-Type": {"application/json"}}
	if token != "" {
		header.Set("X-Auth-Token", token)
	}
	return c.do(t, method, path, header, body)
}

func (c *cloud) do(t *testing.T, method, path string, header http.Header, body string) (http.Header, []byte) {
	t.Helper()
	req, err := http.NewRequestWithContext(t.Context(), method, c.identity()+path, bytes.NewBufferString(body))
	require.NoError(t, err)
	req.Header = header
	resp, err := c.http.Do(req)
	require.NoError(t, err)
	defer resp.Body.Close()
	data, err := io.ReadAll(resp.Body)
	require.NoError(t, err)
	require.Less(t, resp.StatusCode, 300, "%s %s: %s", method, path, data)
	return resp.Header, data
}
