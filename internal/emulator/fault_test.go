package emulator_test

import (
	"context"
	"io"
	"net/http"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/imagejobs/imagejobs-go/internal/emulator"
)

func TestFaultsThatRespond(t *testing.T) {
	const html = "<html>proxy</html>"
	type header = map[string]string
	for name, test := range map[string]struct {
		fault     emulator.Fault
		status    int
		body      string
		header    header
		processed bool
	}{
		"nothing": {emulator.Fault{}, 202, `{"bytes":11}`, nil, true},
		"delay":   {emulator.Fault{Delay: time.Millisecond}, 202, `{"bytes":11}`, nil, true},
		"status":  {emulator.Fault{Status: 503}, 503, "injected fault\n", nil, false},
		"lost":    {emulator.Fault{Status: 503, Process: true}, 503, "injected fault\n", nil, true},
		"limit":   {emulator.Fault{Status: 429, RetryAfter: "7"}, 429, "injected fault\n", header{"Retry-After": "7"}, false},
		"half a second": {
			emulator.Fault{Status: 429, RetryAfter: "0.5"}, 429, "injected fault\n", header{"Retry-After": "0.5"}, false,
		},
		"own body": {
			emulator.Fault{Status: 502, ContentType: "text/html", Body: html}, 502, html, header{"Content-Type": "text/html"}, false,
		},
		"header": {
			emulator.Fault{Header: http.Header{"x-request-id": {"9"}}}, 202, `{"bytes":11}`, header{"X-Request-Id": "9"}, true,
		},
		"header wins": {
			emulator.Fault{RetryAfter: "1", Header: http.Header{"Retry-After": {"2"}}}, 202, `{"bytes":11}`, header{"Retry-After": "2"}, true,
		},
		"empty": {emulator.Fault{Status: 204}, 204, "", nil, false},
		"redirect": {
			emulator.Fault{Status: 307, Header: http.Header{"Location": {"http://other/"}}}, 307, "", header{"Location": "http://other/"}, false,
		},
		"garbled": {
			emulator.Fault{Body: html}, 200, html, header{"Content-Type": "text/html; charset=utf-8"}, true,
		},
		"meaningless":       {emulator.Fault{Body: "{}"}, 200, "{}", nil, true},
		"meaningless early": {emulator.Fault{Body: `{"status":"maintenance"}`, Status: 200}, 200, `{"status":"maintenance"}`, nil, false},
		"replaced":          {emulator.Fault{Body: `{"id":8}`, Status: 201, Process: true}, 201, `{"id":8}`, nil, true},
		"half JSON":         {emulator.Fault{CutJSON: true}, 202, `{"byte`, header{"Content-Length": "6"}, true},
		"drip":              {emulator.Fault{Drip: time.Microsecond}, 202, `{"bytes":11}`, nil, true},
		"early":             {emulator.Fault{Status: 413, Early: true}, 413, "injected fault\n", nil, false},
		"early success":     {emulator.Fault{Early: true, Body: "{}"}, 200, "{}", nil, false},
	} {
		t.Run(name, func(t *testing.T) {
			s := start(t, emulator.Config{})
			s.Inject(test.fault)
			require.Equal(t, 1, s.FaultsLeft())
			got := call(t, http.MethodPut, s.URL()+"/echo", "hello world")
			require.NoError(t, got.err)
			require.Equal(t, test.status, got.status)
			require.Equal(t, test.body, got.body)
			for name, value := range test.header {
				require.Equal(t, value, got.header.Get(name), name)
			}
			entry := s.Requests()[0]
			require.Equal(t, test.status, entry.Status)
			require.Equal(t, test.processed, entry.Processed)
			require.True(t, entry.Faulted)
			require.Zero(t, s.FaultsLeft())

			require.Equal(t, `{"bytes":11}`, call(t, http.MethodPut, s.URL()+"/echo", "hello world").body)
			require.False(t, s.Requests()[1].Faulted)
		})
	}
}

// An early response arrives while the client has most of its body still to
// send.
func TestEarlyResponseLeavesTheBodyUnread(t *testing.T) {
	s := start(t, emulator.Config{})
	s.Inject(emulator.Fault{Early: true, Body: `{"bytes":26214400}`})
	got := call(t, http.MethodPut, s.URL()+"/echo", strings.Repeat("x", 25<<20))
	require.NoError(t, got.err)
	require.Equal(t, http.StatusOK, got.status)
	require.Equal(t, `{"bytes":26214400}`, got.body)
	entry := s.Requests()[0]
	require.Zero(t, entry.BodyBytes)
	require.False(t, entry.Processed)
}

func TestFaultsThatDrop(t *testing.T) {
	big := strings.Repeat("x", 1<<20)
	for name, test := range map[string]struct {
		fault     emulator.Fault
		bytesRead int64
		processed bool
	}{
		"before": {emulator.Fault{Drop: emulator.DropBefore}, 0, false},
		"during": {emulator.Fault{Drop: emulator.DropDuring}, 1 << 19, false},
		"after":  {emulator.Fault{Drop: emulator.DropAfter}, 1 << 20, true},
	} {
		t.Run(name, func(t *testing.T) {
			s := start(t, emulator.Config{})
			s.Inject(test.fault)
			got := call(t, http.MethodPut, s.URL()+"/echo", big)
			require.Error(t, got.err)
			require.Zero(t, got.status)
			s.Close() // after which the log is final
			entry := s.Requests()[0]
			require.Equal(t, test.bytesRead, entry.BodyBytes)
			require.Equal(t, test.processed, entry.Processed)
			require.Zero(t, entry.Status)
		})
	}
	t.Run("truncate", func(t *testing.T) {
		s := start(t, emulator.Config{})
		s.Inject(emulator.Fault{Truncate: true})
		got := call(t, http.MethodGet, s.URL()+"/echo/7", "")
		require.ErrorIs(t, got.err, io.ErrUnexpectedEOF)
		require.Equal(t, http.StatusOK, got.status)
		require.Equal(t, echo7[:len(echo7)/2], got.body)
		require.Equal(t, 1, s.Processed("Echo.Get"))
	})
}

// A stall ends only when the client gives up or the server is closed.
func TestStalls(t *testing.T) {
	for name, test := range map[string]struct {
		fault     emulator.Fault
		status    int
		processed bool
	}{
		"request body":       {emulator.Fault{Stall: emulator.StallRequestBody}, 0, false},
		"response":           {emulator.Fault{Stall: emulator.StallResponse}, 0, false},
		"response processed": {emulator.Fault{Stall: emulator.StallResponse, Process: true}, 0, true},
		"response body":      {emulator.Fault{Stall: emulator.StallResponseBody}, 202, true},
		"delay":              {emulator.Fault{Delay: 24 * time.Hour}, 0, true},
		"drip":               {emulator.Fault{Drip: 24 * time.Hour}, 202, true},
	} {
		for _, closing := range []bool{false, true} {
			t.Run(name, func(t *testing.T) {
				synctest.Test(t, func(t *testing.T) {
					pipe := emulator.NewPipeListener()
					s := start(t, emulator.Config{Listener: pipe})
					s.Inject(test.fault)
					ctx, cancel := context.WithCancel(t.Context())
					defer cancel()
					done := make(chan error)
					go func() {
						transport := &http.Transport{DialContext: pipe.DialContext}
						defer transport.CloseIdleConnections()
						body := strings.NewReader(strings.Repeat("x", 1<<20))
						req, err := http.NewRequestWithContext(ctx, http.MethodPut, s.URL()+"/echo", body)
						if err != nil {
							done <- err
							return
						}
						resp, err := transport.RoundTrip(req)
						if err == nil {
							_, err = io.ReadAll(resp.Body)
							_ = resp.Body.Close()
						}
						done <- err
					}()
					<-time.After(time.Hour) // in the bubble's time
					synctest.Wait()
					select {
					case err := <-done:
						t.Fatalf("the stall ended by itself: %v", err)
					default:
					}
					entry := s.Requests()[0]
					require.Equal(t, test.status, entry.Status)
					require.Equal(t, test.processed, entry.Processed)
					if closing {
						s.Close()
					} else {
						cancel()
					}
					require.Error(t, <-done)
					s.Close()
				})
			})
		}
	}
}

func TestFaultMatching(t *testing.T) {
	s := start(t, emulator.Config{})
	statuses := func(n int) (all []int) {
		for range n {
			all = append(all, call(t, http.MethodGet, s.URL()+"/echo/7", "").status)
		}
		return all
	}

	s.Inject(emulator.Fault{Operation: "Echo.Put", Status: 500})
	s.Inject(emulator.Fault{Operation: "Echo.Get", Status: 501, Skip: 2, Times: 2})
	s.Inject(emulator.Fault{Status: 502})
	require.Equal(t, []int{502, 200, 501, 501, 200}, statuses(5))
	require.Equal(t, http.StatusInternalServerError, call(t, http.MethodPut, s.URL()+"/echo", "x").status)
	require.Zero(t, s.FaultsLeft())

	s.Inject(emulator.Fault{Status: 503, Times: -1})
	require.Equal(t, []int{503, 503, 503}, statuses(3))
	require.Equal(t, 1, s.FaultsLeft())
	s.ClearFaults()
	require.Equal(t, []int{200}, statuses(1))

	s.Inject(emulator.Fault{Status: 504, Match: func(r *http.Request) bool { return r.URL.Query().Get("fail") != "" }})
	require.Equal(t, []int{200}, statuses(1))
	require.Equal(t, http.StatusGatewayTimeout, call(t, http.MethodGet, s.URL()+"/echo/7?fail=1", "").status)
}

func TestFaultsByConcurrentClients(t *testing.T) {
	s := start(t, emulator.Config{})
	s.Inject(emulator.Fault{Operation: "Echo.Get", Status: 503, Times: 20})
	transport := &http.Transport{MaxIdleConnsPerHost: 8}
	defer transport.CloseIdleConnections()
	var mu sync.Mutex
	failed := 0
	var group sync.WaitGroup
	for range 8 {
		group.Go(func() {
			for range 10 {
				got := callBy(t, transport, http.MethodGet, s.URL()+"/echo/7", "")
				mu.Lock()
				if got.status == http.StatusServiceUnavailable {
					failed++
				}
				mu.Unlock()
				_ = s.Requests()
			}
		})
	}
	group.Wait()
	require.Equal(t, 20, failed)
	require.Equal(t, 80, s.Count("Echo.Get"))
	require.Equal(t, 60, s.Processed("Echo.Get"))
}
