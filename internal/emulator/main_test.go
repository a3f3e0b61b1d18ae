package emulator_test

import (
	"bytes"
	"io"
	"net"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"go.uber.org/goleak"

	"github.com/imagejobs/imagejobs-go/internal/emulator"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// start starts a server with two operations: Echo.Get returns the id it was
// asked for, Echo.Put the size of the body it was sent.
func start(t *testing.T, config emulator.Config) *emulator.Server {
	t.Helper()
	s := emulator.New(config)
	s.Handle("Echo.Get", "GET /echo/{id}", func(w http.ResponseWriter, r *http.Request) {
		emulator.WriteJSON(w, http.StatusOK, map[string]string{"id": r.PathValue("id"), "note": "a<b>c&d"})
	})
	s.Handle("Echo.Put", "PUT /echo", func(w http.ResponseWriter, r *http.Request) {
		n, err := io.Copy(io.Discard, r.Body)
		if err != nil {
			http.Error(w, err.Error(), http.StatusBadRequest)
			return
		}
		emulator.WriteJSON(w, http.StatusAccepted, map[string]int64{"bytes": n})
	})
	require.NoError(t, s.Start())
	t.Cleanup(s.Close)
	return s
}

type reply struct {
	status int
	header http.Header
	body   string
	err    error // of the call, or of reading its response
}

// call makes one request on a connection of its own.
func call(t *testing.T, method, url, body string) reply {
	t.Helper()
	transport := &http.Transport{DisableCompression: true}
	defer transport.CloseIdleConnections()
	return callBy(t, transport, method, url, body)
}

func callBy(t *testing.T, transport http.RoundTripper, method, url, body string) reply {
	t.Helper()
	var reader io.Reader
	if body != "" {
		reader = strings.NewReader(body)
	}
	req, err := http.NewRequestWithContext(t.Context(), method, url, reader)
	require.NoError(t, err)
	client := &http.Client{
		Transport:     transport,
		CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse },
	}
	resp, err := client.Do(req)
	if err != nil {
		return reply{err: err}
	}
	defer func() { _ = resp.Body.Close() }()
	read, err := io.ReadAll(resp.Body)
	return reply{status: resp.StatusCode, header: resp.Header, body: string(read), err: err}
}

const echo7 = `{"id":"7","note":"a<b>c&d"}`

func TestServer(t *testing.T) {
	s := start(t, emulator.Config{})
	require.True(t, strings.HasPrefix(s.URL(), "http://127.0.0.1:"), s.URL())

	got := call(t, http.MethodGet, s.URL()+"/echo/7", "")
	require.NoError(t, got.err)
	require.Equal(t, http.StatusOK, got.status)
	require.Equal(t, "application/json", got.header.Get("Content-Type"))
	require.Equal(t, echo7, got.body)

	got = call(t, http.MethodHead, s.URL()+"/echo/7", "")
	require.NoError(t, got.err)
	require.Equal(t, http.StatusOK, got.status)
	require.Empty(t, got.body)

	got = call(t, http.MethodDelete, s.URL()+"/echo/7", "")
	require.Equal(t, http.StatusMethodNotAllowed, got.status)
	require.Equal(t, "GET, HEAD", got.header.Get("Allow"))

	got = call(t, http.MethodGet, s.URL()+"/nowhere", "")
	require.Equal(t, http.StatusNotFound, got.status)
	require.Equal(t, "no operation GET /nowhere\n", got.body)
}

func TestRefine(t *testing.T) {
	s := start(t, emulator.Config{Refine: func(operation string, r *http.Request) string {
		return operation + r.URL.Query().Get("as")
	}})
	call(t, http.MethodGet, s.URL()+"/echo/7?as=.Special", "")
	call(t, http.MethodGet, s.URL()+"/nowhere?as=.Special", "")
	require.Equal(t, 1, s.Count("Echo.Get.Special"))
	require.Equal(t, 1, s.Count(""))
}

func TestServerOwnErrors(t *testing.T) {
	s := start(t, emulator.Config{Error: func(w http.ResponseWriter, _ *http.Request, status int, text string) {
		emulator.WriteJSON(w, status, map[string]any{"code": status, "text": text})
	}})
	got := call(t, http.MethodGet, s.URL()+"/nowhere", "")
	require.JSONEq(t, `{"code":404,"text":"no operation GET /nowhere"}`, got.body)
	s.Inject(emulator.Fault{Status: http.StatusBadGateway})
	got = call(t, http.MethodGet, s.URL()+"/echo/7", "")
	require.Equal(t, http.StatusBadGateway, got.status)
	require.JSONEq(t, `{"code":502,"text":"injected fault"}`, got.body)
}

func TestServerAddressInUse(t *testing.T) {
	s := start(t, emulator.Config{})
	second := emulator.New(emulator.Config{Addr: strings.TrimPrefix(s.URL(), "http://")})
	err := second.Start()
	var opError *net.OpError
	require.ErrorAs(t, err, &opError)
}

func TestServerUnspecifiedAddress(t *testing.T) {
	s := start(t, emulator.Config{Addr: ":0"})
	require.True(t, strings.HasPrefix(s.URL(), "http://127.0.0.1:"), s.URL())
	require.Equal(t, http.StatusOK, call(t, http.MethodGet, s.URL()+"/echo/7", "").status)
}

func TestServerPanic(t *testing.T) {
	s := emulator.New(emulator.Config{})
	s.Handle("Bad", "GET /bad", func(http.ResponseWriter, *http.Request) { panic("oops") })
	require.NoError(t, s.Start())
	defer s.Close()
	got := call(t, http.MethodGet, s.URL()+"/bad", "")
	require.Equal(t, http.StatusInternalServerError, got.status)
	require.Contains(t, got.body, "oops")
	require.False(t, s.Requests()[0].Processed)
}

func TestCloseTwiceAndWithIdleConnections(t *testing.T) {
	s := start(t, emulator.Config{})
	transport := &http.Transport{}
	defer transport.CloseIdleConnections()
	require.Equal(t, echo7, callBy(t, transport, http.MethodGet, s.URL()+"/echo/7", "").body)
	s.Close()
	s.Close()
	require.Error(t, callBy(t, transport, http.MethodGet, s.URL()+"/echo/7", "").err)
}

// A response sent while the client is still sending must reach it.
func TestUnreadBodyIsDrained(t *testing.T) {
	s := emulator.New(emulator.Config{})
	s.Handle("Refuse", "PUT /refuse", func(w http.ResponseWriter, _ *http.Request) {
		http.Error(w, "no", http.StatusUnauthorized)
	})
	require.NoError(t, s.Start())
	defer s.Close()
	for range 5 {
		got := call(t, http.MethodPut, s.URL()+"/refuse", strings.Repeat("x", 4<<20))
		require.NoError(t, got.err)
		require.Equal(t, http.StatusUnauthorized, got.status)
	}
}

// A client that waits for 100 Continue is not made to send a refused body.
func TestExpectContinueIsNotDrained(t *testing.T) {
	s := emulator.New(emulator.Config{})
	s.Handle("Refuse", "PUT /refuse", func(w http.ResponseWriter, _ *http.Request) {
		http.Error(w, "no", http.StatusUnauthorized)
	})
	require.NoError(t, s.Start())
	defer s.Close()
	transport := &http.Transport{ExpectContinueTimeout: time.Minute}
	defer transport.CloseIdleConnections()
	req, err := http.NewRequestWithContext(t.Context(), http.MethodPut, s.URL()+"/refuse", bytes.NewReader(make([]byte, 4<<20)))
	require.NoError(t, err)
	req.Header.Set("Expect", "100-continue")
	resp, err := transport.RoundTrip(req)
	require.NoError(t, err)
	require.NoError(t, resp.Body.Close())
	require.Equal(t, http.StatusUnauthorized, resp.StatusCode)
	require.Zero(t, s.Requests()[0].BodyBytes)
}
