package main

import (
	"bytes"
	"encoding/json"
	"io"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
	"go.uber.org/goleak"

	"github.com/imagejobs/imagejobs-go/multiplay"
	"github.com/imagejobs/imagejobs-go/multiplay/multiplaytest"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

func TestStatus(t *testing.T) {
	server := multiplaytest.NewServer(multiplaytest.WithJobTime(0))
	defer server.Close()
	for _, line := range server.Env() {
		name, value, _ := strings.Cut(line, "=")
		t.Setenv(name, value)
	}
	server.Next(multiplaytest.Update, multiplaytest.Outcome{}, multiplaytest.Outcome{State: multiplay.JobFailed, Error: "no such bucket"})
	for range 2 {
		_, err := sample(t.Context(), server.Client())
		require.NoError(t, err)
	}
	var out bytes.Buffer
	require.NoError(t, run(t.Context(), []string{"-update", "4711"}, &out, &out))
	require.True(t, strings.HasPrefix(out.String(), "update 4711: Completed, 100%, changed 20"), out.String())

	out.Reset()
	require.NoError(t, run(t.Context(), []string{"-update", "4711", "-watch", "-json"}, &out, &out))
	var got multiplay.ImageUpdateStatus
	require.NoError(t, json.Unmarshal(out.Bytes(), &got))
	require.Equal(t, int64(4711), got.UpdateID)
	require.Equal(t, multiplay.JobCompleted, got.State)

	out.Reset()
	require.ErrorContains(t, run(t.Context(), []string{"-update", "4712", "-watch"}, &out, &out), `image update 4712 ended with state "Failed": no such bucket`)
	require.Contains(t, out.String(), "\n  no such bucket\n")

	require.ErrorIs(t, run(t.Context(), []string{"-update", "5"}, &out, &out), multiplay.ErrNotFound)
	require.EqualError(t, run(t.Context(), nil, &out, &out), "-update is required with an endpoint")
	require.ErrorContains(t, run(t.Context(), []string{"x"}, &out, &out), "unexpected argument")
}

// Without an endpoint it has a service of its own, and something to show.
func TestBuiltIn(t *testing.T) {
	t.Setenv("MULTIPLAY_ENDPOINT", "")
	var out bytes.Buffer
	require.NoError(t, run(t.Context(), nil, &out, io.Discard))
	require.Contains(t, out.String(), "no endpoint given: using the built-in service at http://127.0.0.1:")
	require.Regexp(t, `update 4711: (Created|Pending|Queued|Running|Completed), \d+%`, out.String()) // it moves by the clock

	out.Reset()
	require.Error(t, run(t.Context(), []string{"-h"}, io.Discard, &out))
	require.Contains(t, out.String(), "MULTIPLAY_ENDPOINT")
}
