package imagereplicator_test

import (
	"context"
	"encoding/json"
	"errors"
	"net/http"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/jarcoal/httpmock"
	"github.com/stretchr/testify/require"

	"github.com/imagejobs/imagejobs-go/imagereplicator"
	"github.com/imagejobs/imagejobs-go/imagereplicator/imagereplicatortest"
	"github.com/imagejobs/imagejobs-go/internal/emulator"
)

// inMemory returns a server that a client in a synctest bubble can reach.
func inMemory(t *testing.T, opts ...imagereplicatortest.Option) (*imagereplicatortest.Server, imagereplicator.Option) {
	t.Helper()
	server, transport := overPipe(t, opts...)
	return server, imagereplicator.WithHTTPClient(&http.Client{Transport: transport})
}

func overPipe(t *testing.T, opts ...imagereplicatortest.Option) (*imagereplicatortest.Server, http.RoundTripper) {
	t.Helper()
	listener := emulator.NewPipeListener()
	server := imagereplicatortest.NewServer(append(opts, imagereplicatortest.WithListener(listener))...)
	transport := &http.Transport{DialContext: listener.DialContext, MaxConnsPerHost: 64, MaxIdleConnsPerHost: 64}
	t.Cleanup(func() {
		transport.CloseIdleConnections()
		server.Close()
	})
	return server, transport
}

// createMany creates jobs without the lists of Create.
func createMany(t *testing.T, server *imagereplicatortest.Server, transport http.RoundTripper, n int) []string {
	t.Helper()
	ids := make([]string, n)
	for i := range ids {
		r, err := http.NewRequestWithContext(t.Context(), http.MethodPost, server.URL+"/v2/extension/image_replicator/jobs",
			strings.NewReader(`{"image_id": "`+imagereplicatortest.ImageID+`", "tenant_id_dst": "`+imagereplicatortest.DestinationTenantID+`"}`))
		require.NoError(t, err)
		r.Header = http.Header{"X-Auth-Token": {token}, "Content-Type": {"application/json"}}
		resp, err := transport.RoundTrip(r)
		require.NoError(t, err)
		var created imagereplicator.Job
		require.NoError(t, json.NewDecoder(resp.Body).Decode(&created))
		require.NoError(t, resp.Body.Close())
		ids[i] = created.ID
	}
	return ids
}

func create(t *testing.T, client *imagereplicator.Client) string {
	t.Helper()
	id, err := client.Jobs.Create(t.Context(), &imagereplicator.CreateJobRequest{
		ImageID:             imagereplicatortest.ImageID,
		DestinationTenantID: imagereplicatortest.DestinationTenantID,
	})
	require.NoError(t, err)
	return id
}

func TestWait(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		server, overPipe := inMemory(t, imagereplicatortest.WithJobTime(10*time.Minute))
		client := server.Client(overPipe)
		start := time.Now()
		job, err := client.Jobs.Wait(t.Context(), create(t, client))
		require.NoError(t, err)
		require.Equal(t, imagereplicator.StatusReplicated, job.Status)
		require.EqualValues(t, 100, job.CopyProgress)
		require.NotEmpty(t, job.DestinationImageID)
		require.InDelta(t, 10*time.Minute, time.Since(start), float64(15*time.Second))
	})
}

// In the documented example a job is still cancel_requested 122 seconds after
// the cancellation was requested.
func TestWaitForACancellation(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		server, overPipe := inMemory(t, imagereplicatortest.WithJobTime(time.Hour), imagereplicatortest.WithCancelLag(5*time.Minute))
		client := server.Client(overPipe)
		id := create(t, client)
		require.NoError(t, client.Jobs.Cancel(t.Context(), id))
		require.ErrorIs(t, client.Jobs.Cancel(t.Context(), id), imagereplicator.ErrConflict)

		var seen []imagereplicator.Status
		var last error
		for job, err := range client.Jobs.Watch(t.Context(), id) {
			if err != nil {
				last = err
				break
			}
			seen = append(seen, job.Status)
		}
		require.Equal(t, []imagereplicator.Status{"cancel_requested", "canceling", "canceled"}, seen)
		state := new(imagereplicator.StateError)
		require.ErrorAs(t, last, &state)
		require.Equal(t, &imagereplicator.StateError{JobID: id, Status: imagereplicator.StatusCanceled}, state)

		job, err := client.Jobs.Wait(t.Context(), id)
		require.ErrorAs(t, err, &state)
		require.Equal(t, imagereplicator.StatusCanceled, job.Status)
	})
}

func TestWaitWhenACancellationLoses(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		server, overPipe := inMemory(t, imagereplicatortest.WithJobTime(10*time.Minute), imagereplicatortest.WithLostCancel())
		client := server.Client(overPipe)
		id := create(t, client)
		require.NoError(t, client.Jobs.Cancel(t.Context(), id))
		job, err := client.Jobs.Get(t.Context(), id)
		require.NoError(t, err)
		require.Equal(t, imagereplicator.StatusCancelRequested, job.Status)

		job, err = client.Jobs.Wait(t.Context(), id)
		require.NoError(t, err)
		require.Equal(t, imagereplicator.StatusReplicated, job.Status)
	})
}

func TestWaitForAFailure(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		server, overPipe := inMemory(t, imagereplicatortest.WithOutcome(imagereplicator.StatusError))
		client := server.Client(overPipe)
		job, err := client.Jobs.Wait(t.Context(), create(t, client))
		state := new(imagereplicator.StateError)
		require.ErrorAs(t, err, &state)
		require.Equal(t, imagereplicator.StatusError, state.Status)
		require.Equal(t, imagereplicator.StatusError, job.Status)
		require.EqualValues(t, 50, job.CopyProgress)
	})
}

func TestWaitGoesOnInAnUnknownState(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		server, overPipe := inMemory(t)
		client := server.Client(overPipe)
		id := create(t, client)
		require.True(t, server.SetStatus(id, "waiting_for_tape"))
		ctx, cancel := context.WithTimeout(t.Context(), time.Hour)
		defer cancel()
		job, err := client.Jobs.Wait(ctx, id)
		require.ErrorIs(t, err, context.DeadlineExceeded)
		require.ErrorContains(t, err, `last status "waiting_for_tape"`)
		require.EqualValues(t, "waiting_for_tape", job.Status)
		require.Greater(t, server.Count(imagereplicatortest.OpGet), 200)
	})
}

func TestWaitObeysRetryAfter(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		server, overPipe := inMemory(t)
		client := server.Client(overPipe)
		id := create(t, client)
		server.Inject(imagereplicatortest.Fault{Operation: imagereplicatortest.OpGet, Header: http.Header{"Retry-After": {"90"}}})
		start := time.Now()
		_, err := client.Jobs.Wait(t.Context(), id)
		require.NoError(t, err)
		require.GreaterOrEqual(t, time.Since(start), 90*time.Second)
		require.Equal(t, 2, server.Count(imagereplicatortest.OpGet))
	})
}

func TestWaitRidesOutTransientFailures(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		server, overPipe := inMemory(t, imagereplicatortest.WithJobTime(time.Minute))
		client := server.Client(overPipe)
		id := create(t, client)
		for _, fault := range []imagereplicatortest.Fault{
			{Status: 503, RetryAfter: "5"}, {Status: 502, ContentType: "text/html", Body: "<h1>Bad Gateway</h1>"},
			{Drop: imagereplicatortest.DropAfter}, {Truncate: true}, {Status: 500},
		} {
			fault.Operation = imagereplicatortest.OpGet
			fault.Skip = 1
			server.Inject(fault)
		}
		job, err := client.Jobs.Wait(t.Context(), id)
		require.NoError(t, err)
		require.Equal(t, imagereplicator.StatusReplicated, job.Status)
	})
}

// However many wait, all ride out an outage, although the retry budget of their
// client is soon used up.
func TestWaitThroughAnOutage(t *testing.T) {
	const jobs = 200
	synctest.Test(t, func(t *testing.T) {
		server, transport := overPipe(t, imagereplicatortest.WithJobTime(5*time.Minute))
		client := server.Client(imagereplicator.WithHTTPClient(&http.Client{Transport: transport}))
		ids := createMany(t, server, transport, jobs)
		var waiting sync.WaitGroup
		failed := make([]error, jobs)
		for i, id := range ids {
			waiting.Go(func() { _, failed[i] = client.Jobs.Wait(t.Context(), id) })
		}
		<-time.After(time.Minute)
		server.Inject(imagereplicatortest.Fault{Operation: imagereplicatortest.OpGet, Status: 503, Times: -1})
		<-time.After(time.Minute)
		before := server.Count(imagereplicatortest.OpGet)
		<-time.After(time.Minute)
		require.Less(t, server.Count(imagereplicatortest.OpGet)-before, jobs*60/7, "polls keep their pace")
		server.ClearFaults()
		waiting.Wait()
		for i := range ids {
			require.NoError(t, failed[i])
		}
	})
}

// From the first poll on, an outage is ridden out for its limit, and then named.
func TestWaitEndsAfterTheOutageLimit(t *testing.T) {
	for limit, opts := range map[time.Duration][]imagereplicator.Option{
		5 * time.Minute: nil,
		time.Minute:     {imagereplicator.WithOutageLimit(time.Minute)},
	} {
		synctest.Test(t, func(t *testing.T) {
			client, mock := mocked(t, opts...)
			mock.RegisterResponder(http.MethodGet, jobURL, httpmock.NewStringResponder(http.StatusServiceUnavailable, ""))
			start := time.Now()
			_, err := client.Jobs.Wait(t.Context(), jobID)
			require.ErrorIs(t, err, imagereplicator.ErrServer)
			require.True(t, imagereplicator.IsTransient(err))
			require.Equal(t, limit, time.Since(start))
		})
	}
}

// A job that the service does not know may have been created just now, and one
// that it knew may be missing from a replica: both have half a minute.
func TestWaitForAnUnknownJob(t *testing.T) {
	unknown := respond(t, http.StatusNotFound, "error_404_webob.json")
	synctest.Test(t, func(t *testing.T) {
		client, mock := mocked(t)
		mock.RegisterResponder(http.MethodGet, jobURL, unknown)
		start := time.Now()
		job, err := client.Jobs.Wait(t.Context(), jobID)
		require.ErrorIs(t, err, imagereplicator.ErrNotFound)
		require.ErrorContains(t, err, "waiting for job "+jobID+", no status seen")
		require.Nil(t, job)
		require.Equal(t, 30*time.Second, time.Since(start))

		start = time.Now()
		mock.RegisterResponder(http.MethodGet, jobURL, respond(t, http.StatusOK, "job_execution_example.json").Then(unknown))
		job, err = client.Jobs.Wait(t.Context(), jobID)
		require.ErrorIs(t, err, imagereplicator.ErrNotFound)
		require.ErrorContains(t, err, `last status "cancel_requested"`)
		require.Equal(t, executionExample(), *job)
		require.InDelta(t, 30*time.Second, time.Since(start), float64(2*time.Second))

		mock.RegisterResponder(http.MethodGet, jobURL, unknown.Times(3).
			Then(httpmock.NewJsonResponderOrPanic(http.StatusOK, imagereplicator.Job{ID: jobID, Status: imagereplicator.StatusReplicated})))
		_, err = client.Jobs.Wait(t.Context(), jobID)
		require.NoError(t, err)
	})
}

func TestWaitAfterItsContextEnded(t *testing.T) {
	client, _ := mocked(t)
	ctx, cancel := context.WithCancelCause(t.Context())
	cancel(errors.New("the operator went home"))
	_, err := client.Jobs.Wait(ctx, jobID)
	require.ErrorIs(t, err, context.Canceled)
	require.ErrorContains(t, err, "the operator went home")
}

func TestWatchYieldsChangesOnly(t *testing.T) {
	client, mock := mocked(t)
	state := func(status imagereplicator.Status, progress int64) httpmock.Responder {
		return httpmock.NewJsonResponderOrPanic(http.StatusOK, imagereplicator.Job{ID: jobID, Status: status, CopyProgress: progress})
	}
	mock.RegisterResponder(http.MethodGet, jobURL, state("replicate_requested", 0).
		Then(state("replicate_requested", 0)).Then(state("replicating", 10)).Then(state("replicating", 10)).
		Then(state("replicating", 20)).Then(state("replicated", 100)))
	var seen []int64
	for job, err := range client.Jobs.Watch(t.Context(), jobID, quickly()) {
		require.NoError(t, err)
		seen = append(seen, job.CopyProgress)
	}
	require.Equal(t, []int64{0, 10, 20, 100}, seen)

	before := mock.GetTotalCallCount()
	mock.RegisterResponder(http.MethodGet, jobURL, state("replicating", 10))
	for _, err := range client.Jobs.Watch(t.Context(), jobID, quickly()) {
		require.NoError(t, err)
		break
	}
	require.Equal(t, before+1, mock.GetTotalCallCount())
}

// A thousand jobs awaited at once by one client, over 64 connections, while the
// first token expires and the next one is revoked.
func TestWaitForAThousand(t *testing.T) {
	const jobs = 1000
	synctest.Test(t, func(t *testing.T) {
		server, transport := overPipe(t,
			imagereplicatortest.WithJobTime(80*time.Second), imagereplicatortest.WithTokenLifetime(50*time.Second))
		client := server.Client(imagereplicator.WithHTTPClient(&http.Client{Transport: transport}))
		ids := createMany(t, server, transport, jobs)
		_, err := client.Jobs.Get(t.Context(), ids[0]) // for the first token
		require.NoError(t, err)
		before := memory()

		var waiting sync.WaitGroup
		ended := make([]*imagereplicator.Job, jobs)
		failed := make([]error, jobs)
		for i, id := range ids {
			waiting.Go(func() {
				ended[i], failed[i] = client.Jobs.Wait(t.Context(), id, imagereplicator.WithPollInterval(5*time.Second, 15*time.Second))
			})
		}
		<-time.After(20 * time.Second)
		synctest.Wait()
		each := (memory() - before) / jobs
		t.Logf("%d bytes for each waiter, connections included", each)
		require.Less(t, each, int64(64<<10))
		require.Equal(t, 1, server.TokensIssued())

		<-time.After(40 * time.Second)
		synctest.Wait()
		refused := func() int {
			return server.Count(imagereplicatortest.OpGet) - server.Processed(imagereplicatortest.OpGet)
		}
		require.Equal(t, 2, server.TokensIssued())
		require.Zero(t, refused(), "the token was replaced before it expired")

		server.ExpireTokens()
		waiting.Wait()
		require.Equal(t, 3, server.TokensIssued())
		require.Positive(t, refused())
		for i := range ids {
			require.NoError(t, failed[i])
			require.Equal(t, ids[i], ended[i].ID)
			require.Equal(t, imagereplicator.StatusReplicated, ended[i].Status)
		}
	})
}
