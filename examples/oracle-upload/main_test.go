package main

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"os"
	"path/filepath"
	"slices"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"go.uber.org/goleak"

	"github.com/imagejobs/imagejobs-go/examples/internal/cli"
	"github.com/imagejobs/imagejobs-go/examples/internal/clitest"
	"github.com/imagejobs/imagejobs-go/examples/internal/oracle"
	"github.com/imagejobs/imagejobs-go/oraclemarket/oraclemarkettest"
)

// asProgram makes the test binary the program itself.
const asProgram = "ORACLE_UPLOAD_TEST_AS_PROGRAM"

func TestMain(m *testing.M) {
	if os.Getenv(asProgram) != "" {
		main()
	}
	goleak.VerifyTestMain(m)
}

func clearEnv(t *testing.T) {
	t.Helper()
	for _, name := range oracle.Variables() {
		t.Setenv(name, "")
	}
}

// start starts a service with an image to upload to it, and returns the
// arguments for both.
func start(t *testing.T, opts ...oraclemarkettest.Option) (*oraclemarkettest.Server, []string) {
	t.Helper()
	server := oraclemarkettest.NewServer(append([]oraclemarkettest.Option{oraclemarkettest.WithJobTime(0)}, opts...)...)
	t.Cleanup(server.Close)
	clearEnv(t)
	t.Setenv("ORACLE_MARKETPLACE_ENDPOINT", server.URL)
	t.Setenv("ORACLE_MARKETPLACE_USER", server.User)
	t.Setenv("ORACLE_MARKETPLACE_CLIENT_ID", server.ClientID)
	t.Setenv("ORACLE_MARKETPLACE_CLIENT_SECRET", server.ClientSecret)
	dir := t.TempDir()
	file := filepath.Join(dir, "image.tar.gz")
	require.NoError(t, os.WriteFile(file, bytes.Repeat([]byte("0123456789abcdef"), 1<<16), 0o600))
	return server, []string{
		"-file", file, "-application", "app", "-image-version", "1", "-os", "Linux",
		"-chunk-size", "128KiB", "-checkpoint-dir", filepath.Join(dir, "state"),
	}
}

// runProgram runs the program and returns what it printed.
func runProgram(ctx context.Context, args ...string) (code int, stdout, stderr string) {
	var out, errs bytes.Buffer
	code = run(ctx, args, &out, &errs)
	return code, out.String(), errs.String()
}

func TestUpload(t *testing.T) {
	for _, whole := range []string{"-whole=false", "-whole"} {
		server, args := start(t)
		code, out, errs := runProgram(t.Context(), append(args, whole)...)
		require.Equal(t, cli.Done, code, errs)
		require.Empty(t, errs)
		require.Contains(t, out, "upload request 7934470\n")
		sum, err := server.Uploads()[0].MD5()
		require.NoError(t, err)
		require.Contains(t, out, "Completed: image.tar.gz, 1048576 bytes, in ")
		require.Contains(t, out, "  MD5 "+sum+"\n")
		require.Empty(t, clitest.Repeated(out))
		require.NotContains(t, out, "demo")
	}
}

func TestUploadJSON(t *testing.T) {
	_, args := start(t)
	code, out, _ := runProgram(t.Context(), append(args, "-json")...)
	require.Equal(t, cli.Done, code)
	var names []string
	for line := range bytes.Lines([]byte(out)) {
		var e cli.Event
		require.NoError(t, json.Unmarshal(line, &e))
		require.Equal(t, "oraclemarket upload false", fmt.Sprint(e.Service, " ", e.Operation, " ", e.Demo))
		names = append(names, e.Event)
		if e.Event == cli.Result {
			require.Equal(t, int64(1<<20), e.Progress.Bytes)
			require.Len(t, e.Checksum, 32)
			require.Equal(t, cli.IDs{"uploadRequestId": 7934470.0}, e.IDs)
		}
	}
	require.Equal(t, []string{cli.Begin, cli.Started, cli.Moved, cli.Moved, cli.Status, cli.Result, cli.End}, names)
}

// After an interruption the same command resumes, and reports it.
func TestInterruptAndResume(t *testing.T) {
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
	code, out, errs := runProgram(ctx, append(args, "-concurrency", "1")...)
	require.Equal(t, cli.Interrupted, code)
	require.Contains(t, errs, "interrupted after 3 of 8 chunks")
	require.Contains(t, errs, "run the same command again to resume")
	require.Empty(t, clitest.Repeated(out))

	code, out, errs = runProgram(t.Context(), args...)
	require.Equal(t, cli.Done, code, errs)
	require.Contains(t, out, "resuming upload request 7934470: 3 of 8 chunks are uploaded already\n")
	require.Contains(t, out, "Completed: image.tar.gz, 1048576 bytes")
	require.Len(t, server.Uploads(), 1)
}

// With -restart, another build of the image takes the place of what was
// interrupted.
func TestRestart(t *testing.T) {
	server, args := start(t)
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	server.Inject(oraclemarkettest.Fault{
		Operation: oraclemarkettest.OpUploadChunk, Stall: oraclemarkettest.StallResponse,
		Match: func(r *http.Request) bool {
			if r.Header.Get("X-Chunk-Number") != "4" {
				return false
			}
			cancel()
			return true
		},
	})
	code, _, _ := runProgram(ctx, append(args, "-concurrency", "1")...)
	require.Equal(t, cli.Interrupted, code)
	server.ClearFaults()
	require.NoError(t, os.WriteFile(args[1], bytes.Repeat([]byte("another build"), 1<<16), 0o600))
	code, _, errs := runProgram(t.Context(), args...)
	require.NotEqual(t, cli.Done, code)
	require.Contains(t, errs, "or start over with -restart")
	code, out, errs := runProgram(t.Context(), append(args, "-restart")...)
	require.Equal(t, cli.Done, code, errs)
	require.Contains(t, out, "Completed: image.tar.gz, 851968 bytes")
	require.Equal(t, oraclemarkettest.Deleted, server.Uploads()[0].Status)
	require.Len(t, server.Uploads(), 2)
}

func TestNoWait(t *testing.T) {
	for _, whole := range []string{"-whole=false", "-whole"} {
		_, args := start(t, oraclemarkettest.WithJobTime(time.Hour))
		code, out, errs := runProgram(t.Context(), append(args, "-no-wait", whole)...)
		require.Equal(t, cli.Done, code, errs)
		require.Contains(t, out, "Pending: image.tar.gz, 1048576 bytes")
	}
}

// Nothing was uploaded, so nothing is said to be kept.
func TestWrongSecret(t *testing.T) {
	server, args := start(t)
	t.Setenv("ORACLE_MARKETPLACE_CLIENT_SECRET", "wrong")
	for _, check := range []string{"-check=false", "-check"} {
		code, _, errs := runProgram(t.Context(), append(args, check)...)
		require.Equal(t, cli.Failed, code)
		require.Contains(t, errs, "401")
		require.NotContains(t, errs, "kept")
	}
	require.Empty(t, server.Uploads())
}

func TestEndsBadly(t *testing.T) {
	server, args := start(t)
	server.SetNextOutcome(oraclemarkettest.IsRejected)
	result := filepath.Join(t.TempDir(), "result.json")
	code, _, errs := runProgram(t.Context(), append(args, "-result", result)...)
	require.Equal(t, cli.Ended, code)
	require.Contains(t, errs, "Rejected")
	require.NotContains(t, errs, "resume")
	require.Equal(t, "Rejected", readResult(t, result).State)
}

func readResult(t *testing.T, name string) (o cli.Outcome) {
	t.Helper()
	data, err := os.ReadFile(name)
	require.NoError(t, err)
	require.NoError(t, json.Unmarshal(data, &o))
	return o
}

func TestAmbiguous(t *testing.T) {
	server, args := start(t)
	server.Inject(oraclemarkettest.Fault{Operation: oraclemarkettest.OpCreate, Status: http.StatusBadGateway, Process: true})
	code, _, errs := runProgram(t.Context(), append(args, "-whole")...)
	require.Equal(t, cli.Ambiguous, code, errs)
	require.Len(t, server.Uploads(), 1)
}

func TestCheck(t *testing.T) {
	server, args := start(t)
	code, out, errs := runProgram(t.Context(), append(args, "-check")...)
	require.Equal(t, cli.Done, code, errs)
	require.Equal(t, "checked: arguments, image.tar.gz of 1.0 MiB, and credentials; nothing was uploaded\n", out)
	require.Empty(t, server.Uploads())
	require.NoDirExists(t, args[len(args)-1])
}

func TestResult(t *testing.T) {
	_, args := start(t)
	result := filepath.Join(t.TempDir(), "result.json")
	code, _, _ := runProgram(t.Context(), append(args, "-result", result)...)
	require.Equal(t, cli.Done, code)
	got := readResult(t, result)
	require.Equal(t, cli.IDs{"uploadRequestId": 7934470.0}, got.IDs)
	require.Equal(t, "Completed", got.State)
	require.Zero(t, *got.ExitCode)
}

func TestArguments(t *testing.T) {
	server, args := start(t)
	for want, more := range map[string][]string{
		`-chunk-size: must be a positive size such as 64MiB, not "0"`: {"-chunk-size", "0"},
		"-concurrency must be positive, or 0 for the default, not -1": {"-concurrency", "-1"},
		"-checkpoint-dir must not be empty":                           {"-checkpoint-dir", ""},
		"-file must not be empty":                                     {"-file", ""},
		"-application must not be empty":                              {"-application", ""},
		"-image-version must not be empty":                            {"-image-version", ""},
		"-os must not be empty":                                       {"-os", ""},
		`unexpected argument "extra"`:                                 {"extra"},
		"no such file":                                                {"-file", "/does/not/exist"},
		"is not a regular file":                                       {"-whole", "-file", t.TempDir()},
	} {
		code, _, errs := runProgram(t.Context(), append(slices.Clip(args), more...)...)
		require.Equal(t, cli.Usage, code, errs)
		require.Contains(t, errs, want)
	}
	for name, value := range map[string]string{
		"ORACLE_MARKETPLACE_ENDPOINT": "http://example.com", "ORACLE_MARKETPLACE_USER": "", "ORACLE_MARKETPLACE_CLIENT_ID": "",
	} {
		before := os.Getenv(name)
		t.Setenv(name, value)
		code, _, errs := runProgram(t.Context(), args...)
		require.Equal(t, cli.Usage, code, errs)
		require.Contains(t, errs, "ORACLE_MARKETPLACE_")
		t.Setenv(name, before)
	}
	require.Empty(t, server.Requests())
}

// A file names the real service, for which there must be credentials then.
func TestNoSilentDemo(t *testing.T) {
	_, args := start(t)
	clearEnv(t)
	code, out, errs := runProgram(t.Context(), args...)
	require.Equal(t, cli.Usage, code)
	require.Empty(t, out)
	require.Contains(t, errs, "ORACLE_MARKETPLACE_USER must be set")
	code, _, errs = runProgram(t.Context(), "-demo=false")
	require.Equal(t, cli.Usage, code)
	require.Contains(t, errs, "-file must not be empty")
}

func TestDemo(t *testing.T) {
	server, args := start(t)
	code, out, errs := runProgram(t.Context(), append(args, "-demo")...)
	require.Equal(t, cli.Done, code, errs)
	require.Regexp(t, `^demo: using the built-in service at http://127\.0\.0\.1:\d+, not the real one\n`, out)
	require.Regexp(t, `\nCompleted: image\.tar\.gz, .*\n  MD5 \w+\ndemo: that was the built-in service; the real one was not called\n$`, out)
	require.Empty(t, clitest.Repeated(out))
	require.Empty(t, server.Requests())
	clearEnv(t)
	code, out, errs = runProgram(t.Context(), "-check")
	require.Equal(t, cli.Done, code, errs)
	require.Contains(t, out, "checked: arguments, sample-image.tar.gz of 256.0 MiB")
}

// Nobody reads the output any more, as after | head -1.
func TestClosedPipe(t *testing.T) {
	tmp := t.TempDir()
	t.Setenv("TMPDIR", tmp)
	clearEnv(t)
	r, w := io.Pipe()
	go func() {
		_, _ = r.Read(make([]byte, 10))
		_ = r.Close()
	}()
	var errs bytes.Buffer
	require.Equal(t, cli.Interrupted, run(t.Context(), nil, w, &errs))
	require.Contains(t, errs.String(), "nobody reads the output any more")
	entries, err := os.ReadDir(tmp)
	require.NoError(t, err)
	require.Empty(t, entries)
}

func TestSampleIsTheSameHoweverItIsRead(t *testing.T) {
	want := make([]byte, 1000)
	_, err := sample{}.ReadAt(want, 12345)
	require.NoError(t, err)
	for i := range want {
		var b [1]byte
		_, err := sample{}.ReadAt(b[:], 12345+int64(i))
		require.NoError(t, err)
		require.Equal(t, want[i], b[0])
	}
	n, err := sample{}.ReadAt(want, sampleSize-10)
	require.Equal(t, 10, n)
	require.ErrorIs(t, err, io.EOF)
}
