package activities

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"net/http/httptest"
	"net/url"
	"os"
	"strings"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"
	"go.temporal.io/api/serviceerror"
	"go.temporal.io/sdk/activity"
	"go.temporal.io/sdk/temporal"

	"github.com/imagejobs/imagejobs-go/examples/fleet/workflows"
	"github.com/imagejobs/imagejobs-go/oraclemarket"
	"github.com/imagejobs/imagejobs-go/oraclemarket/oraclemarkettest"
)

func TestUploadImage(t *testing.T) { synctest.Test(t, testUploadImage) }

func testUploadImage(t *testing.T) {
	r := newRig(t)
	server := r.oracle(t)
	in := image(t, 9500)
	task := workflows.UploadTask{Input: in}
	progress, err := attempt[workflows.UploadProgress](t, r, r.UploadImage, nil, task)
	require.NoError(t, err)
	require.Equal(t, 10, progress.Chunks)
	require.EqualValues(t, 9500, progress.Bytes)
	require.NotZero(t, progress.UploadRequestID)

	// The worker is lost before the server knows that the activity is complete.
	again, err := attempt[workflows.UploadProgress](t, r, r.UploadImage, r.last(), task)
	require.NoError(t, err)
	require.Equal(t, progress.UploadRequestID, again.UploadRequestID)
	require.Len(t, server.Uploads(), 1)

	path, err := attempt[string](t, r, r.FinishUpload, nil, workflows.UploadTask{Input: in, Progress: progress})
	require.NoError(t, err)
	require.Equal(t, oraclemarkettest.Completed, server.Uploads()[0].Status)
	require.Contains(t, path, "image.tar.gz")
	requireSent(t, server, in.Source)

	// Nor does it need the file any more.
	require.NoError(t, os.Remove(in.Source))
	again, err = attempt[workflows.UploadProgress](t, r, r.UploadImage, r.last(), task)
	require.NoError(t, err)
	require.Equal(t, progress.UploadRequestID, again.UploadRequestID)
	require.Len(t, server.Uploads(), 1)
}

// requireSent requires one upload whose chunks were received once each.
func requireSent(t *testing.T, server *oraclemarkettest.Server, path string) {
	t.Helper()
	uploads := server.Uploads()
	require.Len(t, uploads, 1)
	for number, n := range uploads[0].Receipts {
		require.Equal(t, 1, n, "chunk %d", number)
	}
	body, err := uploads[0].Open()
	require.NoError(t, err)
	defer func() { _ = body.Close() }()
	want, err := os.ReadFile(path)
	require.NoError(t, err)
	var got bytes.Buffer
	_, err = got.ReadFrom(body)
	require.NoError(t, err)
	require.True(t, bytes.Equal(want, got.Bytes()))
}

// stallAt stalls the uploading of a chunk until its connection is closed.
func stallAt(server *oraclemarkettest.Server, chunk string, then func()) {
	server.Inject(oraclemarkettest.Fault{
		Operation: oraclemarkettest.OpUploadChunk,
		Match: func(r *http.Request) bool {
			if r.Header.Get("X-Chunk-Number") != chunk {
				return false
			}
			then()
			return true
		},
		Stall: oraclemarkettest.StallRequestBody,
	})
}

func TestUploadImageIsHandedOver(t *testing.T) { synctest.Test(t, testUploadImageIsHandedOver) }

func testUploadImageIsHandedOver(t *testing.T) {
	r := newRig(t)
	server := r.oracle(t)
	in := image(t, 9500)
	in.Concurrency = 1
	task := workflows.UploadTask{Input: in}
	stallAt(server, "5", func() { close(r.stop) })
	_, err := attempt[workflows.UploadProgress](t, r, r.UploadImage, nil, task)
	failed := requireFailure(t, err, workflows.ErrorTransient, true)
	require.Contains(t, failed.Message(), "the worker stops")
	require.Equal(t, time.Millisecond, failed.NextRetryDelay())
	var last workflows.UploadProgress
	require.NoError(t, failed.Details(&last))
	require.Equal(t, 4, last.Chunks)

	other := newRig(t)
	other.Oracle = r.Oracle
	_, err = attempt[workflows.UploadProgress](t, other, other.UploadImage, r.last(), task)
	require.NoError(t, err)
	requireSent(t, server, in.Source)
}

// A new activity has no heartbeat, but the details of the failure before.
func TestUploadImageResumesFromDetails(t *testing.T) {
	synctest.Test(t, testUploadImageResumesFromDetails)
}

func testUploadImageResumesFromDetails(t *testing.T) {
	r := newRig(t)
	server := r.oracle(t)
	in := image(t, 9500)
	in.Concurrency = 1
	stallAt(server, "5", func() { close(r.stop) })
	_, err := attempt[workflows.UploadProgress](t, r, r.UploadImage, nil, workflows.UploadTask{Input: in})
	task := workflows.UploadTask{Input: in}
	require.NoError(t, requireFailure(t, err, workflows.ErrorTransient, true).Details(&task.Progress))
	r.stop = make(chan struct{})
	_, err = attempt[workflows.UploadProgress](t, r, r.UploadImage, nil, task)
	require.NoError(t, err)
	requireSent(t, server, in.Source)
}

func TestHeartbeatEndsAnUpload(t *testing.T) {
	for name, test := range map[string]struct {
		heartbeat error
		canceled  bool
	}{
		"canceled": {temporal.NewCanceledError(), true},
		"paused":   {activity.ErrActivityPaused, false},
		"reset":    {activity.ErrActivityReset, false},
		"lost":     {serviceerror.NewNotFound("activity not found"), false},
		"outage":   {serviceerror.NewUnavailable("the server is down"), false},
	} {
		bubble(t, name, func(t *testing.T) {
			t.Helper()
			r := newRig(t)
			server := r.oracle(t)
			r.onRecord = func(details any) error {
				if p, ok := details.(workflows.UploadProgress); ok && p.Chunks > 3 {
					return test.heartbeat
				}
				return nil
			}
			_, err := attempt[workflows.UploadProgress](t, r, r.UploadImage, nil, workflows.UploadTask{Input: image(t, 9500)})
			var last workflows.UploadProgress
			if test.canceled {
				var canceled *temporal.CanceledError
				require.ErrorAs(t, err, &canceled)
				require.NoError(t, canceled.Details(&last))
			} else {
				require.NoError(t, requireFailure(t, err, workflows.ErrorTransient, true).Details(&last))
			}
			require.Equal(t, server.Uploads()[0].ID, last.UploadRequestID)
			require.Equal(t, oraclemarkettest.Initiated, server.Uploads()[0].Status)

			left, err := attempt[string](t, newRigWith(t, r), (&Activities{}).DiscardUpload, nil,
				workflows.UploadTask{Input: image(t, 9500), Progress: last})
			require.NoError(t, err)
			require.Empty(t, left)
			require.Equal(t, oraclemarkettest.Deleted, server.Uploads()[0].Status)
		})
	}
}

func newRigWith(t *testing.T, other *rig) *rig {
	t.Helper()
	r := newRig(t)
	r.Oracle = other.Oracle
	return r
}

func TestDiscardNamesWhatItLeaves(t *testing.T) { synctest.Test(t, testDiscardNamesWhatItLeaves) }

func testDiscardNamesWhatItLeaves(t *testing.T) {
	r := newRig(t)
	r.oracle(t)
	in := image(t, 3000)
	progress, err := attempt[workflows.UploadProgress](t, r, r.UploadImage, nil, workflows.UploadTask{Input: in})
	require.NoError(t, err)
	left, err := attempt[string](t, r, r.DiscardUpload, nil, workflows.UploadTask{Input: in, Progress: progress})
	require.NoError(t, err)
	require.Contains(t, left, "which is merged already")
	left, err = attempt[string](t, r, r.DiscardUpload, nil, workflows.UploadTask{Input: in})
	require.NoError(t, err)
	require.Empty(t, left)
}

func TestUploadImageErrors(t *testing.T) {
	for name, test := range map[string]struct {
		prepare func(t *testing.T, r *rig, server *oraclemarkettest.Server, in *workflows.UploadImageInput)
		kind    string
		retry   bool
		text    string
	}{
		"no credentials": {func(t *testing.T, r *rig, _ *oraclemarkettest.Server, _ *workflows.UploadImageInput) {
			t.Helper()
			t.Setenv("ORACLE_MARKETPLACE_USER", "")
			r.Oracle = FromEnv().Oracle
		}, workflows.ErrorArgument, false, "ORACLE_MARKETPLACE_USER"},
		"no source": {func(_ *testing.T, _ *rig, _ *oraclemarkettest.Server, in *workflows.UploadImageInput) {
			in.Source += ".missing"
		}, workflows.ErrorArgument, false, "UploadImageInput.Source: open "},
		"folder": {func(t *testing.T, _ *rig, _ *oraclemarkettest.Server, in *workflows.UploadImageInput) {
			t.Helper()
			in.Source = t.TempDir()
		}, workflows.ErrorArgument, false, "is not a regular file"},
		"empty": {func(t *testing.T, _ *rig, _ *oraclemarkettest.Server, in *workflows.UploadImageInput) {
			t.Helper()
			require.NoError(t, os.Truncate(in.Source, 0))
		}, workflows.ErrorArgument, false, "is empty"},
		"outside of the folder": {func(t *testing.T, r *rig, _ *oraclemarkettest.Server, _ *workflows.UploadImageInput) {
			t.Helper()
			r.SourceDir = t.TempDir()
		}, workflows.ErrorArgument, false, "path escapes"},
		"scheme": {func(_ *testing.T, _ *rig, _ *oraclemarkettest.Server, in *workflows.UploadImageInput) {
			in.Source = "ftp://example.com/image.tar.gz"
		}, workflows.ErrorArgument, false, `scheme "ftp"`},
		"argument": {func(_ *testing.T, _ *rig, _ *oraclemarkettest.Server, in *workflows.UploadImageInput) {
			in.Concurrency = 65
		}, workflows.ErrorArgument, false, "ImageUpload.Concurrency"},
		"refused": {func(_ *testing.T, _ *rig, server *oraclemarkettest.Server, _ *workflows.UploadImageInput) {
			server.Inject(oraclemarkettest.Fault{Operation: oraclemarkettest.OpInitiate, Status: http.StatusForbidden})
		}, workflows.ErrorRefused, false, "403"},
		"busy": {func(_ *testing.T, _ *rig, server *oraclemarkettest.Server, _ *workflows.UploadImageInput) {
			server.Inject(oraclemarkettest.Fault{Operation: oraclemarkettest.OpInitiate, Status: http.StatusServiceUnavailable, RetryAfter: "150", Times: -1})
		}, workflows.ErrorTransient, true, "503"},
	} {
		bubble(t, name, func(t *testing.T) {
			t.Helper()
			r := newRig(t)
			server := r.oracle(t)
			in := image(t, 3000)
			test.prepare(t, r, server, &in)
			_, err := attempt[workflows.UploadProgress](t, r, r.UploadImage, nil, workflows.UploadTask{Input: in})
			failed := requireFailure(t, err, test.kind, test.retry)
			require.Contains(t, failed.Message(), test.text)
			if name == "busy" {
				require.Equal(t, 150*time.Second, failed.NextRetryDelay())
			}
			require.Empty(t, server.Uploads())
		})
	}
}

func TestSourceChangedBetweenWorkers(t *testing.T) { synctest.Test(t, testSourceChangedBetweenWorkers) }

func testSourceChangedBetweenWorkers(t *testing.T) {
	r := newRig(t)
	server := r.oracle(t)
	in := image(t, 9500)
	in.Concurrency = 1
	task := workflows.UploadTask{Input: in}
	stallAt(server, "5", func() { close(r.stop) })
	_, err := attempt[workflows.UploadProgress](t, r, r.UploadImage, nil, task)
	_ = requireFailure(t, err, workflows.ErrorTransient, true)
	require.NoError(t, os.WriteFile(in.Source, bytes.Repeat([]byte{1}, 9500), 0o600))
	_, err = attempt[workflows.UploadProgress](t, newRigWith(t, r), (&Activities{}).UploadImage, r.last(), task)
	failed := requireFailure(t, err, workflows.ErrorSourceChanged, false)
	require.NoError(t, failed.Details(&task.Progress))
	require.Equal(t, server.Uploads()[0].ID, task.Progress.UploadRequestID)
}

func TestFinishUploadWaits(t *testing.T) { synctest.Test(t, testFinishUploadWaits) }

func testFinishUploadWaits(t *testing.T) {
	r := newRig(t)
	server := r.oracle(t, oraclemarkettest.WithJobTime(time.Hour))
	in := image(t, 3000)
	progress, err := attempt[workflows.UploadProgress](t, r, r.UploadImage, nil, workflows.UploadTask{Input: in})
	require.NoError(t, err)
	gets := server.Count(oraclemarkettest.OpGet)
	_, err = attempt[string](t, r, r.FinishUpload, nil, workflows.UploadTask{Input: in, Progress: progress})
	failed := requireFailure(t, err, workflows.ErrorPending, true)
	require.Regexp(t, `upload request \d+ is Pending`, failed.Message())
	require.LessOrEqual(t, failed.NextRetryDelay(), time.Second)
	require.Equal(t, gets+1, server.Count(oraclemarkettest.OpGet))
}

func TestFinishUploadEndsBadly(t *testing.T) { synctest.Test(t, testFinishUploadEndsBadly) }

func testFinishUploadEndsBadly(t *testing.T) {
	r := newRig(t)
	r.oracle(t, oraclemarkettest.WithOutcome(oraclemarkettest.IsRejected))
	in := image(t, 3000)
	progress, err := attempt[workflows.UploadProgress](t, r, r.UploadImage, nil, workflows.UploadTask{Input: in})
	if err == nil {
		_, err = attempt[string](t, r, r.FinishUpload, nil, workflows.UploadTask{Input: in, Progress: progress})
	}
	require.Contains(t, requireFailure(t, err, workflows.ErrorState, false).Message(), "Rejected")
}

// others are workers that know of the first part what the heartbeat of r has.
func (r *rig) others(t *testing.T) *rig {
	t.Helper()
	other := newRigWith(t, r)
	other.pending = func(activityType string, into any) error {
		require.Equal(t, "UploadImage", activityType)
		first, ok := r.last().(workflows.UploadProgress)
		if p, isProgress := into.(*workflows.UploadProgress); ok && isProgress {
			*p = first
		}
		return nil
	}
	return other
}

// parts uploads an image in parts, each on a worker of its own.
func parts(t *testing.T, r *rig, in workflows.UploadImageInput, n int) workflows.UploadTask {
	t.Helper()
	in.Parts = n
	task := workflows.UploadTask{Input: in}
	var err error
	task.Progress, err = attempt[workflows.UploadProgress](t, r, r.UploadImage, nil, task)
	require.NoError(t, err)
	task.Parts = append(task.Parts, task.Progress.Part)
	for i := 1; i < n; i++ {
		worker := r.others(t)
		part, err := attempt[workflows.UploadProgress](t, worker, worker.UploadPart, nil, workflows.UploadTask{Input: in, Part: i})
		require.NoError(t, err)
		require.EqualValues(t, 9500, part.Total)
		require.Equal(t, 10, part.TotalChunks)
		task.Parts = append(task.Parts, part.Part)
	}
	return task
}

func TestUploadInParts(t *testing.T) { synctest.Test(t, testUploadInParts) }

func testUploadInParts(t *testing.T) {
	r := newRig(t)
	server := r.oracle(t)
	in := image(t, 9500)
	task := parts(t, r, in, 3)
	path, err := attempt[string](t, r, r.FinishUpload, nil, task)
	require.NoError(t, err)
	require.Contains(t, path, "image.tar.gz")
	require.Equal(t, oraclemarkettest.Completed, server.Uploads()[0].Status)
	// The worker is lost before the server knows.
	path, err = attempt[string](t, r, r.FinishUpload, r.last(), task)
	require.NoError(t, err)
	require.Contains(t, path, "image.tar.gz")
	require.Equal(t, 1, server.Count(oraclemarkettest.OpMerge))
	requireSent(t, server, in.Source)
}

// While the service works on the merged parts, nothing is merged again.
func TestPartsAreMergedOnce(t *testing.T) { synctest.Test(t, testPartsAreMergedOnce) }

func testPartsAreMergedOnce(t *testing.T) {
	r := newRig(t)
	server := r.oracle(t, oraclemarkettest.WithJobTime(time.Minute))
	task := parts(t, r, image(t, 9500), 2)
	var before any
	for range 3 {
		_, err := attempt[string](t, r, r.FinishUpload, before, task)
		_ = requireFailure(t, err, workflows.ErrorPending, true)
		before = r.last()
	}
	require.Equal(t, 1, server.Count(oraclemarkettest.OpMerge))
}

// Parts wait for the first one to begin, and there may be more than chunks.
func TestPartsWaitForTheFirst(t *testing.T) { synctest.Test(t, testPartsWaitForTheFirst) }

func testPartsWaitForTheFirst(t *testing.T) {
	r := newRig(t)
	server := r.oracle(t)
	in := image(t, 9500)
	in.Parts = 20
	other := r.others(t)
	_, err := attempt[workflows.UploadProgress](t, other, other.UploadPart, nil, workflows.UploadTask{Input: in, Part: 19})
	_ = requireFailure(t, err, workflows.ErrorPending, true)
	require.Empty(t, server.Uploads())
	first, err := attempt[workflows.UploadProgress](t, r, r.UploadImage, nil, workflows.UploadTask{Input: in})
	require.NoError(t, err)
	require.Empty(t, first.Part, "it has no chunk")
	require.NotZero(t, first.UploadRequestID)
}

func TestPartOfAnotherVersion(t *testing.T) { synctest.Test(t, testPartOfAnotherVersion) }

func testPartOfAnotherVersion(t *testing.T) {
	r := newRig(t)
	server := r.oracle(t)
	in := image(t, 9500)
	in.Parts = 2
	_, err := attempt[workflows.UploadProgress](t, r, r.UploadImage, nil, workflows.UploadTask{Input: in})
	require.NoError(t, err)
	chunks := server.Count(oraclemarkettest.OpUploadChunk)
	require.NoError(t, os.Chtimes(in.Source, time.Time{}, time.Now().Add(time.Hour)))
	other := r.others(t)
	_, err = attempt[workflows.UploadProgress](t, other, other.UploadPart, nil, workflows.UploadTask{Input: in, Part: 1})
	require.Contains(t, requireFailure(t, err, workflows.ErrorSourceChanged, false).Message(), "modified at")
	require.Equal(t, chunks, server.Count(oraclemarkettest.OpUploadChunk))
}

// An adopted upload request gets all chunks, with the size that Upload would
// have chosen.
func TestAdoptedUpload(t *testing.T) { synctest.Test(t, testAdoptedUpload) }

func testAdoptedUpload(t *testing.T) {
	r := newRig(t)
	server := r.oracle(t)
	in := image(t, 9500)
	client, err := r.Oracle(t.Context())
	require.NoError(t, err)
	created, err := client.MachineImages.Initiate(t.Context(), &oraclemarket.InitiateUploadRequest{
		Application: in.Application, Version: in.Version, OperatingSystem: in.OperatingSystem, FileName: in.Name(), NumberOfChunks: 10,
	})
	require.NoError(t, err)
	task := workflows.UploadTask{Input: in, Adopted: true, Progress: workflows.UploadProgress{UploadRequestID: created.EntityID}}
	task.Progress, err = attempt[workflows.UploadProgress](t, r, r.UploadImage, nil, task)
	require.NoError(t, err)
	require.Equal(t, 10, task.Progress.TotalChunks)
	task.Parts = []json.RawMessage{task.Progress.Part}
	_, err = attempt[string](t, r, r.FinishUpload, nil, task)
	require.NoError(t, err)
	requireSent(t, server, in.Source)
}

// The heartbeats are lost, as after a reset of the activity.
func TestUnfinishedUpload(t *testing.T) { synctest.Test(t, testUnfinishedUpload) }

func testUnfinishedUpload(t *testing.T) {
	r := newRig(t)
	server := r.oracle(t)
	in := image(t, 9500)
	in.Concurrency = 1
	task := workflows.UploadTask{Input: in}
	stallAt(server, "5", func() { close(r.stop) })
	_, err := attempt[workflows.UploadProgress](t, r, r.UploadImage, nil, task)
	_ = requireFailure(t, err, workflows.ErrorTransient, true)
	r.stop = make(chan struct{})
	_, err = attempt[workflows.UploadProgress](t, r, r.UploadImage, nil, task)
	failed := requireFailure(t, err, workflows.ErrorAmbiguous, false)
	require.Contains(t, failed.Message(), fmt.Sprintf("upload request %d", server.Uploads()[0].ID))
	other := task
	other.Input.Version = "2.0"
	_, err = attempt[workflows.UploadProgress](t, r, r.UploadImage, nil, other)
	require.NoError(t, err)
	task.Repeat = true
	_, err = attempt[workflows.UploadProgress](t, r, r.UploadImage, nil, task)
	require.NoError(t, err)
	require.Len(t, server.Uploads(), 3)
}

func TestChunkSizeIsThatOfUpload(t *testing.T) {
	for size, want := range map[int64]int64{1: 16 << 20, 300 << 20: 16 << 20, 1200 << 20: 19 << 20, 4 << 30: 64 << 20} {
		require.Equal(t, want, chunkSize(0, size))
	}
	require.EqualValues(t, 5, chunkSize(5, 1<<40))
}

// What is lost of an initiate call is found, and not made again.
func TestLostInitiate(t *testing.T) { synctest.Test(t, testLostInitiate) }

func testLostInitiate(t *testing.T) {
	r := newRig(t)
	server := r.oracle(t)
	in := image(t, 9500)
	server.Inject(oraclemarkettest.Fault{Operation: oraclemarkettest.OpInitiate, Drop: oraclemarkettest.DropAfter})
	_, err := attempt[workflows.UploadProgress](t, r, r.UploadImage, nil, workflows.UploadTask{Input: in})
	require.NoError(t, err)
	requireSent(t, server, in.Source)
}

func TestUploadFromURL(t *testing.T) {
	r := newRig(t)
	server := r.oracle(t)
	in := image(t, 400_000)
	in.ChunkSize = 100_000
	path := in.Source
	var requests atomic.Int64
	files := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		requests.Add(1)
		w.Header().Set("ETag", `"1"`)
		http.ServeFile(w, r, path)
	}))
	defer files.Close()
	in.Source = files.URL + "/image.tar.gz"
	_, err := attempt[workflows.UploadProgress](t, r, r.UploadImage, nil, workflows.UploadTask{Input: in})
	require.NoError(t, err)
	requireSent(t, server, path)
	require.LessOrEqual(t, requests.Load(), int64(20), "of pieces of 32 to 256 KiB")
}

type object struct{ *bytes.Reader }

func (object) Version() (string, error) { return "1", nil }
func (object) Close() error             { return nil }

func TestUploadFromAnOpener(t *testing.T) { synctest.Test(t, testUploadFromAnOpener) }

func testUploadFromAnOpener(t *testing.T) {
	r := newRig(t)
	server := r.oracle(t)
	in := image(t, 9500)
	path := in.Source
	data, err := os.ReadFile(path)
	require.NoError(t, err)
	r.Openers = map[string]Opener{"bucket": func(_ context.Context, u *url.URL) (Source, error) {
		require.Equal(t, "bucket://nightly/image.tar.gz", u.String())
		return object{bytes.NewReader(data)}, nil
	}}
	in.Source = "bucket://nightly/image.tar.gz"
	_, err = attempt[workflows.UploadProgress](t, r, r.UploadImage, nil, workflows.UploadTask{Input: in})
	require.NoError(t, err)
	requireSent(t, server, path)
}

func TestBadURLs(t *testing.T) {
	for name, test := range map[string]struct {
		handler http.HandlerFunc
		kind    string
		text    string
	}{
		"no ranges": {func(w http.ResponseWriter, _ *http.Request) { _, _ = w.Write([]byte("all")) }, workflows.ErrorArgument, "200 OK in place of 206"},
		"missing":   {http.NotFound, workflows.ErrorArgument, "404"},
		"broken":    {func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(http.StatusInternalServerError) }, workflows.ErrorTransient, "500"},
		"range": {func(w http.ResponseWriter, _ *http.Request) {
			w.Header().Set("ETag", `"1"`)
			w.Header().Set("Content-Range", "bytes 0-1/3")
			w.WriteHeader(http.StatusPartialContent)
		}, workflows.ErrorArgument, "asked for bytes 0-0, the response has 0-1"},
		"no version": {func(w http.ResponseWriter, r *http.Request) {
			http.ServeContent(w, r, "", time.Time{}, strings.NewReader("image"))
		}, workflows.ErrorArgument, "neither ETag nor Last-Modified"},
		"redirect": {func(w http.ResponseWriter, _ *http.Request) {
			w.Header().Set("Location", "http://127.0.0.1:1/image?X-Amz-Signature=secret")
			w.WriteHeader(http.StatusFound)
		}, workflows.ErrorTransient, "connection refused"},
		"changes": {func(w http.ResponseWriter, r *http.Request) {
			w.Header().Set("ETag", `"`+r.Header.Get("Range")+`"`)
			http.ServeContent(w, r, "", time.Time{}, strings.NewReader(strings.Repeat("x", 3000)))
		}, workflows.ErrorSourceChanged, "changed"},
		"expires": {func(w http.ResponseWriter, r *http.Request) {
			thenFail(w, r, http.StatusForbidden)
		}, workflows.ErrorArgument, "403 Forbidden"},
		"breaks": {func(w http.ResponseWriter, r *http.Request) {
			thenFail(w, r, http.StatusBadGateway)
		}, workflows.ErrorTransient, "502 Bad Gateway"},
	} {
		t.Run(name, func(t *testing.T) {
			r := newRig(t)
			server := r.oracle(t)
			in := image(t, 1)
			files := httptest.NewServer(test.handler)
			defer files.Close()
			in.Source, in.FileName = files.URL+"/image.tar.gz?X-Amz-Signature=secret", "image.tar.gz"
			_, err := attempt[workflows.UploadProgress](t, r, r.UploadImage, nil, workflows.UploadTask{Input: in})
			require.Contains(t, requireFailure(t, err, test.kind, test.kind == workflows.ErrorTransient).Message(), test.text)
			require.NotContains(t, err.Error(), "secret")
			for _, upload := range server.Uploads() {
				require.Equal(t, oraclemarkettest.Initiated, upload.Status)
			}
		})
	}
	for source, text := range map[string]string{
		"http://example.com/image?X-Amz-Signature=secret": "must begin with https",
		"https://secret:a/b@host:port/image":              "is not a URL",
		"https://example.com/image#secret":                "must not have a fragment",
	} {
		r := newRig(t)
		r.oracle(t)
		in := image(t, 1)
		in.Source, in.FileName = source, "image.tar.gz"
		_, err := attempt[workflows.UploadProgress](t, r, r.UploadImage, nil, workflows.UploadTask{Input: in})
		require.Contains(t, requireFailure(t, err, workflows.ErrorArgument, false).Message(), text)
		require.NotContains(t, err.Error(), "secret")
	}
}

// thenFail serves the first byte, as when an upload begins, and no other.
func thenFail(w http.ResponseWriter, r *http.Request, status int) {
	if r.Header.Get("Range") != "bytes=0-0" {
		w.WriteHeader(status)
		return
	}
	w.Header().Set("ETag", `"1"`)
	http.ServeContent(w, r, "", time.Time{}, strings.NewReader(strings.Repeat("x", 3000)))
}

func TestClientsAreMadeOnce(t *testing.T) {
	calls := 0
	get := once(func(context.Context) (*int, error) {
		calls++
		if calls == 1 {
			return nil, errors.New("down")
		}
		return new(int), nil
	})
	_, err := get(t.Context())
	require.Error(t, err)
	first, err := get(t.Context())
	require.NoError(t, err)
	again, err := get(t.Context())
	require.NoError(t, err)
	require.Same(t, first, again)
	require.Equal(t, 2, calls)
}
