package activities

import (
	"context"
	"errors"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"
	"go.temporal.io/sdk/temporal"
	"go.temporal.io/sdk/testsuite"
	"go.uber.org/goleak"

	"github.com/imagejobs/imagejobs-go/examples/fleet/workflows"
	"github.com/imagejobs/imagejobs-go/imagereplicator"
	"github.com/imagejobs/imagejobs-go/imagereplicator/imagereplicatortest"
	"github.com/imagejobs/imagejobs-go/internal/emulator"
	"github.com/imagejobs/imagejobs-go/multiplay"
	"github.com/imagejobs/imagejobs-go/multiplay/multiplaytest"
	"github.com/imagejobs/imagejobs-go/oraclemarket"
	"github.com/imagejobs/imagejobs-go/oraclemarket/oraclemarkettest"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// rig is an activity worker without a Temporal server.
type rig struct {
	*Activities

	stop chan struct{} // the worker's

	mu         sync.Mutex
	heartbeats []any
	onRecord   func(any) error
}

func newRig(t *testing.T) *rig {
	t.Helper()
	r := &rig{Activities: &Activities{sourcePause: time.Millisecond}, stop: make(chan struct{})}
	r.record = func(_ context.Context, details any) error {
		r.mu.Lock()
		defer r.mu.Unlock()
		r.heartbeats = append(r.heartbeats, details)
		if r.onRecord != nil {
			return r.onRecord(details)
		}
		return nil
	}
	return r
}

// pipe returns a listener, and a client that reaches it, in a synctest bubble.
func pipe(t *testing.T) (net.Listener, *http.Client) {
	t.Helper()
	listener := emulator.NewPipeListener()
	transport := &http.Transport{DisableKeepAlives: true, DialContext: listener.DialContext}
	t.Cleanup(transport.CloseIdleConnections)
	return listener, &http.Client{Transport: transport}
}

func (r *rig) oracle(t *testing.T, opts ...oraclemarkettest.Option) *oraclemarkettest.Server {
	t.Helper()
	listener, client := pipe(t)
	opts = append([]oraclemarkettest.Option{oraclemarkettest.WithJobTime(0), oraclemarkettest.WithListener(listener)}, opts...)
	server := oraclemarkettest.NewServer(opts...)
	t.Cleanup(server.Close)
	c := server.Client(oraclemarket.WithHTTPClient(client))
	r.Oracle = func(context.Context) (*oraclemarket.Client, error) { return c, nil }
	return server
}

func (r *rig) replicator(t *testing.T, opts ...imagereplicatortest.Option) *imagereplicatortest.Server {
	t.Helper()
	listener, client := pipe(t)
	opts = append([]imagereplicatortest.Option{imagereplicatortest.WithJobTime(0), imagereplicatortest.WithListener(listener)}, opts...)
	server := imagereplicatortest.NewServer(opts...)
	t.Cleanup(server.Close)
	c := server.Client(imagereplicator.WithHTTPClient(client))
	r.Replicator = func(context.Context) (*imagereplicator.Client, error) { return c, nil }
	return server
}

func (r *rig) clanforge(t *testing.T, opts ...multiplaytest.Option) *multiplaytest.Server {
	t.Helper()
	listener, client := pipe(t)
	opts = append([]multiplaytest.Option{multiplaytest.WithJobTime(time.Minute), multiplaytest.WithListener(listener)}, opts...)
	server := multiplaytest.NewServer(opts...)
	t.Cleanup(server.Close)
	c := server.Client(multiplay.WithHTTPClient(client))
	r.Multiplay = func(context.Context) (*multiplay.Client, error) { return c, nil }
	return server
}

// last returns the last heartbeat, nil if there was none.
func (r *rig) last() any {
	r.mu.Lock()
	defer r.mu.Unlock()
	if len(r.heartbeats) == 0 {
		return nil
	}
	return r.heartbeats[len(r.heartbeats)-1]
}

// heartbeat returns the last heartbeat.
func heartbeat[S any](t *testing.T, r *rig) S {
	t.Helper()
	state, ok := r.last().(S)
	require.True(t, ok, "%v", r.last())
	return state
}

// bubble runs a subtest in virtual time.
func bubble(t *testing.T, name string, run func(*testing.T)) {
	t.Helper()
	t.Run(name, func(t *testing.T) { synctest.Test(t, run) })
}

// attempt executes an activity, from the heartbeat of the attempt before if
// there is one.
func attempt[R any](t *testing.T, r *rig, activity any, heartbeat any, args ...any) (R, error) {
	t.Helper()
	var suite testsuite.WorkflowTestSuite
	env := suite.NewTestActivityEnvironment()
	env.SetTestTimeout(24 * time.Hour)
	env.RegisterActivity(r.Activities)
	env.SetWorkerStopChannel(r.stop)
	if heartbeat != nil {
		env.SetHeartbeatDetails(heartbeat)
	}
	var result R
	value, err := env.ExecuteActivity(activity, args...)
	if err == nil && value.HasValue() {
		require.NoError(t, value.Get(&result))
	}
	return result, err
}

// requireFailure returns the application error of an attempt.
func requireFailure(t *testing.T, err error, kind string, retryable bool) *temporal.ApplicationError {
	t.Helper()
	failed, ok := errors.AsType[*temporal.ApplicationError](err)
	require.True(t, ok, "%v", err)
	require.Equal(t, kind, failed.Type(), failed.Error())
	require.Equal(t, retryable, !failed.NonRetryable(), failed.Error())
	return failed
}

// image writes a file and returns the input of its upload.
func image(t *testing.T, size int) workflows.UploadImageInput {
	t.Helper()
	data := make([]byte, size)
	for i := range data {
		data[i] = byte(i / 1000 * 7)
	}
	path := filepath.Join(t.TempDir(), "image.tar.gz")
	require.NoError(t, os.WriteFile(path, data, 0o600))
	return workflows.UploadImageInput{
		Application: "Game", Version: "1.0", OperatingSystem: "Linux", Source: path, ChunkSize: 1000, Concurrency: 4,
	}
}

func asApplicationError(err error) (*temporal.ApplicationError, bool) {
	return errors.AsType[*temporal.ApplicationError](err)
}
