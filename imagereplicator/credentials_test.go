package imagereplicator_test

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"net/http"
	"testing"
	"testing/synctest"
	"time"

	"github.com/jarcoal/httpmock"
	"github.com/stretchr/testify/require"

	"github.com/imagejobs/imagejobs-go/imagereplicator"
	"github.com/imagejobs/imagejobs-go/imagereplicator/imagereplicatortest"
)

// prints returns v in each way that programs print and log values.
func prints(t *testing.T, v any) string {
	t.Helper()
	var out bytes.Buffer
	_, err := fmt.Fprintf(&out, "%v %+v %#v %s %q %d %x", v, v, v, v, v, v, v)
	require.NoError(t, err)
	data, err := json.Marshal(v)
	require.NoError(t, err)
	out.Write(data)
	slog.New(slog.NewTextHandler(&out, nil)).InfoContext(t.Context(), "printed", "value", v)
	slog.New(slog.NewJSONHandler(&out, nil)).InfoContext(t.Context(), "printed", "value", v)
	return out.String()
}

func TestTokenIsNotPrinted(t *testing.T) {
	secret := imagereplicator.NewToken(token, time.Time{})
	for _, v := range []any{secret, &secret, []imagereplicator.Token{secret}, struct{ T imagereplicator.Token }{secret}} {
		text := prints(t, v)
		require.NotContains(t, text, token)
		require.NotContains(t, text, fmt.Sprintf("%x", token))
	}
	client, _ := mocked(t)
	for _, v := range []any{client, *client, client.Jobs} {
		require.NotContains(t, prints(t, v), token)
	}
}

// A service or proxy may repeat the token; neither error nor log does.
func TestTokenIsNotInErrorsAndLogs(t *testing.T) {
	synctest.Test(t, func(t *testing.T) { // for Wait, which rides out what is transient
		var log bytes.Buffer
		logger := slog.New(slog.NewTextHandler(&log, &slog.HandlerOptions{Level: slog.LevelDebug}))
		client, mock := mocked(t, imagereplicator.WithLogger(logger))
		calls := map[string]func() error{
			"Get":    func() error { _, err := client.Jobs.Get(t.Context(), jobID); return err },
			"List":   func() error { _, err := client.Jobs.List(t.Context()); return err },
			"Cancel": func() error { return client.Jobs.Cancel(t.Context(), jobID) },
			"Wait":   func() error { _, err := client.Jobs.Wait(t.Context(), jobID); return err },
			"Create": func() error {
				_, err := client.Jobs.Create(t.Context(), &imagereplicator.CreateJobRequest{ImageID: "i", DestinationTenantID: "t"})
				return err
			},
		}
		for _, responder := range []httpmock.Responder{
			httpmock.NewStringResponder(http.StatusForbidden, `{"error": {"code": "`+token+`", "message": "token `+token+` is not welcome"}}`),
			httpmock.NewStringResponder(http.StatusInternalServerError, "token "+token),
			httpmock.NewErrorResponder(errors.New("cannot send " + token)),
			httpmock.NewStringResponder(http.StatusFound, "").HeaderSet(http.Header{"Location": {"https://example.com/?token=" + token}}),
			httpmock.NewStringResponder(http.StatusOK, "<p>"+token),
		} {
			mock.RegisterNoResponder(responder)
			for name, call := range calls {
				err := call()
				failure := new(imagereplicator.Error)
				require.ErrorAs(t, err, &failure)
				require.NotContains(t, fmt.Sprintf("%v %+v %#v", *failure, *failure, *failure), token, name)
				for inner := err; inner != nil; inner = errors.Unwrap(inner) {
					require.NotContains(t, fmt.Sprintf("%v %+v %#v", inner, inner, inner), token, name)
				}
				data, jsonErr := json.Marshal(failure)
				require.NoError(t, jsonErr)
				require.NotContains(t, string(data), token, name)
			}
		}
		require.Contains(t, log.String(), "operation=imagereplicator.Jobs.Create")
		require.NotContains(t, log.String(), token)
	})
}

func TestTokenGoesToNoOtherHost(t *testing.T) {
	server, other := imagereplicatortest.NewServer(), imagereplicatortest.NewServer()
	defer server.Close()
	defer other.Close()
	// One that follows redirects, if it is let.
	client := server.Client(imagereplicator.WithHTTPClient(&http.Client{Transport: &http.Transport{DisableKeepAlives: true}}))
	for _, status := range []int{301, 302, 303, 307, 308} {
		server.Inject(imagereplicatortest.Fault{Status: status, Header: http.Header{"Location": {other.URL + "/v2/extension/image_replicator/jobs?token=" + token}}})
		_, err := client.Jobs.Get(t.Context(), jobID)
		failure := new(imagereplicator.Error)
		require.ErrorAs(t, err, &failure)
		require.Equal(t, status, failure.StatusCode)
		require.Contains(t, failure.Message, "redirects to "+other.URL)
		require.NotContains(t, err.Error(), token)

		server.Inject(imagereplicatortest.Fault{Status: status, Header: http.Header{"Location": {other.URL}}})
		_, err = client.Jobs.Create(t.Context(), &imagereplicator.CreateJobRequest{
			ImageID: imagereplicatortest.ImageID, DestinationTenantID: imagereplicatortest.DestinationTenantID,
		})
		require.ErrorAs(t, err, &failure)
		require.Equal(t, 1, failure.Attempts)
	}
	require.Empty(t, other.Requests())
	require.Len(t, server.Requests(), 10)
}

// provider is what gophercloud v2 has of a provider client.
type provider struct {
	token   string
	renewed string // empty for one that cannot log in again
	asked   []string
	err     error
}

func (p *provider) Token() string { return p.token }

func (p *provider) Reauthenticate(_ context.Context, previousToken string) error {
	p.asked = append(p.asked, previousToken)
	if p.renewed != "" {
		p.token = p.renewed
	}
	return p.err
}

// oldProvider is what gophercloud v1 and eclcloud have.
type oldProvider struct{ inner provider }

func (p *oldProvider) Token() string { return p.inner.token }

func (p *oldProvider) Reauthenticate(previousToken string) error {
	return p.inner.Reauthenticate(context.Background(), previousToken)
}

// accepting lists jobs for those who come with the token.
func accepting(t *testing.T, token string) httpmock.Responder {
	t.Helper()
	return func(r *http.Request) (*http.Response, error) {
		if r.Header.Get("X-Auth-Token") != token {
			return respond(t, http.StatusUnauthorized, "error_401.txt")(r)
		}
		return respond(t, http.StatusOK, "list.json")(r)
	}
}

func TestProviderTokens(t *testing.T) {
	list := func(p imagereplicator.Provider, accepted string) error {
		client, mock := mockedWith(t, imagereplicator.ProviderTokens(p))
		mock.RegisterResponder(http.MethodGet, jobsURL, accepting(t, accepted))
		_, err := client.Jobs.List(t.Context())
		return err
	}

	p := &provider{token: "first-token"}
	require.NoError(t, list(p, "first-token"))
	require.Empty(t, p.asked)

	p = &provider{token: "first-token", renewed: "second-token"}
	require.NoError(t, list(p, "second-token"))
	require.Equal(t, []string{"first-token"}, p.asked)

	old := &oldProvider{provider{token: "first-token", renewed: "second-token"}}
	require.NoError(t, list(old, "second-token"))
	require.Equal(t, []string{"first-token"}, old.inner.asked)

	p = &provider{renewed: "first-token"} // not logged in yet
	require.NoError(t, list(p, "first-token"))
	require.Equal(t, []string{""}, p.asked)

	p = &provider{token: "first-token"} // without AllowReauth
	require.ErrorIs(t, list(p, "second-token"), imagereplicator.ErrUnauthorized)
	require.Equal(t, []string{"first-token"}, p.asked)

	p = &provider{token: "first-token", err: errors.New("the API key was deleted")}
	require.ErrorContains(t, list(p, "second-token"), "the API key was deleted")

	require.ErrorIs(t, list(nil, ""), imagereplicator.ErrInvalidArgument)
}

// A program may have renewed its provider by itself.
func TestProviderTokensTakesOverANewToken(t *testing.T) {
	p := &provider{token: "first-token"}
	accepted := p.token
	client, mock := mockedWith(t, imagereplicator.ProviderTokens(p))
	mock.RegisterResponder(http.MethodGet, jobsURL, func(r *http.Request) (*http.Response, error) {
		return accepting(t, accepted)(r)
	})
	_, err := client.Jobs.List(t.Context())
	require.NoError(t, err)
	p.token, accepted = "second-token", "second-token"
	_, err = client.Jobs.List(t.Context())
	require.NoError(t, err)
	require.Empty(t, p.asked)
}
