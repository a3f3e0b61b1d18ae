package transport

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/cookiejar"
	"net/url"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/jarcoal/httpmock"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/imagejobs/imagejobs-go/internal/auth"
	"github.com/imagejobs/imagejobs-go/internal/emulator"
	"github.com/imagejobs/imagejobs-go/internal/rawhttp"
	"github.com/imagejobs/imagejobs-go/internal/wire"
)

// A body of no bytes is a length of 0: net/http takes a length of 0 beside a
// body for unknown and would send it chunked.
func TestEmptyBodyHasALength(t *testing.T) {
	for _, upload := range []bool{false, true} {
		var got http.Request
		s := serveTCP(t, func(c net.Conn, r *http.Request) bool {
			got = *r
			return rawhttp.Respond(okJSON(`{}`))(c, r)
		})
		c := newClient(t, Config{BaseURL: s.URL()})
		call := post(Once, BytesBody("text/plain", nil))
		call.Upload = upload
		_, _, err := do(t.Context(), c, call)
		require.NoError(t, err)
		require.Empty(t, got.TransferEncoding)
		require.Equal(t, []string{"0"}, got.Header["Content-Length"])
	}
}

func TestCookieJar(t *testing.T) {
	jar, err := cookiejar.New(nil)
	require.NoError(t, err)
	var cookies [][]string
	s := serveTCP(t, func(c net.Conn, r *http.Request) bool {
		cookies = append(cookies, r.Header["Cookie"])
		status := "200 OK"
		if len(cookies) == 2 || len(cookies) == 3 {
			status = "503 Service Unavailable"
		}
		return rawhttp.Respond(rawhttp.Response(status, "Set-Cookie: node=n"+string(rune('0'+len(cookies)))+"\r\n", `{}`))(c, r)
	})
	tr := &http.Transport{}
	t.Cleanup(tr.CloseIdleConnections)
	c := newClient(t, Config{BaseURL: s.URL(), HTTPClient: &http.Client{Transport: tr, Jar: jar}, Retry: noWait(3)})
	for range 2 {
		_, _, err = do(t.Context(), c, get(Safe))
		require.NoError(t, err)
	}
	require.Equal(t, [][]string{nil, {"node=n1"}, {"node=n2"}, {"node=n3"}}, cookies, "the newest cookie, once")
	u, err := url.Parse(s.URL() + "/jobs/7")
	require.NoError(t, err)
	require.Equal(t, "n4", jar.Cookies(u)[0].Value)
}

// The limit of a small call covers its response.
func TestAttemptTimeoutCoversTheAnswer(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c, _ := pipeClient(t, Config{Retry: noWait(1)}, func(c net.Conn, _ *http.Request) bool {
			<-time.After(20 * time.Second)
			_, _ = io.WriteString(c, "HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\n{")
			_, _ = io.Copy(io.Discard, c) // until the client gives up
			return false
		})
		start := time.Now()
		_, _, err := do(t.Context(), c, get(Safe))
		require.ErrorIs(t, err, errAttemptTimeout)
		require.Equal(t, DefaultAttemptTimeout, time.Since(start))
	})
}

// noted is what a server got to see.
type noted struct {
	mu       sync.Mutex
	requests []http.Header
}

func (n *noted) by(h rawhttp.Handler) rawhttp.Handler {
	return func(c net.Conn, r *http.Request) bool {
		n.mu.Lock()
		n.requests = append(n.requests, r.Header.Clone())
		n.mu.Unlock()
		return h(c, r)
	}
}

// get lists the values of one header, request by request.
func (n *noted) get(name string) []string {
	n.mu.Lock()
	defer n.mu.Unlock()
	list := make([]string, len(n.requests))
	for i, h := range n.requests {
		list[i] = h.Get(name)
	}
	return list
}

// A redirect is an error that names its target, and nothing follows it: not to
// another host, port, scheme or path, whatever the caller's client says.
func TestRedirects(t *testing.T) {
	var elsewhere noted
	other := serveTCP(t, elsewhere.by(rawhttp.Respond(okJSON("{}"))))
	otherPort := strings.TrimPrefix(other.URL(), "http://127.0.0.1")
	for name, tt := range map[string]struct {
		location string
		says     string
	}{
		"host":            {"http://localhost" + otherPort + "/a?token=q", "redirects to http://localhost" + otherPort + "/a, which is not followed"},
		"port":            {other.URL() + "/a#f", "redirects to " + other.URL() + "/a, which is not followed"},
		"scheme":          {"https://127.0.0.1" + otherPort + "/a", "redirects to https://127.0.0.1" + otherPort + "/a, which"},
		"same origin":     {"/jobs/8?token=q", "/jobs/8, which is not followed"},
		"user info":       {"http://user:pw12@127.0.0.1" + otherPort + "/", "redirects to " + other.URL() + "/, which"},
		"no scheme":       {"//localhost" + otherPort + "/a", "redirects to http://localhost" + otherPort + "/a, which"},
		"no target":       {"", "redirects are not followed"},
		"no URL":          {"http://[::1", "redirects to an address that is not a URL, which is not followed"},
		"control letters": {"/a%0ab", "/a%0Ab, which is not followed"},
	} {
		for _, status := range []string{"301 Moved Permanently", "302 Found", "303 See Other", "307 Temporary Redirect", "308 Permanent Redirect", "300 Multiple Choices"} {
			for _, call := range []*Call{get(Safe), get(Once), post(Repeatable, BytesBody("text/plain", []byte("x")))} {
				var own noted
				header := "Location: " + tt.location + "\r\n"
				if tt.location == "" {
					header = ""
				}
				s := serveTCP(t, own.by(rawhttp.Respond(rawhttp.Response(status, header, "moved"))))
				log := &records{}
				follow := &http.Client{CheckRedirect: func(*http.Request, []*http.Request) error { return nil }}
				c := newClient(t, Config{BaseURL: s.URL(), HTTPClient: follow, Credentials: bearer("token-1"), Logger: log.logger()})
				_, _, err := do(t.Context(), c, call)
				e := failure(t, err)
				require.ErrorContains(t, err, tt.says, "%s %s", name, status)
				require.Equal(t, 1, e.Attempts)
				require.NotErrorIs(t, err, ErrAmbiguous)
				require.Equal(t, "moved", e.Body)
				require.Equal(t, []string{"Bearer token-1"}, own.get("Authorization"))
				for _, secret := range []string{"token=q", "pw12", "token-1"} {
					require.NotContains(t, printed(t, err, log), secret)
				}
			}
		}
	}
	require.Zero(t, other.Requests.Load())
}

// Nothing but the base URL's origin gets credentials, even where a round
// tripper is handed another request.
func TestCredentialsStayAtTheOrigin(t *testing.T) {
	var elsewhere noted
	other := serveTCP(t, elsewhere.by(rawhttp.Respond(okJSON("{}"))))
	var own noted
	s := serveTCP(t, own.by(rawhttp.Respond(okJSON("{}"))))
	c := newClient(t, Config{BaseURL: s.URL(), Credentials: bearer("token-1"), Header: map[string]string{"x-user": "me"}})
	for _, target := range []string{s.URL() + "/jobs/7", other.URL() + "/jobs/7"} {
		u, err := url.Parse(target)
		require.NoError(t, err)
		x := &callState{Call: get(Safe), url: *u, accept: func(*Response) error { return nil }}
		c.retry.next.send(t.Context(), x, nil)
		require.NoError(t, x.last.err)
	}
	require.Equal(t, []string{"Bearer token-1"}, own.get("Authorization"))
	require.Equal(t, []string{""}, elsewhere.get("Authorization"))
	require.Equal(t, []string{"me"}, own.get("X-User"))
	require.Equal(t, []string{""}, elsewhere.get("X-User"))
}

// counted is credentials whose source counts how often it is asked.
func counted(asked *atomic.Int64, token func(n int64) (string, error)) auth.Credentials {
	return auth.Token(
		func(context.Context) (string, time.Time, error) {
			value, err := token(asked.Add(1))
			return value, time.Time{}, err
		},
		"Authorization", "Bearer ")
}

func numbered(n int64) (string, error) { return fmt.Sprintf("token-%d", n), nil }

// A token that is refused is replaced once, in any class: a refused call was
// not carried out. The body goes out again whole.
func TestRefusedTokenIsReplaced(t *testing.T) {
	const refused = "401 Unauthorized"
	text := strings.Repeat("image ", 20_000)
	for name, call := range map[string]*Call{
		"once, POST":       post(Once, BytesBody("text/plain", []byte(text))),
		"once, GET":        get(Once),
		"repeatable, POST": post(Repeatable, BytesBody("text/plain", []byte(text))),
		"safe, GET":        get(Safe),
	} {
		t.Run(name, func(t *testing.T) {
			var asked atomic.Int64
			var seen noted
			lengths := make(chan int64, 2)
			s := serveTCP(t, seen.by(func(c net.Conn, r *http.Request) bool {
				n, err := io.Copy(io.Discard, r.Body)
				if err != nil {
					return false
				}
				lengths <- n
				if r.Header.Get("Authorization") == "Bearer token-1" {
					return rawhttp.Respond(rawhttp.Response(refused, "", ""))(c, r)
				}
				return rawhttp.Respond(okJSON(`{"name":"x"}`))(c, r)
			}))
			c := newClient(t, Config{BaseURL: s.URL(), Credentials: counted(&asked, numbered), Retry: noWait(1)})
			got, _, err := do(t.Context(), c, call)
			require.NoError(t, err)
			require.Equal(t, "x", got.Name)
			require.Equal(t, []string{"Bearer token-1", "Bearer token-2"}, seen.get("Authorization"))
			require.EqualValues(t, 2, asked.Load())
			want := int64(0)
			if call.Body != nil {
				want = call.Body.Size
			}
			require.Equal(t, want, <-lengths)
			require.Equal(t, want, <-lengths)
		})
	}
}

func TestRefusedTokenOnceACall(t *testing.T) {
	unauthorized := rawhttp.Respond(rawhttp.Response("401 Unauthorized", "", `{"message":"no"}`))
	errSource := errors.New("the token service is down")
	for name, tt := range map[string]struct {
		token    func(n int64) (string, error)
		handle   rawhttp.Handler
		requests int64
		asked    int64
		is       []error
	}{
		"the new one, too":   {numbered, unauthorized, 2, 2, []error{ErrUnauthorized}},
		"one that is static": {func(int64) (string, error) { return "constant", nil }, unauthorized, 1, 2, []error{ErrUnauthorized}},
		"the source fails": {func(n int64) (string, error) {
			if n > 1 {
				return "", errSource
			}
			return "constant", nil
		}, unauthorized, 1, 2, []error{ErrUnauthorized, errSource}},
		"again after a retry": {
			numbered, sequence([]rawhttp.Handler{unauthorized, rawhttp.Respond(rawhttp.Response("503 Service Unavailable", "", "")), unauthorized}...), 3, 2, []error{ErrUnauthorized},
		},
	} {
		t.Run(name, func(t *testing.T) {
			var asked atomic.Int64
			s := serveTCP(t, tt.handle)
			c := newClient(t, Config{BaseURL: s.URL(), Credentials: counted(&asked, tt.token), Retry: noWait(4)})
			_, _, err := do(t.Context(), c, get(Safe))
			for _, is := range tt.is {
				require.ErrorIs(t, err, is)
			}
			require.NotErrorIs(t, err, ErrAmbiguous)
			require.Equal(t, tt.requests, s.Requests.Load())
			require.EqualValues(t, tt.requests, failure(t, err).Attempts)
			require.Equal(t, tt.asked, asked.Load())
		})
	}
}

func TestBasicIsNotReplaced(t *testing.T) {
	s := serveTCP(t, rawhttp.Respond(rawhttp.Response("401 Unauthorized", "", "")))
	c := newClient(t, Config{BaseURL: s.URL(), Credentials: auth.Basic("user", "password")})
	_, _, err := do(t.Context(), c, get(Safe))
	require.ErrorIs(t, err, ErrUnauthorized)
	require.EqualValues(t, 1, s.Requests.Load())
}

// A thousand calls that are refused together cause one refresh.
func TestRefusedTogether(t *testing.T) {
	const calls = 50
	var asked atomic.Int64
	var refused sync.WaitGroup
	refused.Add(calls)
	s := serveTCP(t, func(c net.Conn, r *http.Request) bool {
		if r.Header.Get("Authorization") == "Bearer token-1" {
			refused.Done()
			refused.Wait()
			return rawhttp.Respond(rawhttp.Response("401 Unauthorized", "", ""))(c, r)
		}
		return rawhttp.Respond(okJSON("{}"))(c, r)
	})
	c := newClient(t, Config{BaseURL: s.URL(), Credentials: counted(&asked, numbered)})
	var wg sync.WaitGroup
	for range calls {
		wg.Go(func() {
			_, _, err := do(t.Context(), c, get(Once))
			assert.NoError(t, err)
		})
	}
	wg.Wait()
	require.EqualValues(t, 2, asked.Load())
	require.EqualValues(t, 2*calls, s.Requests.Load())
}

// The caller's client is copied, its transport used as it is.
func TestCallersClientIsNotChanged(t *testing.T) {
	s := serveTCP(t, rawhttp.Respond(okJSON("{}")))
	tr := &http.Transport{DisableKeepAlives: true}
	given := &http.Client{Transport: tr, Timeout: time.Minute}
	before, beforeTransport := *given, tr.Clone()
	c := newClient(t, Config{BaseURL: s.URL(), HTTPClient: given})
	_, _, err := do(t.Context(), c, get(Safe))
	require.NoError(t, err)
	require.Equal(t, before, *given)
	require.Same(t, tr, given.Transport)
	require.Equal(t, beforeTransport.ResponseHeaderTimeout, tr.ResponseHeaderTimeout)
	require.Equal(t, beforeTransport.MaxIdleConnsPerHost, tr.MaxIdleConnsPerHost)
	require.Nil(t, given.CheckRedirect)

	c = newClient(t, Config{BaseURL: s.URL(), HTTPClient: &http.Client{}})
	_, _, err = do(t.Context(), c, get(Safe))
	require.NoError(t, err)
}

// A caller's Timeout bounds the small calls, as long as it is below our own
// limit, and never an upload.
func TestCallersTimeout(t *testing.T) {
	for name, tt := range map[string]struct {
		timeout time.Duration
		upload  bool
		want    time.Duration
	}{
		"small call":         {7 * time.Second, false, 7 * time.Second},
		"above ours":         {time.Hour, false, DefaultAttemptTimeout},
		"none":               {0, false, DefaultAttemptTimeout},
		"upload":             {7 * time.Second, true, DefaultStallTimeout},
		"upload, none given": {0, true, DefaultStallTimeout},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				c, _ := pipeClient(t, Config{HTTPClient: &http.Client{Timeout: tt.timeout}, Retry: noWait(1)}, stall(""))
				call := post(Repeatable, BytesBody("text/plain", []byte("x")))
				call.Upload = tt.upload
				start := time.Now()
				_, _, err := do(t.Context(), c, call)
				require.Error(t, err)
				require.Equal(t, tt.want, time.Since(start))
				require.Equal(t, tt.upload, errors.Is(err, wire.ErrStalled))
				timeout, ok := errors.AsType[interface {
					error
					Timeout() bool
				}](err)
				require.Equal(t, !tt.upload, ok && timeout.Timeout())
			})
		})
	}
}

func TestLimitsFromTheConfig(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c, _ := pipeClient(t, Config{AttemptTimeout: time.Hour, StallTimeout: 2 * time.Hour, Retry: noWait(1)}, stall(""))
		call := get(Safe)
		start := time.Now()
		_, _, err := do(t.Context(), c, call)
		require.ErrorIs(t, err, errAttemptTimeout)
		require.Equal(t, time.Hour, time.Since(start))
		call.Upload = true
		start = time.Now()
		_, _, err = do(t.Context(), c, call)
		require.ErrorIs(t, err, wire.ErrStalled)
		require.Equal(t, 2*time.Hour, time.Since(start))
	})
}

// Our own transport speaks TLS 1.2 at least, and checks certificates.
func TestOwnTransport(t *testing.T) {
	c := newClient(t, Config{BaseURL: "https://h.example"})
	for _, tr := range ownTransports(t, c) {
		require.EqualValues(t, tls.VersionTLS12, tr.TLSClientConfig.MinVersion)
		require.False(t, tr.TLSClientConfig.InsecureSkipVerify)
		require.Zero(t, tr.ResponseHeaderTimeout, "an attempt has limits that know more")
		require.Equal(t, maxInFlight, tr.MaxIdleConnsPerHost)
		require.NotNil(t, tr.Proxy)
		require.NotZero(t, tr.IdleConnTimeout)
	}
	require.Equal(t, maxInFlight, cap(c.retry.next.slots))
}

// rerouting is a round tripper that changes the requests it is given, which it
// should not.
type rerouting struct {
	http.RoundTripper

	host string
}

func (r rerouting) RoundTrip(req *http.Request) (*http.Response, error) {
	req.URL.Host, req.URL.Path = r.host, "/elsewhere"
	req.Header.Del("Authorization")
	req.Header["X-Mark"][0] += "!"
	return r.RoundTripper.RoundTrip(req)
}

// What a caller's round tripper does to a request is not there in the next attempt,
// nor in the error.
func TestRequestIsNewInEachTry(t *testing.T) {
	var seen noted
	s := serveTCP(t, seen.by(rawhttp.Respond(rawhttp.Response("503 Service Unavailable", "", ""))))
	var asked atomic.Int64
	log := &records{}
	c := newClient(t, Config{
		BaseURL: "http://127.0.0.1:1/api", Credentials: counted(&asked, numbered), Retry: noWait(3), Logger: log.logger(),
		HTTPClient: &http.Client{Transport: rerouting{&http.Transport{DisableKeepAlives: true}, s.Listener.Addr().String()}},
	})
	var granted []bool
	c.retry.next.next = before{c.retry.next.next, func(r *http.Request) {
		granted = append(granted, r.Header.Get("Authorization") == "Bearer token-1" && r.URL.String() == "http://127.0.0.1:1/api/jobs/7" && r.Header.Get("X-Mark") == "mark")
	}}
	call := get(Safe)
	call.Header = http.Header{"X-Mark": {"mark"}}
	_, _, err := do(t.Context(), c, call)
	require.Equal(t, []bool{true, true, true}, granted)
	require.Equal(t, http.Header{"X-Mark": {"mark"}}, call.Header)
	require.Equal(t, "http://127.0.0.1:1/api/jobs/7", failure(t, err).URL)
	require.Equal(t, 3, strings.Count(log.String(), "host=127.0.0.1:1 path=/api/jobs/7"))
	require.EqualValues(t, 3, s.Requests.Load())
}

// before sees each request.
type before struct {
	http.RoundTripper

	see func(*http.Request)
}

func (b before) RoundTrip(req *http.Request) (*http.Response, error) {
	b.see(req)
	return b.RoundTripper.RoundTrip(req)
}

// A caller's round tripper is believed for the error that it returns: one that
// says there was no connection, in all that it attempted.
func TestErrorOfACallersRoundTripper(t *testing.T) {
	dial := &net.OpError{Op: "dial", Err: errRefused}
	reset := &net.OpError{Op: "read", Err: errors.New("connection reset")}
	for name, tt := range map[string]struct {
		err      error
		attempts int
	}{
		"dial":                  {dial, 2},
		"dial, wrapped":         {fmt.Errorf("sending: %w", dial), 2},
		"proxy":                 {&net.OpError{Op: "proxyconnect", Err: errRefused}, 2},
		"two dials":             {errors.Join(dial, dial), 2},
		"reset":                 {reset, 1},
		"a fallback that sends": {errors.Join(dial, reset), 1},
		"a fallback, formatted": {fmt.Errorf("%w, then %w", dial, reset), 1},
		"any other":             {io.EOF, 1},
	} {
		t.Run(name, func(t *testing.T) {
			mock := httpmock.NewMockTransport()
			mock.RegisterNoResponder(httpmock.NewErrorResponder(tt.err))
			c := newClient(t, Config{BaseURL: "https://h.example", HTTPClient: &http.Client{Transport: mock}, Retry: noWait(2)})
			_, _, err := do(t.Context(), c, get(Once))
			require.Equal(t, tt.attempts, failure(t, err).Attempts)
			require.Equal(t, tt.attempts == 1, errors.Is(err, ErrAmbiguous))
			_, _, err = do(t.Context(), c, get(Safe))
			require.Equal(t, 2, failure(t, err).Attempts)
		})
	}
}

// A round tripper that reports nothing of its progress may have sent it all.
func TestRoundTripperWithoutTrace(t *testing.T) {
	errOffline := errors.New("offline")
	mock := httpmock.NewMockTransport()
	mock.RegisterNoResponder(httpmock.NewErrorResponder(errOffline))
	c := newClient(t, Config{BaseURL: "https://h.example", HTTPClient: &http.Client{Transport: mock}, Retry: noWait(3)})
	_, _, err := do(t.Context(), c, get(Once))
	require.ErrorIs(t, err, errOffline)
	require.ErrorIs(t, err, ErrAmbiguous)
	require.Equal(t, 1, failure(t, err).Attempts)
	_, _, err = do(t.Context(), c, get(Safe))
	require.NotErrorIs(t, err, ErrAmbiguous)
	require.Equal(t, 3, failure(t, err).Attempts)
}

// What a round tripper sent before, by itself, counts: how its last request
// ended says nothing about the first.
func TestRoundTripperThatRetries(t *testing.T) {
	for name, second := range map[string]roundTrip{
		"dial": func(*http.Request) (*http.Response, error) { return nil, &net.OpError{Op: "dial", Err: errRefused} },
		"traced": (&http.Transport{DialContext: func(context.Context, string, string) (net.Conn, error) {
			return nil, &net.OpError{Op: "dial", Err: errRefused}
		}}).RoundTrip,
		"DNS": func(*http.Request) (*http.Response, error) {
			return nil, &net.DNSError{Err: "no such host", IsNotFound: true}
		},
		"429": func(*http.Request) (*http.Response, error) {
			return &http.Response{StatusCode: http.StatusTooManyRequests, Body: http.NoBody}, nil
		},
		"409": func(*http.Request) (*http.Response, error) {
			return &http.Response{StatusCode: http.StatusConflict, Body: http.NoBody}, nil
		},
	} {
		for class, call := range classCalls() {
			t.Run(name+"/"+class, func(t *testing.T) {
				s := serveTCP(t, drop)
				first := &http.Transport{}
				c := newClient(t, Config{BaseURL: s.URL(), Retry: noWait(3), HTTPClient: &http.Client{
					Transport: roundTrip(func(r *http.Request) (*http.Response, error) {
						if resp, err := first.RoundTrip(r); err == nil {
							return resp, nil
						}
						if name == "409" || name == "429" { // sent as well
							again := r.Clone(r.Context())
							again.Body = http.NoBody
							_, _ = first.RoundTrip(again)
						}
						return second(r)
					}),
				}})
				_, _, err := do(t.Context(), c, call)
				require.Equal(t, call.Repeat == Once, errors.Is(err, ErrAmbiguous), "%v", err)
				if call.Repeat == Once {
					require.Equal(t, 1, failure(t, err).Attempts)
				}
			})
		}
	}
}

// An error of a round tripper may repeat the whole URL.
func TestURLErrorIsUnwrapped(t *testing.T) {
	mock := httpmock.NewMockTransport()
	mock.RegisterNoResponder(func(r *http.Request) (*http.Response, error) {
		return nil, &url.Error{Op: "Get", URL: r.URL.String(), Err: io.ErrClosedPipe}
	})
	log := &records{}
	c := newClient(t, Config{BaseURL: "https://h.example", HTTPClient: &http.Client{Transport: mock}, Retry: noWait(1), Logger: log.logger()})
	call := get(Safe)
	call.Query = url.Values{"sig": {"hush"}}
	_, _, err := do(t.Context(), c, call)
	require.ErrorIs(t, err, io.ErrClosedPipe)
	require.NotContains(t, printed(t, err, log), "hush")
}

// However much a service sends, it is read up to the limit and no further.
func TestEndlessAnswer(t *testing.T) {
	const onItsWay = 64 << 10
	for status, most := range map[string]int64{"200 OK": maxBody, "400 Bad Request": maxErrorBody} {
		sent := make(chan int64, 1)
		c, _ := pipeClient(t, Config{Retry: noWait(1)}, func(c net.Conn, r *http.Request) bool {
			rawhttp.Respond("HTTP/1.1 "+status+"\r\n\r\n")(c, r)
			n, _ := io.Copy(c, io.LimitReader(zeros{}, 2*maxBody))
			sent <- n
			return false
		})
		_, _, err := do(t.Context(), c, get(Safe))
		require.Equal(t, most == maxBody, errors.Is(err, ErrResponseTooLarge), "%v", err)
		require.LessOrEqual(t, <-sent, most+onItsWay)
	}
}

// A response is closed, however much of it was read, and keeps no more than the
// limit.
func TestLongResponseIsClosed(t *testing.T) {
	for status, limit := range map[int]int{http.StatusOK: maxBody, http.StatusBadRequest: maxErrorBody} {
		for _, more := range []int{-1, 0, 1, 1000} {
			closed := 0
			c := newClient(t, Config{BaseURL: "https://h.example", Retry: noWait(1), HTTPClient: &http.Client{
				Transport: roundTrip(func(*http.Request) (*http.Response, error) {
					body := io.NopCloser(io.LimitReader(zeros{}, int64(limit+more)))
					return &http.Response{StatusCode: status, Body: &afterClose{body, func() { closed++ }}}, nil
				}),
			}})
			resp, err := doEmpty(t.Context(), c, get(Safe))
			require.Equal(t, status == http.StatusOK && more > 0, errors.Is(err, ErrResponseTooLarge), "%v", err)
			require.Len(t, resp.Body, limit+min(more, 0))
			require.Equal(t, 1, closed)
		}
	}
}

// A call that waits for a token leaves when its context ends, before the
// request and after a refusal.
func TestContextEndsWhileATokenIsFetched(t *testing.T) {
	for _, fast := range []int64{0, 1} {
		synctest.Test(t, func(t *testing.T) {
			var asked atomic.Int64
			l := emulator.NewPipeListener()
			s := serve(t, l, rawhttp.Respond(rawhttp.Response("401 Unauthorized", "", "")))
			c := dialingClient(t, Config{Credentials: counted(&asked, func(n int64) (string, error) {
				if n > fast {
					<-time.After(time.Minute)
				}
				return numbered(n)
			})}, l.DialContext)
			ctx, cancel := context.WithTimeoutCause(t.Context(), 5*time.Second, errMaintenance)
			defer cancel()
			start := time.Now()
			_, _, err := do(ctx, c, get(Once))
			require.Equal(t, 5*time.Second, time.Since(start))
			require.ErrorIs(t, err, context.DeadlineExceeded)
			require.ErrorIs(t, err, errMaintenance)
			require.NotErrorIs(t, err, ErrAmbiguous)
			require.Equal(t, fast == 1, errors.Is(err, ErrUnauthorized))
			require.Equal(t, fast, s.Requests.Load())
			require.EqualValues(t, fast, failure(t, err).Attempts)
			<-time.After(time.Minute) // the refresh continues for others
		})
	}
}

// roundTrip is a round tripper of the caller's, as a test of his may have it.
type roundTrip func(*http.Request) (*http.Response, error)

func (f roundTrip) RoundTrip(r *http.Request) (*http.Response, error) { return f(r) }

// A caller's round tripper may leave the length of its response out, or keep that
// of what it decompressed: net/http's own client reads to the end, too.
func TestLengthOfARoundTrippersAnswer(t *testing.T) {
	const body = `{"name":"a name of many letters"}`
	for _, length := range []int64{0, -1, 5, int64(len(body)), 1000} {
		c := newClient(t, Config{BaseURL: "https://h.example", Retry: noWait(1), HTTPClient: &http.Client{
			Transport: roundTrip(func(*http.Request) (*http.Response, error) {
				return &http.Response{StatusCode: http.StatusOK, ContentLength: length, Body: io.NopCloser(strings.NewReader(body))}, nil
			}),
		}})
		got, _, err := do(t.Context(), c, get(Once))
		require.NoError(t, err, "length %d", length)
		require.Equal(t, "a name of many letters", got.Name)
	}
}

// No round tripper makes the caller's goroutine panic, whatever it leaves out.
func TestRoundTripperWithoutAnswer(t *testing.T) {
	var resp *http.Response
	c := newClient(t, Config{BaseURL: "https://h.example", Retry: noWait(2), HTTPClient: &http.Client{
		Transport: roundTrip(func(*http.Request) (*http.Response, error) { return resp, nil }),
	}})
	_, err := doEmpty(t.Context(), c, get(Safe))
	require.ErrorContains(t, err, "transport.roundTrip) returned neither a response nor an error")
	require.Equal(t, 2, failure(t, err).Attempts)

	resp = &http.Response{StatusCode: http.StatusNoContent}
	got, err := doEmpty(t.Context(), c, get(Safe))
	require.NoError(t, err)
	require.Empty(t, got.Body)
}

// Each request counts, also one that fails, but for uploads.
func TestSent(t *testing.T) {
	s := serveTCP(t, sequence(
		rawhttp.Respond(rawhttp.Response("503 Service Unavailable", "", "down")), rawhttp.Respond(okJSON(`{}`))))
	sent := 0
	c := newClient(t, Config{BaseURL: s.URL(), Retry: noWait(2), Sent: func() { sent++ }})
	_, _, err := do(t.Context(), c, get(Safe))
	require.NoError(t, err)
	require.Equal(t, 2, sent)
	call := post(Repeatable, BytesBody("text/plain", []byte("a")))
	call.Upload = true
	_, _, err = do(t.Context(), c, call)
	require.NoError(t, err)
	require.Equal(t, 2, sent)
}
