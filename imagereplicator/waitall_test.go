package imagereplicator_test

import (
	"compress/gzip"
	"context"
	"errors"
	"fmt"
	"net/http"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/jarcoal/httpmock"
	"github.com/stretchr/testify/require"

	"github.com/imagejobs/imagejobs-go/imagereplicator"
	"github.com/imagejobs/imagejobs-go/imagereplicator/imagereplicatortest"
)

// A thousand jobs cost one list a poll, also while the token expires and the next
// one is revoked.
func TestWaitAll(t *testing.T) {
	const jobs = 1000
	synctest.Test(t, func(t *testing.T) {
		server, transport := overPipe(t, imagereplicatortest.WithJobTime(10*time.Minute), imagereplicatortest.WithTokenLifetime(5*time.Minute))
		client := server.Client(imagereplicator.WithHTTPClient(&http.Client{Transport: transport}))
		ids := createMany(t, server, transport, jobs)
		require.True(t, server.SetStatus(ids[3], imagereplicator.StatusError))
		require.NoError(t, client.Jobs.Cancel(t.Context(), ids[5]))
		lists := server.Count(imagereplicatortest.OpList)
		time.AfterFunc(7*time.Minute, server.ExpireTokens)
		start := time.Now()
		ended, err := client.Jobs.WaitAll(t.Context(), ids)
		require.InDelta(t, 10*time.Minute, time.Since(start), float64(30*time.Second))
		require.LessOrEqual(t, server.Count(imagereplicatortest.OpList)-lists, 90)
		require.Zero(t, server.Count(imagereplicatortest.OpGet))

		state := new(imagereplicator.StateError)
		require.ErrorAs(t, err, &state)
		require.EqualError(t, err, fmt.Sprintf("imagereplicator: job %s ended with status \"error\"\nimagereplicator: job %s ended with status \"canceled\"", ids[3], ids[5]))
		for i, job := range ended {
			require.Equal(t, ids[i], job.ID)
			switch i {
			case 3:
				require.Equal(t, imagereplicator.StatusError, job.Status)
			case 5:
				require.Equal(t, imagereplicator.StatusCanceled, job.Status)
			default:
				require.Equal(t, imagereplicator.StatusReplicated, job.Status)
			}
		}
	})
}

// Where jobs cannot be listed, each is polled, created and copied all the same.
func TestWaitAllWithoutAList(t *testing.T) {
	var large strings.Builder
	packed := gzip.NewWriter(&large)
	_, err := packed.Write(make([]byte, 8<<20+1))
	require.NoError(t, err)
	require.NoError(t, packed.Close())
	for name, fault := range map[string]imagereplicatortest.Fault{
		"forbidden": {Status: http.StatusForbidden},
		"too large": {Body: large.String(), Header: http.Header{"Content-Encoding": {"gzip"}}},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				server, overPipe := inMemory(t, imagereplicatortest.WithJobTime(2*time.Minute))
				client := server.Client(overPipe)
				fault.Operation, fault.Times = imagereplicatortest.OpList, -1
				server.Inject(fault)
				rarely := imagereplicator.WithPollInterval(time.Minute, time.Minute)
				results, err := client.Jobs.CopyToTenants(t.Context(), image, tenants, imagereplicator.WithCopyWait(rarely))
				require.NoError(t, err)
				require.Len(t, results, len(tenants))
				require.Equal(t, len(tenants), server.Count(imagereplicatortest.OpCreate))
				ended, err := client.Jobs.WaitAll(t.Context(), []string{create(t, client), "no-such-job"}, rarely)
				require.ErrorIs(t, err, imagereplicator.ErrNotFound)
				require.Equal(t, imagereplicator.StatusReplicated, ended[0].Status)
			})
		})
	}
}

// A job that is not listed yet is awaited like the others, and an unknown id is
// reported without hiding them.
func TestWaitAllForUnlistedJobs(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		server, overPipe := inMemory(t, imagereplicatortest.WithJobTime(2*time.Minute), imagereplicatortest.WithListLag(time.Hour))
		client := server.Client(overPipe)
		ids := []string{create(t, client), "no-such-job", create(t, client)}
		ended, err := client.Jobs.WaitAll(t.Context(), ids, imagereplicator.WithPollInterval(5*time.Second, 30*time.Second))
		require.ErrorIs(t, err, imagereplicator.ErrNotFound)
		require.ErrorContains(t, err, "imagereplicator: waiting for job no-such-job, no status seen: ")
		require.Equal(t, imagereplicator.StatusReplicated, ended[0].Status)
		require.Nil(t, ended[1])
		require.Equal(t, imagereplicator.StatusReplicated, ended[2].Status)
		require.Less(t, server.Count(imagereplicatortest.OpGet), 30)
	})
}

func TestWaitAllThroughAnOutage(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		server, overPipe := inMemory(t, imagereplicatortest.WithJobTime(5*time.Minute))
		client := server.Client(overPipe)
		ids := []string{create(t, client), create(t, client)}
		server.Inject(imagereplicatortest.Fault{Operation: imagereplicatortest.OpList, Status: http.StatusServiceUnavailable, Times: -1})
		time.AfterFunc(4*time.Minute, server.ClearFaults)
		_, err := client.Jobs.WaitAll(t.Context(), ids)
		require.NoError(t, err)

		server.Inject(imagereplicatortest.Fault{Operation: imagereplicatortest.OpList, Status: http.StatusServiceUnavailable, Times: -1})
		start := time.Now()
		states, err := client.Jobs.WaitAll(t.Context(), ids)
		require.ErrorIs(t, err, imagereplicator.ErrServer)
		require.ErrorContains(t, err, "waiting for 2 of 2 jobs")
		require.InDelta(t, 5*time.Minute, time.Since(start), float64(time.Minute), "the last list has its own retries")
		require.Equal(t, []*imagereplicator.Job{nil, nil}, states)
	})
}

func TestWatchAll(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		server, overPipe := inMemory(t, imagereplicatortest.WithJobTime(time.Hour))
		client := server.Client(overPipe)
		ids := []string{create(t, client), create(t, client)}
		time.AfterFunc(time.Minute, func() { server.SetStatus(ids[0], imagereplicator.StatusError) })
		time.AfterFunc(2*time.Minute, func() { server.SetStatus(ids[1], imagereplicator.StatusReplicated) })
		last := map[string]imagereplicator.Status{}
		var failed []string
		for job, err := range client.Jobs.WatchAll(t.Context(), ids) {
			if state, ok := errors.AsType[*imagereplicator.StateError](err); ok {
				failed = append(failed, state.JobID)
				require.Equal(t, job.ID, state.JobID)
				continue
			}
			require.NoError(t, err)
			last[job.ID] = job.Status
		}
		require.Equal(t, ids[:1], failed)
		require.Equal(t, map[string]imagereplicator.Status{ids[0]: "error", ids[1]: "replicated"}, last)
	})
}

func TestWaitAllArguments(t *testing.T) {
	client, mock := mocked(t)
	for want, call := range map[string]func() error{
		"imagereplicator: Jobs.WaitAll: jobIDs[1]: must not be empty": func() error {
			_, err := client.Jobs.WaitAll(t.Context(), []string{"a", ""})
			return err
		},
		"imagereplicator: Jobs.WatchAll: jobIDs[0]: must not contain a slash": func() error {
			for _, err := range client.Jobs.WatchAll(t.Context(), []string{"a/b"}) {
				return err
			}
			return nil
		},
		"imagereplicator: WithPollInterval: must not be negative": func() error {
			_, err := client.Jobs.WaitAll(t.Context(), nil, imagereplicator.WithPollInterval(-1, 0))
			return err
		},
	} {
		err := call()
		require.EqualError(t, err, want)
		require.ErrorIs(t, err, imagereplicator.ErrInvalidArgument)
	}
	states, err := client.Jobs.WaitAll(t.Context(), nil)
	require.NoError(t, err)
	require.Empty(t, states)
	require.Zero(t, mock.GetTotalCallCount())
}

func TestWaitAllContextEnds(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		client, mock := mocked(t)
		ctx, cancel := context.WithCancelCause(t.Context())
		mock.RegisterResponder(http.MethodGet, jobsURL, func(*http.Request) (*http.Response, error) {
			// In virtual time, while WaitAll waits for its next poll.
			time.AfterFunc(time.Millisecond, func() { cancel(errors.New("the operator went home")) })
			return httpmock.NewStringResponse(http.StatusOK, "["+fixture(t, "job_execution_example.json")+"]"), nil
		})
		states, err := client.Jobs.WaitAll(ctx, []string{jobID})
		require.ErrorIs(t, err, context.Canceled)
		require.ErrorContains(t, err, "the operator went home")
		require.Equal(t, executionExample(), *states[0])
	})
}
