package multiplay_test

import (
	"fmt"
	"net/http"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/imagejobs/imagejobs-go/multiplay"
	"github.com/imagejobs/imagejobs-go/multiplay/multiplaytest"
)

// outages are ways in which a service is away; each returns how to end it.
func outages(v *virtual) map[string]func() (end func()) {
	status := func(o multiplaytest.Outage) func() func() { return func() func() { return v.StartOutage(o) } }
	return map[string]func() func(){
		"502":  status(multiplaytest.Outage{Status: http.StatusBadGateway}),
		"522":  status(multiplaytest.Outage{Status: 522}),
		"429":  status(multiplaytest.Outage{Status: http.StatusTooManyRequests}),
		"wait": status(multiplaytest.Outage{Status: http.StatusTooManyRequests, RetryAfter: "20"}),
		"refused": func() func() {
			v.unplugged.Store(true)
			return func() { v.unplugged.Store(false) }
		},
	}
}

// away begins an outage that ends after a while, or when it is stopped.
func (v *virtual) away(begin func() (end func()), length time.Duration) (stop func()) {
	end := begin()
	timer := time.AfterFunc(length, end)
	return func() {
		if timer.Stop() {
			end()
		}
	}
}

// An outage that begins right after a job was created is ridden out as one that
// begins later.
func TestReleaseRidesOutOutages(t *testing.T) {
	for _, step := range []multiplay.ReleaseStep{multiplay.StepUpdate, multiplay.StepDiff, multiplay.StepVersion, multiplay.StepRollout} {
		for _, state := range []multiplay.JobState{multiplay.JobCreated, multiplay.JobRunning} {
			for _, kind := range []string{"502", "522", "429", "wait", "refused"} {
				for _, length := range []time.Duration{time.Second, 10 * time.Second, 4 * time.Minute, 8 * time.Minute} {
					t.Run(fmt.Sprint(step, state, kind, length), func(t *testing.T) {
						synctest.Test(t, func(t *testing.T) {
							v := newVirtual(t)
							req := v.request()
							var begin time.Time
							req.OnEvent = func(e multiplay.ReleaseEvent) {
								if begin.IsZero() && e.Step == step && (e.Job == nil || e.Job.State == state) {
									begin = time.Now()
									t.Cleanup(v.away(outages(v)[kind], length))
								}
							}
							result, err := v.client.Release(t.Context(), req)
							if length < 5*time.Minute {
								require.NoError(t, err)
								v.requireOneOfEach(t, result)
								return
							}
							require.Error(t, err)
							require.Equal(t, step, requireAs[*multiplay.ReleaseError](t, err).Step)
							require.True(t, multiplay.IsTransient(err))
							if step != multiplay.StepRollout {
								require.ErrorContains(t, err, "last status")
							}
							require.InDelta(t, 5*time.Minute, time.Since(begin), float64(2*time.Minute))
						})
					})
				}
			}
		}
	}
}

// While nothing can be created, nothing is.
func TestReleaseCreatesAfterAnOutage(t *testing.T) {
	for _, step := range []multiplay.ReleaseStep{"", multiplay.StepUpdate, multiplay.StepDiff} {
		for _, kind := range []string{"429", "wait", "refused"} {
			for _, length := range []time.Duration{4 * time.Minute, 8 * time.Minute} {
				t.Run(fmt.Sprint(step, kind, length), func(t *testing.T) {
					synctest.Test(t, func(t *testing.T) {
						v := newVirtual(t)
						req := v.request()
						away := func() { t.Cleanup(v.away(outages(v)[kind], length)) }
						if step == "" {
							away()
						}
						req.OnEvent = func(e multiplay.ReleaseEvent) {
							if e.Step == step && e.Job.State == multiplay.JobCompleted {
								away()
							}
						}
						result, err := v.client.Release(t.Context(), req)
						if length < 5*time.Minute {
							require.NoError(t, err)
							v.requireOneOfEach(t, result)
							return
						}
						require.True(t, multiplay.IsTransient(err))
						require.NotEmpty(t, requireAs[*multiplay.ReleaseError](t, err).Step)
					})
				})
			}
		}
	}
}

// A job that was just created is known to exist: what a replica that lags
// responds about it is no end.
func TestReleaseRidesOutLag(t *testing.T) {
	for _, operation := range []string{multiplaytest.OpUpdateStatus, multiplaytest.OpDiffStatus, multiplaytest.OpVersionStatus} {
		for _, fault := range []multiplaytest.Fault{
			{Status: http.StatusNotFound}, {Status: http.StatusForbidden}, {Body: `{"success":false,"error_message":"no such job"}`},
		} {
			t.Run(fmt.Sprint(operation, fault.Status), func(t *testing.T) {
				synctest.Test(t, func(t *testing.T) {
					v := newVirtual(t)
					fault.Operation, fault.Times = operation, 4
					v.Inject(fault)
					result, err := v.client.Release(t.Context(), v.request())
					require.NoError(t, err)
					v.requireOneOfEach(t, result)
				})
				synctest.Test(t, func(t *testing.T) {
					v := newVirtual(t)
					fault.Times = -1
					v.Inject(fault)
					_, err := v.client.Release(t.Context(), v.request())
					require.Error(t, err)
					require.False(t, multiplay.IsTransient(err))
				})
			})
		}
	}
}

// The failure that a status still shows after the release itself ran the job
// again is none, as long as nothing else changed.
func TestStaleFailureAfterARetry(t *testing.T) {
	const (
		failed  = `{"updateid":5,"jobstateid":6,"jobfailed":1,"joberror":"why","jobcreated":1700000000,"jobupdated":1700000060}`
		running = `{"updateid":5,"jobstateid":4,"jobfailed":1,"jobcreated":1700000000,"jobupdated":1700000070}`
		done    = `{"updateid":5,"jobstateid":5,"jobfailed":1,"jobcreated":1700000000,"jobupdated":1700000080}`
		another = `{"updateid":5,"jobstateid":6,"jobfailed":2,"joberror":"why","jobcreated":1700000000,"jobupdated":1700000061}`
	)
	for _, test := range []struct {
		name     string
		statuses []string // after the first failure, the last for ever
		step     multiplay.ReleaseStep
		min, max time.Duration
		failures int
	}{
		{"once", []string{failed, running, done}, multiplay.StepDiff, 0, 5 * time.Second, 1},
		{"for a while", []string{failed, failed, failed, failed, failed, running, done}, multiplay.StepDiff, 5 * time.Second, 30 * time.Second, 1},
		{"for good", []string{failed}, multiplay.StepUpdate, 30 * time.Second, 45 * time.Second, 2},
		{"another failure", []string{failed, another}, multiplay.StepUpdate, 0, 5 * time.Second, 2},
	} {
		t.Run(test.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				client, mock := mockClient(t)
				polls := 0
				mock.RegisterResponder("GET", base+"/cfp/v1/imageupdate/5/status", func(r *http.Request) (*http.Response, error) {
					statuses := append([]string{failed}, test.statuses...)
					polls++
					return respondWith(statuses[min(polls, len(statuses))-1])(r)
				})
				mock.RegisterResponder("GET", base+"/cfp/v1/imageupdate/5/retry", respondWith(running))
				mock.RegisterResponder("GET", base+"/cfp/v1/imagediff/create", respondWith(`{"error":"enough"}`))
				failures := 0
				start := time.Now()
				_, err := client.Release(t.Context(), &multiplay.ReleaseRequest{
					Resume: multiplay.ReleaseIDs{UpdateID: 5}, ImageID: 1, MachineID: 2, Retries: 1,
					OnEvent: func(e multiplay.ReleaseEvent) {
						if e.Job.State == multiplay.JobFailed {
							failures++
						}
					},
				})
				require.Equal(t, test.step, requireAs[*multiplay.ReleaseError](t, err).Step)
				require.Equal(t, test.failures, failures)
				require.GreaterOrEqual(t, time.Since(start), test.min)
				require.Less(t, time.Since(start), test.max)
			})
		})
	}
}

// The installs of a version that has just completed may not be listed yet, nor may
// those that are due later.
func TestReleaseAwaitsTheFirstInstalls(t *testing.T) {
	for name, test := range map[string]struct{ late, due time.Duration }{
		"listed late":          {late: 25 * time.Second},
		"listed when due":      {due: time.Hour},
		"listed late when due": {late: 25 * time.Second, due: time.Hour},
	} {
		for _, resumed := range []bool{false, true} {
			t.Run(fmt.Sprint(name, resumed), func(t *testing.T) {
				synctest.Test(t, func(t *testing.T) {
					v, crashed := newVirtual(t), false
					req := v.request()
					if test.due > 0 {
						req.InstallAt = time.Now().Add(test.due)
					}
					req.OnEvent = func(e multiplay.ReleaseEvent) {
						if e.Step != multiplay.StepVersion || e.Job.State != multiplay.JobCompleted || crashed {
							return
						}
						v.Inject(multiplaytest.Fault{Operation: multiplaytest.OpInstallList, Body: `{"installs":[]}`, Times: -1})
						v.Inject(multiplaytest.Fault{
							Operation: multiplaytest.OpRolloutStatus, Times: -1,
							Body: `{"pending_machines":0,"failed_machines":0,"completed_machines":3}`,
						})
						time.AfterFunc(max(0, time.Until(req.InstallAt))+test.late, v.ClearFaults)
						if resumed {
							crashed = true
							panic(e.ReleaseIDs)
						}
					}
					release := func() (result *multiplay.ReleaseResult, err error) {
						defer func() {
							if ids, ok := recover().(multiplay.ReleaseIDs); ok {
								req.Resume = ids
							}
						}()
						return v.client.Release(t.Context(), req)
					}
					result, err := release()
					if resumed {
						result, err = release()
					}
					require.NoError(t, err)
					v.requireOneOfEach(t, result)
					installs, err := v.client.ImageInstalls.List(t.Context())
					require.NoError(t, err)
					require.Empty(t, installs, "all have ended")
				})
			})
		}
	}
}
