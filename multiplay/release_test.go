package multiplay_test

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"log/slog"
	"net/http"
	"net/url"
	"sync/atomic"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/imagejobs/imagejobs-go/multiplay"
	"github.com/imagejobs/imagejobs-go/multiplay/multiplaytest"
)

// releasing is a server whose time passes as it is polled, a millisecond a
// poll, so that no test depends on the machine's speed; a client that polls as
// often; and the events of its releases.
type releasing struct {
	*multiplaytest.Server
	client *multiplay.Client
	events []string
}

func newReleasing(t *testing.T, opts ...multiplaytest.Option) *releasing {
	t.Helper()
	begin, polls := time.Now(), new(atomic.Int64)
	clock := func() time.Time { return begin.Add(time.Duration(polls.Add(1)) * time.Millisecond) }
	all := append([]multiplaytest.Option{multiplaytest.WithSpeed(100), multiplaytest.WithClock(clock)}, opts...)
	r := &releasing{Server: multiplaytest.NewServer(all...)}
	t.Cleanup(r.Close)
	r.client = r.Client(multiplay.WithLogger(logger()), multiplay.WithRetry(5, 0, time.Millisecond))
	return r
}

func (r *releasing) request() *multiplay.ReleaseRequest {
	return &multiplay.ReleaseRequest{
		ImageID: multiplaytest.ImageID, MachineID: multiplaytest.MachineID, Description: "build 42", Source: s3Source(),
		OnEvent: r.note,
	}
}

// note keeps what happened, one word for any number of states of a run.
func (r *releasing) note(e multiplay.ReleaseEvent) {
	show(e)
	text := string(e.Step)
	switch {
	case e.RejectedDiffID != 0:
		text += " rejected"
	case e.Job != nil && e.Job.State.Terminal():
		text += fmt.Sprintf(" %s %d", e.Job.State, e.Retry)
	case e.Rollout != nil && e.Rollout.Pending == 0:
		text += " done"
	default:
		return
	}
	r.events = append(r.events, text)
}

func (r *releasing) release(ctx context.Context, req *multiplay.ReleaseRequest) (*multiplay.ReleaseResult, error) {
	return r.client.Release(ctx, req, multiplay.WithPollInterval(time.Millisecond, 2*time.Millisecond))
}

// counts are how often each kind of job was asked for.
func (r *releasing) counts() [3]int {
	return [3]int{
		r.Count(multiplaytest.OpUpdateCreate), r.Count(multiplaytest.OpDiffCreate), r.Count(multiplaytest.OpVersionCreate),
	}
}

// versionQuery is what the nth version was asked for with.
func (r *releasing) versionQuery(t *testing.T, n int) url.Values {
	t.Helper()
	var all []url.Values
	for _, asked := range r.Requests() {
		if asked.Operation == multiplaytest.OpVersionCreate {
			query, err := url.ParseQuery(asked.RawQuery)
			require.NoError(t, err)
			all = append(all, query)
		}
	}
	require.Greater(t, len(all), n)
	return all[n]
}

func TestRelease(t *testing.T) {
	s := newReleasing(t)
	req := s.request()
	req.Restart, req.GameBuild = true, "1.42"
	result, err := s.release(t.Context(), req)
	require.NoError(t, err)
	show(result)
	require.False(t, result.Full)
	require.Equal(t, multiplay.MachineCounts{Completed: 3}, result.Rollout.MachineCounts)
	require.Equal(t, []string{"update Completed 0", "diff Completed 0", "version Completed 0", "rollout done"}, s.events)
	require.Equal(t, []multiplaytest.ImageVersion{{
		ID: result.ImageVersionID, ImageID: multiplaytest.ImageID, DiffID: result.DiffID, Restart: true, GameBuild: "1.42",
		InstallAt: "NOW()", State: multiplay.JobCompleted,
	}}, s.Versions())
	require.Equal(t, result.UpdateID, s.Updates()[0].ID)
	require.Equal(t, "build 42", s.Updates()[0].Description)
	require.Equal(t, [3]int{1, 1, 1}, s.counts())
}

// Each new job and each change of one is reported once, also of a job that is run
// again or was made by an earlier release.
func TestReleaseReportsEachChangeOnce(t *testing.T) {
	for name, prepare := range map[string]func(*releasing, *multiplay.ReleaseRequest){
		"from the start": func(*releasing, *multiplay.ReleaseRequest) {},
		"run again": func(s *releasing, req *multiplay.ReleaseRequest) {
			s.Next(multiplaytest.Update, multiplaytest.Outcome{State: multiplay.JobFailed})
			s.Next(multiplaytest.Diff, multiplaytest.Outcome{State: multiplay.JobFailed})
			req.Retries = 1
		},
		"resumed": func(s *releasing, req *multiplay.ReleaseRequest) {
			update, err := s.client.ImageUpdates.Create(t.Context(), &multiplay.CreateImageUpdateRequest{
				ImageID: multiplaytest.ImageID, MachineID: multiplaytest.MachineID, Description: "x", Source: s3Source(),
			})
			require.NoError(t, err)
			req.Resume.UpdateID = update.UpdateID
		},
	} {
		t.Run(name, func(t *testing.T) {
			s := newReleasing(t, multiplaytest.WithJobTime(12*time.Second)) // several polls find the state that Create returned
			req := s.request()
			var last []byte
			seen := map[multiplay.ReleaseStep]int{}
			req.OnEvent = func(e multiplay.ReleaseEvent) {
				now, err := json.Marshal(e)
				require.NoError(t, err)
				require.NotEqual(t, string(last), string(now))
				last = now
				seen[e.Step]++
			}
			prepare(s, req)
			_, err := s.release(t.Context(), req)
			require.NoError(t, err)
			for _, step := range []multiplay.ReleaseStep{multiplay.StepUpdate, multiplay.StepDiff, multiplay.StepVersion, multiplay.StepRollout} {
				require.Positive(t, seen[step], step)
			}
		})
	}
}

// Everything at once: an update that fails twice, an image that others lock,
// a diff that fails and then finds nothing, allocated servers, and a machine
// that the rollout does not reach.
func TestReleaseAgainstAllOdds(t *testing.T) {
	for name, opts := range map[string][]multiplaytest.Option{
		"as documented": nil,
		"otherwise": {
			multiplaytest.WithDialect(multiplaytest.Dialect{
				OmitStateID: true, NumericJobStart: true, Complete: true, EmptyArrays: true, Errors: multiplaytest.ErrorsByStatus,
			}),
		},
		"all 200": {multiplaytest.WithDialect(multiplaytest.Dialect{Errors: multiplaytest.ErrorsIn200})},
	} {
		t.Run(name, func(t *testing.T) {
			s := newReleasing(t, opts...)
			failed := multiplaytest.Outcome{State: multiplay.JobFailed, Error: "no such bucket"}
			locking := s.LockImage(multiplaytest.ImageID)
			s.Next(multiplaytest.Update, failed, failed)
			s.Next(multiplaytest.Diff, failed)
			s.Next(multiplaytest.Install, multiplaytest.Outcome{}, failed)
			s.SetFiles(multiplaytest.Files{})
			s.SetAllocations(multiplaytest.ImageID, 2)
			s.Inject(multiplaytest.Fault{Operation: multiplaytest.OpUpdateStatus, Status: http.StatusBadGateway, Times: 2})
			s.Inject(multiplaytest.Fault{Operation: multiplaytest.OpDiffStatus, Drop: multiplaytest.DropAfter})

			req := s.request()
			req.RejectLocking, req.Retries, req.Force = true, 2, true
			_, err := s.release(t.Context(), req)
			stopped := requireAs[*multiplay.ReleaseError](t, err)
			require.Equal(t, multiplay.StepRollout, stopped.Step)
			require.Equal(t, int64(1), requireAs[*multiplay.RolloutError](t, err).Failed)
			require.Equal(t, []string{
				"update rejected", "update Failed 0", "update Failed 1", "update Completed 2", "diff Failed 0", "diff Completed 1",
				"version Completed 0", "rollout done",
			}, s.events)
			require.Equal(t, 3, s.Updates()[0].Runs)
			require.True(t, s.Versions()[0].Full)
			require.True(t, s.Versions()[0].Force)
			require.Equal(t, [3]int{2, 1, 1}, s.counts()) // the first create was refused
			require.Equal(t, 1, s.Count(multiplaytest.OpDiffReject))
			require.NotEqual(t, locking, stopped.DiffID)
		})
	}
}

// A release that is cut off in any step resumes from the ids of the last event,
// in another process, without making a job twice.
func TestReleaseIsResumed(t *testing.T) {
	for _, step := range []multiplay.ReleaseStep{multiplay.StepUpdate, multiplay.StepDiff, multiplay.StepVersion, multiplay.StepRollout} {
		t.Run(string(step), func(t *testing.T) {
			s := newReleasing(t)
			ctx, kill := context.WithCancel(t.Context())
			defer kill()
			s.Inject(multiplaytest.Fault{ // there is something to interrupt
				Operation: multiplaytest.OpRolloutStatus, Skip: 1, Body: `{"pending_machines":3,"completed_machines":0}`,
			})
			var kept []byte
			req := s.request()
			req.OnEvent = func(e multiplay.ReleaseEvent) {
				var err error
				kept, err = json.Marshal(e.ReleaseIDs)
				require.NoError(t, err)
				if e.Step == step {
					kill()
				}
			}
			_, err := s.release(ctx, req)
			require.ErrorIs(t, err, context.Canceled)
			stopped := requireAs[*multiplay.ReleaseError](t, err)
			require.Equal(t, step, stopped.Step)

			var resume multiplay.ReleaseIDs
			require.NoError(t, json.Unmarshal(kept, &resume))
			require.Equal(t, stopped.ReleaseIDs, resume)
			again := &multiplay.ReleaseRequest{Resume: resume, ImageID: multiplaytest.ImageID}
			if step == multiplay.StepUpdate {
				again.MachineID = multiplaytest.MachineID
			}
			result, err := s.release(t.Context(), again)
			require.NoError(t, err)
			require.Equal(t, int64(3), result.Rollout.Completed)
			require.Equal(t, [3]int{1, 1, 1}, s.counts())
		})
	}
}

// A response that got lost stops a release that cannot find the job: what was
// created is found out by other means, and goes into Resume.
func TestReleaseStopsWhenAmbiguous(t *testing.T) {
	s := newReleasing(t)
	s.Inject(multiplaytest.Fault{Operation: multiplaytest.OpUpdateCreate, Drop: multiplaytest.DropAfter})
	s.Inject(multiplaytest.Fault{Operation: multiplaytest.OpVersionCreate, Status: http.StatusBadGateway, Process: true})
	req := s.request()
	_, err := s.release(t.Context(), req)
	require.ErrorIs(t, err, multiplay.ErrAmbiguous)
	stopped := requireAs[*multiplay.ReleaseError](t, err)
	require.Equal(t, multiplay.StepUpdate, stopped.Step)
	require.Zero(t, stopped.ReleaseIDs)
	require.Len(t, s.Updates(), 1)

	options, err := s.client.Images.Options(t.Context(), &multiplay.ImageOptionsRequest{
		GameID: multiplaytest.GameID, ImageID: multiplaytest.ImageID,
	})
	require.NoError(t, err)
	req.Resume.UpdateID = options.UpdateID
	_, err = s.release(t.Context(), req)
	require.ErrorIs(t, err, multiplay.ErrAmbiguous)
	stopped = requireAs[*multiplay.ReleaseError](t, err)
	require.Equal(t, multiplay.StepVersion, stopped.Step)
	require.ErrorContains(t, err, fmt.Sprintf("multiplay: release stopped at step version, after update %d, diff %d: ", options.UpdateID, stopped.DiffID))

	req.Resume = stopped.ReleaseIDs
	req.Resume.ImageVersionID = s.Versions()[0].ID
	_, err = s.release(t.Context(), req)
	require.NoError(t, err)
	require.Equal(t, [3]int{1, 1, 1}, s.counts())
}

func TestReleaseStops(t *testing.T) {
	failed := multiplaytest.Outcome{State: multiplay.JobFailed, Error: "why"}
	for _, test := range []struct {
		name    string
		prepare func(*releasing, *multiplay.ReleaseRequest)
		step    multiplay.ReleaseStep
		check   func(*testing.T, error)
	}{
		{
			"locked", func(s *releasing, _ *multiplay.ReleaseRequest) { s.LockImage(multiplaytest.ImageID) }, multiplay.StepUpdate,
			func(t *testing.T, err error) {
				t.Helper()
				require.Positive(t, requireAs[*multiplay.ImageLockedError](t, err).DiffID)
			},
		},
		{
			"locked by a diff that cannot be rejected", func(s *releasing, req *multiplay.ReleaseRequest) {
				s.LockImage(multiplaytest.ImageID)
				s.Inject(multiplaytest.Fault{Operation: multiplaytest.OpDiffReject, Status: http.StatusForbidden})
				req.RejectLocking = true
			}, multiplay.StepUpdate,
			func(t *testing.T, err error) {
				t.Helper()
				require.ErrorIs(t, err, multiplay.ErrForbidden)
				require.ErrorContains(t, err, "which was to be rejected: ")
			},
		},
		{
			"retries used up", func(s *releasing, req *multiplay.ReleaseRequest) {
				s.Next(multiplaytest.Update, failed, failed)
				req.Retries = 1
			}, multiplay.StepUpdate,
			func(t *testing.T, err error) {
				t.Helper()
				require.Equal(t, "why", requireAs[*multiplay.StateError](t, err).Reason)
			},
		},
		{
			"retry refused", func(s *releasing, req *multiplay.ReleaseRequest) {
				s.Next(multiplaytest.Diff, failed)
				s.Inject(multiplaytest.Fault{Operation: multiplaytest.OpDiffRetry, Status: http.StatusBadRequest})
				req.Retries = 1
			}, multiplay.StepDiff,
			func(t *testing.T, err error) {
				t.Helper()
				require.Equal(t, "image diff", requireAs[*multiplay.StateError](t, err).Resource)
				require.ErrorIs(t, err, multiplay.ErrBadRequest)
			},
		},
		{
			"squashed", func(s *releasing, req *multiplay.ReleaseRequest) {
				s.Next(multiplaytest.Update, multiplaytest.Outcome{State: multiplay.JobSquashed})
				req.Retries = 1
			}, multiplay.StepUpdate,
			func(t *testing.T, err error) {
				t.Helper()
				require.Equal(t, multiplay.JobSquashed, requireAs[*multiplay.StateError](t, err).State)
			},
		},
		{
			"version failed", func(s *releasing, req *multiplay.ReleaseRequest) {
				s.Next(multiplaytest.Version, failed)
				req.Retries = 1
			}, multiplay.StepVersion,
			func(t *testing.T, err error) {
				t.Helper()
				require.Equal(t, "image version", requireAs[*multiplay.StateError](t, err).Resource)
			},
		},
		{
			"servers allocated", func(s *releasing, _ *multiplay.ReleaseRequest) { s.SetAllocations(multiplaytest.ImageID, 1) },
			multiplay.StepVersion,
			func(t *testing.T, err error) {
				t.Helper()
				refused := requireAs[*multiplay.Error](t, err)
				require.Equal(t, "there are 1 active allocations", refused.Message)
				require.Equal(t, "wait until no server is allocated, or set Force", refused.Hint)
			},
		},
		{
			"diff unreadable", func(s *releasing, _ *multiplay.ReleaseRequest) {
				s.Inject(multiplaytest.Fault{
					Operation: multiplaytest.OpDiffStatus, Status: http.StatusBadRequest,
					Match: func(r *http.Request) bool { return r.URL.Query().Has("diff_info") },
				})
			}, multiplay.StepVersion,
			func(t *testing.T, err error) { t.Helper(); require.ErrorIs(t, err, multiplay.ErrBadRequest) },
		},
	} {
		t.Run(test.name, func(t *testing.T) {
			s := newReleasing(t)
			req := s.request()
			test.prepare(s, req)
			result, err := s.release(t.Context(), req)
			require.Nil(t, result)
			require.Equal(t, test.step, requireAs[*multiplay.ReleaseError](t, err).Step)
			test.check(t, err)
		})
	}
}

// A squashed diff ends a release, and does not lock the image for good.
func TestReleaseAfterASquashedDiff(t *testing.T) {
	s := newReleasing(t)
	s.Next(multiplaytest.Diff, multiplaytest.Outcome{State: multiplay.JobSquashed})
	_, err := s.release(t.Context(), s.request())
	require.Equal(t, multiplay.JobSquashed, requireAs[*multiplay.StateError](t, err).State)
	squashed := requireAs[*multiplay.ReleaseError](t, err).DiffID

	req := s.request()
	req.RejectLocking = true
	result, err := s.release(t.Context(), req)
	require.NoError(t, err)
	require.NotEqual(t, squashed, result.DiffID)
	require.Equal(t, int64(3), result.Rollout.Completed)
}

func TestFullRelease(t *testing.T) {
	s := newReleasing(t)
	req := s.request()
	req.Full = true
	result, err := s.release(t.Context(), req)
	require.NoError(t, err)
	require.True(t, result.Full)
	require.True(t, s.Versions()[0].Full)

	// A diff whose files do not fit into a response is not empty.
	s.Inject(multiplaytest.Fault{
		Operation: multiplaytest.OpDiffStatus, Body: `{"added":{"` + string(make([]byte, 9<<20)) + `":{}}}`,
		Match: func(r *http.Request) bool { return r.URL.Query().Has("diff_info") },
	})
	result, err = s.release(t.Context(), s.request())
	require.NoError(t, err)
	require.False(t, result.Full)
}

// When and how to install goes to the version, of a resumed release as well;
// one that has its version already has no more use for it.
func TestReleaseIsScheduled(t *testing.T) {
	s := newReleasing(t)
	req := s.request()
	req.Install, req.DisableTimeout, req.DisablePercentage = multiplay.InstallNow, 90*time.Minute, 12.5
	result, err := s.release(t.Context(), req)
	require.NoError(t, err)
	sent := s.versionQuery(t, 0)
	require.Equal(t, []string{"NOW()", "90", "12.50"}, []string{sent.Get("install_at"), sent.Get("disable_timeout"), sent.Get("disable_percentage")})

	again := &multiplay.ReleaseRequest{Resume: result.ReleaseIDs, ImageID: multiplaytest.ImageID, InstallAt: unix(1700000000), DisablePercentage: -1}
	_, err = s.release(t.Context(), again)
	require.NoError(t, err)
	require.Equal(t, 1, s.Count(multiplaytest.OpVersionCreate))

	diff := s.LockImage(multiplaytest.ImageID)
	again = &multiplay.ReleaseRequest{Resume: multiplay.ReleaseIDs{DiffID: diff}, ImageID: multiplaytest.ImageID, InstallAt: unix(1700000000)}
	_, err = s.release(t.Context(), again)
	require.NoError(t, err)
	sent = s.versionQuery(t, 1)
	require.Equal(t, "1700000000", sent.Get("install_at"))
	require.False(t, sent.Has("disable_timeout"))
	require.False(t, sent.Has("disable_percentage"))
}

func TestReleaseRequestAsJSON(t *testing.T) {
	for _, source := range []multiplay.Source{nil, s3Source(), steamSource(), googleSource(), parsedSource(t)} {
		req := multiplay.ReleaseRequest{ImageID: 1, Source: source, OnEvent: func(multiplay.ReleaseEvent) {}}
		for _, v := range []any{req, &req} {
			data, err := json.Marshal(v)
			require.NoError(t, err)
			require.Contains(t, string(data), `"ImageID":1`)
			require.NotContains(t, string(data), "OnEvent")
			require.Empty(t, leaks(string(data)))

			var log bytes.Buffer
			slog.New(slog.NewJSONHandler(&log, nil)).InfoContext(t.Context(), "release", "request", v)
			require.NotContains(t, log.String(), "!ERROR")
			require.Empty(t, leaks(log.String()))
		}
	}
}

func TestReleaseRequestIsChecked(t *testing.T) {
	client, mock := mockClient(t)
	for want, req := range map[string]*multiplay.ReleaseRequest{
		"ReleaseRequest: must not be nil":                              nil,
		"ReleaseRequest.ImageID: must be positive":                     {},
		"ReleaseRequest.MachineID: must be positive":                   {ImageID: 1},
		"ReleaseRequest.Description: must not be empty":                {ImageID: 1, MachineID: 1},
		"ReleaseRequest.Retries: must not be negative":                 {ImageID: 1, Retries: -1},
		"ReleaseRequest.Resume.UpdateID: must not be negative":         {Resume: multiplay.ReleaseIDs{UpdateID: -1}},
		"ReleaseRequest.Resume.DiffID: must not be negative":           {Resume: multiplay.ReleaseIDs{DiffID: -1}},
		"ReleaseRequest.Resume.ImageVersionID: must not be negative":   {Resume: multiplay.ReleaseIDs{ImageVersionID: -1}},
		"ReleaseRequest.GameID: must not be negative":                  {ImageID: 1, GameID: -1},
		`ReleaseRequest.InstallAt: must not be set with Install "now"`: {ImageID: 1, MachineID: 1, Description: "x", Install: multiplay.InstallNow, InstallAt: unix(1)},
		"ReleaseRequest.InstallAt: must be after 1970":                 {ImageID: 1, Resume: multiplay.ReleaseIDs{DiffID: 1}, InstallAt: unix(-1)},
		"ReleaseRequest.DisableTimeout: must be whole minutes, not 1s": {ImageID: 1, MachineID: 1, Description: "x", DisableTimeout: time.Second},
		"ReleaseRequest.DisablePercentage: must be 0.01 to 100":        {ImageID: 1, MachineID: 1, Description: "x", DisableTimeout: time.Minute, DisablePercentage: 101},
		"ReleaseRequest.DisablePercentage: needs DisableTimeout":       {ImageID: 1, MachineID: 1, Description: "x", DisablePercentage: 5},
		"S3Source.Bucket: must not be empty":                           {ImageID: 1, MachineID: 1, Description: "x", Source: multiplay.S3Source{AccessKey: multiplay.NewSecret("a"), SecretKey: multiplay.NewSecret("b")}},
	} {
		_, err := client.Release(t.Context(), req)
		require.EqualError(t, err, "multiplay: "+want)
		require.EqualError(t, req.Validate(), "multiplay: "+want)
		require.ErrorIs(t, err, multiplay.ErrInvalidArgument)
		var stopped *multiplay.ReleaseError
		require.NotErrorAs(t, err, &stopped)
	}
	_, err := client.Release(t.Context(), &multiplay.ReleaseRequest{ImageID: 1, MachineID: 1, Description: "x"}, multiplay.WithPollInterval(-1, 0))
	require.ErrorIs(t, err, multiplay.ErrInvalidArgument)
	require.Zero(t, mock.GetTotalCallCount())
}
