package oraclemarket_test

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/imagejobs/imagejobs-go/oraclemarket"
)

// state is the response to one Get.
type state struct {
	status     string // of the upload request
	progress   int
	code       int // of HTTP, 0 for 200
	retryAfter string
}

// polls responds with one after the other, and with the last forever, and
// keeps when each came.
type polls struct {
	states []state
	at     []time.Time
}

func (p *polls) RoundTrip(*http.Request) (*http.Response, error) {
	now := p.states[min(len(p.at), len(p.states)-1)]
	p.at = append(p.at, time.Now())
	body := fmt.Sprintf(`{"uploadRequestId":2797087,"statusName":%q,"dataCenterImageUploadRequests":[`+
		`{"dataCenterName":"CHERRY","statusName":%q,"uploadProgress":"%d%%"},`+
		`{"dataCenterName":"TEAK","statusName":"Completed","uploadProgress":"100%%"}]}`, now.status, now.status, now.progress)
	resp := &http.Response{
		StatusCode: max(now.code, http.StatusOK), Header: http.Header{"Content-Type": {"application/json"}},
		Body: io.NopCloser(strings.NewReader(body)), ContentLength: int64(len(body)),
	}
	if now.retryAfter != "" {
		resp.Header.Set("Retry-After", now.retryAfter)
	}
	return resp, nil
}

// gaps are the times between the polls.
func (p *polls) gaps() []time.Duration {
	var gaps []time.Duration
	for i := 1; i < len(p.at); i++ {
		gaps = append(gaps, p.at[i].Sub(p.at[i-1]))
	}
	return gaps
}

const waitID = 2797087

// waiting is a client whose polls have these responses.
func waiting(t *testing.T, states []state) (*polls, *oraclemarket.MachineImagesService) {
	t.Helper()
	p := &polls{states: states}
	c, err := oraclemarket.New("user", oraclemarket.StaticToken("Access-token"),
		oraclemarket.WithHTTPClient(&http.Client{Transport: p}))
	require.NoError(t, err)
	return p, c.MachineImages
}

func times(n int, s state) []state {
	all := make([]state, n)
	for i := range all {
		all[i] = s
	}
	return all
}

var completed = state{status: "COMPLETED", progress: 100}

func TestWaitIntervals(t *testing.T) {
	t.Parallel()
	spread := false
	for range 3 {
		synctest.Test(t, func(t *testing.T) {
			p, images := waiting(t, append(times(20, state{status: "Pending"}), completed))
			last, err := images.Wait(t.Context(), waitID)
			require.NoError(t, err)
			require.Equal(t, oraclemarket.StatusCompleted, last.StatusName)
			interval := time.Second
			for i, gap := range p.gaps() {
				require.LessOrEqual(t, gap, interval, i)
				require.GreaterOrEqual(t, gap, interval/2, i)
				spread = spread || gap != interval
				interval = min(interval*3/2, 15*time.Second)
			}
			require.Equal(t, 15*time.Second, interval)
		})
	}
	require.True(t, spread, "there is jitter")
}

func TestWaitPollInterval(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		p, images := waiting(t, append(times(8, state{status: "Pending"}), completed))
		_, err := images.Wait(t.Context(), waitID, oraclemarket.WithPollInterval(40*time.Millisecond, 50*time.Millisecond))
		require.NoError(t, err)
		require.Len(t, p.gaps(), 8)
		for _, gap := range p.gaps() {
			require.LessOrEqual(t, gap, 50*time.Millisecond)
			require.GreaterOrEqual(t, gap, 20*time.Millisecond)
		}
	})
	synctest.Test(t, func(t *testing.T) {
		p, images := waiting(t, times(1, completed))
		for _, wrong := range [][2]time.Duration{{-1, 0}, {0, -1}, {2, 1}} {
			_, err := images.Wait(t.Context(), waitID, oraclemarket.WithPollInterval(wrong[0], wrong[1]))
			require.ErrorIs(t, err, oraclemarket.ErrInvalidArgument)
			require.ErrorContains(t, err, "oraclemarket: WithPollInterval: ")
		}
		_, err := images.Wait(t.Context(), 0)
		require.EqualError(t, err, "oraclemarket: uploadRequestID: must be positive, not 0")
		require.Empty(t, p.at)
	})
}

func TestWaitRetryAfter(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		p, images := waiting(t, []state{{status: "Pending", retryAfter: "40"}, {status: "Pending", retryAfter: "0"}, completed})
		_, err := images.Wait(t.Context(), waitID)
		require.NoError(t, err)
		gaps := p.gaps()
		require.InDelta(t, 44*time.Second, gaps[0], float64(4*time.Second))
		require.Less(t, gaps[1], 2*time.Second, "the interval it would have had")
	})
	date := func() string { return time.Now().Add(90 * time.Second).UTC().Format(http.TimeFormat) }
	synctest.Test(t, func(t *testing.T) {
		p, images := waiting(t, []state{{status: "Pending", retryAfter: date()}, completed})
		_, err := images.Wait(t.Context(), waitID)
		require.NoError(t, err)
		require.Len(t, p.gaps(), 1)
		require.InDelta(t, 94*time.Second, p.gaps()[0], float64(4*time.Second))
	})
}

// An unknown status is no end, whatever it sounds like. A response without one
// is no response.
func TestWaitUnknownStatus(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		_, images := waiting(t, []state{{status: "Complete"}, {status: ""}, {status: "Replicating"}, {status: "IN PROGESS"}, completed})
		var seen []oraclemarket.Status
		for state, err := range images.Watch(t.Context(), waitID) {
			require.NoError(t, err)
			seen = append(seen, state.StatusName)
		}
		require.Equal(t, []oraclemarket.Status{"Complete", "Replicating", oraclemarket.StatusInProgress, oraclemarket.StatusCompleted}, seen)
	})
}

func TestWatchYieldsChanges(t *testing.T) {
	t.Parallel()
	states := []state{
		{status: "Pending"}, {status: "Pending"}, {status: "In Progress", progress: 10},
		{status: "In Progress", progress: 10}, {status: "In Progress", progress: 60}, completed,
	}
	synctest.Test(t, func(t *testing.T) {
		p, images := waiting(t, states)
		var seen []string
		for state, err := range images.Watch(t.Context(), waitID) {
			require.NoError(t, err)
			seen = append(seen, fmt.Sprint(state.StatusName, state.DataCenterImageUploadRequests[0].UploadProgress))
		}
		require.Equal(t, []string{"Pending0%", "In Progress10%", "In Progress60%", "Completed100%"}, seen)
		require.Len(t, p.at, len(states))
	})
}

func TestWatchBreak(t *testing.T) {
	t.Parallel()
	// The bubble fails when a goroutine or a timer is left behind.
	synctest.Test(t, func(t *testing.T) {
		p, images := waiting(t, []state{{status: "Pending"}, {status: "In Progress"}, completed})
		for state, err := range images.Watch(t.Context(), waitID) {
			require.NoError(t, err)
			if state.StatusName == oraclemarket.StatusInProgress {
				break
			}
		}
		require.Len(t, p.at, 2)
		synctest.Wait()
		require.Len(t, p.at, 2)
	})
}

func TestWaitEndsBadly(t *testing.T) {
	t.Parallel()
	for printed, status := range map[string]oraclemarket.Status{
		"FAILED": oraclemarket.StatusFailed, "Rejected": oraclemarket.StatusRejected,
		"deleted": oraclemarket.StatusDeleted, "DELECTION FAILED": oraclemarket.StatusDeletionFailed,
	} {
		synctest.Test(t, func(t *testing.T) {
			_, images := waiting(t, []state{{status: "Pending"}, {status: printed, progress: 50}})
			last, err := images.Wait(t.Context(), waitID)
			var ended *oraclemarket.StateError
			require.ErrorAs(t, err, &ended)
			require.Equal(t, oraclemarket.StateError{
				UploadRequestID: waitID, Status: status, Reason: fmt.Sprintf("CHERRY: %s at 50%%", status),
			}, *ended)
			require.EqualError(t, err, fmt.Sprintf("oraclemarket: upload request 2797087 ended with status %q: CHERRY: %s at 50%%", status, status))
			require.Equal(t, status, last.StatusName)

			var yielded []bool
			for state, err := range images.Watch(t.Context(), waitID) {
				require.NotNil(t, state)
				yielded = append(yielded, err != nil)
			}
			require.Equal(t, []bool{false, true}, yielded, "the state, then the error")
		})
	}
}

func TestWaitContextEnds(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		_, images := waiting(t, []state{{status: "Pending"}, {status: "Virus Scan In Progress"}})
		ctx, cancel := context.WithTimeout(t.Context(), 100*time.Second)
		defer cancel()
		began := time.Now()
		last, err := images.Wait(ctx, waitID)
		require.ErrorIs(t, err, context.DeadlineExceeded)
		require.ErrorContains(t, err, `oraclemarket: waiting for upload request 2797087, last status "Virus Scan In Progress": `)
		require.Equal(t, oraclemarket.StatusVirusScanInProgress, last.StatusName)
		require.Equal(t, 100*time.Second, time.Since(began), "at once")
	})
	synctest.Test(t, func(t *testing.T) {
		p, images := waiting(t, []state{completed})
		ctx, cancel := context.WithCancelCause(t.Context())
		stop := errors.New("enough")
		cancel(stop)
		last, err := images.Wait(ctx, waitID)
		require.ErrorIs(t, err, context.Canceled)
		require.ErrorIs(t, err, stop)
		require.ErrorContains(t, err, "no status seen")
		require.Nil(t, last)
		require.Empty(t, p.at)
	})
	// While it waits between two polls, too.
	synctest.Test(t, func(t *testing.T) {
		_, images := waiting(t, []state{{status: "Pending"}})
		ctx, cancel := context.WithCancelCause(t.Context())
		stop := errors.New("enough")
		go func() {
			synctest.Wait()
			cancel(stop)
		}()
		_, err := images.Wait(ctx, waitID)
		require.ErrorIs(t, err, context.Canceled)
		require.ErrorIs(t, err, stop)
	})
}

// Transient failures are ridden out, and a 404 for half a minute.
func TestWaitTrouble(t *testing.T) {
	t.Parallel()
	states := []state{{status: "Pending"}, {code: 503}, {code: 429, retryAfter: "3"}, {code: 500}, {status: "In Progress"}, {code: 404}}
	synctest.Test(t, func(t *testing.T) {
		p, images := waiting(t, states)
		last, err := images.Wait(t.Context(), waitID)
		require.ErrorIs(t, err, oraclemarket.ErrNotFound)
		require.ErrorContains(t, err, `last status "In Progress"`)
		require.Equal(t, oraclemarket.StatusInProgress, last.StatusName)
		require.GreaterOrEqual(t, p.gaps()[2], 3*time.Second)
		const lag = 30 * time.Second
		require.Equal(t, lag, p.at[len(p.at)-1].Sub(p.at[len(states)-1]), "and one poll at the end of it")
	})
}
