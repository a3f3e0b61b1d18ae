package multiplay_test

import (
	"context"
	"errors"
	"net"
	"net/http"
	"sync/atomic"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/imagejobs/imagejobs-go/internal/emulator"
	"github.com/imagejobs/imagejobs-go/multiplay"
	"github.com/imagejobs/imagejobs-go/multiplay/multiplaytest"
)

// virtual is a server that a client in a synctest bubble can reach.
type virtual struct {
	*multiplaytest.Server
	client    *multiplay.Client
	unplugged atomic.Bool // connections are refused
	rewrite   func(*http.Request)
	events    []multiplay.ReleaseEvent
}

func newVirtual(t *testing.T, opts ...multiplaytest.Option) *virtual {
	t.Helper()
	listener := emulator.NewPipeListener()
	opts = append([]multiplaytest.Option{multiplaytest.WithJobTime(time.Minute)}, opts...)
	v := &virtual{Server: multiplaytest.NewServer(append(opts, multiplaytest.WithListener(listener))...)}
	transport := &http.Transport{
		DisableKeepAlives: true,
		DialContext: func(ctx context.Context, network, address string) (net.Conn, error) {
			if v.unplugged.Load() {
				return nil, &net.OpError{Op: "dial", Err: errors.New("connection refused")}
			}
			return listener.DialContext(ctx, network, address)
		},
	}
	t.Cleanup(func() {
		transport.CloseIdleConnections()
		v.Close()
	})
	v.client = v.Client(multiplay.WithLogger(logger()), multiplay.WithHTTPClient(&http.Client{
		Transport: roundTripper(func(r *http.Request) (*http.Response, error) {
			if v.rewrite != nil {
				v.rewrite(r)
			}
			return transport.RoundTrip(r)
		}),
	}))
	return v
}

type roundTripper func(*http.Request) (*http.Response, error)

func (f roundTripper) RoundTrip(r *http.Request) (*http.Response, error) { return f(r) }

func (v *virtual) request() *multiplay.ReleaseRequest {
	return &multiplay.ReleaseRequest{
		ImageID: multiplaytest.ImageID, MachineID: multiplaytest.MachineID, Description: "build 42", Source: s3Source(),
		OnEvent: func(e multiplay.ReleaseEvent) { v.events = append(v.events, e) },
	}
}

// requireOneOfEach requires that each kind of job was created once.
func (v *virtual) requireOneOfEach(t *testing.T, result *multiplay.ReleaseResult) {
	t.Helper()
	require.EqualValues(t, 3, result.Rollout.Completed)
	require.Len(t, v.Updates(), 1)
	require.Equal(t, 1, v.Processed(multiplaytest.OpDiffCreate))
	require.Len(t, v.Versions(), 1)
	require.Zero(t, v.FaultsLeft())
}
