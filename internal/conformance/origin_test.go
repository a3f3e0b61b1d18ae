package conformance

import (
	"context"
	"net/http"
	"strings"
	"testing"
	"testing/synctest"

	"github.com/jarcoal/httpmock"
	"github.com/stretchr/testify/require"

	"github.com/imagejobs/imagejobs-go/imagereplicator"
	"github.com/imagejobs/imagejobs-go/internal/emulator"
	"github.com/imagejobs/imagejobs-go/internal/transport"
	"github.com/imagejobs/imagejobs-go/multiplay"
	"github.com/imagejobs/imagejobs-go/oraclemarket"
)

// Every operation, redirected in every way, with an http.Client that would
// follow: one request is sent, to where it was to go, and none anywhere else.
// So no chain (a to b, a to b to a) can begin.
func TestRedirectsAreNotFollowed(t *testing.T) {
	targets := map[string]string{
		"another host":    "https://elsewhere.example/path",
		"plain http":      "http://127.0.0.1/path",
		"another port":    "https://127.0.0.1:8443/path",
		"no scheme":       "//elsewhere.example/path",
		"user info":       "https://user:" + mark + "@elsewhere.example/path",
		"the same origin": "/appstore/publisher/v1/machineimages/7",
		"itself":          "",
		"another scheme":  "ftp://127.0.0.1/path",
	}
	for _, o := range operations() {
		t.Run(o.String(), func(t *testing.T) {
			t.Parallel()
			for _, status := range []int{301, 302, 303, 307, 308} {
				for name, to := range targets {
					synctest.Test(t, func(t *testing.T) {
						s, d, e := inMemory(t)
						d.addr, e.base = "127.0.0.1:443", "https://127.0.0.1"
						s.Inject(emulator.Fault{Operation: o.target, Times: -1, Status: status, Header: http.Header{"Location": {to}}})
						_, err := o.run(t.Context(), e)
						require.Error(t, err)
						require.Equal(t, status, failure(t, o, err).StatusCode)
						require.ErrorContains(t, err, "not followed")
						require.NotErrorIs(t, err, transport.ErrAmbiguous)
						require.Equal(t, 1, s.Count(o.target), "%s, %d", name, status)
						require.Zero(t, d.other.Load(), "%s, %d", name, status)
						if name == "user info" {
							requireNoSecret(t, err)
						}
					})
				}
			}
		})
	}
}

// kindOfClient is a client with a base URL, and the header with its
// credentials.
type kindOfClient struct {
	header string
	call   func(ctx context.Context, base string, c *http.Client, insecure bool) error
}

func clients() map[string]kindOfClient {
	return map[string]kindOfClient{
		"oraclemarket": {"Authorization", func(ctx context.Context, base string, hc *http.Client, insecure bool) error {
			opts := []oraclemarket.Option{oraclemarket.WithBaseURL(base), oraclemarket.WithHTTPClient(hc)}
			if insecure {
				opts = append(opts, oraclemarket.WithInsecureHTTP())
			}
			c, err := oraclemarket.New("partner@example.com", oraclemarket.StaticToken(tokenValue), opts...)
			if err != nil {
				return err
			}
			_, err = c.MachineImages.DeleteEverywhere(ctx, 7)
			return err
		}},
		"oraclemarket login": {"Authorization", func(ctx context.Context, base string, hc *http.Client, insecure bool) error {
			opts := []oraclemarket.Option{oraclemarket.WithBaseURL(base), oraclemarket.WithHTTPClient(hc)}
			if insecure {
				opts = append(opts, oraclemarket.WithInsecureHTTP())
			}
			c, err := oraclemarket.New("partner@example.com", oraclemarket.ClientCredentials(keyID, keySecret), opts...)
			if err != nil {
				return err
			}
			_, err = c.MachineImages.DeleteEverywhere(ctx, 7)
			return err
		}},
		"imagereplicator": {"X-Auth-Token", func(ctx context.Context, base string, hc *http.Client, insecure bool) error {
			opts := []imagereplicator.Option{imagereplicator.WithHTTPClient(hc)}
			if insecure {
				opts = append(opts, imagereplicator.WithInsecureHTTP())
			}
			c, err := imagereplicator.New(base, imagereplicator.StaticToken(tokenValue), opts...)
			if err != nil {
				return err
			}
			return c.Jobs.Cancel(ctx, "job")
		}},
		"keystone":         {"", callKeystone},
		"multiplay":        {"Authorization", callMultiplay(multiplay.AccessKey(1, keyID, keySecret))},
		"multiplay bearer": {"Authorization", callMultiplay(multiplay.BearerToken(multiplay.StaticToken(tokenValue)))},
	}
}

func callMultiplay(credentials multiplay.Credentials) func(context.Context, string, *http.Client, bool) error {
	return func(ctx context.Context, base string, hc *http.Client, insecure bool) error {
		opts := []multiplay.Option{multiplay.WithBaseURL(base), multiplay.WithHTTPClient(hc)}
		if insecure {
			opts = append(opts, multiplay.WithInsecureHTTP())
		}
		c, err := multiplay.New(credentials, opts...)
		if err != nil {
			return err
		}
		_, err = c.Images.SetActive(ctx, 1, true)
		return err
	}
}

// Base URLs that do not mean what they seem to are refused before anything is
// sent, and without a word of what stands in them; those that are accepted lead
// to the one host that they name.
func TestBaseURLTricks(t *testing.T) {
	refused := []string{
		"", "host.example", "//host.example", "/path", "https:", "https://", "https:///path", "https:host.example", `https:\\host.example`,
		"https://user@host.example", "https://user:" + mark + "@host.example", "https://host.example:443@evil.example", "https://@host.example",
		`https://host.example\@evil.example`, `https://host.example\.evil.example`, `https://evil.example\`, `https://host.example/a\..\b`,
		"https://host.example//path", "https://host.example/../path", "https://host.example/a/./b", "https://host.example/%2e%2e/b",
		"https://host.example?query", "https://host.example/?q=" + mark, "https://host.example#fragment", "https://host.example#",
		"https://host.example:0", "https://host.example:65536", "https://host.example:-1", "https://host.example:x",
		"https://host example", "https://host.exa\nmple", "https://host.example\n/path", "https://host.example\x00", "https://host%00.example", "https://[::1", "https://::1",
		"https://[fe80::1%eth0]", "ftp://host.example", "file:///etc/passwd", "javascript://host.example",
		// Plain http, to hosts that only look like this machine.
		"http://host.example", "HTTP://HOST.EXAMPLE", "http://localhost.evil.example", "http://127.0.0.1.evil.example", "http://127.0.0.1@evil.example",
		"http://localhost@evil.example", "http://2130706433", "http://0x7f000001", "http://127.1", "http://0177.0.0.1", "http://0.0.0.0", "http://[::]",
		"http://[fe80::1%25lo]", "http://[::1%25eth0]", "http://ⓛocalhost", "http://10.0.0.1", "http://[::ffff:10.0.0.1]", "http://evil.example:80#127.0.0.1",
	}
	accepted := map[string]string{
		"https://host.example":           "host.example:443",
		"https://HOST.example/":          "host.example:443",
		"https://host.example:443":       "host.example:443",
		"https://host.example:":          "host.example:443",
		"https://host.example:8443/base": "host.example:8443",
		"https://host.example.":          "host.example.:443",
		"https://bücher.example":         "xn--bcher-kva.example:443",
		"https://xn--bcher-kva.example":  "xn--bcher-kva.example:443",
		"https://host。example":           "host.example:443",
		"https://[2001:db8::1]:8443":     "[2001:db8::1]:8443",
		"https://[fe80::1%25eth0]":       "[fe80::1%eth0]:443",
		"https://127.0.0.1.evil.example": "127.0.0.1.evil.example:443",
		"http://localhost:8080":          "localhost:8080",
		"http://LOCALHOST":               "localhost:80",
		"http://127.0.0.1":               "127.0.0.1:80",
		"http://127.99.0.1:1":            "127.99.0.1:1",
		"http://[::1]":                   "[::1]:80",
		"http://[::ffff:127.0.0.1]":      "[::ffff:127.0.0.1]:80",
	}
	for name, c := range clients() {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			for _, base := range refused {
				d := &dialer{}
				err := c.call(t.Context(), base, d.httpClient(t), false)
				require.ErrorIs(t, err, transport.ErrInvalidArgument, base)
				require.Zero(t, d.n.Load(), base)
				requireNoSecret(t, err)
			}
			for base, addr := range accepted {
				sentTo(t, c, base, addr, false)
			}
		})
	}
}

// sentTo makes a call, and requires that all of it went to addr, with
// credentials.
func sentTo(t *testing.T, c kindOfClient, base, addr string, insecure bool) {
	t.Helper()
	synctest.Test(t, func(t *testing.T) {
		pipe := emulator.NewPipeListener()
		var header http.Header
		s := emulator.New(emulator.Config{Listener: pipe})
		s.Handle("any", "/", func(w http.ResponseWriter, r *http.Request) {
			header = r.Header
			w.WriteHeader(http.StatusForbidden)
		})
		require.NoError(t, s.Start())
		t.Cleanup(s.Close)
		d := &dialer{pipe: pipe, addr: addr}
		err := c.call(t.Context(), base, d.httpClient(t), insecure)
		require.ErrorContains(t, err, "403 Forbidden", base)
		require.EqualValues(t, 1, d.n.Load(), base)
		if c.header != "" {
			require.NotEmpty(t, header.Get(c.header), base)
		}
	})
}

// Plain http to another machine takes the option that permits it.
func TestCredentialsAndPlainHTTP(t *testing.T) {
	for name, c := range clients() {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			d := &dialer{}
			err := c.call(t.Context(), "http://host.example", d.httpClient(t), false)
			require.ErrorIs(t, err, transport.ErrInvalidArgument)
			require.ErrorContains(t, err, "must be https")
			require.Zero(t, d.n.Load())
			sentTo(t, c, "http://host.example", "host.example:80", true)
		})
	}
}

// The key pair of the older Oracle endpoint goes to the host of its own URL,
// and the token to the service alone.
func TestTokenEndpointElsewhere(t *testing.T) {
	for _, tokenURL := range []string{
		"http://login.example/token", "https://user@login.example/token", `https://login.example\@evil.example/token`,
		"https://login.example/token#x", "https://login.example", "https://:443/token", "login.example/token",
	} {
		_, err := oraclemarket.New("partner@example.com", oraclemarket.OAMClientCredentials(tokenURL, "domain", keyID, keySecret))
		require.ErrorIs(t, err, oraclemarket.ErrInvalidArgument, tokenURL)
		require.ErrorContains(t, err, "OAMClientCredentials: tokenURL: ")
		requireNoSecret(t, err)
	}
	seen := map[string]string{}
	mock := httpmock.NewMockTransport()
	mock.RegisterNoResponder(func(r *http.Request) (*http.Response, error) {
		scheme, _, _ := strings.Cut(r.Header.Get("Authorization"), " ")
		seen[r.URL.Host] += scheme
		if r.URL.Host == "login.example" {
			return httpmock.NewStringResponse(200, good("OAMToken")), nil
		}
		return httpmock.NewStringResponse(200, good("MachineImages.Get")), nil
	})
	c, err := oraclemarket.New("partner@example.com",
		oraclemarket.OAMClientCredentials("https://login.example/oam/oauth2/tokens", "domain", keyID, keySecret),
		oraclemarket.WithBaseURL("https://service.example"), oraclemarket.WithHTTPClient(&http.Client{Transport: mock}))
	require.NoError(t, err)
	_, err = c.MachineImages.Get(t.Context(), 7)
	require.NoError(t, err)
	require.Equal(t, map[string]string{"login.example": "Basic", "service.example": "Bearer"}, seen)
}
