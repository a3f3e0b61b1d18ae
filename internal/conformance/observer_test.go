package conformance

import (
	"context"
	"net/http"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/imagejobs/imagejobs-go/imagereplicator"
	"github.com/imagejobs/imagejobs-go/multiplay"
	"github.com/imagejobs/imagejobs-go/oraclemarket"
)

// The observers of all clients learn of the same things.
func TestObservers(t *testing.T) {
	client := &http.Client{Transport: roundTripper(func(*http.Request) (*http.Response, error) {
		return &http.Response{StatusCode: http.StatusNotFound, Header: http.Header{"X-Request-Id": {"r-1"}}, Body: http.NoBody}, nil
	})}
	seen := map[string]int{}
	note := func(op, path, request string, number, status int) {
		require.NotEmpty(t, path)
		require.Equal(t, "r-1", request)
		require.Equal(t, 1, number)
		seen[op] = status
	}
	oc, err := oraclemarket.New("partner@example.com", oraclemarket.StaticToken(tokenValue), oraclemarket.WithHTTPClient(client),
		oraclemarket.WithObserver(func(_ context.Context, a oraclemarket.Attempt) {
			note(a.Op, a.Path, a.RequestID, a.Number, a.StatusCode)
		}))
	require.NoError(t, err)
	_, err = oc.MachineImages.Get(t.Context(), 7)
	require.ErrorIs(t, err, oraclemarket.ErrNotFound)
	rc, err := imagereplicator.New("https://host.example", imagereplicator.StaticToken(tokenValue), imagereplicator.WithHTTPClient(client),
		imagereplicator.WithObserver(func(_ context.Context, a imagereplicator.Attempt) {
			note(a.Op, a.Path, a.RequestID, a.Number, a.StatusCode)
		}))
	require.NoError(t, err)
	_, err = rc.Jobs.Get(t.Context(), "job")
	require.ErrorIs(t, err, imagereplicator.ErrNotFound)
	mc, err := multiplay.New(multiplay.AccessKey(1, keyID, keySecret), multiplay.WithHTTPClient(client),
		multiplay.WithObserver(nil),
		multiplay.WithObserver(func(_ context.Context, a multiplay.Attempt) { note(a.Op, a.Path, a.RequestID, a.Number, a.StatusCode) }))
	require.NoError(t, err)
	_, err = mc.ImageUpdates.Status(t.Context(), 7)
	require.ErrorIs(t, err, multiplay.ErrNotFound)
	require.Equal(t, map[string]int{
		"oraclemarket.MachineImages.Get": 404, "imagereplicator.Jobs.Get": 404, "multiplay.ImageUpdates.Status": 404,
	}, seen)
}
