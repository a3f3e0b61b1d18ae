package keystone_test

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"os"
	"testing"
	"testing/synctest"
	"time"

	"github.com/gophercloud/gophercloud/v2"
	"github.com/gophercloud/gophercloud/v2/openstack/identity/v3/tokens"
	"github.com/jarcoal/httpmock"
	"github.com/stretchr/testify/require"
	"go.uber.org/goleak"

	"github.com/imagejobs/imagejobs-go/imagereplicator"
	"github.com/imagejobs/imagejobs-go/imagereplicator/imagereplicatortest"
	"github.com/imagejobs/imagejobs-go/imagereplicator/keystone"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

const (
	authURL   = "https://keystone-jp1-ecl.api.ntt.com/v3"
	tokensURL = authURL + "/auth/tokens"
	secret    = "s3cret-of-the-key"
	token     = "fe7136237a6e40729e52fc452b8cdf82"
	tenant    = imagereplicatortest.TenantID
)

func options(mock http.RoundTripper) keystone.Options {
	return keystone.Options{
		AuthURL:     authURL,
		Credentials: keystone.APIKey("key", secret),
		TenantID:    tenant,
		Region:      "jp1",
		HTTPClient:  &http.Client{Transport: mock},
	}
}

func issued(tb testing.TB, status int) httpmock.Responder {
	tb.Helper()
	data, err := os.ReadFile("testdata/token.json")
	require.NoError(tb, err)
	return httpmock.NewBytesResponder(status, data).HeaderSet(http.Header{
		"Content-Type": {"application/json"}, "X-Subject-Token": {token}, "Vary": {"X-Auth-Token"},
	})
}

// logIn returns the session's tokens and endpoint.
func logIn(ctx context.Context, o keystone.Options) (imagereplicator.TokenSource, string, error) {
	session, err := keystone.New(ctx, o)
	if err != nil {
		return nil, "", err
	}
	endpoint, err := session.Endpoint()
	return session.TokenSource(), endpoint, err
}

// sentToken returns the token that a client of the source sends.
func sentToken(t *testing.T, tokens imagereplicator.TokenSource) string {
	t.Helper()
	var sent string
	client, err := imagereplicator.New("https://glance.example.com", tokens, imagereplicator.WithHTTPClient(&http.Client{
		Transport: roundTripper(func(r *http.Request) (*http.Response, error) {
			sent = r.Header.Get("X-Auth-Token")
			return httpmock.NewStringResponse(http.StatusOK, `[]`), nil
		}),
	}))
	require.NoError(t, err)
	_, err = client.Jobs.List(t.Context())
	require.NoError(t, err)
	return sent
}

// recorded responds like next and keeps the request and its body.
func recorded(next httpmock.Responder, r **http.Request, body *string) httpmock.Responder {
	return func(req *http.Request) (*http.Response, error) {
		*r = req
		if req.Body != nil {
			data, err := io.ReadAll(req.Body)
			if err != nil {
				return nil, err
			}
			*body = string(data)
		}
		return next(req)
	}
}

func TestNew(t *testing.T) {
	for name, test := range map[string]struct {
		change func(*keystone.Options)
		sent   string
	}{
		"API key": {func(*keystone.Options) {}, `{"auth": {
			"identity": {"methods": ["password"], "password": {"user": {"domain": {"id": "default"}, "name": "key", "password": "s3cret-of-the-key"}}},
			"scope": {"project": {"id": "236ae314ef6944f4ab98fa7519e54325"}}}}`},
		"API key in another domain": {func(o *keystone.Options) {
			o.Credentials = keystone.AuthOptions(gophercloud.AuthOptions{Username: "key", Password: secret, DomainName: "Studio"})
		}, `{"auth": {
			"identity": {"methods": ["password"], "password": {"user": {"domain": {"name": "Studio"}, "name": "key", "password": "s3cret-of-the-key"}}},
			"scope": {"project": {"id": "236ae314ef6944f4ab98fa7519e54325"}}}}`},
		"gophercloud's own options": {func(o *keystone.Options) {
			*o = keystone.Options{HTTPClient: o.HTTPClient, Region: o.Region, Credentials: keystone.AuthOptions(gophercloud.AuthOptions{
				IdentityEndpoint: authURL, UserID: "u", Password: secret, AllowReauth: true,
				Scope: &gophercloud.AuthScope{ProjectName: "p", DomainID: "d"},
			})}
		}, `{"auth": {
			"identity": {"methods": ["password"], "password": {"user": {"id": "u", "password": "s3cret-of-the-key"}}},
			"scope": {"project": {"name": "p", "domain": {"id": "d"}}}}}`},
		"application credential": {func(o *keystone.Options) {
			o.Credentials, o.TenantID = keystone.ApplicationCredential("app", secret), ""
		}, `{"auth": {"identity": {"methods": ["application_credential"], "application_credential": {"id": "app", "secret": "s3cret-of-the-key"}}}}`},
		"token of another tenant": {func(o *keystone.Options) {
			o.Credentials = keystone.Token(secret)
		}, `{"auth": {"identity": {"methods": ["token"], "token": {"id": "s3cret-of-the-key"}},
			"scope": {"project": {"id": "236ae314ef6944f4ab98fa7519e54325"}}}}`},
	} {
		t.Run(name, func(t *testing.T) {
			mock := httpmock.NewMockTransport()
			var got *http.Request
			var body string
			mock.RegisterResponder(http.MethodPost, tokensURL, recorded(issued(t, http.StatusCreated), &got, &body))
			o := options(mock)
			test.change(&o)
			tokens, endpoint, err := logIn(t.Context(), o)
			require.NoError(t, err)
			require.JSONEq(t, test.sent, body)
			require.Empty(t, got.Header.Get("X-Auth-Token"))
			require.Equal(t, "https://glance-jp1-ecl.api.ntt.com", endpoint)

			// The token has expired long ago, so it is not used: there is another login.
			got = nil
			require.Equal(t, token, sentToken(t, tokens))
			require.Equal(t, 2, mock.GetTotalCallCount())
			require.JSONEq(t, test.sent, body)
			require.Empty(t, got.Header.Get("X-Auth-Token"), "the old token is not sent along")
		})
	}
}

func TestNewWithAReadyToken(t *testing.T) {
	mock := httpmock.NewMockTransport()
	var got *http.Request
	var body string
	mock.RegisterResponder(http.MethodGet, tokensURL, recorded(issued(t, http.StatusOK), &got, &body))
	tokens, endpoint, err := logIn(t.Context(), keystone.Options{
		AuthURL: authURL, Credentials: keystone.Token(token), Region: "jp4", HTTPClient: &http.Client{Transport: mock},
	})
	require.NoError(t, err)
	require.Equal(t, "https://glance-jp4-ecl.api.ntt.com", endpoint, "by region_id")
	require.Equal(t, token, got.Header.Get("X-Auth-Token"))
	require.Equal(t, token, got.Header.Get("X-Subject-Token"))
	require.Equal(t, token, sentToken(t, tokens))
}

func TestAddresses(t *testing.T) {
	for address, want := range map[string]string{
		"https://keystone-jp1-ecl.api.ntt.com":                "https://keystone-jp1-ecl.api.ntt.com/v3/auth/tokens",
		"https://keystone-jp1-ecl.api.ntt.com/":               "https://keystone-jp1-ecl.api.ntt.com/v3/auth/tokens",
		"https://keystone-jp1-ecl.api.ntt.com/v3/":            "https://keystone-jp1-ecl.api.ntt.com/v3/auth/tokens",
		"https://keystone-jp1-ecl.api.ntt.com/v3/auth/tokens": "https://keystone-jp1-ecl.api.ntt.com/v3/auth/tokens",
		"https://keystone-jp1-ecl.api.ntt.com/v3.14":          "https://keystone-jp1-ecl.api.ntt.com/v3/auth/tokens",
		"https://api.ntt.com/keystone/v3":                     "https://api.ntt.com/keystone/v3/auth/tokens",
		"https://cloud.example.com/dev1/identity/v3":          "https://cloud.example.com/dev1/identity/v3/auth/tokens",
		"https://cloud.example.com/dev1/identity/":            "https://cloud.example.com/dev1/identity/v3/auth/tokens",
		"https://serv2.example.com/v3x/identity":              "https://serv2.example.com/v3x/identity/v3/auth/tokens",
		"http://127.0.0.1:5000":                               "http://127.0.0.1:5000/v3/auth/tokens",
	} {
		mock := httpmock.NewMockTransport()
		mock.RegisterResponder(http.MethodPost, want, issued(t, http.StatusCreated))
		o := options(mock)
		o.AuthURL = address
		_, _, err := logIn(t.Context(), o)
		require.NoError(t, err, address)
	}
}

func credentials(c keystone.Credentials) func(*keystone.Options) {
	return func(o *keystone.Options) { o.Credentials = c }
}

func authOptions(auth gophercloud.AuthOptions) func(*keystone.Options) {
	return credentials(keystone.AuthOptions(auth))
}

func TestNewRefuses(t *testing.T) {
	for want, change := range map[string]func(*keystone.Options){
		"imagereplicator: keystone.Options.AuthURL: must not be empty":                                       func(o *keystone.Options) { o.AuthURL = "" },
		"imagereplicator: keystone.Options.AuthURL: must be https, because plain http would send":            func(o *keystone.Options) { o.AuthURL = "http://keystone.example.com/v3" },
		"imagereplicator: keystone.Options.AuthURL: must not contain user info":                              func(o *keystone.Options) { o.AuthURL = "https://key:" + secret + "@keystone.example.com" },
		"imagereplicator: keystone.Options.AuthURL: must not have a query":                                   func(o *keystone.Options) { o.AuthURL += "?a=b" },
		"imagereplicator: keystone.Options.AuthURL: must be the address of Keystone or of its API version 3": func(o *keystone.Options) { o.AuthURL = "https://keystone.example.com/v2.0" },
		"imagereplicator: keystone.Options.Credentials: must be set":                                         credentials(keystone.Credentials{}),
		"imagereplicator: keystone.APIKey: key: must not be empty":                                           credentials(keystone.APIKey("\n", secret)),
		"imagereplicator: keystone.APIKey: secret: must not be empty":                                        credentials(keystone.APIKey("key", "")),
		"imagereplicator: keystone.ApplicationCredential: id: must not be empty":                             credentials(keystone.ApplicationCredential("", secret)),
		"imagereplicator: keystone.ApplicationCredential: secret: must not be":                               credentials(keystone.ApplicationCredential("a", "")),
		"imagereplicator: keystone.Token: value: must not be empty":                                          credentials(keystone.Token("\r\n")),
		"imagereplicator: keystone.AuthOptions: auth.Password: must not be empty:":                           authOptions(gophercloud.AuthOptions{}),
		"imagereplicator: keystone.AuthOptions: auth.Username: must not be empty with a password": authOptions(
			gophercloud.AuthOptions{Password: secret}),
		"imagereplicator: keystone.AuthOptions: auth.Password: must not be empty with a user": authOptions(
			gophercloud.AuthOptions{Username: "u"}),
		"imagereplicator: keystone.AuthOptions: auth.Password: must not be given together": authOptions(
			gophercloud.AuthOptions{Username: "u", Password: secret, TokenID: token}),
		"imagereplicator: keystone.AuthOptions: auth.Password: must not be given together with": authOptions(
			gophercloud.AuthOptions{Username: "u", Password: secret, ApplicationCredentialID: "a", ApplicationCredentialSecret: secret}),
		"imagereplicator: keystone.AuthOptions: auth.ApplicationCredentialSecret: must not be empty": authOptions(
			gophercloud.AuthOptions{ApplicationCredentialID: "a"}),
		"imagereplicator: keystone.AuthOptions: auth.ApplicationCredentialID: must not be empty": authOptions(
			gophercloud.AuthOptions{ApplicationCredentialSecret: secret}),
		"imagereplicator: keystone.Options.Credentials: ": authOptions(
			gophercloud.AuthOptions{Username: "u", UserID: "u", Password: secret}),
		"imagereplicator: keystone.Options.TenantID: must not be empty":                                              func(o *keystone.Options) { o.TenantID = "" },
		"imagereplicator: keystone.Options.Interface: must be \"public\", \"internal\" or \"admin\", not \"intern\"": func(o *keystone.Options) { o.Interface = "intern" },
		"imagereplicator: keystone.Options.Endpoint: must be absolute":                                               func(o *keystone.Options) { o.Endpoint = "glance.example.com" },
		"imagereplicator: keystone.Options.Endpoint: must be https, because plain http would send":                   func(o *keystone.Options) { o.Endpoint = "http://glance.example.com" },
		"imagereplicator: keystone.Options.Endpoint: must not contain user info":                                     func(o *keystone.Options) { o.Endpoint = "https://u:" + secret + "@glance.example.com" },
		"imagereplicator: keystone.Tokens.Get: header X-": func(o *keystone.Options) {
			*o = keystone.Options{AuthURL: authURL, Credentials: keystone.Token("a\nb")}
		},
		"imagereplicator: keystone.WithUserAgent: must not contain": func(o *keystone.Options) { o.UserAgent = "a\nb" },
	} {
		t.Run(want, func(t *testing.T) {
			mock := httpmock.NewMockTransport()
			o := options(mock)
			change(&o)
			_, _, err := logIn(t.Context(), o)
			require.ErrorIs(t, err, imagereplicator.ErrInvalidArgument)
			require.ErrorContains(t, err, want)
			require.NotContains(t, fmt.Sprintf("%v %+v %#v", err, err, err), secret)
			require.Zero(t, mock.GetTotalCallCount())
		})
	}
}

// The way to plain http is a field here, not an option.
func TestPlainHTTPNamesTheField(t *testing.T) {
	mock := httpmock.NewMockTransport()
	o := options(mock)
	o.AuthURL = "http://keystone.example.com/v3"
	_, _, err := logIn(t.Context(), o)
	require.ErrorIs(t, err, imagereplicator.ErrInvalidArgument)
	require.ErrorContains(t, err, "keystone.Options.AuthURL: must be https, because plain http would send")
	require.ErrorContains(t, err, "Options.InsecureHTTP")
	require.NotContains(t, err.Error(), "WithInsecureHTTP")
	require.Zero(t, mock.GetTotalCallCount())
}

func TestTokenWithoutExpiry(t *testing.T) {
	mock := httpmock.NewMockTransport()
	mock.RegisterResponder(http.MethodPost, tokensURL, catalog(`[{"type": "image", "endpoints": [{"interface": "public", "url": "https://a.example.com"}]}]`))
	o := options(mock)
	o.Region = ""
	session, err := keystone.New(t.Context(), o)
	require.NoError(t, err)
	tokens := session.TokenSource()
	for range 3 {
		_ = sentToken(t, session.TokenSource())
	}
	_, err = tokens.Token(t.Context())
	require.NoError(t, err)
	require.Equal(t, 1, mock.GetTotalCallCount(), "the first token is that of the login, for each source")
	_, err = tokens.Token(t.Context())
	require.NoError(t, err)
	require.Equal(t, 2, mock.GetTotalCallCount(), "asked again, a source logs in again")
	_, err = session.TokenSource().Token(t.Context())
	require.NoError(t, err)
	require.Equal(t, 2, mock.GetTotalCallCount())
}

// The server's clock says how long a token lives: one that is nine hours behind
// ours costs no more logins than one that is right.
func TestClocksThatDisagree(t *testing.T) {
	for name, off := range map[string]time.Duration{"right": 0, "ours is ahead": -9 * time.Hour, "ours is behind": 9 * time.Hour} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				logins := 0
				o := options(roundTripper(func(r *http.Request) (*http.Response, error) {
					now := time.Now().Add(off)
					if r.Method == http.MethodGet {
						return httpmock.NewStringResponse(http.StatusOK, "[]"), nil
					}
					logins++
					resp := httpmock.NewStringResponse(http.StatusCreated, fmt.Sprintf(`{"token": {"expires_at": %q, "catalog": [{"type": "image",
						"endpoints": [{"interface": "public", "region": "jp1", "url": "https://a.example.com"}]}]}}`, now.Add(time.Hour).UTC().Format(time.RFC3339Nano)))
					resp.Header = http.Header{"X-Subject-Token": {fmt.Sprint("token-", logins)}, "Date": {now.UTC().Format(http.TimeFormat)}}
					return resp, nil
				}))
				session, err := keystone.New(t.Context(), o)
				require.NoError(t, err)
				client, err := session.Client()
				require.NoError(t, err)
				for range 300 {
					_, err := client.Jobs.List(t.Context())
					require.NoError(t, err)
					<-time.After(30 * time.Second)
				}
				require.Equal(t, 3, logins, "two and a half hours with tokens of one hour, replaced five minutes early")
			})
		})
	}
}

type roundTripper httpmock.Responder

func (r roundTripper) RoundTrip(req *http.Request) (*http.Response, error) { return r(req) }

// Any 2xx with a token in it will do.
func TestEverySuccessIsOne(t *testing.T) {
	for _, status := range []int{http.StatusOK, http.StatusCreated, http.StatusAccepted, http.StatusNonAuthoritativeInfo} {
		_, endpoint, err := logIn(t.Context(), options(roundTripper(issued(t, status))))
		require.NoError(t, err, status)
		require.Equal(t, "https://glance-jp1-ecl.api.ntt.com", endpoint)

		o := options(roundTripper(issued(t, status)))
		o.Credentials, o.TenantID = keystone.Token(secret), ""
		_, _, err = logIn(t.Context(), o)
		require.NoError(t, err, status)
	}
}

func TestRefusals(t *testing.T) {
	var log bytes.Buffer
	logger := slog.New(slog.NewTextHandler(&log, &slog.HandlerOptions{Level: slog.LevelDebug}))
	for name, test := range map[string]struct {
		responder httpmock.Responder
		is        error
		message   string
	}{
		"unauthorized": {httpmock.NewStringResponder(401, `{"error": {"code": 401, "title": "Unauthorized", "message": "The password s3cret-of-the-key is wrong."}}`),
			imagereplicator.ErrUnauthorized, "401 Unauthorized"},
		"forbidden by the gateway": {httpmock.NewStringResponder(403, `{"errorMessage": "not permitted"}`), imagereplicator.ErrForbidden, "not permitted"},
		"unknown application credential": {httpmock.NewStringResponder(404, `{"error": {"code": 404, "title": "Not Found", "message": "Could not find Application Credential: c."}}`),
			imagereplicator.ErrNotFound, "Could not find Application Credential: c.; this Keystone has no such application credential: check its id"},
		"redirect": {httpmock.NewStringResponder(307, "").HeaderSet(http.Header{"Location": {"https://keystone.example.com/"}}),
			nil, "redirects to https://keystone.example.com/"},
		"a page":           {httpmock.NewStringResponder(201, "<p>"+secret), imagereplicator.ErrTransient, "the response is not the JSON expected"},
		"no token":         {httpmock.NewStringResponder(201, `{"token": {}}`), imagereplicator.ErrTransient, "the response is not the JSON expected"},
		"other JSON":       {httpmock.NewStringResponder(201, `{"status": "maintenance"}`).HeaderSet(http.Header{"X-Subject-Token": {token}}), imagereplicator.ErrTransient, "the response is not the JSON expected"},
		"no description":   {httpmock.NewStringResponder(201, `{"token": ["none"]}`).HeaderSet(http.Header{"X-Subject-Token": {token}}), imagereplicator.ErrTransient, "the response is not the JSON expected"},
		"connection error": {httpmock.NewErrorResponder(errors.New("broken while sending " + secret)), imagereplicator.ErrTransient, "keystone.Tokens.Create: POST"},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) { // for the time between attempts
				mock := httpmock.NewMockTransport()
				mock.RegisterNoResponder(test.responder)
				o := options(mock)
				o.Logger = logger
				_, _, err := logIn(t.Context(), o)
				require.ErrorContains(t, err, test.message)
				require.NotContains(t, err.Error(), `Post "`, "net/http says the same again")
				if test.is != nil {
					require.ErrorIs(t, err, test.is)
					failure := new(imagereplicator.Error)
					require.ErrorAs(t, err, &failure)
					require.Equal(t, "keystone.Tokens.Create", failure.Op)
					require.Equal(t, tokensURL, failure.URL)
				}
				for inner := err; inner != nil; inner = errors.Unwrap(inner) {
					text := fmt.Sprintf("%v %+v %#v", inner, inner, inner)
					require.NotContains(t, text, secret)
					require.NotContains(t, text, token)
				}
				if failure, ok := errors.AsType[*imagereplicator.Error](err); ok {
					if failure.StatusCode == http.StatusCreated {
						require.Empty(t, failure.Body, "who gets a token may get it in any form")
					}
					data, jsonErr := json.Marshal(failure)
					require.NoError(t, jsonErr)
					require.NotContains(t, string(data), secret)
				}
			})
		})
	}
	require.Contains(t, log.String(), "operation=keystone.Tokens.Create")
	require.NotContains(t, log.String(), secret)
	require.NotContains(t, log.String(), token)
}

func TestTransientFailuresAreRetried(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		mock := httpmock.NewMockTransport()
		mock.RegisterResponder(http.MethodPost, tokensURL,
			httpmock.NewStringResponder(http.StatusServiceUnavailable, "").Then(httpmock.NewErrorResponder(io.ErrUnexpectedEOF)).
				Then(issued(t, http.StatusCreated)))
		_, _, err := logIn(t.Context(), options(mock))
		require.NoError(t, err)
		require.Equal(t, 3, mock.GetTotalCallCount())
	})
}

func TestContext(t *testing.T) {
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	_, _, err := logIn(ctx, options(httpmock.NewMockTransport()))
	require.ErrorIs(t, err, context.Canceled)
}

func TestSecretsGoToNoOtherHost(t *testing.T) {
	server, other := imagereplicatortest.NewServer(), imagereplicatortest.NewServer()
	defer server.Close()
	defer other.Close()
	transport := &http.Transport{DisableKeepAlives: true}
	for _, status := range []int{301, 302, 307, 308} {
		server.Inject(imagereplicatortest.Fault{Operation: imagereplicatortest.OpIssueToken, Status: status, Header: http.Header{"Location": {other.AuthURL + "/auth/tokens"}}})
		_, _, err := logIn(t.Context(), keystone.Options{
			AuthURL: server.AuthURL, Credentials: keystone.APIKey(server.APIKey, server.APISecret), TenantID: tenant, Region: imagereplicatortest.Region,
			HTTPClient: &http.Client{Transport: transport},
		})
		require.ErrorContains(t, err, "redirects to "+other.URL)
	}
	require.Empty(t, other.Requests())
	// With an address without a version, too, nobody is asked where version 3 is.
	_, _, err := logIn(t.Context(), keystone.Options{
		AuthURL: server.URL, Credentials: keystone.APIKey(server.APIKey, server.APISecret), TenantID: tenant, Region: imagereplicatortest.Region,
		HTTPClient: &http.Client{Transport: transport},
	})
	require.NoError(t, err)
	require.Equal(t, 5, server.Count(imagereplicatortest.OpIssueToken))
	require.Len(t, server.Requests(), 5)
}

func TestSecretsAreNotPrinted(t *testing.T) {
	mock := httpmock.NewMockTransport()
	mock.RegisterResponder(http.MethodPost, tokensURL, issued(t, http.StatusCreated))
	tokens, _, err := logIn(t.Context(), options(mock))
	require.NoError(t, err)
	text := fmt.Sprintf("%v %+v %#v", tokens, tokens, tokens)
	require.NotContains(t, text, secret)
	require.NotContains(t, text, token)

	session, err := keystone.New(t.Context(), options(mock))
	require.NoError(t, err)
	data, err := json.Marshal(map[string]any{"session": session})
	require.NoError(t, err)
	text = fmt.Sprintf("%v %+v %#v %s", session, session, session, data)
	require.NotContains(t, text, secret)
	require.NotContains(t, text, token)
}

// Line ends of files and variables are no part of a value.
func TestLineEnds(t *testing.T) {
	login := passwordLogin(`"name": "u", "domain": {"id": "default"}`, `"id": "pid"`)
	environment(t, map[string]string{
		"OS_AUTH_URL": authURL + "\r\n", "OS_USERNAME": "u\n", "OS_PASSWORD": secret + "\r\n", "OS_PROJECT_ID": " pid\n",
		"OS_REGION_NAME": "jp1\n", "OS_INTERFACE": "public\n", "OS_AUTH_TYPE": "password\n",
	})
	o, err := keystone.FromEnv()
	require.NoError(t, err)
	require.Equal(t, "jp1", o.Region)
	require.JSONEq(t, login, sent(t, o))

	require.JSONEq(t, login, sent(t, keystone.Options{AuthURL: authURL + "\n", Credentials: keystone.APIKey("u\n", "\n"+secret+"\n"), TenantID: "pid\n"}))
	require.JSONEq(t, login, sent(t, keystone.Options{Credentials: keystone.AuthOptions(gophercloud.AuthOptions{
		IdentityEndpoint: authURL + "\n", Username: "u\n", Password: secret + "\n", TenantID: "pid\n",
	})}))
	require.JSONEq(t, `{"auth": {"identity": {"methods": ["token"], "token": {"id": "`+secret+`"}}, "scope": {"project": {"id": "pid"}}}}`,
		sent(t, keystone.Options{AuthURL: authURL, Credentials: keystone.Token(secret + "\n"), TenantID: "pid"}))
}

func TestByteOrderMark(t *testing.T) {
	data, err := os.ReadFile("testdata/token.json")
	require.NoError(t, err)
	mock := httpmock.NewMockTransport()
	mock.RegisterResponder(http.MethodPost, tokensURL, httpmock.NewStringResponder(http.StatusCreated, "\ufeff"+string(data)).
		HeaderSet(http.Header{"X-Subject-Token": {token}}))
	session, err := keystone.New(t.Context(), options(mock))
	require.NoError(t, err)
	result, ok := session.Provider().GetAuthResult().(tokens.CreateResult)
	require.True(t, ok)
	project, err := result.ExtractProject()
	require.NoError(t, err)
	require.Equal(t, tenant, project.ID)
}

func FuzzTokenResponse(f *testing.F) {
	data, err := os.ReadFile("testdata/token.json")
	require.NoError(f, err)
	f.Add(string(data))
	f.Add(`{"token": null}`)
	f.Add(`{"token": {"expires_at": 1, "catalog": {"type": "image"}}}`)
	f.Add(`[]`)
	f.Add(`{"token": {}}`) // no catalog: tokens without an endpoint
	f.Fuzz(func(t *testing.T, body string) {
		mock := httpmock.NewMockTransport()
		mock.RegisterResponder(http.MethodPost, tokensURL,
			httpmock.NewStringResponder(http.StatusBadGateway, "").Then(httpmock.NewStringResponder(http.StatusCreated, body).
				HeaderSet(http.Header{"X-Subject-Token": {token}})))
		synctest.Test(t, func(t *testing.T) {
			tokens, endpoint, err := logIn(t.Context(), options(mock))
			if err != nil {
				require.NotContains(t, err.Error(), secret)
				return // with tokens, where only the endpoint is missing
			}
			require.NotNil(t, tokens)
			_ = endpoint // New of the client judges it
		})
	})
}
