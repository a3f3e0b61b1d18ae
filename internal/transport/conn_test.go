package transport

import (
	"context"
	"net"
	"sync/atomic"
	"syscall"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"
)

// halfDead is a connection that can be written to until it breaks.
type halfDead struct {
	net.Conn

	err    error
	closed atomic.Int64
}

func (h *halfDead) Write(p []byte) (int, error) {
	if h.err != nil {
		return 1, h.err
	}
	return len(p), nil
}

func (h *halfDead) Close() error {
	h.closed.Add(1)
	return nil
}

// A failed write waits for the answer to be read, but not long, and not once
// the connection was closed.
func TestPatientConn(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		inner := &halfDead{}
		dial := patient(func(_ context.Context, network, addr string) (net.Conn, error) {
			require.Equal(t, "tcp h.example:443", network+" "+addr)
			return inner, nil
		})
		c, err := dial(t.Context(), "tcp", "h.example:443")
		require.NoError(t, err)

		start := time.Now()
		n, err := c.Write([]byte("abc"))
		require.NoError(t, err)
		require.Equal(t, 3, n)
		require.Zero(t, time.Since(start))

		inner.err = syscall.ECONNRESET
		n, err = c.Write([]byte("abc"))
		require.Equal(t, syscall.ECONNRESET, err)
		require.Equal(t, 1, n)
		require.Equal(t, answerGrace, time.Since(start))

		start = time.Now()
		time.AfterFunc(time.Millisecond, func() { _ = c.Close() })
		_, err = c.Write([]byte("abc"))
		require.Equal(t, syscall.ECONNRESET, err)
		require.Equal(t, time.Millisecond, time.Since(start))
		require.NoError(t, c.Close())
		require.EqualValues(t, 2, inner.closed.Load())
	})
}

func TestPatientDialFails(t *testing.T) {
	dial := patient(func(context.Context, string, string) (net.Conn, error) { return nil, syscall.ECONNREFUSED })
	c, err := dial(t.Context(), "tcp", "h.example:443")
	require.Equal(t, syscall.ECONNREFUSED, err)
	require.Nil(t, c)
}
