package workflows

import (
	"testing"
	"time"

	"github.com/stretchr/testify/require"
)

func releaseInput() ReleaseImageInput {
	return ReleaseImageInput{ImageID: 10, MachineID: 20, Description: "build 42"}
}

func TestReleaseImage(t *testing.T) {
	s := newService()
	env := s.environment()
	env.RegisterDelayedCallback(func() {
		require.Equal(t, Status{
			State: StateNeedsApproval, Release: &ReleaseIDs{UpdateID: 1, DiffID: 2}, Problem: "approve image diff 2 of image 10, or refuse it",
		}, queryStatus(t, env))
	}, time.Hour)
	nobody := update(env, 2*time.Hour, ApproveUpdate, Approval{Approved: true})
	given := update(env, 3*time.Hour, ApproveUpdate, Approval{Approved: true, By: "Kim"})
	env.ExecuteWorkflow(ReleaseImage, releaseInput())
	require.NoError(t, env.GetWorkflowError())
	require.Error(t, nobody.rejected)
	require.NoError(t, given.rejected)
	var result ReleaseImageResult
	require.NoError(t, env.GetWorkflowResult(&result))
	require.Equal(t, ReleaseImageResult{ReleaseIDs: ReleaseIDs{1, 2, 3}, Machines: 30, ApprovedBy: "Kim"}, result)
	require.Equal(t, 2, s.count(release))
	require.Zero(t, s.count(rejectDiff))
}

func TestReleaseWithoutApproval(t *testing.T) {
	s := newService()
	env := s.environment()
	early := update(env, 0, ApproveUpdate, Approval{By: "Kim"})
	in := releaseInput()
	in.Approve = true
	env.ExecuteWorkflow(ReleaseImage, in)
	require.NoError(t, env.GetWorkflowError())
	require.Error(t, early.rejected)
	require.Equal(t, 1, s.count(release))
}

func TestReleaseIsNotApproved(t *testing.T) {
	for name, test := range map[string]struct {
		limit  time.Duration
		text   string
		reject error
		left   []string
	}{
		"refused": {0, "Kim refused: too early; left: image update 1 on build machine 20", nil, []string{"image update 1 on build machine 20"}},
		"late": {time.Minute, "nobody approved within 1m0s; left: image update 1 on build machine 20", nil,
			[]string{"image update 1 on build machine 20"}},
		"locked": {0, "Kim refused: too early; left: image update 1 on build machine 20, image diff 2, which locks the image: 403",
			fails(ErrorRefused, "403"), []string{"image update 1 on build machine 20", "image diff 2, which locks the image: 403"}},
	} {
		t.Run(name, func(t *testing.T) {
			s := newService()
			s.reject = func(_ int, id int64) (struct{}, error) {
				require.EqualValues(t, 2, id)
				return struct{}{}, test.reject
			}
			env := s.environment()
			update(env, time.Hour, ApproveUpdate, Approval{By: "Kim", Comment: "too early"})
			in := releaseInput()
			in.ApprovalTimeout = test.limit
			env.ExecuteWorkflow(ReleaseImage, in)
			text, status := requireFailed(t, env, ErrorNotApproved)
			require.Equal(t, test.text, text)
			require.Equal(t, test.left, status.Left)
			require.Equal(t, 1, s.count(rejectDiff))
		})
	}
}

func TestReleaseFails(t *testing.T) {
	s := newService()
	s.release = func(n int, task ReleaseTask) (*ReleaseProgress, error) {
		if task.DiffOnly {
			return newService().release(n, task)
		}
		task.Progress.ImageVersionID = 3
		return nil, fails(ErrorState, "2 machines failed", task.Progress)
	}
	env := s.environment()
	update(env, time.Hour, ApproveUpdate, Approval{Approved: true, By: "Kim"})
	env.ExecuteWorkflow(ReleaseImage, releaseInput())
	_, status := requireFailed(t, env, ErrorState)
	require.Equal(t, []string{"image update 1 on build machine 20", "image version 3, which rolls out"}, status.Left)
	require.Zero(t, s.count(rejectDiff))
}

func TestReleaseInput(t *testing.T) {
	for field, change := range map[string]func(*ReleaseImageInput){
		"ImageID":     func(in *ReleaseImageInput) { in.ImageID = 0 },
		"MachineID":   func(in *ReleaseImageInput) { in.MachineID = -1 },
		"Description": func(in *ReleaseImageInput) { in.Description = "" },
	} {
		s := newService()
		env := s.environment()
		in := releaseInput()
		change(&in)
		env.ExecuteWorkflow(ReleaseImage, in)
		text, _ := requireFailed(t, env, ErrorArgument)
		require.Contains(t, text, "ReleaseImageInput."+field)
		require.Empty(t, s.calls)
	}
}

func TestReleaseNeedsDecision(t *testing.T) {
	for _, test := range []struct {
		creating string
		before   ReleaseIDs
		adopted  ReleaseIDs
	}{
		{"update", ReleaseIDs{}, ReleaseIDs{UpdateID: 9}},
		{"diff", ReleaseIDs{UpdateID: 1}, ReleaseIDs{UpdateID: 1, DiffID: 9}},
		{"version", ReleaseIDs{UpdateID: 1, DiffID: 2}, ReleaseIDs{1, 2, 9}},
	} {
		lost := func(n int, task ReleaseTask) (*ReleaseProgress, error) {
			if n == 1 {
				return nil, fails(ErrorAmbiguous, "the image "+test.creating+" may exist", ReleaseProgress{
					ReleaseIDs: test.before, Creating: test.creating, Retried: 1,
				})
			}
			return newService().release(n, task)
		}
		in := releaseInput()
		in.Approve = true
		t.Run("adopt "+test.creating, func(t *testing.T) {
			s := newService()
			s.release = lost
			env := s.environment()
			rejected := update(env, time.Hour, DecideUpdate, Decision{Action: Adopt, ID: "-9"})
			update(env, 2*time.Hour, DecideUpdate, Decision{Action: Adopt, ID: "9"})
			env.ExecuteWorkflow(ReleaseImage, in)
			require.NoError(t, env.GetWorkflowError())
			require.Error(t, rejected.rejected)
			require.Equal(t, ReleaseProgress{ReleaseIDs: test.adopted}, input[ReleaseTask](t, s, release).Progress)
		})
		t.Run("repeat "+test.creating, func(t *testing.T) {
			s := newService()
			s.release = lost
			env := s.environment()
			update(env, 2*time.Hour, DecideUpdate, Decision{Action: Repeat})
			env.ExecuteWorkflow(ReleaseImage, in)
			require.NoError(t, env.GetWorkflowError())
			require.Equal(t, test.before, input[ReleaseTask](t, s, release).Progress.ReleaseIDs)
		})
		t.Run("give up "+test.creating, func(t *testing.T) {
			s := newService()
			s.release = lost
			env := s.environment()
			update(env, 2*time.Hour, DecideUpdate, Decision{Action: GiveUp})
			env.ExecuteWorkflow(ReleaseImage, in)
			_, status := requireFailed(t, env, ErrorGivenUp)
			require.Equal(t, "perhaps an image "+test.creating, status.Left[0])
		})
	}
}

func TestReleaseIsCanceled(t *testing.T) {
	t.Run("before its approval", func(t *testing.T) {
		s := newService()
		env := s.environment()
		env.RegisterDelayedCallback(env.CancelWorkflow, time.Hour)
		env.ExecuteWorkflow(ReleaseImage, releaseInput())
		require.Equal(t, []string{"image update 1 on build machine 20"}, requireCanceled(t, env).Left)
		require.Equal(t, 1, s.count(rejectDiff))
	})
	t.Run("while it waits", func(t *testing.T) {
		s := newService()
		s.release = func(int, ReleaseTask) (*ReleaseProgress, error) {
			return nil, fails(ErrorPending, "the image update is Running", ReleaseProgress{})
		}
		env := s.environment()
		env.RegisterDelayedCallback(env.CancelWorkflow, 5*time.Second)
		env.ExecuteWorkflow(ReleaseImage, releaseInput())
		require.Empty(t, requireCanceled(t, env).Left)
		require.Zero(t, s.count(rejectDiff))
	})
}
