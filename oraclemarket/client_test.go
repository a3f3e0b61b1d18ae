package oraclemarket

import (
	"log/slog"
	"net/http"
	"testing"
	"time"

	"github.com/jarcoal/httpmock"
	"github.com/stretchr/testify/require"

	"github.com/imagejobs/imagejobs-go/internal/documents"
	"github.com/imagejobs/imagejobs-go/internal/transport"
)

// config is what New would give a token source to bind to.
func (c *Client) config(mock *httpmock.MockTransport) transport.Config {
	return transport.Config{
		Package: pkg, BaseURL: c.MachineImages.client.BaseURL(), HTTPClient: &http.Client{Transport: mock},
		Decoder:   decoder,
		WrapError: func(e *transport.Error, _ string) error { return (*Error)(e) },
		Invalid:   func(field, problem string) error { return invalid(field, "%s", problem) },
	}
}

func TestNewRefuses(t *testing.T) {
	for want, opts := range map[string][]Option{
		"WithBaseURL: must be absolute":                                            {WithBaseURL("")},
		"WithBaseURL: must not contain user info":                                  {WithBaseURL("https://user:pass@host")},
		"WithBaseURL: must not have a query":                                       {WithBaseURL("https://host?x=1")},
		"WithBaseURL: must not have a fragment":                                    {WithBaseURL("https://host/#x")},
		"WithBaseURL: must be https, because plain http would send the credential": {WithBaseURL("http://ocm-apis-cloud.oracle.com")},
		"WithBaseURL: must have the scheme https":                                  {WithBaseURL("ftp://host")},
		"WithRetry: maxAttempts must be at least 1":                                {WithRetry(0, 0, 0)},
		"WithRetry: maxWait must not be below minWait":                             {WithRetry(1, time.Second, 0)},
		"WithRetry: minWait must not be negative":                                  {WithRetry(1, -1, 0)},
		"WithAttemptTimeout: must not be negative":                                 {WithAttemptTimeout(-1)},
		"WithStallTimeout: must not be negative":                                   {WithStallTimeout(-1)},
		"WithOutageLimit: must not be negative":                                    {WithOutageLimit(-1)},
		"WithUserAgent: must not contain control":                                  {WithUserAgent("a\nb")},
		"WithFirstChunkNumber: must be 0 or 1":                                     {WithFirstChunkNumber(2)},
	} {
		_, err := New("user@example.com", StaticToken("t"), opts...)
		require.ErrorContains(t, err, "oraclemarket: "+want)
		require.ErrorIs(t, err, ErrInvalidArgument)
	}
	_, err := New("", StaticToken("t"))
	require.ErrorContains(t, err, "oraclemarket: New: user: must not be empty")
	_, err = New("a\r\nb", StaticToken("t"))
	require.ErrorContains(t, err, "oraclemarket: New: user: must not contain control")
}

func TestNewAccepts(t *testing.T) {
	for _, opts := range [][]Option{
		nil,
		{WithBaseURL(DocumentedBaseURL)},
		{WithBaseURL("http://127.0.0.1:8080"), WithBaseURL("http://localhost:1"), WithBaseURL("http://[::1]:1/prefix/")},
		{WithBaseURL("http://intranet"), WithInsecureHTTP()},
		{WithRetry(1, 0, 0), nil, WithAttemptTimeout(time.Second), WithStallTimeout(time.Minute), WithOutageLimit(time.Hour), WithUserAgent("x/1"), WithLogger(slog.Default()), WithHTTPClient(nil)},
	} {
		_, err := New("user@example.com", StaticToken("t"), opts...)
		require.NoError(t, err)
	}
	require.Contains(t, documents.Example(documents.OracleGet, "curl"), ` "`+DocumentedBaseURL+"/appstore/")
}

func TestUserAgentAndBaseURL(t *testing.T) {
	mock, seen := httpmock.NewMockTransport(), &sentRequest{}
	mock.RegisterResponder(http.MethodGet, "https://gateway.example.com/oracle/appstore/publisher/v1/machineimages/2797087", respondWith(t, seen, 200, "status.json"))
	client := mockClient(t, mock, WithBaseURL("https://gateway.example.com/oracle/"), WithUserAgent("release-bot/2.1"))
	_, err := client.MachineImages.Get(t.Context(), 2797087)
	require.NoError(t, err)
	require.Regexp(t, `^release-bot/2\.1 imagejobs-go/\S+$`, seen.Header.Get("User-Agent"))
}

func TestStateErrorText(t *testing.T) {
	err := stateError(&MachineImageUploadRequest{UploadRequestID: 7, StatusName: StatusRejected, DataCenterImageUploadRequests: []DataCenterImageUploadRequest{
		{DataCenterName: "TEAK", StatusName: StatusCompleted, UploadProgress: "100%"},
		{DataCenterName: "Cherry", StatusName: StatusFailed, UploadProgress: "40%"},
	}})
	require.EqualError(t, err, `oraclemarket: upload request 7 ended with status "Rejected": Cherry: Failed at 40%`)
}

func TestFromEnv(t *testing.T) {
	unset := func() {
		for _, name := range []string{envEndpoint, envUser, envToken, envID, envSecret} {
			t.Setenv(name, "")
		}
	}
	unset()
	_, err := FromEnv()
	require.EqualError(t, err, "oraclemarket: FromEnv: ORACLE_MARKETPLACE_USER: must be set")
	t.Setenv(envUser, "partner@example.com\n")
	t.Setenv(envID, "id")
	_, err = FromEnv()
	require.EqualError(t, err, "oraclemarket: FromEnv: ORACLE_MARKETPLACE_TOKEN: must be set, or ORACLE_MARKETPLACE_CLIENT_ID and ORACLE_MARKETPLACE_CLIENT_SECRET")
	require.ErrorIs(t, err, ErrInvalidArgument)
	t.Setenv(envSecret, "secret")

	client, err := FromEnv(nil)
	require.NoError(t, err)
	require.Equal(t, DefaultBaseURL, client.MachineImages.client.BaseURL())
	require.Equal(t, "partner@example.com", client.MachineImages.user)
	t.Setenv(envEndpoint, "https://gateway.example.com")
	client, err = FromEnv()
	require.NoError(t, err)
	require.Equal(t, "https://gateway.example.com", client.MachineImages.client.BaseURL())
	client, err = FromEnv(WithBaseURL(DocumentedBaseURL))
	require.NoError(t, err)
	require.Equal(t, DocumentedBaseURL, client.MachineImages.client.BaseURL())
	t.Setenv(envEndpoint, "http://gateway.example.com")
	_, err = FromEnv()
	require.ErrorContains(t, err, "oraclemarket: FromEnv: ORACLE_MARKETPLACE_ENDPOINT: must be https")

	unset()
	t.Setenv(envUser, "fname.lname@oracle.com")
	t.Setenv(envToken, " Access-token\r\n")
	mock, seen := httpmock.NewMockTransport(), &sentRequest{}
	mock.RegisterResponder(http.MethodGet, imageURL, respondWith(t, seen, 200, "status.json"))
	client, err = FromEnv(WithHTTPClient(&http.Client{Transport: mock}))
	require.NoError(t, err)
	_, err = client.MachineImages.Get(t.Context(), 2797087)
	require.NoError(t, err)
	seen.requireCredentials(t)
}
