package main

import (
	"bufio"
	"bytes"
	"context"
	"encoding/json"
	"net/http"
	"os"
	"path/filepath"
	"slices"
	"testing"

	"github.com/stretchr/testify/require"
	"go.uber.org/goleak"

	"github.com/imagejobs/imagejobs-go/oraclemarket"
	"github.com/imagejobs/imagejobs-go/oraclemarket/oraclemarkettest"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// start is a service with an image to upload to it, and the flags for both.
func start(t *testing.T, opts ...oraclemarkettest.Option) (*oraclemarkettest.Server, []string) {
	t.Helper()
	server := oraclemarkettest.NewServer(append([]oraclemarkettest.Option{oraclemarkettest.WithJobTime(0)}, opts...)...)
	t.Cleanup(server.Close)
	t.Setenv("ORACLE_MARKETPLACE_ENDPOINT", server.URL)
	t.Setenv("ORACLE_MARKETPLACE_USER", server.User)
	t.Setenv("ORACLE_MARKETPLACE_TOKEN", "")
	t.Setenv("ORACLE_MARKETPLACE_CLIENT_ID", server.ClientID)
	t.Setenv("ORACLE_MARKETPLACE_CLIENT_SECRET", server.ClientSecret)
	dir := t.TempDir()
	file := filepath.Join(dir, "image.tar.gz")
	require.NoError(t, os.WriteFile(file, bytes.Repeat([]byte("0123456789abcdef"), 1<<16), 0o600))
	return server, []string{
		"-file", file, "-application", "app", "-image-version", "1", "-os", "Linux",
		"-chunk-size", "131072", "-checkpoint-dir", filepath.Join(dir, "state"),
	}
}

func TestUpload(t *testing.T) {
	for _, whole := range []string{"-whole=false", "-whole"} {
		server, args := start(t)
		var out bytes.Buffer
		require.NoError(t, run(t.Context(), append(args, whole), &out, &out))
		require.Contains(t, out.String(), "upload request 7934470\n")
		sum, err := server.Uploads()[0].MD5()
		require.NoError(t, err)
		require.Contains(t, out.String(), "Completed: 1048576 bytes, MD5 "+sum)
	}
}

func TestUploadJSON(t *testing.T) {
	_, args := start(t)
	var out bytes.Buffer
	require.NoError(t, run(t.Context(), append(args, "-json"), &out, &out))
	var events []string
	for lines := bufio.NewScanner(&out); lines.Scan(); {
		var event struct {
			Event string
			Bytes int64
		}
		require.NoError(t, json.Unmarshal(lines.Bytes(), &event))
		events = append(events, event.Event)
		if event.Event == "result" {
			require.Equal(t, int64(1<<20), event.Bytes)
		}
	}
	require.Equal(t, []string{"upload-request", "progress"}, events[:2])
	require.Equal(t, []string{"status", "result"}, events[len(events)-2:])
	require.Len(t, events, 1+9+2)
}

// After an interruption the same command goes on, and says so.
func TestInterruptAndGoOn(t *testing.T) {
	server, args := start(t)
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	server.Inject(oraclemarkettest.Fault{
		Operation: oraclemarkettest.OpUploadChunk,
		Match: func(r *http.Request) bool {
			if r.Header.Get("X-Chunk-Number") != "4" {
				return false
			}
			cancel()
			return true
		},
		Stall: oraclemarkettest.StallResponse,
	})
	var out bytes.Buffer
	err := run(ctx, append(args, "-concurrency", "1"), &out, &out)
	require.ErrorIs(t, err, context.Canceled)
	require.ErrorContains(t, err, "run the same command again to go on")
	require.ErrorContains(t, err, "interrupted after 3 of 8 chunks")

	var again bytes.Buffer
	require.NoError(t, run(t.Context(), args, &again, &again))
	require.Contains(t, again.String(), "going on with upload request 7934470\n3 of 8 chunks are there already\n")
	require.Contains(t, again.String(), "Completed: 1048576 bytes")
	require.Len(t, server.Uploads(), 1)
}

// Nothing was uploaded, so nothing is said to be kept.
func TestWrongSecret(t *testing.T) {
	server, args := start(t)
	t.Setenv("ORACLE_MARKETPLACE_CLIENT_SECRET", "wrong")
	var out bytes.Buffer
	err := run(t.Context(), args, &out, &out)
	require.ErrorIs(t, err, oraclemarket.ErrUnauthorized)
	require.NotContains(t, err.Error(), "kept")
	require.Empty(t, server.Uploads())
}

func TestBadFlags(t *testing.T) {
	_, args := start(t)
	var out bytes.Buffer
	for want, more := range map[string][]string{
		"-chunk-size must be positive, not 0": {"-chunk-size", "0"},
		"-concurrency must be positive":       {"-concurrency", "0"},
		"-checkpoint-dir must not be empty":   {"-checkpoint-dir", ""},
		"-file is required with an endpoint":  {"-file", ""},
		"-application is required":            {"-application", ""},
		"unexpected argument":                 {"extra"},
		"WithBaseURL: plain http":             {"-endpoint", "http://example.com"},
		"no such file":                        {"-file", "/does/not/exist"},
		"must be a regular file":              {"-whole", "-file", t.TempDir()},
		"give -user":                          {"-user", ""},
	} {
		require.ErrorContains(t, run(t.Context(), append(slices.Clip(args), more...), &out, &out), want)
	}
}
