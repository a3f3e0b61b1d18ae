package conformance

import (
	"bytes"
	"context"
	"crypto/md5"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"math/rand/v2"
	"strconv"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/imagejobs/imagejobs-go/internal/emulator"
	"github.com/imagejobs/imagejobs-go/internal/transport"
	"github.com/imagejobs/imagejobs-go/internal/wire"
	"github.com/imagejobs/imagejobs-go/oraclemarket"
	"github.com/imagejobs/imagejobs-go/oraclemarket/oraclemarkettest"
)

// Each way to upload an image with each fault: one upload request on the service
// with the right bytes, or an error that says what is left, from which the same
// call goes on.
func TestUploadMatrix(t *testing.T) {
	for i, w := range uploadWays() {
		t.Run(w.name, func(t *testing.T) {
			t.Parallel()
			for j, f := range uploadFaults() {
				if leftOut(i, j) || !f.meets(&w) {
					continue
				}
				t.Run(f.name, func(t *testing.T) {
					synctest.Test(t, func(t *testing.T) { uploadCell(t, &w, &f) })
				})
			}
		})
	}
}

const (
	uploadChunk  = 1000
	uploadChunks = 20
	// uploadKept is how many chunks there are when an upload is resumed.
	uploadKept = 5
)

// uploadRig is a service, its client and what is to be uploaded.
type uploadRig struct {
	*oraclemarkettest.Server

	t     *testing.T
	way   *uploadWay
	data  []byte
	store *checkpoints
	kept  map[int]int // chunks in the checkpoint that is resumed, to how often they came
	// underWay is how many chunks may have been received in a call that failed,
	// and again in the next.
	underWay int
	images   *oraclemarket.MachineImagesService
}

func uploadCell(t *testing.T, w *uploadWay, f *uploadFault) {
	t.Helper()
	r := newUploadRig(t, w, f.options...)
	if w.before != nil {
		r.interrupt(t)
	}
	f.inject(r)
	ctx, cancel := context.WithTimeout(t.Context(), afterwards)
	defer cancel()
	err := w.run(ctx, r)
	require.NoError(t, ctx.Err())
	r.requireRequests(t, f)
	if want := f.want(w); want != nil {
		r.requireEnd(t, want, err)
		if w.store {
			r.underWay = max(w.atOnce, oraclemarket.DefaultConcurrency) // of which some may be there
			r.ClearFaults()
			require.NoError(t, w.run(ctx, r), "it goes on")
		}
	} else {
		require.NoError(t, err)
	}
	if err == nil || w.store {
		r.requireUploaded(t, f)
	}
}

func newUploadRig(t *testing.T, w *uploadWay, opts ...oraclemarkettest.Option) *uploadRig {
	t.Helper()
	listener := emulator.NewPipeListener()
	s := oraclemarkettest.NewServer(append(opts, oraclemarkettest.WithListener(listener))...)
	t.Cleanup(s.Close)
	rt := wire.NewTransport(64)
	rt.DialContext = listener.DialContext
	wire.WrapDialer(rt)
	r := &uploadRig{
		Server: s, t: t, way: w, data: make([]byte, uploadChunks*uploadChunk-1),
		images: s.Client(oraclemarket.WithHTTPClient(client(t, rt))).MachineImages,
	}
	_, _ = rand.NewChaCha8([32]byte{1}).Read(r.data) // never fails
	if w.store {
		r.store = &checkpoints{states: map[string][]byte{}}
	}
	return r
}

// image is what is uploaded, in chunks.
func (r *uploadRig) image() *oraclemarket.ImageUpload {
	req := &oraclemarket.ImageUpload{
		Application: "app", Version: "1.0", OperatingSystem: "Linux", FileName: "image.tar.gz",
		Size: int64(len(r.data)), ChunkSize: uploadChunk, Concurrency: r.way.atOnce,
		DisableChecksum: r.way.unchecked, BytesPerSecond: r.way.rate,
	}
	if r.way.piped {
		req.Reader = struct{ io.Reader }{bytes.NewReader(r.data)}
	} else {
		req.File = bytes.NewReader(r.data)
	}
	if r.way.store {
		req.Checkpoints = r.store
	}
	return req
}

// interrupt runs an upload that ends where the way says.
func (r *uploadRig) interrupt(t *testing.T) {
	t.Helper()
	r.Inject(*r.way.before)
	ctx, cancel := context.WithTimeout(t.Context(), time.Second)
	defer cancel()
	require.ErrorIs(t, r.way.run(ctx, r), context.DeadlineExceeded)
	r.ClearFaults()
	r.kept = map[int]int{}
	for _, state := range r.store.states {
		var sealed struct {
			State struct{ Acknowledged [][2]int }
		}
		require.NoError(t, json.Unmarshal(state, &sealed))
		for _, part := range sealed.State.Acknowledged {
			for n := part[0]; n <= part[1]; n++ {
				r.kept[n] = 1
			}
		}
	}
	if r.way.begins() == oraclemarkettest.OpUploadChunk {
		require.Len(t, r.kept, uploadKept)
	}
}

// requireRequests requires that the fault was met, and that each request forbids
// responses of caches.
func (r *uploadRig) requireRequests(t *testing.T, f *uploadFault) {
	t.Helper()
	met := len(f.options) > 0 || len(r.current()) < len(r.Uploads())
	for _, q := range r.Requests() {
		met = met || q.Faulted
		require.Equal(t, "no-cache, no-store", q.Header.Get("Cache-Control"), q.Operation)
	}
	require.True(t, met, "no request met the fault")
}

// requireEnd requires that err is what it should be and says what is left.
func (r *uploadRig) requireEnd(t *testing.T, want *uploadEnd, err error) {
	t.Helper()
	require.Error(t, err)
	require.NotContains(t, fmt.Sprintf("%+v", err), r.ClientSecret)
	all := r.current()
	require.LessOrEqual(t, len(all), 1, "%v", err)
	if want.ended {
		_, ok := errors.AsType[*oraclemarket.StateError](err)
		require.True(t, ok && len(all) == 0, "%v", err)
		return
	}
	e, ok := errors.AsType[*oraclemarket.Error](err)
	require.True(t, ok, "%v", err)
	require.Equal(t, want.status, e.StatusCode, "%v", err)
	if want.is != nil {
		require.ErrorIs(t, err, want.is)
	}
	left, ok := errors.AsType[*oraclemarket.UploadError](err)
	switch {
	case r.way.whole:
		require.True(t, len(all) == 0 || errors.Is(err, transport.ErrAmbiguous), "%v", err)
	case len(all) == 0: // it may not know that
		require.True(t, !ok || left.UploadRequestID == 0, "%v", err)
	default:
		require.True(t, ok, "%v", err)
		may := left.UploadRequestID == 0 && r.way.begins() == oraclemarkettest.OpInitiate // and the text says so
		require.True(t, may || left.UploadRequestID == all[0].ID, "%v", err)
		require.Equal(t, r.way.store, left.CheckpointKey != "", "%v", err)
	}
}

// current returns the upload requests that are not deleted.
func (r *uploadRig) current() (all []oraclemarkettest.Upload) {
	for _, u := range r.Uploads() {
		if u.Status != oraclemarkettest.Deleted {
			all = append(all, u)
		}
	}
	return all
}

// requireUploaded requires one upload request with the right bytes, whose chunks
// were received once, but for those whose response was spoilt.
func (r *uploadRig) requireUploaded(t *testing.T, f *uploadFault) {
	t.Helper()
	all := r.current()
	require.Len(t, all, 1+f.leaves)
	u := all[len(all)-1]
	require.Equal(t, oraclemarkettest.Completed, u.Status)
	got, err := u.MD5()
	require.NoError(t, err)
	want := md5.Sum(r.data)
	require.Equal(t, hex.EncodeToString(want[:]), got)
	if f.leaves > 0 {
		return
	}
	spoilt := map[string]int{}
	for _, q := range r.Requests() {
		if q.Faulted && q.Processed {
			spoilt[q.Header.Get("X-Chunk-Number")]++
		}
	}
	again := 0
	for number, times := range u.Receipts {
		again += max(times-1-spoilt[strconv.Itoa(number)], 0)
	}
	require.LessOrEqual(t, again, r.underWay, "chunks that were sent again")
	for number, times := range r.kept {
		require.Equal(t, times, u.Receipts[number], "chunk %d was sent again", number)
	}
	if r.store != nil {
		require.Empty(t, r.store.states)
	}
}

// checkpoints is a store in memory.
type checkpoints struct {
	mu     sync.Mutex
	states map[string][]byte
}

func (c *checkpoints) Load(_ context.Context, key string) ([]byte, error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if state, ok := c.states[key]; ok {
		return state, nil
	}
	return nil, fs.ErrNotExist
}

func (c *checkpoints) Save(_ context.Context, key string, state []byte) error {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.states[key] = state
	return nil
}

func (c *checkpoints) Delete(_ context.Context, key string) error {
	c.mu.Lock()
	defer c.mu.Unlock()
	delete(c.states, key)
	return nil
}

// uploadWay is a way to upload an image: a row of the table.
type uploadWay struct {
	name      string
	whole     bool
	atOnce    int // 0 for what fits the line
	piped     bool
	unchecked bool
	rate      int64
	store     bool
	before    *oraclemarkettest.Fault // where an earlier call ended, nil for none
}

func uploadWays() []uploadWay {
	during := func(operation string, skip int, process bool) *oraclemarkettest.Fault {
		return &oraclemarkettest.Fault{Operation: operation, Skip: skip, Process: process, Stall: oraclemarkettest.StallResponse, Times: -1}
	}
	return []uploadWay{
		{name: "whole file", whole: true},
		{name: "1 chunk at once", atOnce: 1, store: true},
		{name: "16 chunks at once", atOnce: 16, store: true},
		{name: "as many chunks at once as fit the line", store: true},
		{name: "without checkpoints", atOnce: 4},
		{name: "reader", atOnce: 4, piped: true, store: true},
		{name: "reader without checkpoints", atOnce: 4, piped: true},
		{name: "limited, unchecked", atOnce: 4, unchecked: true, rate: 10 * uploadChunk, store: true},
		{name: "limited, unchecked reader", atOnce: 4, piped: true, unchecked: true, rate: 10 * uploadChunk, store: true},
		{name: "resumed in initiate", atOnce: 4, store: true, before: during(oraclemarkettest.OpInitiate, 0, true)},
		{name: "resumed in a chunk", atOnce: 4, store: true, before: during(oraclemarkettest.OpUploadChunk, uploadKept, true)},
		{name: "resumed in a chunk, 1 at once, unchecked", atOnce: 1, store: true, unchecked: true, before: during(oraclemarkettest.OpUploadChunk, uploadKept, true)},
		{name: "resumed reader", atOnce: 4, piped: true, store: true, before: during(oraclemarkettest.OpUploadChunk, uploadKept, true)},
		{name: "resumed in merge", atOnce: 4, store: true, before: during(oraclemarkettest.OpMerge, 0, false)},
	}
}

func (w *uploadWay) run(ctx context.Context, r *uploadRig) error {
	if !w.whole {
		_, err := r.images.Upload(ctx, r.image())
		return err
	}
	_, err := r.images.Create(ctx, &oraclemarket.CreateMachineImageRequest{
		Application: "app", Version: "1.0", OperatingSystem: "Linux", FileName: "image.tar.gz",
		File: bytes.NewReader(r.data), Size: int64(len(r.data)),
	})
	if err == nil {
		_, err = r.images.Wait(ctx, r.Uploads()[0].ID)
	}
	return err
}

// begins is the operation with which the way begins.
func (w *uploadWay) begins() string {
	switch {
	case w.whole:
		return oraclemarkettest.OpCreate
	case w.before == nil:
		return oraclemarkettest.OpInitiate
	}
	return w.before.Operation
}

// uploadFault is what goes wrong: a column of the table.
type uploadFault struct {
	name    string
	options []oraclemarkettest.Option
	inject  func(*uploadRig)
	meets   func(*uploadWay) bool
	want    func(*uploadWay) *uploadEnd // nil for a success
	leaves  int                         // other upload requests, which the service does not show
}

// uploadEnd is an error with which an upload ends.
type uploadEnd struct {
	status int   // of the response, 0 for none
	is     error // nil for no other sign
	ended  bool  // it is a [*oraclemarket.StateError]
}
