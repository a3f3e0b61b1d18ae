package keystone

import (
	"net/http"
	"strings"
	"testing"

	"github.com/jarcoal/httpmock"
	"github.com/stretchr/testify/require"

	"github.com/imagejobs/imagejobs-go/internal/transport"
)

// gophercloud has no reason to go elsewhere; should it find one, it does not
// get there.
func TestBridgeLeadsToOneHost(t *testing.T) {
	mock := httpmock.NewMockTransport()
	mock.RegisterNoResponder(httpmock.NewStringResponder(http.StatusCreated, `{}`).HeaderSet(http.Header{"X-Subject-Token": {"token"}}))
	client, err := transport.New(transport.Config{
		Package:    pkg,
		BaseURL:    "https://keystone.example.com/identity",
		WrapError:  func(e *transport.Error) error { return e },
		HTTPClient: &http.Client{Transport: mock},
	})
	require.NoError(t, err)
	b := &bridge{client: client}
	for target, reached := range map[string]bool{
		"https://keystone.example.com/identity/v3/auth/tokens":      true,
		"https://keystone.example.com/identities/v3/auth/tokens":    false,
		"https://keystone.example.com/v3/auth/tokens":               false,
		"https://keystone.example.com:8443/identity/v3/auth/tokens": false,
		"https://keystone.example.com.example.net/identity/v3":      false,
		"https://keystone.example.com@example.net/identity/v3":      false,
		"http://keystone.example.com/identity/v3/auth/tokens":       false,
		"https://example.net/identity/v3/auth/tokens":               false,
	} {
		before := mock.GetTotalCallCount()
		r, err := http.NewRequestWithContext(t.Context(), http.MethodPost, target, strings.NewReader("{}"))
		require.NoError(t, err)
		resp, err := b.RoundTrip(r)
		if !reached {
			require.ErrorContains(t, err, "was kept back", target)
			require.Equal(t, before, mock.GetTotalCallCount())
			continue
		}
		require.NoError(t, err, target)
		require.Equal(t, http.StatusCreated, resp.StatusCode)
		require.Equal(t, before+1, mock.GetTotalCallCount())
	}
}
