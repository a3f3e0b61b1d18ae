package conformance

import (
	"context"
	"errors"
	"net"
	"net/http"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/imagejobs/imagejobs-go/imagereplicator"
	"github.com/imagejobs/imagejobs-go/imagereplicator/imagereplicatortest"
	"github.com/imagejobs/imagejobs-go/internal/emulator"
	"github.com/imagejobs/imagejobs-go/multiplay"
	"github.com/imagejobs/imagejobs-go/multiplay/multiplaytest"
	"github.com/imagejobs/imagejobs-go/oraclemarket"
	"github.com/imagejobs/imagejobs-go/oraclemarket/oraclemarkettest"
)

// away is how a service is away: it responds with a status, or nothing connects.
type away struct {
	name       string
	dial       error
	status     int
	retryAfter string
	reason     string // in the text of an error
}

// asks returns how long the service asks to wait.
func (a *away) asks() time.Duration {
	seconds, _ := strconv.ParseFloat(a.retryAfter, 64)
	return time.Duration(seconds * float64(time.Second))
}

func waysAway() []away {
	return []away{
		{name: "refused", reason: "connection refused", dial: &net.OpError{Op: "dial", Net: "tcp", Err: errRefused}},
		{name: "DNS", reason: "server misbehaving", dial: &net.OpError{Op: "dial", Net: "tcp", Err: &net.DNSError{
			Err: "server misbehaving", Name: "localhost", IsTemporary: true,
		}}},
		{name: "dial timeout", reason: "i/o timeout", dial: dialTimeout()},
		{name: "502", status: http.StatusBadGateway, reason: "502 Bad Gateway"},
		{name: "522", status: 522, reason: ": 522"},
		{name: "429", status: http.StatusTooManyRequests, reason: "429 Too Many Requests"},
		{name: "429, Retry-After 20", status: http.StatusTooManyRequests, retryAfter: "20", reason: "429 Too Many Requests"},
		{name: "429, Retry-After 100", status: http.StatusTooManyRequests, retryAfter: "100", reason: "429 Too Many Requests"},
		{name: "429, Retry-After 150", status: http.StatusTooManyRequests, retryAfter: "150", reason: "429 Too Many Requests"},
	}
}

// dialTimeout returns the error of a dial that took too long. It matches
// context.DeadlineExceeded, like that of a context.
func dialTimeout() error {
	_, err := (&net.Dialer{Deadline: time.Unix(1, 0)}).Dial("tcp", closedPort)
	return err
}

// The hosts of the tests, which are all the same server.
const (
	serviceAddr = "localhost:80"
	loginAddr   = "login.example:80"
	loginURL    = "http://login.example"
)

// outageRig is a service that goes away once for a while.
type outageRig struct {
	how   away
	lasts time.Duration
	login bool // only the login service goes away

	t      *testing.T
	pipe   *emulator.PipeListener
	client *http.Client

	// What the server in use does.
	start    func(status int, retryAfter string) (end func())
	arrivals func() []time.Time

	mu           sync.Mutex
	armed        func() // begins the outage
	began, ended time.Time
	refused      []time.Time // dials
}

func newOutageRig(t *testing.T, how away, lasts time.Duration, login bool) *outageRig {
	t.Helper()
	r := &outageRig{t: t, how: how, lasts: lasts, login: login, pipe: emulator.NewPipeListener()}
	// Each request has to connect, so that the rig sees it come.
	r.client = client(t, &http.Transport{DialContext: r.dial, DisableKeepAlives: true})
	return r
}

// ctx returns a context for what meets the outage.
func (r *outageRig) ctx() context.Context { return within(r.t, 24*time.Hour) }

// within returns a context that ends after d.
func within(t *testing.T, d time.Duration) context.Context {
	t.Helper()
	ctx, cancel := context.WithTimeoutCause(t.Context(), d, errNotInTime)
	t.Cleanup(cancel)
	return ctx
}

var errNotInTime = errors.New("it did not end in time")

// arm has the outage begin with the first request that comes after a while.
func (r *outageRig) arm(after time.Duration, begin func()) {
	time.AfterFunc(after, func() {
		r.mu.Lock()
		defer r.mu.Unlock()
		r.armed = begin
	})
}

func (r *outageRig) dial(ctx context.Context, network, addr string) (net.Conn, error) {
	r.mu.Lock()
	begin := r.armed
	r.armed = nil
	r.mu.Unlock()
	if begin != nil {
		begin()
	}
	if affected := serviceAddr; r.how.dial != nil && r.away() {
		if r.login {
			affected = loginAddr
		}
		if addr == affected {
			r.mu.Lock()
			defer r.mu.Unlock()
			r.refused = append(r.refused, time.Now())
			return nil, r.how.dial
		}
	}
	return r.pipe.DialContext(ctx, network, addr)
}

// away reports whether the outage is on.
func (r *outageRig) away() bool {
	r.mu.Lock()
	defer r.mu.Unlock()
	return !r.began.IsZero() && r.ended.IsZero()
}

// begin begins the outage, the first time that it is called.
func (r *outageRig) begin() {
	r.mu.Lock()
	defer r.mu.Unlock()
	if !r.began.IsZero() {
		return
	}
	r.began = time.Now()
	end := func() {}
	if !r.login {
		end = r.start(r.how.status, r.how.retryAfter)
	}
	time.AfterFunc(r.lasts, func() {
		r.mu.Lock()
		defer r.mu.Unlock()
		r.ended = time.Now()
		end()
	})
}

// requests returns how many were made in the outage, at most until now, and in
// the first second after it.
func (r *outageRig) requests() (during, after int) {
	arrivals := r.arrivals()
	r.mu.Lock()
	defer r.mu.Unlock()
	for _, at := range append(arrivals, r.refused...) {
		switch {
		case at.Before(r.began):
		case r.ended.IsZero() || at.Before(r.ended):
			during++
		case at.Before(r.ended.Add(time.Second)):
			after++
		}
	}
	return during, after
}

// loginIsAway has log-ins fail with the status of the outage, if it has one.
func (r *outageRig) loginIsAway() (status int, retryAfter string, match func(*http.Request) bool) {
	return r.how.status, r.how.retryAfter, func(*http.Request) bool { return r.how.status != 0 && r.away() }
}

func timesOf[T any](list []T, at func(T) time.Time) []time.Time {
	times := make([]time.Time, len(list))
	for i, one := range list {
		times[i] = at(one)
	}
	return times
}

// longJob is how long the jobs of these tests take.
const longJob = 12 * time.Minute

func (r *outageRig) replicator(jobTime time.Duration) *imagereplicatortest.Server {
	s := imagereplicatortest.NewServer(imagereplicatortest.WithListener(r.pipe), imagereplicatortest.WithJobTime(jobTime))
	r.t.Cleanup(s.Close)
	r.start = func(status int, after string) func() {
		return s.StartOutage(imagereplicatortest.Outage{Status: status, RetryAfter: after})
	}
	r.arrivals = func() []time.Time {
		return timesOf(s.Requests(), func(q imagereplicatortest.Request) time.Time { return q.Time })
	}
	if status, after, match := r.loginIsAway(); r.login {
		s.Inject(imagereplicatortest.Fault{Operation: imagereplicatortest.OpIssueToken, Status: status, RetryAfter: after, Match: match, Times: -1})
	}
	return s
}

func (r *outageRig) oracle(jobTime time.Duration) (*oraclemarkettest.Server, *oraclemarket.Client) {
	s := oraclemarkettest.NewServer(
		oraclemarkettest.WithListener(r.pipe), oraclemarkettest.WithJobTime(jobTime), oraclemarkettest.WithDiscard(),
	)
	r.t.Cleanup(s.Close)
	r.start = func(status int, after string) func() {
		return s.StartOutage(oraclemarkettest.Outage{Status: status, RetryAfter: after})
	}
	r.arrivals = func() []time.Time {
		return timesOf(s.Requests(), func(q oraclemarkettest.Request) time.Time { return q.Time })
	}
	tokens := oraclemarket.StaticToken(s.Token)
	if status, after, match := r.loginIsAway(); r.login {
		s.Inject(oraclemarkettest.Fault{Operation: oraclemarkettest.OpOAMToken, Status: status, RetryAfter: after, Match: match, Times: -1})
		tokens = oraclemarket.OAMClientCredentials(loginURL+"/oam/oauth2/tokens", "domain", s.ClientID, s.ClientSecret)
	}
	c, err := oraclemarket.New(s.User, tokens,
		oraclemarket.WithBaseURL(s.URL), oraclemarket.WithHTTPClient(r.client), oraclemarket.WithInsecureHTTP())
	require.NoError(r.t, err)
	return s, c
}

func (r *outageRig) multiplay(jobTime time.Duration) *multiplay.Client {
	s := multiplaytest.NewServer(multiplaytest.WithListener(r.pipe), multiplaytest.WithJobTime(jobTime))
	r.t.Cleanup(s.Close)
	r.start = func(status int, after string) func() {
		return s.StartOutage(multiplaytest.Outage{Status: status, RetryAfter: after})
	}
	r.arrivals = func() []time.Time {
		return timesOf(s.Requests(), func(q multiplaytest.Request) time.Time { return q.Time })
	}
	return s.Client(multiplay.WithHTTPClient(r.client))
}

func (r *outageRig) replicatorClient(s *imagereplicatortest.Server) *imagereplicator.Client {
	return s.Client(imagereplicator.WithHTTPClient(r.client))
}

// slowChunks has the service take a second for each chunk.
func slowChunks(s *oraclemarkettest.Server) {
	s.Inject(oraclemarkettest.Fault{Operation: oraclemarkettest.OpUploadChunk, Times: -1, Delay: time.Second})
}

const outageChunk = 1000

func outageImage(name string, chunks, atOnce int) *oraclemarket.ImageUpload {
	content := strings.Repeat("0123456789", chunks*outageChunk/10)
	return &oraclemarket.ImageUpload{
		Application: "app", Version: "1.0", OperatingSystem: "Linux", FileName: name,
		File: strings.NewReader(content), Size: int64(len(content)), ChunkSize: outageChunk, Concurrency: atOnce,
	}
}
