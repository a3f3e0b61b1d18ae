package imagereplicator_test

import (
	"context"
	"fmt"
	"io"
	"net/http"
	"slices"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/jarcoal/httpmock"
	"github.com/stretchr/testify/require"

	"github.com/imagejobs/imagejobs-go/imagereplicator"
	"github.com/imagejobs/imagejobs-go/imagereplicator/imagereplicatortest"
)

func toDestination() *imagereplicator.CreateJobRequest {
	return &imagereplicator.CreateJobRequest{
		ImageID:             imagereplicatortest.ImageID,
		DestinationTenantID: imagereplicatortest.DestinationTenantID,
	}
}

// created returns the ids of all jobs but the one that the server begins with,
// which has the same image and tenant.
func created(server *imagereplicatortest.Server) []string {
	var ids []string
	for _, job := range server.Jobs() {
		if job.ID != jobID {
			ids = append(ids, job.ID)
		}
	}
	return ids
}

// A create whose response is lost makes one job all the same, and returns its id.
func TestLostCreate(t *testing.T) {
	for name, test := range map[string]struct {
		fault imagereplicatortest.Fault
		sent  int
	}{
		"response lost":          {imagereplicatortest.Fault{Drop: imagereplicatortest.DropAfter}, 1},
		"response cut":           {imagereplicatortest.Fault{Truncate: true}, 1},
		"half of a response":     {imagereplicatortest.Fault{CutJSON: true}, 1},
		"gateway gave up":        {imagereplicatortest.Fault{Status: http.StatusGatewayTimeout, Process: true}, 1},
		"a page of a proxy":      {imagereplicatortest.Fault{ContentType: "text/html", Body: "<p>Welcome"}, 1},
		"other JSON":             {imagereplicatortest.Fault{Body: `{"status": "maintenance"}`}, 1},
		"no response":            {imagereplicatortest.Fault{Stall: imagereplicatortest.StallResponse, Process: true}, 1},
		"connection lost early":  {imagereplicatortest.Fault{Drop: imagereplicatortest.DropBefore}, 2},
		"service unavailable":    {imagereplicatortest.Fault{Status: http.StatusServiceUnavailable}, 2},
		"twice unavailable":      {imagereplicatortest.Fault{Status: http.StatusServiceUnavailable, Times: 2}, 3},
		"certainly not received": {imagereplicatortest.Fault{Status: http.StatusTooManyRequests}, 2},
	} {
		for _, lag := range []time.Duration{0, 20 * time.Second} {
			t.Run(fmt.Sprint(name, ", list lags ", lag), func(t *testing.T) {
				synctest.Test(t, func(t *testing.T) {
					server, overPipe := inMemory(t, imagereplicatortest.WithListLag(lag))
					client := server.Client(overPipe)
					// A warm connection, on which net/http would repeat what it takes for repeatable.
					_, err := client.Jobs.List(t.Context())
					require.NoError(t, err)
					test.fault.Operation = imagereplicatortest.OpCreate
					server.Inject(test.fault)
					start := time.Now()
					id, err := client.Jobs.Create(t.Context(), toDestination())
					require.NoError(t, err)
					require.Equal(t, []string{id}, created(server))
					require.Equal(t, test.sent, server.Count(imagereplicatortest.OpCreate))
					require.Zero(t, server.FaultsLeft())
					if test.sent == 1 {
						require.Less(t, time.Since(start), lag+time.Minute)
					} else if test.fault.Status != http.StatusTooManyRequests {
						require.GreaterOrEqual(t, time.Since(start), 30*time.Second, "it could have appeared until then")
					}
				})
			})
		}
	}
}

// A search that fails once is repeated soon.
func TestLostCreateSearchFailsOnce(t *testing.T) {
	for skip := 1; skip < 6; skip++ { // the first list is from before
		synctest.Test(t, func(t *testing.T) {
			server, overPipe := inMemory(t, imagereplicatortest.WithListLag(25*time.Second))
			client := server.Client(overPipe)
			server.Inject(imagereplicatortest.Fault{Operation: imagereplicatortest.OpCreate, Drop: imagereplicatortest.DropAfter})
			server.Inject(imagereplicatortest.Fault{Operation: imagereplicatortest.OpList, Skip: skip, Status: http.StatusBadGateway})
			_, err := client.Jobs.Create(t.Context(), toDestination())
			require.NoError(t, err)
			var lists []time.Time
			for _, r := range server.Requests() {
				if r.Operation == imagereplicatortest.OpList {
					lists = append(lists, r.Time)
				}
			}
			require.Less(t, lists[skip+1].Sub(lists[skip]), 2*time.Second)
		})
	}
}

// A service that loses each request is not asked for ever.
func TestLostCreatesEnd(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		server, overPipe := inMemory(t)
		client := server.Client(overPipe)
		server.Inject(imagereplicatortest.Fault{Operation: imagereplicatortest.OpCreate, Drop: imagereplicatortest.DropBefore, Times: -1})
		_, err := client.Jobs.Create(t.Context(), toDestination())
		require.ErrorIs(t, err, imagereplicator.ErrAmbiguous)
		require.ErrorContains(t, err, "search Jobs.List for its source image")
		require.Equal(t, 3, server.Count(imagereplicatortest.OpCreate))
		require.Empty(t, created(server))
	})
}

// Which of several new jobs is ours is not known.
func TestLostCreateAmongOthers(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		server, overPipe := inMemory(t)
		client, other := server.Client(overPipe), server.Client(overPipe)
		var foreign string
		server.Inject(imagereplicatortest.Fault{
			Operation: imagereplicatortest.OpCreate, Drop: imagereplicatortest.DropAfter, Delay: 10 * time.Second,
		})
		var meanwhile sync.WaitGroup
		meanwhile.Go(func() {
			<-time.After(5 * time.Second)
			var err error
			if foreign, err = other.Jobs.Create(t.Context(), toDestination()); err != nil {
				t.Error(err)
			}
		})
		_, err := client.Jobs.Create(t.Context(), toDestination())
		meanwhile.Wait()
		require.ErrorIs(t, err, imagereplicator.ErrAmbiguous)
		require.ErrorContains(t, err, foreign)
		for _, id := range created(server) {
			require.ErrorContains(t, err, id)
		}
		require.Len(t, created(server), 2)
	})
}

// Jobs of another image or tenant are none of ours, and neither is one that this
// client created a moment ago and that the list did not show then.
func TestLostCreateAdoptsNoOther(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		server, overPipe := inMemory(t, imagereplicatortest.WithListLag(10*time.Second))
		client := server.Client(overPipe)
		var ids []string
		for _, req := range []*imagereplicator.CreateJobRequest{
			toDestination(),
			{ImageID: imagereplicatortest.OtherImageID, DestinationTenantID: imagereplicatortest.DestinationTenantID},
			{ImageID: imagereplicatortest.ImageID, DestinationTenantID: imagereplicatortest.ThirdTenantID},
		} {
			id, err := client.Jobs.Create(t.Context(), req)
			require.NoError(t, err)
			ids = append(ids, id)
		}
		server.Inject(imagereplicatortest.Fault{Operation: imagereplicatortest.OpCreate, Drop: imagereplicatortest.DropBefore})
		id, err := client.Jobs.Create(t.Context(), toDestination())
		require.NoError(t, err)
		require.NotContains(t, ids, id)
		require.Equal(t, append(ids, id), created(server))
	})
}

// Two that are lost at the same time do not take each other's job.
func TestLostCreatesAtOnce(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		server, overPipe := inMemory(t)
		client := server.Client(overPipe)
		server.Inject(imagereplicatortest.Fault{Operation: imagereplicatortest.OpCreate, Drop: imagereplicatortest.DropAfter})
		server.Inject(imagereplicatortest.Fault{Operation: imagereplicatortest.OpCreate, Drop: imagereplicatortest.DropBefore})
		ids := make([]string, 2)
		var both sync.WaitGroup
		for i := range ids {
			both.Go(func() {
				var err error
				if ids[i], err = client.Jobs.Create(t.Context(), toDestination()); err != nil {
					t.Error(err)
				}
			})
		}
		both.Wait()
		slices.Sort(ids)
		require.Len(t, slices.Compact(ids), 2)
		all := created(server)
		slices.Sort(all)
		require.Equal(t, all, ids)
	})
}

// An outage right after a lost create is ridden out before anything is decided.
func TestLostCreateInAnOutage(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		server, overPipe := inMemory(t)
		client := server.Client(overPipe)
		server.Inject(imagereplicatortest.Fault{Operation: imagereplicatortest.OpCreate, Drop: imagereplicatortest.DropAfter})
		server.Inject(imagereplicatortest.Fault{Operation: imagereplicatortest.OpList, Skip: 1, Status: http.StatusBadGateway, Times: -1})
		time.AfterFunc(3*time.Minute, server.ClearFaults)
		id, err := client.Jobs.Create(t.Context(), toDestination())
		require.NoError(t, err)
		require.Equal(t, []string{id}, created(server))

		server.Inject(imagereplicatortest.Fault{Operation: imagereplicatortest.OpCreate, Drop: imagereplicatortest.DropAfter})
		server.Inject(imagereplicatortest.Fault{Operation: imagereplicatortest.OpList, Skip: 1, Status: http.StatusBadGateway, Times: -1})
		_, err = client.Jobs.Create(t.Context(), toDestination())
		require.ErrorIs(t, err, imagereplicator.ErrAmbiguous)
		require.ErrorIs(t, err, imagereplicator.ErrServer, "and why it could not be found")
		require.False(t, imagereplicator.IsTransient(err))
	})
}

// Create returns promptly when its context is done, also while it looks for a
// job.
func TestLostCreateContextEnds(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		server, overPipe := inMemory(t)
		client := server.Client(overPipe)
		for name, fault := range map[string]imagereplicatortest.Fault{
			"in the create":  {Stall: imagereplicatortest.StallResponse, Process: true},
			"in the look-up": {Drop: imagereplicatortest.DropBefore},
		} {
			fault.Operation = imagereplicatortest.OpCreate
			server.Inject(fault)
			ctx, cancel := context.WithTimeout(t.Context(), 5*time.Second)
			start := time.Now()
			_, err := client.Jobs.Create(ctx, toDestination())
			cancel()
			require.Equal(t, 5*time.Second, time.Since(start), name)
			require.ErrorIs(t, err, imagereplicator.ErrAmbiguous, name)
			require.ErrorIs(t, err, context.DeadlineExceeded, name)
		}
	})
}

// Without a list from before, nothing is sent, unless lists are forbidden to this
// user.
func TestCreateListsFirst(t *testing.T) {
	client, mock := mocked(t)
	mock.RegisterResponder(http.MethodGet, jobsURL, httpmock.NewStringResponder(http.StatusBadGateway, ""))
	mock.RegisterResponder(http.MethodPost, jobsURL, respond(t, http.StatusAccepted, "create.json"))
	_, err := client.Jobs.Create(t.Context(), toDestination())
	require.ErrorIs(t, err, imagereplicator.ErrServer)
	require.NotErrorIs(t, err, imagereplicator.ErrAmbiguous)
	require.True(t, imagereplicator.IsTransient(err))
	require.Zero(t, mock.GetCallCountInfo()[http.MethodPost+" "+jobsURL])

	mock.RegisterResponder(http.MethodGet, jobsURL, respond(t, http.StatusForbidden, "error_403_iam.json"))
	id, err := client.Jobs.Create(t.Context(), toDestination())
	require.NoError(t, err)
	require.Equal(t, jobID, id)
	mock.RegisterResponder(http.MethodPost, jobsURL, httpmock.NewErrorResponder(io.ErrUnexpectedEOF))
	_, err = client.Jobs.Create(t.Context(), toDestination())
	require.ErrorIs(t, err, imagereplicator.ErrAmbiguous)
	require.ErrorIs(t, err, io.ErrUnexpectedEOF)
}
