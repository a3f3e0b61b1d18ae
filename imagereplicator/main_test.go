package imagereplicator_test

import (
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strings"
	"testing"
	"time"

	"github.com/jarcoal/httpmock"
	"github.com/stretchr/testify/require"
	"go.uber.org/goleak"

	"github.com/imagejobs/imagejobs-go/imagereplicator"
	"github.com/imagejobs/imagejobs-go/imagereplicator/imagereplicatortest"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

const (
	endpoint = "https://glance-jp1-ecl.api.ntt.com"
	jobsURL  = endpoint + "/v2/extension/image_replicator/jobs"
	jobID    = imagereplicatortest.JobID
	jobURL   = jobsURL + "/" + jobID
	token    = imagereplicatortest.Token
)

// mocked returns a client whose requests go to the mock.
func mocked(t *testing.T, opts ...imagereplicator.Option) (*imagereplicator.Client, *httpmock.MockTransport) {
	t.Helper()
	return mockedWith(t, imagereplicator.StaticToken(token), opts...)
}

func mockedWith(t *testing.T, tokens imagereplicator.TokenSource, opts ...imagereplicator.Option) (*imagereplicator.Client, *httpmock.MockTransport) {
	t.Helper()
	mock := httpmock.NewMockTransport()
	opts = append([]imagereplicator.Option{
		imagereplicator.WithHTTPClient(&http.Client{Transport: mock}),
		imagereplicator.WithRetry(3, 0, 0),
	}, opts...)
	client, err := imagereplicator.New(endpoint, tokens, opts...)
	require.NoError(t, err)
	return client, mock
}

// noJobs lists none, for what lists first.
func noJobs(mock *httpmock.MockTransport) {
	mock.RegisterResponder(http.MethodGet, jobsURL, httpmock.NewStringResponder(http.StatusOK, `[]`))
}

func fixture(tb testing.TB, name string) string {
	tb.Helper()
	data, err := os.ReadFile(filepath.Join("testdata", name))
	require.NoError(tb, err)
	return string(data)
}

// respond returns the fixture with that status and the content type of its kind.
func respond(tb testing.TB, status int, name string) httpmock.Responder {
	tb.Helper()
	contentType := map[string]string{
		".json": "application/json; charset=UTF-8",
		".html": "text/html; charset=UTF-8",
		".txt":  "text/plain; charset=UTF-8",
	}[filepath.Ext(name)]
	return httpmock.NewStringResponder(status, fixture(tb, name)).HeaderSet(http.Header{"Content-Type": {contentType}})
}

// quickly polls at short intervals, where the clock does not matter.
func quickly() imagereplicator.WaitOption {
	return imagereplicator.WithPollInterval(time.Millisecond, time.Millisecond)
}

// memory returns what is in use, stacks included.
func memory() int64 {
	runtime.GC()
	var m runtime.MemStats
	runtime.ReadMemStats(&m)
	return int64(m.HeapAlloc + m.StackInuse)
}

func TestClientDoesNotCompileGophercloudIn(t *testing.T) {
	list := func(pkg string) string {
		out, err := exec.CommandContext(t.Context(), "go", "list", "-deps", pkg).Output()
		require.NoError(t, err)
		return string(out)
	}
	for _, pkg := range []string{".", "./imagereplicatortest"} {
		deps := list(pkg)
		require.Contains(t, deps, "internal/transport\n", "the list is one of dependencies")
		require.NotContains(t, deps, "gophercloud")
		require.NotContains(t, deps, "imagejobs-go/oraclemarket")
		require.NotContains(t, deps, "imagejobs-go/multiplay")
	}
	require.Contains(t, list("./keystone"), "gophercloud")
}

func TestNewRefuses(t *testing.T) {
	tokens := imagereplicator.StaticToken(token)
	for _, test := range []struct {
		name     string
		endpoint string
		tokens   imagereplicator.TokenSource
		opts     []imagereplicator.Option
		want     string
	}{
		{"no tokens", endpoint, nil, nil, "imagereplicator: New: tokens: must not be nil"},
		{"no endpoint", "", tokens, nil, "imagereplicator: New: endpoint: must be absolute"},
		{"plain http", "http://glance.example.com", tokens, nil, "imagereplicator: New: endpoint: must be https"},
		{"versioned", endpoint + "/v2/", tokens, nil, "imagereplicator: New: endpoint: must be the root of the image storage service, without /v2"},
		{"user info", "https://key:secret@glance.example.com", tokens, nil, "imagereplicator: New: endpoint: must not contain user info"},
		{"base URL", endpoint, tokens, []imagereplicator.Option{imagereplicator.WithBaseURL("glance")}, "imagereplicator: WithBaseURL: must be absolute"},
		{"user agent", endpoint, tokens, []imagereplicator.Option{imagereplicator.WithUserAgent("a\r\nb")}, "imagereplicator: WithUserAgent: must not contain control characters"},
		{"retry", endpoint, tokens, []imagereplicator.Option{imagereplicator.WithRetry(0, 0, 0)}, "imagereplicator: WithRetry: maxAttempts must be at least 1, not 0"},
		{"attempt timeout", endpoint, tokens, []imagereplicator.Option{imagereplicator.WithAttemptTimeout(-1)}, "imagereplicator: WithAttemptTimeout: must not be negative"},
		{"outage limit", endpoint, tokens, []imagereplicator.Option{imagereplicator.WithOutageLimit(-1)}, "imagereplicator: WithOutageLimit: must not be negative"},
	} {
		t.Run(test.name, func(t *testing.T) {
			client, err := imagereplicator.New(test.endpoint, test.tokens, test.opts...)
			require.ErrorIs(t, err, imagereplicator.ErrInvalidArgument)
			require.ErrorContains(t, err, test.want)
			argument := new(imagereplicator.ArgumentError)
			require.ErrorAs(t, err, &argument)
			require.EqualError(t, err, "imagereplicator: "+argument.Field+": "+argument.Problem)
			require.NotContains(t, err.Error(), "secret")
			require.Nil(t, client)
		})
	}
}

func TestOptions(t *testing.T) {
	mock := httpmock.NewMockTransport()
	var got *http.Request
	mock.RegisterResponder(http.MethodGet, "http://proxy.example.com/glance/v2/extension/image_replicator/jobs",
		func(r *http.Request) (*http.Response, error) {
			got = r
			return respond(t, http.StatusOK, "list.json")(r)
		})
	client, err := imagereplicator.New(endpoint, imagereplicator.StaticToken(token),
		nil, // skipped
		imagereplicator.WithBaseURL("http://proxy.example.com/glance/"),
		imagereplicator.WithInsecureHTTP(),
		imagereplicator.WithUserAgent("farm/1.0"),
		imagereplicator.WithHTTPClient(&http.Client{Transport: mock}))
	require.NoError(t, err)
	_, err = client.Jobs.List(t.Context())
	require.NoError(t, err)
	require.Equal(t, []string{token}, got.Header["X-Auth-Token"])
	require.Equal(t, "application/json", got.Header.Get("Accept"))
	require.True(t, strings.HasPrefix(got.Header.Get("User-Agent"), "farm/1.0 imagejobs-go/"), got.Header.Get("User-Agent"))
}
