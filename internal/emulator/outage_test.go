package emulator_test

import (
	"net"
	"net/http"
	"runtime"
	"strings"
	"testing"
	"testing/synctest"

	"github.com/stretchr/testify/require"

	"github.com/imagejobs/imagejobs-go/internal/emulator"
)

func TestOutageByStatus(t *testing.T) {
	s := start(t, emulator.Config{})
	s.Inject(emulator.Fault{Status: 418})
	for status, title := range map[int]string{502: "502 Bad Gateway", 522: "522 ", 429: "429 Too Many Requests"} {
		end := s.StartOutage(emulator.Outage{Status: status, RetryAfter: "7"})
		for range 2 {
			got := call(t, http.MethodPut, s.URL()+"/echo", "hello")
			require.Equal(t, status, got.status)
			require.Equal(t, "7", got.header.Get("Retry-After"))
			require.Equal(t, "text/html", got.header.Get("Content-Type"))
			require.Contains(t, got.body, "<h1>"+title+"</h1>")
		}
		end()
		end()
	}
	require.Zero(t, s.Processed("Echo.Put"))
	require.True(t, s.Requests()[0].Faulted)
	require.Equal(t, 1, s.FaultsLeft(), "an outage uses up no fault")
	require.Equal(t, http.StatusTeapot, call(t, http.MethodGet, s.URL()+"/echo/7", "").status)
	require.Equal(t, http.StatusOK, call(t, http.MethodGet, s.URL()+"/echo/7", "").status)
}

func TestOutageRefusesConnections(t *testing.T) {
	s := start(t, emulator.Config{})
	transport := &http.Transport{}
	defer transport.CloseIdleConnections()
	get := func() reply { return callBy(t, transport, http.MethodGet, s.URL()+"/echo/7", "") }
	require.NoError(t, get().err)

	end := s.StartOutage(emulator.Outage{})
	require.Error(t, get().err, "the idle connection is closed")
	for range 3 {
		var opError *net.OpError
		require.ErrorAs(t, get().err, &opError)
		require.Equal(t, "dial", opError.Op)
		require.ErrorContains(t, opError, "refused")
	}
	require.Equal(t, 1, s.Count("Echo.Get"))
	end()
	require.NoError(t, get().err)
	require.Equal(t, 2, s.Processed("Echo.Get"))
}

func TestOutageInABubble(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		pipe := emulator.NewPipeListener()
		s := start(t, emulator.Config{Listener: pipe})
		transport := &http.Transport{DialContext: pipe.DialContext}
		defer s.Close()
		defer transport.CloseIdleConnections()
		get := func() error { return callBy(t, transport, http.MethodGet, s.URL()+"/echo/7", "").err }
		require.NoError(t, get())
		end := s.StartOutage(emulator.Outage{})
		synctest.Wait()
		require.ErrorContains(t, get(), "connection refused")
		end()
		require.NoError(t, get())
	})
}

// The port of a service that is away stays its own, however many ports others
// ask the system for.
func TestOutageKeepsThePort(t *testing.T) {
	if runtime.GOOS == "windows" || runtime.GOOS == "plan9" {
		t.Skip("not on " + runtime.GOOS)
	}
	s, other := start(t, emulator.Config{}), start(t, emulator.Config{})
	address, err := net.ResolveTCPAddr("tcp", strings.TrimPrefix(s.URL(), "http://"))
	require.NoError(t, err)
	taking := &net.Dialer{LocalAddr: address}
	take := func() error {
		c, err := taking.DialContext(t.Context(), "tcp", strings.TrimPrefix(other.URL(), "http://"))
		if err == nil {
			_ = c.Close()
		}
		return err
	}
	for range 3 {
		end := s.StartOutage(emulator.Outage{})
		require.ErrorContains(t, take(), "in use")
		end()
		require.NoError(t, call(t, http.MethodGet, s.URL()+"/echo/7", "").err)
	}
	s.StartOutage(emulator.Outage{})
	s.Close()
	again, err := (&net.ListenConfig{}).Listen(t.Context(), "tcp", address.String())
	require.NoError(t, err, "it holds no longer than it lives")
	require.NoError(t, again.Close())
}

// closing is a listener that the server cannot make refuse connections.
type closing struct{ net.Listener }

func TestOutageOnAForeignListener(t *testing.T) {
	listener, err := (&net.ListenConfig{}).Listen(t.Context(), "tcp", "127.0.0.1:0")
	require.NoError(t, err)
	s := start(t, emulator.Config{Listener: closing{listener}})
	end := s.StartOutage(emulator.Outage{})
	require.Error(t, call(t, http.MethodGet, s.URL()+"/echo/7", "").err)
	end()
	require.NoError(t, call(t, http.MethodGet, s.URL()+"/echo/7", "").err)
}

func TestOutagesOverlap(t *testing.T) {
	s := start(t, emulator.Config{})
	status := func() int { return call(t, http.MethodGet, s.URL()+"/echo/7", "").status }
	endRefusing := s.StartOutage(emulator.Outage{})
	end502 := s.StartOutage(emulator.Outage{Status: http.StatusBadGateway})
	require.Equal(t, http.StatusBadGateway, status())
	end502()
	require.Zero(t, status())
	end429 := s.StartOutage(emulator.Outage{Status: http.StatusTooManyRequests})
	endRefusing()
	require.Equal(t, http.StatusTooManyRequests, status())
	end429()
	require.Equal(t, http.StatusOK, status())
}

func TestCloseDuringAnOutage(t *testing.T) {
	s := start(t, emulator.Config{})
	end := s.StartOutage(emulator.Outage{})
	s.Close()
	end()
	require.Error(t, call(t, http.MethodGet, s.URL()+"/echo/7", "").err)
}
