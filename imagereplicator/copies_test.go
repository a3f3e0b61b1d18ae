package imagereplicator_test

import (
	"context"
	"fmt"
	"net/http"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/imagejobs/imagejobs-go/imagereplicator"
	"github.com/imagejobs/imagejobs-go/imagereplicator/imagereplicatortest"
)

const image = imagereplicatortest.OtherImageID

var tenants = []string{imagereplicatortest.FourthTenantID, imagereplicatortest.DestinationTenantID, imagereplicatortest.ThirdTenantID}

// statuses returns those of the jobs, by tenant.
func statuses(server *imagereplicatortest.Server) map[string]imagereplicator.Status {
	all := map[string]imagereplicator.Status{}
	for _, job := range server.Jobs() {
		if job.SourceImageID == image {
			all[job.DestinationTenantID] = job.Status
		}
	}
	return all
}

func TestCopyToTenants(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		server, overPipe := inMemory(t, imagereplicatortest.WithJobTime(10*time.Minute))
		client := server.Client(overPipe)
		seen := map[string]int{}
		results, err := client.Jobs.CopyToTenants(t.Context(), image, append(tenants, tenants[0], strings.ToUpper(tenants[1])),
			imagereplicator.WithCopyProgress(func(job *imagereplicator.Job) { seen[job.ID]++ }),
			imagereplicator.WithCopyWait(imagereplicator.WithPollInterval(30*time.Second, time.Minute)), nil)
		require.NoError(t, err)
		require.Len(t, results, len(tenants), "once to each")
		for i, result := range results {
			require.Equal(t, tenants[i], result.TenantID)
			require.Equal(t, result.JobID, result.Job.ID)
			require.Equal(t, tenants[i], result.Job.DestinationTenantID)
			require.Equal(t, imagereplicator.StatusReplicated, result.Job.Status)
			require.NoError(t, result.Err)
			require.Greater(t, seen[result.JobID], 2)
		}
		require.Equal(t, 3, server.Count(imagereplicatortest.OpCreate))
		require.Less(t, server.Count(imagereplicatortest.OpList), 30)
		require.Zero(t, server.Count(imagereplicatortest.OpGet))
	})
}

// Whatever happens to the responses, there is one job for each tenant, and its id
// is known.
func TestCopyToTenantsWithLostResponses(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		server, overPipe := inMemory(t, imagereplicatortest.WithListLag(10*time.Second))
		client := server.Client(overPipe)
		for _, fault := range []imagereplicatortest.Fault{
			{Drop: imagereplicatortest.DropAfter}, {Drop: imagereplicatortest.DropBefore}, {Status: http.StatusBadGateway, Process: true},
		} {
			fault.Operation = imagereplicatortest.OpCreate
			server.Inject(fault)
		}
		results, err := client.Jobs.CopyToTenants(t.Context(), image, tenants)
		require.NoError(t, err)
		require.Len(t, server.Jobs(), 1+len(tenants))
		for _, result := range results {
			require.Equal(t, imagereplicator.StatusReplicated, result.Job.Status)
		}
	})
}

// One that fails keeps the others from nothing, or ends them all.
func TestCopyToTenantsWhenOneFails(t *testing.T) {
	const unknown = "00000000000000000000000000000000"
	for name, fail := range map[string]func(*imagereplicatortest.Server) string{
		"in the create": func(*imagereplicatortest.Server) string { return unknown },
		"in the copy": func(server *imagereplicatortest.Server) string {
			time.AfterFunc(time.Minute, func() {
				for _, job := range server.Jobs() {
					if job.DestinationTenantID == tenants[1] && job.SourceImageID == image {
						server.SetStatus(job.ID, imagereplicator.StatusError)
					}
				}
			})
			return tenants[1]
		},
	} {
		for cancel, end := range map[bool]imagereplicator.Status{false: imagereplicator.StatusReplicated, true: imagereplicator.StatusCanceled} {
			t.Run(name, func(t *testing.T) {
				synctest.Test(t, func(t *testing.T) {
					server, overPipe := inMemory(t, imagereplicatortest.WithJobTime(10*time.Minute))
					client := server.Client(overPipe)
					var opts []imagereplicator.CopyOption
					if cancel {
						opts = append(opts, imagereplicator.WithCancelOnFailure())
					}
					failing := fail(server)
					results, err := client.Jobs.CopyToTenants(t.Context(), image, []string{tenants[0], failing, tenants[2]}, opts...)
					require.ErrorContains(t, err, "tenant "+failing+": ")
					require.Error(t, results[1].Err)
					if failing == unknown {
						require.ErrorIs(t, err, imagereplicator.ErrNotFound)
						require.Empty(t, results[1].JobID)
					} else {
						require.Equal(t, imagereplicator.StatusError, results[1].Job.Status)
					}
					state := new(imagereplicator.StateError)
					for _, i := range []int{0, 2} {
						require.Equal(t, end, results[i].Job.Status)
						if cancel {
							require.ErrorAs(t, results[i].Err, &state)
							require.Equal(t, results[i].JobID, state.JobID)
						} else {
							require.NoError(t, results[i].Err)
						}
					}
				})
			})
		}
	}
}

// Copies that have not started when another fails are not started.
func TestCopyToTenantsStopsCreating(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		const many = 30
		var opts []imagereplicatortest.Option
		var to []string
		for i := range many {
			id := fmt.Sprintf("%032d", i)
			opts, to = append(opts, imagereplicatortest.WithTenant(id, "ot9")), append(to, id)
		}
		server, overPipe := inMemory(t, opts...)
		client := server.Client(overPipe)
		server.Inject(imagereplicatortest.Fault{Operation: imagereplicatortest.OpCreate, Status: http.StatusConflict})
		server.Inject(imagereplicatortest.Fault{Operation: imagereplicatortest.OpCreate, Delay: time.Second, Times: -1})
		results, err := client.Jobs.CopyToTenants(t.Context(), image, to, imagereplicator.WithCancelOnFailure())
		require.ErrorIs(t, err, imagereplicator.ErrConflict)
		require.ErrorContains(t, err, "not started, because another copy failed")
		require.Less(t, server.Count(imagereplicatortest.OpCreate), 10)
		require.Len(t, results, many)
		for _, status := range statuses(server) {
			require.Equal(t, imagereplicator.StatusCanceled, status)
		}
	})
}

// When the context ends, no job is left that the results do not name.
func TestCopyToTenantsContextEnds(t *testing.T) {
	for name, fault := range map[string]imagereplicatortest.Fault{
		"while waiting":                   {},
		"in the middle of a create":       {Stall: imagereplicatortest.StallResponse, Process: true},
		"in a create that was not made":   {Stall: imagereplicatortest.StallResponse},
		"in the look-up of a lost create": {Drop: imagereplicatortest.DropAfter},
	} {
		for _, cancelRest := range []bool{false, true} {
			t.Run(name, func(t *testing.T) {
				synctest.Test(t, func(t *testing.T) {
					lag := 20 * time.Second
					server, overPipe := inMemory(t, imagereplicatortest.WithJobTime(time.Hour), imagereplicatortest.WithListLag(lag),
						imagereplicatortest.WithCancelLag(time.Hour))
					client := server.Client(overPipe)
					fault.Operation, fault.Skip = imagereplicatortest.OpCreate, 1
					server.Inject(fault)
					var opts []imagereplicator.CopyOption
					if cancelRest {
						opts = append(opts, imagereplicator.WithCancelOnFailure())
					}
					ctx, cancel := context.WithTimeout(t.Context(), 10*time.Second)
					defer cancel()
					start := time.Now()
					results, err := client.Jobs.CopyToTenants(ctx, image, tenants, opts...)
					require.ErrorIs(t, err, context.DeadlineExceeded)
					require.LessOrEqual(t, time.Since(start), 90*time.Second)

					byTenant := map[string]string{}
					for _, result := range results {
						require.Error(t, result.Err)
						if result.JobID != "" {
							byTenant[result.TenantID] = result.JobID
						}
					}
					want := imagereplicator.StatusCancelRequested
					made := 0
					for _, job := range server.Jobs() {
						if job.SourceImageID != image {
							continue
						}
						made++
						require.Equal(t, job.ID, byTenant[job.DestinationTenantID])
						if cancelRest {
							require.Equal(t, want, job.Status)
						} else {
							require.True(t, job.Status.Cancelable())
						}
					}
					require.Len(t, byTenant, made)
				})
			})
		}
	}
}

func TestCopyToTenantsArguments(t *testing.T) {
	client, mock := mocked(t)
	for want, call := range map[string]func() error{
		"imageID: must not be empty":   func() error { _, err := client.Jobs.CopyToTenants(t.Context(), "", tenants); return err },
		"tenantIDs: must not be empty": func() error { _, err := client.Jobs.CopyToTenants(t.Context(), image, nil); return err },
		"tenantIDs[1]: must not contain a slash": func() error {
			_, err := client.Jobs.CopyToTenants(t.Context(), image, []string{"a", "b/c"})
			return err
		},
	} {
		err := call()
		require.EqualError(t, err, "imagereplicator: Jobs.CopyToTenants: "+want)
		require.ErrorIs(t, err, imagereplicator.ErrInvalidArgument)
	}
	_, err := client.Jobs.CopyToTenants(t.Context(), image, tenants, imagereplicator.WithCopyWait(imagereplicator.WithPollInterval(-1, 0)))
	require.EqualError(t, err, "imagereplicator: WithPollInterval: must not be negative")
	require.Zero(t, mock.GetTotalCallCount())
}
