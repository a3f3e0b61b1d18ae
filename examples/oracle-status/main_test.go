package main

import (
	"bytes"
	"encoding/json"
	"testing"

	"github.com/stretchr/testify/require"
	"go.uber.org/goleak"

	"github.com/imagejobs/imagejobs-go/oraclemarket"
	"github.com/imagejobs/imagejobs-go/oraclemarket/oraclemarkettest"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

func TestStatus(t *testing.T) {
	server := oraclemarkettest.NewServer()
	defer server.Close()
	t.Setenv("ORACLE_MARKETPLACE_TOKEN", server.Token)
	args := []string{"-endpoint", server.URL, "-user", server.User, "-id", "2797087"}
	var out bytes.Buffer
	require.NoError(t, run(t.Context(), args, &out, &out))
	require.Contains(t, out.String(), "2797087 Completed: APS1826_WWP_061218 OL67 Linux, wordpress.tar.gz\n  chunks: 75 of 75\n  US2 COMMERCIAL CHERRY: Completed, 100%")

	out.Reset()
	require.NoError(t, run(t.Context(), append(args, "-watch", "-json"), &out, &out))
	var got oraclemarket.MachineImageUploadRequest
	require.NoError(t, json.Unmarshal(out.Bytes(), &got))
	require.Equal(t, int64(2797087), got.UploadRequestID)

	require.ErrorIs(t, run(t.Context(), append(args, "-id", "1"), &out, &out), oraclemarket.ErrNotFound)
	require.ErrorContains(t, run(t.Context(), args[:4], &out, &out), "-id is required")
}

// Without an endpoint it has a service of its own, and something to show.
func TestBuiltIn(t *testing.T) {
	t.Setenv("ORACLE_MARKETPLACE_ENDPOINT", "")
	var out bytes.Buffer
	require.NoError(t, run(t.Context(), nil, &out, &out))
	require.Contains(t, out.String(), "no endpoint given: using the built-in service at http://127.0.0.1:")
	require.Contains(t, out.String(), "sample-image 1.0 Linux")
}
