package oraclemarket

import (
	"context"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/jarcoal/httpmock"
	"github.com/stretchr/testify/require"
)

const (
	sampleToken = "eyJhbGciOiJSUzI1NiJ9.c2FtcGxl.c2lnbmF0dXJl"
	tokenURL    = DefaultBaseURL + "/appstore/publisher/v1/authenticate"
	oamURL      = "https://login.us2.oraclecloud.com:443/oam/oauth2/tokens"
)

var errUnreachable = errors.New("no route to host")

func tokenClient(t *testing.T, mock *httpmock.MockTransport, tokens TokenSource, opts ...Option) (*Client, error) {
	t.Helper()
	return New("fname.lname@oracle.com", tokens, append([]Option{
		WithHTTPClient(&http.Client{Transport: mock}), WithRetry(2, 0, 0),
	}, opts...)...)
}

func TestClientCredentials(t *testing.T) {
	mock, login, call := httpmock.NewMockTransport(), &sentRequest{}, &sentRequest{}
	mock.RegisterResponder(http.MethodGet, tokenURL, respondWith(t, login, 200, "token.json"))
	mock.RegisterResponder(http.MethodGet, imageURL, respondWith(t, call, 200, "status.json"))
	client, err := tokenClient(t, mock, ClientCredentials("the-id", "the-secret"))
	require.NoError(t, err)
	require.Zero(t, mock.GetTotalCallCount(), "New sends nothing")
	for range 3 {
		_, err = client.MachineImages.Get(t.Context(), 2797087)
		require.NoError(t, err)
	}
	require.Equal(t, "Basic "+base64.StdEncoding.EncodeToString([]byte("the-id:the-secret")), login.Header.Get("Authorization"))
	require.Contains(t, login.Header.Get("Cache-Control"), "no-cache")
	require.NotContains(t, login.Header, "X-Oracle-Userid")
	require.Equal(t, 1, login.count)
	require.Equal(t, "Bearer "+sampleToken, call.Header.Get("Authorization"))
	require.Equal(t, "fname.lname@oracle.com", call.Header.Get("X-Oracle-UserId"))
}

func TestOAMClientCredentials(t *testing.T) {
	mock, login, call := httpmock.NewMockTransport(), &sentRequest{}, &sentRequest{}
	mock.RegisterResponder(http.MethodPost, oamURL, respondWith(t, login, 200, "token.json"))
	mock.RegisterResponder(http.MethodGet, imageURL, respondWith(t, call, 200, "status.json"))
	client, err := tokenClient(t, mock, OAMClientCredentials(oamURL, "usoracle30650", "the-id", "the-secret"))
	require.NoError(t, err)
	_, err = client.MachineImages.Get(t.Context(), 2797087)
	require.NoError(t, err)
	require.Equal(t, "Basic "+base64.StdEncoding.EncodeToString([]byte("the-id:the-secret")), login.Header.Get("Authorization"))
	require.Equal(t, "usoracle30650", login.Header.Get("X-USER-IDENTITY-DOMAIN-NAME"))
	require.Equal(t, "application/x-www-form-urlencoded; charset=UTF-8", login.Header.Get("Content-Type"))
	require.Equal(t, "grant_type=client_credentials", login.URL.RawQuery)
	require.Empty(t, login.body)
	require.Equal(t, "Bearer "+sampleToken, call.Header.Get("Authorization"))
}

// Trace context goes to the service, and to a token endpoint only if that is
// there, too.
func TestTokenEndpointAndTraceContext(t *testing.T) {
	for name, test := range map[string]struct {
		tokens   TokenSource
		endpoint string
		want     string
	}{
		"elsewhere": {OAMClientCredentials(oamURL, "domain", "id", "secret"), "POST " + oamURL, ""},
		"there":     {ClientCredentials("id", "secret"), "GET " + tokenURL, "span"},
	} {
		t.Run(name, func(t *testing.T) {
			mock, login, call := httpmock.NewMockTransport(), &sentRequest{}, &sentRequest{}
			method, endpoint, _ := strings.Cut(test.endpoint, " ")
			mock.RegisterResponder(method, endpoint, respondWith(t, login, 200, "token.json"))
			mock.RegisterResponder(http.MethodGet, imageURL, respondWith(t, call, 200, "status.json"))
			client, err := tokenClient(t, mock, test.tokens,
				WithAttemptStart(func(ctx context.Context, _ Attempt, header http.Header) context.Context {
					header.Set("Traceparent", "span")
					return ctx
				}))
			require.NoError(t, err)
			_, err = client.MachineImages.Get(t.Context(), 2797087)
			require.NoError(t, err)
			require.NotEmpty(t, login.Header)
			require.Equal(t, test.want, login.Header.Get("Traceparent"))
			require.Equal(t, "span", call.Header.Get("Traceparent"))
		})
	}
}

func TestTokenExpiry(t *testing.T) {
	mock := httpmock.NewMockTransport()
	mock.RegisterResponder(http.MethodGet, tokenURL, httpmock.NewStringResponder(200, `{"access_token":"abcd","expires_in":"3600"}`))
	unbound, ok := ClientCredentials("id", "secret").(binder)
	require.True(t, ok)
	bound, err := unbound.bind(mockClient(t, mock).config(mock))
	require.NoError(t, err)
	token, err := bound.Token(t.Context())
	require.NoError(t, err)
	require.Equal(t, "abcd", token.value.Reveal())
	require.WithinDuration(t, time.Now().Add(time.Hour), token.expiry, time.Minute)

	for _, long := range []string{"31536000000", "9223372037", "9223372036854775807"} { // a year in milliseconds, say
		mock.RegisterResponder(http.MethodGet, tokenURL, httpmock.NewStringResponder(200, `{"access_token":"abcd","expires_in":`+long+`}`))
		token, err = bound.Token(t.Context())
		require.NoError(t, err)
		require.Greater(t, time.Until(token.expiry), 24*time.Hour, long)
	}
}

// A login that fails is an error of the call, with the token endpoint's status.
func TestLoginFails(t *testing.T) {
	for name, test := range map[string]struct {
		status   int
		body     string
		sentinel error
		attempts int
	}{
		"refused":       {401, `{"message":"bad key"}`, ErrUnauthorized, 1},
		"down":          {503, ``, ErrServer, 2},
		"out of reach":  {0, ``, errUnreachable, 2},
		"not a token":   {200, `{"access_token":""}`, nil, 2},
		"not JSON":      {200, `eyJ0aGUtdG9rZW4iOiJpbiBwbGFpbiJ9`, nil, 2},
		"maintenance":   {200, `{"status":"maintenance"}`, nil, 2},
		"no header fit": {200, `{"access_token":"a\nb"}`, nil, 1},
	} {
		t.Run(name, func(t *testing.T) {
			mock := httpmock.NewMockTransport()
			mock.RegisterResponder(http.MethodGet, tokenURL, httpmock.NewStringResponder(test.status, test.body))
			if test.status == 0 {
				mock.RegisterResponder(http.MethodGet, tokenURL, httpmock.NewErrorResponder(&net.OpError{Op: "dial", Err: test.sentinel}))
			}
			client, err := tokenClient(t, mock, ClientCredentials("the-id", "the-secret"))
			require.NoError(t, err)
			_, err = client.MachineImages.Initiate(t.Context(), &InitiateUploadRequest{
				Application: "a", Version: "1", OperatingSystem: "Linux", FileName: "f", NumberOfChunks: 1,
			})
			_ = requireError(t, err)
			if test.sentinel != nil {
				require.ErrorIs(t, err, test.sentinel)
				login, ok := errors.AsType[*Error](errors.Unwrap(requireError(t, err)))
				require.True(t, ok)
				require.NotEmpty(t, login.Hint)
				require.Equal(t, 1, strings.Count(err.Error(), login.Hint), "%v", err)
			}
			require.NotErrorIs(t, err, ErrAmbiguous, "the call itself was never sent")
			require.Equal(t, test.attempts, mock.GetTotalCallCount())
			for _, secret := range []string{"the-secret", "the-token-itself", "eyJ0aGUt", base64.StdEncoding.EncodeToString([]byte("the-id:the-secret"))} {
				requireNoSecret(t, secret, err)
			}
		})
	}
}

// requireNoSecret prints the value in every way and searches it for the secret.
func requireNoSecret(t *testing.T, secret string, v any) {
	t.Helper()
	for ; v != nil; v = unwrapAny(v) {
		for _, verb := range []string{"%v", "%+v", "%#v", "%s", "%q"} {
			require.NotContains(t, fmt.Sprintf(verb, v), secret)
		}
		data, err := json.Marshal(v)
		if err == nil {
			require.NotContains(t, string(data), secret)
		}
		var log strings.Builder
		slog.New(slog.NewJSONHandler(&log, nil)).InfoContext(t.Context(), "x", "v", v)
		slog.New(slog.NewTextHandler(&log, nil)).InfoContext(t.Context(), "x", "v", v)
		require.NotContains(t, log.String(), secret)
	}
}

func unwrapAny(v any) any {
	if err, ok := v.(error); ok {
		if inner := errors.Unwrap(err); inner != nil {
			return inner
		}
	}
	return nil
}

func TestSecretsDoNotPrint(t *testing.T) {
	const secret = "s3cr3t-value"
	oam := OAMClientCredentials(oamURL, "domain", "id", secret)
	client, err := New("user@example.com", ClientCredentials("id", secret))
	require.NoError(t, err)
	for _, v := range []any{
		NewToken(secret, time.Time{}), new(NewToken(secret, time.Time{})), struct{ T Token }{NewToken(secret, time.Time{})},
		StaticToken(secret), ClientCredentials("id", secret), oam, client, *client, client.MachineImages, *client.MachineImages,
	} {
		requireNoSecret(t, secret, v)
	}
	_, err = ClientCredentials("id", secret).Token(t.Context())
	require.ErrorIs(t, err, ErrInvalidArgument)
	requireNoSecret(t, secret, err)
}

func TestBadCredentials(t *testing.T) {
	for want, tokens := range map[string]TokenSource{
		"ClientCredentials: id: must not be empty":                                   ClientCredentials("", "s"),
		"ClientCredentials: id: must not contain a colon":                            ClientCredentials("a:b", "s"),
		"ClientCredentials: secret: must not be empty":                               ClientCredentials("a", ""),
		"OAMClientCredentials: id: must not be empty":                                OAMClientCredentials(oamURL, "d", "", "s"),
		"OAMClientCredentials: identityDomain: must not be empty":                    OAMClientCredentials(oamURL, "", "a", "s"),
		"OAMClientCredentials: identityDomain: must not contain contro":              OAMClientCredentials(oamURL, "d\r\n", "a", "s"),
		"OAMClientCredentials: tokenURL: must be absolute":                           OAMClientCredentials("/oam", "d", "a", "s"),
		"OAMClientCredentials: tokenURL: must not contain user info":                 OAMClientCredentials("https://u:pw@h/oam", "d", "a", "s"),
		"OAMClientCredentials: tokenURL: must be https":                              OAMClientCredentials("http://login.example.com/oam", "d", "a", "s"),
		"OAMClientCredentials: tokenURL: each segment of its path must not be empty": OAMClientCredentials("https://h//oam", "d", "a", "s"),
		"OAMClientCredentials: tokenURL: each segment of its path must not be a dot": OAMClientCredentials("https://h/oam/../tokens", "d", "a", "s"),
		"OAMClientCredentials: tokenURL: must not have an encoded slash":             OAMClientCredentials("https://h/oam%2Ftokens", "d", "a", "s"),
		"New: tokens: must not be nil":                                               nil,
	} {
		_, err := New("user@example.com", tokens)
		require.ErrorContains(t, err, "oraclemarket: "+want)
		require.ErrorIs(t, err, ErrInvalidArgument)
	}
}

func TestTokenSourceFails(t *testing.T) {
	mock := httpmock.NewMockTransport()
	own := errors.New("the vault is closed")
	client, err := tokenClient(t, mock, TokenSourceFunc(func(context.Context) (Token, error) { return Token{}, own }))
	require.NoError(t, err)
	_, err = client.MachineImages.Get(t.Context(), 1)
	require.ErrorIs(t, err, own)
	require.Zero(t, mock.GetTotalCallCount())
}
