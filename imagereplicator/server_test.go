package imagereplicator_test

import (
	"io"
	"net/http"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/imagejobs/imagejobs-go/imagereplicator"
	"github.com/imagejobs/imagejobs-go/imagereplicator/imagereplicatortest"
)

func TestCancelWhoseResponseIsLost(t *testing.T) {
	server := imagereplicatortest.NewServer()
	defer server.Close()
	transport := &http.Transport{}
	defer transport.CloseIdleConnections()
	client := server.Client(imagereplicator.WithHTTPClient(&http.Client{Transport: transport}), imagereplicator.WithRetry(3, 0, 0))
	id, err := client.Jobs.Create(t.Context(), toDestination())
	require.NoError(t, err)
	server.Inject(imagereplicatortest.Fault{Operation: imagereplicatortest.OpCancel, Drop: imagereplicatortest.DropAfter})
	require.NoError(t, client.Jobs.Cancel(t.Context(), id))
	require.Equal(t, 2, server.Count(imagereplicatortest.OpCancel))
	require.Equal(t, 1, server.Processed(imagereplicatortest.OpCancel))
}

func TestDocumentedResponses(t *testing.T) {
	server := imagereplicatortest.NewServer()
	defer server.Close()
	transport := &http.Transport{}
	defer transport.CloseIdleConnections()

	get := func(authToken string) (*http.Response, string) {
		r, err := http.NewRequestWithContext(t.Context(), http.MethodGet, server.URL+"/v2/extension/image_replicator/jobs/"+jobID, http.NoBody)
		require.NoError(t, err)
		r.Header.Set("User-Agent", "curl/7.35.0")
		if authToken != "" {
			r.Header.Set("X-Auth-Token", authToken)
		}
		resp, err := transport.RoundTrip(r)
		require.NoError(t, err)
		defer resp.Body.Close()
		body, err := io.ReadAll(resp.Body)
		require.NoError(t, err)
		return resp, string(body)
	}

	resp, body := get(token)
	require.Equal(t, "200 OK", resp.Status)
	require.Equal(t, "application/json; charset=UTF-8", resp.Header.Get("Content-Type"))
	require.Equal(t, fixture(t, "job_execution_example.json"), body)

	resp, body = get("")
	require.Equal(t, "401 Unauthorized", resp.Status)
	require.Equal(t, "text/plain; charset=UTF-8", resp.Header.Get("Content-Type"))
	require.Equal(t, "X-Auth-Token", resp.Header.Get("Vary"))
	require.EqualValues(t, 44, resp.ContentLength)
	require.True(t, resp.Close)
	require.Equal(t, fixture(t, "error_401.txt"), body)

	client, err := imagereplicator.New(server.URL, imagereplicator.StaticToken("wrong"),
		imagereplicator.WithHTTPClient(&http.Client{Transport: transport}))
	require.NoError(t, err)
	_, err = client.Jobs.Get(t.Context(), jobID)
	require.ErrorIs(t, err, imagereplicator.ErrUnauthorized)
	require.ErrorContains(t, err, "401 Unauthorized Authentication required.")
}
