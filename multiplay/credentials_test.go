package multiplay_test

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"net/http"
	"net/url"
	"testing"
	"time"

	"github.com/jarcoal/httpmock"
	"github.com/stretchr/testify/require"

	"github.com/imagejobs/imagejobs-go/multiplay"
)

const successor = multiplay.SuccessorBaseURL

// bearerClient is a client of the successor whose requests go to the mock.
func bearerClient(t *testing.T, source multiplay.TokenSource, opts ...multiplay.Option) (*multiplay.Client, *httpmock.MockTransport) {
	t.Helper()
	mock := httpmock.NewMockTransport()
	opts = append([]multiplay.Option{
		multiplay.WithHTTPClient(&http.Client{Transport: mock}), multiplay.WithLogger(logger()), multiplay.WithRetry(3, 0, time.Millisecond),
	}, opts...)
	client, err := multiplay.New(multiplay.BearerToken(source), opts...)
	require.NoError(t, err)
	return client, mock
}

func TestCredentialsAreChecked(t *testing.T) {
	for want, create := range map[string]func() (*multiplay.Client, error){
		"New: credentials: must come from AccessKey or BearerToken": func() (*multiplay.Client, error) {
			return multiplay.New(multiplay.Credentials{})
		},
		"BearerToken: source: must not be nil": func() (*multiplay.Client, error) { return multiplay.New(multiplay.BearerToken(nil)) },
		"WithAccountServiceID: must not be negative": func() (*multiplay.Client, error) {
			return multiplay.New(multiplay.BearerToken(multiplay.StaticToken(secretKey)), multiplay.WithAccountServiceID(-1))
		},
		"WithAccountServiceID: must not differ from that of AccessKey": func() (*multiplay.Client, error) {
			return multiplay.New(keys(), multiplay.WithAccountServiceID(5))
		},
	} {
		client, err := create()
		require.Nil(t, client)
		require.ErrorIs(t, requireAs[*multiplay.ArgumentError](t, err), multiplay.ErrInvalidArgument)
		require.EqualError(t, err, "multiplay: "+want)
	}
	_, err := multiplay.New(keys(), multiplay.WithAccountServiceID(account))
	require.NoError(t, err)
}

// Line ends of files and variables are no part of keys and tokens.
func TestCredentialsAreTrimmed(t *testing.T) {
	mock := httpmock.NewMockTransport()
	var header string
	mock.RegisterNoResponder(func(r *http.Request) (*http.Response, error) {
		header = r.Header.Get("Authorization")
		return respondWith(`{"installs":[]}`)(r)
	})
	through := multiplay.WithHTTPClient(&http.Client{Transport: mock})
	for _, spaced := range []string{"", "\n", " \r\n"} {
		client, err := multiplay.New(multiplay.AccessKey(account, "a"+spaced, "b"+spaced), through)
		require.NoError(t, err)
		_, err = client.ImageInstalls.List(t.Context())
		require.NoError(t, err)
		require.Equal(t, "Basic YTpi", header)
		client, err = multiplay.New(multiplay.BearerToken(multiplay.StaticToken("tok"+spaced)), through)
		require.NoError(t, err)
		_, err = client.ImageInstalls.List(t.Context())
		require.NoError(t, err)
		require.Equal(t, "Bearer tok", header)
	}
}

// Every call of the successor has the token and no account service, at its own
// host.
func TestBearerCalls(t *testing.T) {
	all := changes()
	maps.Copy(all, reads())
	for name, do := range all {
		client, mock := bearerClient(t, multiplay.StaticToken(secretKey), multiplay.WithAccountServiceID(account))
		mock.RegisterNoResponder(func(r *http.Request) (*http.Response, error) {
			require.Equal(t, "api.multiplay.dev", r.URL.Host)
			require.Equal(t, "Bearer "+secretKey, r.Header.Get("Authorization"))
			require.NotContains(t, r.URL.Query(), "accountserviceid", name)
			if r.URL.Path == "/cfp/v2/project/1337/image/1/status" {
				return respondWith(`{"pending_machines":0,"completed_machines":1}`)(r)
			}
			return respondWith(`{"updateid":1,"diffid":1,"imageversionid":1,"jobstatename":"Completed","machinejobid":2,"imageid":1,"added":{},"games":[],"installs":[]}`)(r)
		})
		require.NoError(t, do(t.Context(), client), name)
	}
}

// The account service is in the path of rollouts, and named before any request.
func TestRolloutsNeedTheAccountService(t *testing.T) {
	client, mock := bearerClient(t, multiplay.StaticToken(secretKey))
	_, err := client.Images.RolloutStatus(t.Context(), 1, nil)
	require.EqualError(t, err, "multiplay: WithAccountServiceID: is required by Images.RolloutStatus with a BearerToken")
	_, err = client.Images.WaitRollout(t.Context(), 1, 1)
	require.ErrorIs(t, err, multiplay.ErrInvalidArgument)
	_, err = client.Release(t.Context(), &multiplay.ReleaseRequest{ImageID: 1, MachineID: 2, Description: "x"})
	require.EqualError(t, err, "multiplay: WithAccountServiceID: is required by Release with a BearerToken")
	require.Zero(t, mock.GetTotalCallCount())
}

// A token that the service rejects is replaced once.
func TestRejectedToken(t *testing.T) {
	tokens := 0
	client, mock := bearerClient(t, multiplay.TokenSourceFunc(func(context.Context) (multiplay.Token, error) {
		tokens++
		return multiplay.NewToken(fmt.Sprintf("%s-%d", secretKey, tokens), time.Time{}), nil
	}))
	var header []string
	mock.RegisterResponder("GET", successor+"/cfp/v1/imageinstall/status", func(r *http.Request) (*http.Response, error) {
		header = append(header, r.Header.Get("Authorization"))
		if len(header) == 1 {
			return httpmock.NewStringResponder(http.StatusUnauthorized, "who? "+secretKey+"-1")(r)
		}
		return respondWith(`{"installs":[]}`)(r)
	})
	_, err := client.ImageInstalls.List(t.Context())
	require.NoError(t, err)
	require.Equal(t, []string{"Bearer " + secretKey + "-1", "Bearer " + secretKey + "-2"}, header)
}

func TestTokenSourceFails(t *testing.T) {
	failure := errors.New("the vault is sealed")
	client, mock := bearerClient(t, multiplay.TokenSourceFunc(func(context.Context) (multiplay.Token, error) {
		return multiplay.Token{}, failure
	}))
	_, err := client.ImageUpdates.Retry(t.Context(), 1)
	require.ErrorIs(t, err, failure)
	require.NotErrorIs(t, err, multiplay.ErrAmbiguous)
	require.Zero(t, mock.GetTotalCallCount())
}

func TestFromEnv(t *testing.T) {
	const (
		endpoint = "MULTIPLAY_ENDPOINT"
		asid     = "MULTIPLAY_ACCOUNT_SERVICE_ID"
		access   = "MULTIPLAY_ACCESS_KEY"
		secret   = "MULTIPLAY_SECRET_KEY"
		token    = "MULTIPLAY_TOKEN"
	)
	for _, test := range []struct {
		env  map[string]string
		want string // the request, or the error
		opts []multiplay.Option
	}{
		{map[string]string{asid: " 1337\n", access: "a", secret: "b\n"}, base + " Basic YTpi 1337", nil},
		{map[string]string{asid: "1337", access: "a", secret: "b", endpoint: "https://other.example/x\n"}, "https://other.example/x Basic YTpi 1337", nil},
		{map[string]string{token: "tok\n"}, successor + " Bearer tok ", nil},
		{map[string]string{token: "tok", asid: "1337", endpoint: "https://other.example"}, "https://other.example Bearer tok ", nil},
		{map[string]string{token: "tok", endpoint: "x"}, "https://option.example Bearer tok ", []multiplay.Option{multiplay.WithBaseURL("https://option.example")}},

		{nil, "FromEnv: MULTIPLAY_ACCESS_KEY: must be set, or MULTIPLAY_TOKEN", nil},
		{map[string]string{asid: "1337", secret: "b"}, "FromEnv: MULTIPLAY_ACCESS_KEY: must be set", nil},
		{map[string]string{asid: "1337", access: "a"}, "FromEnv: MULTIPLAY_SECRET_KEY: must be set", nil},
		{map[string]string{access: "a", secret: "b"}, "FromEnv: MULTIPLAY_ACCOUNT_SERVICE_ID: must be set", nil},
		{map[string]string{asid: "x", access: "a", secret: "b"}, "FromEnv: MULTIPLAY_ACCOUNT_SERVICE_ID: must be a positive number", nil},
		{map[string]string{asid: "0", token: "tok"}, "FromEnv: MULTIPLAY_ACCOUNT_SERVICE_ID: must be a positive number", nil},
		{map[string]string{token: "tok", access: "a"}, "FromEnv: MULTIPLAY_TOKEN: must not be set with MULTIPLAY_ACCESS_KEY or MULTIPLAY_SECRET_KEY", nil},
		{map[string]string{token: "tok", endpoint: "x"}, "FromEnv: MULTIPLAY_ENDPOINT: must be absolute, like https://host", nil},
	} {
		t.Run(test.want, func(t *testing.T) {
			for _, name := range []string{endpoint, asid, access, secret, token} {
				t.Setenv(name, test.env[name])
			}
			mock := httpmock.NewMockTransport()
			got := ""
			mock.RegisterNoResponder(func(r *http.Request) (*http.Response, error) {
				u := url.URL{Scheme: r.URL.Scheme, Host: r.URL.Host, Path: r.URL.Path[:len(r.URL.Path)-len("/cfp/v1/imageinstall/status")]}
				got = u.String() + " " + r.Header.Get("Authorization") + " " + r.URL.Query().Get("accountserviceid")
				return respondWith(`{"installs":[]}`)(r)
			})
			client, err := multiplay.FromEnv(append(test.opts, multiplay.WithHTTPClient(&http.Client{Transport: mock}))...)
			if err != nil {
				require.Contains(t, requireAs[*multiplay.ArgumentError](t, err).Field, "FromEnv: ")
				require.ErrorContains(t, err, "multiplay: "+test.want)
				return
			}
			_, err = client.ImageInstalls.List(t.Context())
			require.NoError(t, err)
			require.Equal(t, test.want, got)
		})
	}
}
