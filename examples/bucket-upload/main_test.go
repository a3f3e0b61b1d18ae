package main

import (
	"bytes"
	"context"
	"crypto/md5"
	"encoding/hex"
	"encoding/json"
	"math/rand/v2"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"go.uber.org/goleak"

	"github.com/imagejobs/imagejobs-go/examples/internal/cli"
	"github.com/imagejobs/imagejobs-go/examples/internal/oracle"
	"github.com/imagejobs/imagejobs-go/oraclemarket"
	"github.com/imagejobs/imagejobs-go/oraclemarket/oraclemarkettest"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

const mib = 1 << 20

// start starts a service and returns the arguments for it, but for the image.
func start(t *testing.T, opts ...oraclemarkettest.Option) (*oraclemarkettest.Server, []string) {
	t.Helper()
	server := oraclemarkettest.NewServer(append([]oraclemarkettest.Option{oraclemarkettest.WithJobTime(0)}, opts...)...)
	t.Cleanup(server.Close)
	for _, name := range append(oracle.Variables(), urlVariable) {
		t.Setenv(name, "")
	}
	for _, line := range server.Env() {
		name, value, _ := strings.Cut(line, "=")
		t.Setenv(name, value)
	}
	return server, []string{
		"-application", "app", "-image-version", "1", "-os", "Linux", "-checkpoint-dir", filepath.Join(t.TempDir(), "state"),
	}
}

// runProgram runs the program and returns what it printed.
func runProgram(ctx context.Context, args ...string) (code int, stdout, stderr string) {
	var out, errs bytes.Buffer
	code = (&program{minPause: time.Millisecond}).run(ctx, args, &out, &errs)
	return code, out.String(), errs.String()
}

// content is an image that no other seed has.
func content(seed byte, size int) []byte {
	data := make([]byte, size)
	_, _ = rand.NewChaCha8([32]byte{seed}).Read(data)
	return data
}

// store serves an image, as a CDN or a bucket does over HTTP.
type store struct {
	*httptest.Server

	mu       sync.Mutex
	data     []byte
	etag     string
	requests []http.Header
	// before is called with the number of each request, from 1. It reports
	// whether it has responded.
	before func(n int, w http.ResponseWriter, r *http.Request) bool
}

func serve(t *testing.T, data []byte) *store {
	t.Helper()
	s := &store{data: data, etag: `"first"`}
	s.Server = httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		s.mu.Lock()
		s.requests = append(s.requests, r.Header)
		n, before := len(s.requests), s.before
		s.mu.Unlock()
		if before != nil && before(n, w, r) {
			return
		}
		s.mu.Lock()
		data, etag := s.data, s.etag
		s.mu.Unlock()
		w.Header().Set("ETag", etag)
		http.ServeContent(w, r, "", time.Time{}, bytes.NewReader(data))
	}))
	t.Cleanup(s.Close)
	return s
}

// replace puts another object in the place of the first.
func (s *store) replace(data []byte, etag string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.data, s.etag = data, etag
}

func (s *store) count() int {
	s.mu.Lock()
	defer s.mu.Unlock()
	return len(s.requests)
}

// place stores data as an object of a bucket of files and returns the arguments
// for it.
func place(t *testing.T, data []byte) (file string, args []string) {
	t.Helper()
	dir := t.TempDir()
	file = filepath.Join(dir, "image.tar.gz")
	require.NoError(t, os.WriteFile(file, data, 0o600))
	return file, []string{"-bucket", "file://" + filepath.ToSlash(dir), "-key", "image.tar.gz"}
}

func requireUploaded(t *testing.T, server *oraclemarkettest.Server, data []byte) {
	t.Helper()
	require.Len(t, server.Uploads(), 1)
	got, err := server.Uploads()[0].MD5()
	require.NoError(t, err)
	want := md5.Sum(data)
	require.Equal(t, hex.EncodeToString(want[:]), got)
}

func TestUpload(t *testing.T) {
	data := content(1, 5*mib+17)
	for _, more := range [][]string{{"-chunk-size", "1MiB"}, {"-chunk-size", "1MiB", "-once"}, {"-chunk-size", "300KB"}, {}} {
		for _, from := range []string{"bucket", "URL"} {
			server, args := start(t)
			image := []string{"-url", serve(t, data).URL + "/images/image.tar.gz"}
			if from == "bucket" {
				_, image = place(t, data)
			}
			code, out, errs := runProgram(t.Context(), append(append(args, image...), more...)...)
			require.Equal(t, cli.Done, code, errs)
			require.Contains(t, out, "Completed: image.tar.gz, 5242897 bytes, in ")
			requireUploaded(t, server, data)
		}
	}
}

// Pieces of 32 to 256 KiB are read with one request for all of a chunk, for its
// checksum and to send it, or with one for the whole image.
func TestRequests(t *testing.T) {
	const chunks = 3
	data := content(2, (chunks-1)*64*mib+mib)
	for flag, limit := range map[string]int{
		// The first byte, twice the first and the last MiB, and each chunk twice.
		"-once=false": 1 + 4 + 2*chunks,
		"-once":       1 + chunks,
	} {
		server, args := start(t, oraclemarkettest.WithDiscard())
		images := serve(t, data)
		code, out, errs := runProgram(t.Context(), append(args, "-url", images.URL+"/image", "-chunk-size", "64MiB", flag)...)
		require.Equal(t, cli.Done, code, errs)
		require.Equal(t, chunks, server.Processed(oraclemarkettest.OpUploadChunk))
		require.LessOrEqual(t, images.count(), limit, out)
		t.Logf("%s: %d requests for %d chunks of 64 MiB and less:\n%s", flag, images.count(), chunks, out)
	}
}

// An object that is replaced during an upload does not become an image, in
// however its store shows that.
func TestObjectChanges(t *testing.T) {
	data, other := content(3, 8*mib), content(4, 8*mib)
	copy(other[:2*mib], data) // what a fingerprint could find out
	copy(other[6*mib:], data[6*mib:])
	cases := map[string]struct {
		size   int
		before func(http.Header) // what the store forgets of a request
		err    string
	}{
		"If-Match":           {8 * mib, func(http.Header) {}, "/…/image was replaced"},
		"ETag":               {8 * mib, func(h http.Header) { h.Del("If-Match") }, `the ETag of http://127.0.0.1`},
		"size":               {8*mib - 5, func(h http.Header) { h.Del("If-Match") }, "its size was 8388608 and is 8388603"},
		"shorter than asked": {2 * mib, func(h http.Header) { h.Del("If-Match") }, ""},
	}
	for name, test := range cases {
		t.Run(name, func(t *testing.T) {
			server, args := start(t)
			images := serve(t, data)
			images.before = func(n int, _ http.ResponseWriter, r *http.Request) bool {
				if n == 9 {
					images.replace(other[:test.size], `"second"`)
				}
				test.before(r.Header)
				return false
			}
			code, _, errs := runProgram(t.Context(), append(args, "-url", images.URL+"/image", "-chunk-size", "1MiB", "-concurrency", "1")...)
			require.Equal(t, cli.Failed, code)
			require.Contains(t, errs, "the source changed since the upload began")
			require.Contains(t, errs, test.err)
			require.Contains(t, errs, "or start over with -restart")
			require.NotZero(t, server.Processed(oraclemarkettest.OpUploadChunk))
			require.Zero(t, server.Count(oraclemarkettest.OpMerge))
			require.Less(t, images.count(), 15, "it continued after the change")
		})
	}
	t.Run("bucket", func(t *testing.T) {
		server, args := start(t)
		file, image := place(t, data)
		server.Inject(oraclemarkettest.Fault{Operation: oraclemarkettest.OpUploadChunk, Match: func(r *http.Request) bool {
			if r.Header.Get("X-Chunk-Number") == "3" {
				require.NoError(t, os.WriteFile(file+".new", other, 0o600))
				require.NoError(t, os.Rename(file+".new", file))
			}
			return false
		}})
		code, _, errs := runProgram(t.Context(), append(append(args, image...), "-chunk-size", "1MiB", "-concurrency", "1")...)
		require.Equal(t, cli.Failed, code)
		require.Contains(t, errs, "the ETag of image.tar.gz was ")
		require.Zero(t, server.Count(oraclemarkettest.OpMerge))
	})
}

// What an interrupted upload has sent is compared with the object of the next
// run. -restart takes another one.
func TestResume(t *testing.T) {
	data, other := content(5, 8*mib), content(6, 8*mib)
	server, args := start(t)
	images := serve(t, data)
	args = append(args, "-url", images.URL+"/image", "-chunk-size", "1MiB")
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	server.Inject(oraclemarkettest.Fault{
		Operation: oraclemarkettest.OpUploadChunk,
		Match: func(r *http.Request) bool {
			if r.Header.Get("X-Chunk-Number") == "4" {
				cancel()
				return true
			}
			return false
		},
		Stall: oraclemarkettest.StallResponse,
	})
	code, _, errs := runProgram(ctx, append(args, "-concurrency", "1")...)
	require.Equal(t, cli.Interrupted, code, errs)
	require.Contains(t, errs, "interrupted after 3 of 8 chunks")

	images.replace(other, `"second"`)
	code, _, errs = runProgram(t.Context(), args...)
	require.Equal(t, cli.Failed, code)
	require.Contains(t, errs, "the source changed since the upload began")
	require.Zero(t, server.Count(oraclemarkettest.OpMerge))

	images.replace(data, `"third"`) // the same bytes again
	code, out, errs := runProgram(t.Context(), args...)
	require.Equal(t, cli.Done, code, errs)
	require.Contains(t, out, "3 of 8 chunks are uploaded already")
	requireUploaded(t, server, data)

	images.replace(other, `"second"`)
	code, _, errs = runProgram(t.Context(), append(args, "-restart")...)
	require.Equal(t, cli.Failed, code)
	require.Contains(t, errs, "overwriteStorageFile is not true")
	code, _, errs = runProgram(t.Context(), append(args, "-restart", "-overwrite")...)
	require.Equal(t, cli.Done, code, errs)
}

// Streams that break are continued where they broke.
func TestBrokenStreams(t *testing.T) {
	data := content(7, 8*mib)
	for _, flag := range []string{"-once=false", "-once"} {
		server, args := start(t)
		images := serve(t, data)
		images.before = func(n int, w http.ResponseWriter, r *http.Request) bool {
			switch n % 3 {
			case 2:
				http.Error(w, "try again", http.StatusServiceUnavailable)
				return true
			case 0: // about half a MiB arrives
				w.Header().Set("ETag", `"first"`)
				http.ServeContent(&cutWriter{w, mib / 2}, r, "", time.Time{}, bytes.NewReader(data))
				return true
			}
			return false
		}
		code, out, errs := runProgram(t.Context(), append(args, "-url", images.URL+"/image", "-chunk-size", "4MiB", flag)...)
		require.Equal(t, cli.Done, code, errs)
		requireUploaded(t, server, data)
		require.Less(t, images.count(), 40, out)
	}
}

// cutWriter closes the connection after some bytes.
type cutWriter struct {
	http.ResponseWriter

	left int
}

func (w *cutWriter) Write(p []byte) (int, error) {
	n, err := w.ResponseWriter.Write(p[:min(len(p), w.left)])
	if w.left -= n; w.left == 0 {
		_ = http.NewResponseController(w.ResponseWriter).Flush()
		panic(http.ErrAbortHandler)
	}
	return n, err
}

func TestCheck(t *testing.T) {
	server, args := start(t)
	images := serve(t, content(8, 100))
	code, out, errs := runProgram(t.Context(), append(args, "-check", "-url", images.URL+"/dir/image.tar.gz?version=3")...)
	require.Equal(t, cli.Done, code, errs)
	require.Equal(t, "checked: arguments, image.tar.gz of 100 B, and credentials; nothing was uploaded\n", out)
	require.Zero(t, server.Count(oraclemarkettest.OpInitiate))
	require.Equal(t, 1, images.count())
}

func TestDemo(t *testing.T) {
	start(t)
	t.Setenv("ORACLE_MARKETPLACE_ENDPOINT", "")
	for _, name := range oracle.Variables() {
		t.Setenv(name, "")
	}
	code, out, errs := runProgram(t.Context(), "-no-wait")
	require.Equal(t, cli.Done, code, errs)
	require.Regexp(t, `^demo: using the built-in service at `, out)
	require.Contains(t, out, ": sample-image.tar.gz, 67108864 bytes")
}

func TestArguments(t *testing.T) {
	server, args := start(t)
	_, image := place(t, []byte("image"))
	usage := func(want string, more ...string) {
		t.Helper()
		code, _, errs := runProgram(t.Context(), append(args, more...)...)
		require.Equal(t, cli.Usage, code, errs)
		require.Contains(t, errs, want)
	}
	usage("-url, or -bucket and -key, must be set")
	usage("-bucket and -key must be set together", "-key", "image")
	usage("-url must not be set together with -bucket or -key", "-url", "https://example.com/image", "-key", "image")
	usage("-bucket must be a URL of the schemes [file mem]: build with -tags s3, gs or azblob for others", "-bucket", "s3://images", "-key", "image")
	usage("-bucket must be a URL", "-bucket", "images", "-key", "image")
	usage("-bucket is not a URL", "-bucket", "file://%zz", "-key", "image")
	usage("-bucket cannot be opened", "-bucket", "file:///no/such/folder", "-key", "image")
	usage("-url must be absolute", "-url", "ftp://example.com/image")
	usage("-url must not have a fragment", "-url", "https://example.com/image#1")
	usage("-url must begin with https", "-url", "http://example.com/image?signature=1")
	usage("-concurrency must be", append(image, "-concurrency", "65")...)
	usage("-os must", append(image, "-os", "")...)
	usage("-checkpoint-dir must not be empty", append(image, "-checkpoint-dir", "")...)
	require.Zero(t, server.Count(oraclemarkettest.OpInitiate))
	code, _, errs := runProgram(t.Context(), append(args, image[0], image[1], "-key", "other")...)
	require.Equal(t, cli.Failed, code)
	require.Contains(t, errs, "NotFound")
}

func TestJSON(t *testing.T) {
	_, args := start(t)
	_, image := place(t, []byte("image"))
	code, out, _ := runProgram(t.Context(), append(append(args, image...), "-json")...)
	require.Equal(t, cli.Done, code)
	var last cli.Event
	for line := range strings.Lines(out) {
		require.NoError(t, json.Unmarshal([]byte(line), &last))
	}
	require.Equal(t, cli.End, last.Event)
}

// The client chooses the same.
func TestChunkSize(t *testing.T) {
	for _, size := range []int64{1, 16 * mib, 256 * mib, 256*mib + 1, 1 << 30, 1<<30 + 1, 4 << 30, 1 << 40} {
		server := oraclemarkettest.NewServer(oraclemarkettest.WithDiscard())
		ctx, cancel := context.WithCancel(t.Context())
		var chunks int
		_, err := server.Client().MachineImages.Upload(ctx, &oraclemarket.ImageUpload{
			Application: "app", Version: "1", OperatingSystem: "Linux", FileName: "image", Size: size, File: zeros{},
			Progress: func(p oraclemarket.UploadProgress) { chunks = p.TotalChunks; cancel() },
		})
		cancel()
		require.True(t, err == nil || ctx.Err() != nil, err)
		require.EqualValues(t, (size-1)/chunkSize(size)+1, chunks, size)
		server.Close()
	}
}

type zeros struct{}

func (zeros) ReadAt(p []byte, _ int64) (int, error) {
	clear(p)
	return len(p), nil
}
