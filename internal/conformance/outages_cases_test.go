package conformance

import (
	"errors"
	"fmt"
	"net/http"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/imagejobs/imagejobs-go/imagereplicator"
	"github.com/imagejobs/imagejobs-go/imagereplicator/imagereplicatortest"
	"github.com/imagejobs/imagejobs-go/multiplay"
	"github.com/imagejobs/imagejobs-go/multiplay/multiplaytest"
	"github.com/imagejobs/imagejobs-go/oraclemarket"
	"github.com/imagejobs/imagejobs-go/oraclemarket/oraclemarkettest"
)

// However rare the polls are, a short outage ends no wait, and costs it no more
// than its own length and a poll of the usual interval.
func TestShortOutageAmongRarePolls(t *testing.T) {
	const rare, short = 10 * time.Minute, 10 * time.Second
	for _, how := range waysAway() {
		if how.asks() > 0 {
			continue
		}
		for name, wait := range map[string]func(*outageRig) error{
			"imagereplicator": func(r *outageRig) error {
				ctx := r.ctx()
				c := r.replicatorClient(r.replicator(2 * time.Hour))
				id, err := createCopy(ctx, c)
				if err == nil {
					r.arm(beforeOutage, r.begin)
					_, err = c.Jobs.Wait(ctx, id, imagereplicator.WithPollInterval(rare, rare))
				}
				return err
			},
			"imagereplicator, all": func(r *outageRig) error {
				ctx := r.ctx()
				c := r.replicatorClient(r.replicator(2 * time.Hour))
				id, err := createCopy(ctx, c)
				if err == nil {
					r.arm(beforeOutage, r.begin)
					_, err = c.Jobs.WaitAll(ctx, []string{id}, imagereplicator.WithPollInterval(rare, rare))
				}
				return err
			},
			"oraclemarket": func(r *outageRig) error {
				ctx := r.ctx()
				_, c := r.oracle(2 * time.Hour)
				id, err := createImage(ctx, c, 0)
				if err == nil {
					r.arm(beforeOutage, r.begin)
					_, err = c.MachineImages.Wait(ctx, id, oraclemarket.WithPollInterval(rare, rare))
				}
				return err
			},
			"multiplay": func(r *outageRig) error {
				ctx := r.ctx()
				c := r.multiplay(2 * time.Hour)
				id, err := createUpdate(ctx, c)
				if err == nil {
					r.arm(beforeOutage, r.begin)
					_, err = c.ImageUpdates.Wait(ctx, id, multiplay.WithPollInterval(rare, rare))
				}
				return err
			},
		} {
			t.Run(name+", "+how.name, func(t *testing.T) {
				t.Parallel()
				synctest.Test(t, func(t *testing.T) {
					r := newOutageRig(t, how, short, false)
					require.NoError(t, wait(r))
					during, _ := r.requests()
					require.Positive(t, during)
				})
			})
		}
	}
}

// A Retry-After beside a good response slows polls down, at most to the outage
// limit, and does not count as an outage.
func TestRetryAfterOfGoodResponses(t *testing.T) {
	for text, pause := range map[string]time.Duration{
		"600": outageLimit, "100": 100 * time.Second, "2.5": 2500 * time.Millisecond, "0.25": 0, "0": 0,
		"-3": 0, "soon": 0, "NaN": 0, "Inf": 0, "1e3": outageLimit, "99999999999999999999": 0, "31536000": 0, "": 0,
	} {
		t.Run(text, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				r := newOutageRig(t, away{name: "502", status: http.StatusBadGateway}, 10*time.Second, false)
				s := r.replicator(time.Hour)
				c := r.replicatorClient(s)
				id, err := createCopy(t.Context(), c)
				require.NoError(t, err)
				s.Inject(imagereplicatortest.Fault{
					Operation: imagereplicatortest.OpGet, Times: 4, Header: http.Header{"Retry-After": {text}},
				})
				var polls []time.Time
				last := watched(s, imagereplicatortest.OpGet, &polls)
				r.arm(20*time.Minute, r.begin)
				_, err = c.Jobs.Wait(t.Context(), id)
				last()
				require.NoError(t, err)
				for i := range 4 {
					gap := polls[i+1].Sub(polls[i])
					require.GreaterOrEqual(t, gap, max(pause, time.Second/2))
					require.LessOrEqual(t, gap, max(pause+longestPoll/2, 4*time.Second))
				}
			})
		})
	}
}

// watched returns a func that puts the times of an operation's requests into at.
func watched(s *imagereplicatortest.Server, operation string, at *[]time.Time) func() {
	return func() {
		for _, q := range s.Requests() {
			if q.Operation == operation {
				*at = append(*at, q.Time)
			}
		}
	}
}

// A Retry-After in an outage is obeyed as far as the limit goes: whatever its
// text, it neither ends the wait early nor holds it up when all is well again.
func TestRetryAfterInOutages(t *testing.T) {
	for text, pause := range map[string]time.Duration{
		"150": 150 * time.Second, "3600": outageLimit, "2.5": 2500 * time.Millisecond, "0.25": 0, "-3": 0, "soon": 0,
		"99999999999999999999": 0, "NaN": 0,
	} {
		for _, status := range []int{http.StatusTooManyRequests, http.StatusServiceUnavailable} {
			t.Run(fmt.Sprintf("%d, Retry-After %s", status, text), func(t *testing.T) {
				synctest.Test(t, func(t *testing.T) {
					const lasts = 4 * time.Minute
					r := newOutageRig(t, away{status: status, retryAfter: text}, lasts, false)
					s := r.replicator(longJob)
					c := r.replicatorClient(s)
					id, err := createCopy(t.Context(), c)
					require.NoError(t, err)
					r.arm(beforeOutage, r.begin)
					_, err = c.Jobs.Wait(t.Context(), id)
					require.NoError(t, err)
					during, _ := r.requests()
					require.LessOrEqual(t, during, 2+int(lasts/max(pause, longestPoll/2)))
				})
			})
		}
	}
}

// The outage of a second over sockets, as far as they can show one. All at once,
// since the time is real.
func TestOutagesOverSockets(t *testing.T) {
	var all sync.WaitGroup
	var mu sync.Mutex
	errs := map[string]error{}
	for _, how := range []away{
		{name: "refused"},
		{name: "502", status: http.StatusBadGateway},
		{name: "522", status: 522},
		{name: "429", status: http.StatusTooManyRequests},
		{name: "429, Retry-After 1", status: http.StatusTooManyRequests, retryAfter: "1"},
	} {
		for name, run := range map[string]func(*testing.T, away) (*second, error){
			"imagereplicator": socketReplicator, "oraclemarket": socketOracle, "multiplay": socketMultiplay,
		} {
			all.Go(func() {
				start := time.Now()
				outage, err := run(t, how)
				t.Logf("%s, %s: %s", name, how.name, time.Since(start))
				if err == nil && !outage.over.Load() {
					err = errEndedBefore
				}
				mu.Lock()
				defer mu.Unlock()
				errs[name+", "+how.name] = err
			})
		}
	}
	all.Wait()
	for name, err := range errs {
		require.NoError(t, err, name)
	}
}

var errEndedBefore = errors.New("it ended before the outage")

// second is an outage of a second.
type second struct{ begun, over atomic.Bool }

// begin begins the outage, the first time that it is called.
func (s *second) begin(start func() (end func())) {
	if s.begun.Swap(true) {
		return
	}
	end := start()
	time.AfterFunc(time.Second, func() {
		s.over.Store(true) // before its end, which may come between a request and the end of all
		end()
	})
}

func socketClient(t *testing.T) *http.Client {
	t.Helper()
	return client(t, &http.Transport{})
}

func socketReplicator(t *testing.T, how away) (*second, error) {
	t.Helper()
	ctx := within(t, 2*time.Minute)
	s := imagereplicatortest.NewServer(imagereplicatortest.WithJobTime(2 * time.Second))
	t.Cleanup(s.Close)
	c := s.Client(imagereplicator.WithHTTPClient(socketClient(t)))
	ids := make([]string, 2)
	for i := range ids {
		var err error
		if ids[i], err = createCopy(ctx, c); err != nil {
			return nil, err
		}
	}
	outage := &second{}
	outage.begin(func() func() {
		return s.StartOutage(imagereplicatortest.Outage{Status: how.status, RetryAfter: how.retryAfter})
	})
	_, err := c.Jobs.WaitAll(ctx, ids)
	return outage, err
}

func socketOracle(t *testing.T, how away) (*second, error) {
	t.Helper()
	ctx := within(t, 2*time.Minute)
	s := oraclemarkettest.NewServer(oraclemarkettest.WithJobTime(time.Second), oraclemarkettest.WithDiscard())
	t.Cleanup(s.Close)
	c := s.Client(oraclemarket.WithHTTPClient(socketClient(t)))
	outage := &second{}
	image := outageImage("image.tar.gz", 64, 16)
	image.Progress = func(p oraclemarket.UploadProgress) {
		if p.Chunks >= 16 {
			outage.begin(func() func() {
				return s.StartOutage(oraclemarkettest.Outage{Status: how.status, RetryAfter: how.retryAfter})
			})
		}
	}
	_, err := c.MachineImages.Upload(ctx, image)
	return outage, err
}

func socketMultiplay(t *testing.T, how away) (*second, error) {
	t.Helper()
	ctx := within(t, 2*time.Minute)
	s := multiplaytest.NewServer(multiplaytest.WithJobTime(time.Second))
	t.Cleanup(s.Close)
	c := s.Client(multiplay.WithHTTPClient(socketClient(t)))
	outage := &second{}
	_, err := c.Release(ctx, &multiplay.ReleaseRequest{
		ImageID: multiplaytest.ImageID, GameID: multiplaytest.GameID, MachineID: multiplaytest.MachineID,
		Description: "build 42", Source: outageSource(),
		OnEvent: func(e multiplay.ReleaseEvent) {
			if e.Step == multiplay.StepDiff {
				outage.begin(func() func() {
					return s.StartOutage(multiplaytest.Outage{Status: how.status, RetryAfter: how.retryAfter})
				})
			}
		},
	}, multiplay.WithPollInterval(100*time.Millisecond, 500*time.Millisecond))
	return outage, err
}
