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

// All clients tell of an attempt before and after, and of the last one of a call
// to whoever makes it.
func TestObservers(t *testing.T) {
	client := &http.Client{Transport: roundTripper(func(*http.Request) (*http.Response, error) {
		return &http.Response{StatusCode: http.StatusNotFound, Header: http.Header{"X-Request-Id": {"r-1"}}, Body: http.NoBody}, nil
	})}
	seen, started := map[string]int{}, []string{}
	var oLast oraclemarket.Attempt
	var rLast imagereplicator.Attempt
	var mLast multiplay.Attempt
	ctx := oraclemarket.CaptureAttempt(imagereplicator.CaptureAttempt(multiplay.CaptureAttempt(t.Context(), &mLast), &rLast), &oLast)
	note := func(op, path, request string, number, status int) {
		require.NotEmpty(t, path)
		require.Equal(t, "r-1", request)
		require.Equal(t, 1, number)
		seen[op] = status
	}
	oc, err := oraclemarket.New("partner@example.com", oraclemarket.StaticToken(tokenValue), oraclemarket.WithHTTPClient(client),
		oraclemarket.WithObserver(func(_ context.Context, a oraclemarket.Attempt) {
			note(a.Op, a.Path, a.RequestID, a.Number, a.StatusCode)
		}),
		oraclemarket.WithAttemptStart(func(ctx context.Context, a oraclemarket.Attempt, _ http.Header) context.Context {
			started = append(started, a.Op)
			return ctx
		}))
	require.NoError(t, err)
	_, err = oc.MachineImages.Get(ctx, 7)
	require.ErrorIs(t, err, oraclemarket.ErrNotFound)
	rc, err := imagereplicator.New("https://host.example", imagereplicator.StaticToken(tokenValue), imagereplicator.WithHTTPClient(client),
		imagereplicator.WithObserver(func(_ context.Context, a imagereplicator.Attempt) {
			note(a.Op, a.Path, a.RequestID, a.Number, a.StatusCode)
		}),
		imagereplicator.WithAttemptStart(func(ctx context.Context, a imagereplicator.Attempt, _ http.Header) context.Context {
			started = append(started, a.Op)
			return ctx
		}))
	require.NoError(t, err)
	_, err = rc.Jobs.Get(ctx, "job")
	require.ErrorIs(t, err, imagereplicator.ErrNotFound)
	mc, err := multiplay.New(multiplay.AccessKey(1, keyID, keySecret), multiplay.WithHTTPClient(client),
		multiplay.WithObserver(nil), multiplay.WithAttemptStart(nil),
		multiplay.WithObserver(func(_ context.Context, a multiplay.Attempt) { note(a.Op, a.Path, a.RequestID, a.Number, a.StatusCode) }),
		multiplay.WithAttemptStart(func(ctx context.Context, a multiplay.Attempt, _ http.Header) context.Context {
			started = append(started, a.Op)
			return ctx
		}))
	require.NoError(t, err)
	_, err = mc.ImageUpdates.Status(ctx, 7)
	require.ErrorIs(t, err, multiplay.ErrNotFound)
	require.Equal(t, map[string]int{
		"oraclemarket.MachineImages.Get": 404, "imagereplicator.Jobs.Get": 404, "multiplay.ImageUpdates.Status": 404,
	}, seen)
	require.Equal(t, []string{"oraclemarket.MachineImages.Get", "imagereplicator.Jobs.Get", "multiplay.ImageUpdates.Status"}, started)
	require.Equal(t, []string{oLast.Op, rLast.Op, mLast.Op}, started)
	require.Equal(t, []string{"r-1", "r-1", "r-1"}, []string{oLast.RequestID, rLast.RequestID, mLast.RequestID})
}
