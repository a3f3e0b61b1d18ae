package oraclemarket_test

import (
	"bytes"
	"context"
	"crypto/fips140"
	"crypto/md5"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"io/fs"
	"math/rand/v2"
	"net"
	"net/http"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/imagejobs/imagejobs-go/internal/emulator"
	"github.com/imagejobs/imagejobs-go/internal/wire"
	"github.com/imagejobs/imagejobs-go/oraclemarket"
	"github.com/imagejobs/imagejobs-go/oraclemarket/oraclemarkettest"
)

// uploadRig is a service and its client.
type uploadRig struct {
	*oraclemarkettest.Server

	images *oraclemarket.MachineImagesService
}

type (
	serverOptions []oraclemarkettest.Option
	clientOptions []oraclemarket.Option
)

// lag is how long a lost upload request is searched for where the time is real.
const lag = 100 * time.Millisecond

// overTCP is a rig on a loopback socket, in real time: jobs end at once.
func overTCP(t *testing.T, server serverOptions, client clientOptions) *uploadRig {
	t.Helper()
	s := oraclemarkettest.NewServer(append(serverOptions{oraclemarkettest.WithJobTime(0)}, server...)...)
	t.Cleanup(s.Close)
	return &uploadRig{Server: s, images: uploadClient(t, s, &net.Dialer{}, append(clientOptions{oraclemarket.WithLag(lag)}, client...))}
}

type dialer interface {
	DialContext(ctx context.Context, network, addr string) (net.Conn, error)
}

func uploadClient(t *testing.T, s *oraclemarkettest.Server, dialer dialer, opts clientOptions) *oraclemarket.MachineImagesService {
	t.Helper()
	// Its connections wait for the response to a request that was refused early.
	transport := wire.NewTransport(64)
	transport.DialContext = dialer.DialContext
	wire.WrapDialer(transport)
	t.Cleanup(transport.CloseIdleConnections)
	all := append(clientOptions{
		oraclemarket.WithBaseURL(s.URL),
		oraclemarket.WithHTTPClient(&http.Client{Transport: transport}),
	}, opts...)
	c, err := oraclemarket.New(s.User, oraclemarket.ClientCredentials(s.ClientID, s.ClientSecret), all...)
	require.NoError(t, err)
	return c.MachineImages
}

// inMemory is a rig for a bubble of virtual time, with connections in memory:
// back-offs, stalls and jobs have their real lengths and take no time.
func inMemory(t *testing.T, server serverOptions, client clientOptions) *uploadRig {
	t.Helper()
	listener := emulator.NewPipeListener()
	s := oraclemarkettest.NewServer(append(serverOptions{oraclemarkettest.WithListener(listener)}, server...)...)
	t.Cleanup(s.Close)
	return &uploadRig{Server: s, images: uploadClient(t, s, listener, client)}
}

// inMemoryThrough is such a rig whose requests go through what wrap makes of
// the connections.
func inMemoryThrough(t *testing.T, client clientOptions, wrap func(next http.RoundTripper) http.RoundTripper) *uploadRig {
	t.Helper()
	listener := emulator.NewPipeListener()
	s := oraclemarkettest.NewServer(oraclemarkettest.WithListener(listener))
	t.Cleanup(s.Close)
	transport := &http.Transport{DialContext: listener.DialContext}
	t.Cleanup(transport.CloseIdleConnections)
	through := oraclemarket.WithHTTPClient(&http.Client{Transport: wrap(transport)})
	return &uploadRig{Server: s, images: uploadClient(t, s, listener, append(client, through))}
}

// randomBytes is n bytes, the same ones each time.
func randomBytes(n int) []byte {
	data := make([]byte, n)
	_, _ = rand.NewChaCha8([32]byte{1}).Read(data)
	return data
}

func md5Hex(data []byte) (text string) {
	fips140.WithoutEnforcement(func() {
		sum := md5.Sum(data)
		text = hex.EncodeToString(sum[:])
	})
	return text
}

const testChunk = 1000

// imageOf is an upload of data in chunks of testChunk bytes.
func imageOf(data []byte, store oraclemarket.CheckpointStore) *oraclemarket.ImageUpload {
	return &oraclemarket.ImageUpload{
		Application: "wordpress", Version: "OL67", OperatingSystem: "Linux", FileName: "wordpress.tar.gz",
		File: bytes.NewReader(data), Size: int64(len(data)),
		ChunkSize: testChunk, Concurrency: 3, Checkpoints: store,
	}
}

// only is the one upload request that the service has.
func (r *uploadRig) only(t *testing.T) oraclemarkettest.Upload {
	t.Helper()
	all := r.Uploads()
	require.Len(t, all, 1)
	return all[0]
}

// requireImage makes sure that an upload request has become exactly data.
func requireImage(t *testing.T, u oraclemarkettest.Upload, data []byte) {
	t.Helper()
	require.Equal(t, oraclemarkettest.Completed, u.Status)
	sum, err := u.MD5()
	require.NoError(t, err)
	require.Equal(t, md5Hex(data), sum)
}

// requireReceipts makes sure that no chunk came twice, but for those whose
// response was lost to a fault.
func (r *uploadRig) requireReceipts(t *testing.T, u oraclemarkettest.Upload) {
	t.Helper()
	spoilt := map[string]int{}
	for _, req := range r.Requests() {
		if req.Operation == oraclemarkettest.OpUploadChunk && req.Processed && req.Faulted {
			spoilt[req.Header.Get("X-Chunk-Number")]++
		}
	}
	for number, times := range u.Receipts {
		require.LessOrEqual(t, times, 1+spoilt[jsonText(t, number)], "chunk %d", number)
	}
}

func jsonText(t *testing.T, v any) string {
	t.Helper()
	text, err := json.Marshal(v)
	require.NoError(t, err)
	return string(text)
}

// memStore keeps checkpoints in memory and cannot lock.
type memStore struct {
	mu     sync.Mutex
	states map[string][]byte
	saved  [][]byte
	// onSave may fail the nth save, from 1.
	onSave func(n int) error
}

func (s *memStore) Load(_ context.Context, key string) ([]byte, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if state, ok := s.states[key]; ok {
		return state, nil
	}
	return nil, fs.ErrNotExist
}

func (s *memStore) Save(ctx context.Context, key string, state []byte) error {
	if ctx.Err() != nil {
		return ctx.Err()
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	s.saved = append(s.saved, state)
	if s.onSave != nil {
		if err := s.onSave(len(s.saved)); err != nil {
			return err
		}
	}
	if s.states == nil {
		s.states = map[string][]byte{}
	}
	s.states[key] = state
	return nil
}

func (s *memStore) Delete(ctx context.Context, key string) error {
	if ctx.Err() != nil {
		return ctx.Err()
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	delete(s.states, key)
	return nil
}

// checkpointState is what a test wants to know of a checkpoint.
type checkpointState struct {
	Phase           string   `json:"phase"`
	UploadRequestID int64    `json:"uploadRequestId"`
	Acknowledged    [][2]int `json:"acknowledged"`
}

func decodeState(t *testing.T, data []byte) checkpointState {
	t.Helper()
	var sealed struct {
		State checkpointState `json:"state"`
	}
	require.NoError(t, json.Unmarshal(data, &sealed))
	return sealed.State
}

// resealed is a checkpoint in which something was changed.
func resealed(t *testing.T, data []byte, change func(fields map[string]any)) []byte {
	t.Helper()
	var sealed struct {
		SHA256 string         `json:"sha256"`
		State  map[string]any `json:"state"`
	}
	require.NoError(t, json.Unmarshal(data, &sealed))
	change(sealed.State)
	sum := sha256.Sum256([]byte(jsonText(t, sealed.State)))
	sealed.SHA256 = hex.EncodeToString(sum[:])
	return []byte(jsonText(t, sealed))
}

// numbers are the acknowledged chunks.
func (s checkpointState) numbers() []int {
	var all []int
	for _, r := range s.Acknowledged {
		for n := r[0]; n <= r[1]; n++ {
			all = append(all, n)
		}
	}
	return all
}

// only is the one checkpoint of the store.
func (s *memStore) only(t *testing.T) checkpointState {
	t.Helper()
	s.mu.Lock()
	defer s.mu.Unlock()
	require.Len(t, s.states, 1)
	for _, state := range s.states {
		return decodeState(t, state)
	}
	return checkpointState{}
}

func (s *memStore) empty(t *testing.T) {
	t.Helper()
	s.mu.Lock()
	defer s.mu.Unlock()
	require.Empty(t, s.states)
}

// interruptAfter returns a context that ends when so many chunks are kept and
// another one is under way. The service carries out no more than those.
func (r *uploadRig) interruptAfter(ctx context.Context, req *oraclemarket.ImageUpload, chunks int) context.Context {
	ctx, cancel := context.WithCancel(ctx)
	var arrived atomic.Int64
	var kept atomic.Bool
	r.Inject(oraclemarkettest.Fault{
		Operation: oraclemarkettest.OpUploadChunk, Skip: chunks, Times: -1, Drop: oraclemarkettest.DropBefore, Delay: time.Hour,
		Match: func(*http.Request) bool {
			going := ctx.Err() == nil
			if arrived.Add(1) > int64(chunks) && kept.Load() {
				cancel()
			}
			return going
		},
	})
	req.Progress = func(p oraclemarket.UploadProgress) {
		if p.Chunks < chunks {
			return
		}
		kept.Store(true)
		if arrived.Load() > int64(chunks) {
			cancel()
		}
	}
	return ctx
}
