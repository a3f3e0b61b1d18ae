package keystone_test

import (
	"context"
	"fmt"
	"io"
	"net/http"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/gophercloud/gophercloud/v2"
	"github.com/gophercloud/gophercloud/v2/openstack/image/v2/images"
	"github.com/jarcoal/httpmock"
	"github.com/stretchr/testify/require"

	"github.com/imagejobs/imagejobs-go/imagereplicator"
	"github.com/imagejobs/imagejobs-go/imagereplicator/keystone"
)

// cloud is a Keystone with an image storage that accepts its newest token alone.
type cloud struct {
	mu     sync.Mutex
	logins int
	life   time.Duration // of a token, 0 for ever
	takes  time.Duration // of a login
	stop   error         // of the next login
}

func (c *cloud) RoundTrip(r *http.Request) (*http.Response, error) {
	if r.Method == http.MethodPost {
		return c.logIn(r)
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	switch {
	case r.Header.Get("X-Auth-Token") != fmt.Sprint("token-", c.logins):
		return respond(r, http.StatusUnauthorized, ""), nil
	case r.URL.Path == "/v2/images/moved":
		resp := respond(r, http.StatusFound, "")
		resp.Header.Set("Location", "https://other.example.com/")
		return resp, nil
	case r.URL.Path == "/v2/extension/image_replicator/jobs":
		return respond(r, http.StatusOK, "[]"), nil
	default:
		return respond(r, http.StatusOK, `{"id": "i", "status": "active"}`), nil
	}
}

func (c *cloud) logIn(r *http.Request) (*http.Response, error) {
	if c.takes > 0 {
		select {
		case <-time.After(c.takes):
		case <-r.Context().Done():
			return nil, r.Context().Err()
		}
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.stop != nil {
		return nil, c.stop
	}
	c.logins++
	expiry := "null"
	if c.life > 0 {
		expiry = time.Now().Add(c.life).UTC().Format(`"2006-01-02T15:04:05.000000Z"`)
	}
	resp := respond(r, http.StatusCreated, `{"token": {"expires_at": `+expiry+`, "catalog": [{"type": "image", "name": "glance", "endpoints": [
		{"interface": "public", "region": "jp1", "region_id": "jp1", "url": "https://glance.example.com/v2"}]}]}}`)
	resp.Header.Set("X-Subject-Token", fmt.Sprint("token-", c.logins))
	return resp, nil
}

// revoke makes the newest token invalid.
func (c *cloud) revoke() {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.logins++
}

func respond(r *http.Request, status int, body string) *http.Response {
	resp := httpmock.NewStringResponse(status, body)
	resp.Request = r
	resp.Header.Set("Content-Type", "application/json")
	return resp
}

func (c *cloud) session(t *testing.T) *keystone.Session {
	t.Helper()
	session, err := keystone.New(t.Context(), options(c))
	require.NoError(t, err)
	return session
}

// What uses a session shares its logins: two clients and gophercloud.
func TestSessionIsShared(t *testing.T) {
	cloud := &cloud{}
	session := cloud.session(t)
	var clients []*imagereplicator.Client
	for range 2 {
		client, err := session.Client()
		require.NoError(t, err)
		clients = append(clients, client)
	}
	service, err := session.ImageService()
	require.NoError(t, err)
	use := func() {
		for _, client := range clients {
			_, err := client.Jobs.List(t.Context())
			require.NoError(t, err)
		}
		image, err := images.Get(t.Context(), service, "i").Extract()
		require.NoError(t, err)
		require.Equal(t, images.ImageStatusActive, image.Status)
	}
	use()
	require.Equal(t, 1, cloud.logins)
	cloud.revoke()
	use()
	require.Equal(t, 3, cloud.logins, "one login replaces the revoked token, for all")
	use()
	require.Equal(t, 3, cloud.logins)
	require.Equal(t, "token-3", session.Provider().Token())
}

func TestProvider(t *testing.T) {
	cloud := &cloud{}
	provider := cloud.session(t).Provider()
	require.Equal(t, authURL+"/", provider.IdentityEndpoint)
	url, err := provider.EndpointLocator(gophercloud.EndpointOpts{Type: "image", Region: "jp1", Availability: gophercloud.AvailabilityPublic})
	require.NoError(t, err)
	require.Equal(t, "https://glance.example.com/v2/", url)
}

// gophercloud's own requests, too, take the token to no other host and not over
// plain http.
func TestProviderKeepsItsToken(t *testing.T) {
	cloud := &cloud{}
	session := cloud.session(t)
	service, err := session.ImageService()
	require.NoError(t, err)
	_, err = images.Get(t.Context(), service, "moved").Extract()
	require.True(t, gophercloud.ResponseCodeIs(err, http.StatusFound), err)

	for _, url := range []string{"http://glance.example.com/", "http://10.0.0.1:9292/"} {
		resp, err := session.Provider().Request(t.Context(), http.MethodGet, url, &gophercloud.RequestOpts{})
		if err == nil {
			_ = resp.Body.Close()
		}
		require.ErrorContains(t, err, "plain http would send the token unencrypted")
		require.NotContains(t, err.Error(), "token-1")
	}
	for _, url := range []string{"http://127.0.0.1:9292/", "http://localhost:9292/", "http://[::1]:9292/"} {
		resp, err := session.Provider().Request(t.Context(), http.MethodGet, url, &gophercloud.RequestOpts{})
		require.NoError(t, err)
		_ = resp.Body.Close()
	}
	o := options(cloud)
	o.InsecureHTTP = true
	session, err = keystone.New(t.Context(), o)
	require.NoError(t, err)
	resp, err := session.Provider().Request(t.Context(), http.MethodGet, "http://10.0.0.1:9292/", &gophercloud.RequestOpts{})
	require.NoError(t, err)
	_ = resp.Body.Close()
}

// A token that expired while nobody used the session is not sent.
func TestIdleSession(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		cloud := &cloud{life: time.Hour}
		session := cloud.session(t)
		client, err := session.Client()
		require.NoError(t, err)
		<-time.After(2 * time.Hour)
		_, err = client.Jobs.List(t.Context())
		require.NoError(t, err)
		require.Equal(t, 2, cloud.logins)
	})
}

// The end of one caller's context ends no login that another waits for.
func TestLoginOutlivesACaller(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		cloud := &cloud{}
		session := cloud.session(t)
		client, err := session.Client()
		require.NoError(t, err)
		cloud.revoke()
		cloud.takes = 10 * time.Second
		ctx, cancel := context.WithTimeout(t.Context(), 5*time.Second)
		defer cancel()
		var both sync.WaitGroup
		both.Go(func() {
			service, err := session.ImageService()
			if err == nil {
				_, err = images.Get(ctx, service, "i").Extract()
			}
			if err == nil {
				t.Error("the context ended")
			}
		})
		<-time.After(time.Second)
		_, err = client.Jobs.List(t.Context())
		require.NoError(t, err)
		both.Wait()
	})
}

func TestLoginFailsLater(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		cloud := &cloud{}
		client, err := cloud.session(t).Client()
		require.NoError(t, err)
		cloud.revoke()
		cloud.stop = io.ErrUnexpectedEOF
		_, err = client.Jobs.List(t.Context())
		require.ErrorContains(t, err, "keystone.Tokens.Create")
		require.ErrorIs(t, err, io.ErrUnexpectedEOF)
		require.True(t, imagereplicator.IsTransient(err), "Wait rides out an outage of Keystone, too")
		require.NotContains(t, err.Error(), secret)
	})
}

// Session.Client takes over what the options say, and options override it.
func TestSessionClientOptions(t *testing.T) {
	var agents []string
	cloud := &cloud{}
	o := options(roundTripper(func(r *http.Request) (*http.Response, error) {
		agents = append(agents, r.Header.Get("User-Agent"))
		return cloud.RoundTrip(r)
	}))
	o.UserAgent = "farm/1"
	session, err := keystone.New(t.Context(), o)
	require.NoError(t, err)
	client, err := session.Client()
	require.NoError(t, err)
	_, err = client.Jobs.List(t.Context())
	require.NoError(t, err)
	service, err := session.ImageService()
	require.NoError(t, err)
	_, err = images.Get(t.Context(), service, "i").Extract()
	require.NoError(t, err)
	for _, agent := range agents {
		require.Regexp(t, "^farm/1 ", agent)
	}
	require.Len(t, agents, 3)

	var other atomic.Bool
	client, err = session.Client(imagereplicator.WithHTTPClient(&http.Client{Transport: roundTripper(func(r *http.Request) (*http.Response, error) {
		other.Store(true)
		return cloud.RoundTrip(r)
	})}))
	require.NoError(t, err)
	_, err = client.Jobs.List(t.Context())
	require.NoError(t, err)
	require.True(t, other.Load())
}

// The helper of the example, over pages as Glance sends them.
func TestFindImage(t *testing.T) {
	cloud := &cloud{}
	found := `{"id": "i", "name": "build", "status": "active"}`
	o := options(roundTripper(func(r *http.Request) (*http.Response, error) {
		if r.URL.Path != "/v2/images" {
			return cloud.RoundTrip(r)
		}
		require.Equal(t, "build", r.URL.Query().Get("name"))
		return respond(r, http.StatusOK, `{"images": [`+found+`]}`), nil
	}))
	session, err := keystone.New(t.Context(), o)
	require.NoError(t, err)
	image, err := findImage(t.Context(), session, "build")
	require.NoError(t, err)
	require.Equal(t, "i", image.ID)
	found = ""
	_, err = findImage(t.Context(), session, "build")
	require.EqualError(t, err, `there are 0 images "build"`)
	found = `{"id": "i", "name": "build", "status": "queued"}`
	_, err = findImage(t.Context(), session, "build")
	require.EqualError(t, err, `image "build" is queued`)
}
