package workflows

import (
	"encoding/json"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
)

func copyInput() CopyImageInput {
	return CopyImageInput{ImageID: "image", TenantIDs: []string{"a", "b", "a", "c"}}
}

func TestCopyImage(t *testing.T) {
	s := newService()
	env := s.environment()
	env.ExecuteWorkflow(CopyImage, copyInput())
	require.NoError(t, env.GetWorkflowError())
	var result CopyImageResult
	require.NoError(t, env.GetWorkflowResult(&result))
	require.Equal(t, []Copy{
		{TenantID: "a", JobID: "job of a", Status: "replicated"},
		{TenantID: "b", JobID: "job of b", Status: "replicated"},
		{TenantID: "c", JobID: "job of c", Status: "replicated"},
	}, result.Copies)
	require.Zero(t, s.count(cancelCopies))
	require.Equal(t, StateDone, queryStatus(t, env).State)
}

func TestCopyFails(t *testing.T) {
	failing := func(tenants ...string) func(int, CopyTask) (*CopyProgress, error) {
		return func(_ int, task CopyTask) (*CopyProgress, error) {
			p, err := newService().create(1, task)
			for i := range p.Copies {
				for _, tenant := range tenants {
					if p.Copies[i].TenantID == tenant {
						p.Copies[i] = Copy{TenantID: tenant, Error: "404 no tenant " + tenant, ErrorType: ErrorRefused}
					}
				}
			}
			return p, err
		}
	}
	t.Run("wrong input", func(t *testing.T) {
		for in, want := range map[*CopyImageInput]string{
			{TenantIDs: []string{"a"}}:                       "CopyImageInput.ImageID: must not be empty",
			{ImageID: "image"}:                               "CopyImageInput.TenantIDs: must not be empty",
			{ImageID: "image", TenantIDs: []string{"a", ""}}: "CopyImageInput.TenantIDs: must not be empty",
		} {
			s := newService()
			env := s.environment()
			env.ExecuteWorkflow(CopyImage, *in)
			text, _ := requireFailed(t, env, ErrorArgument)
			require.Equal(t, want, text)
			require.Empty(t, s.calls)
		}
	})
	t.Run("one tenant", func(t *testing.T) {
		s := newService()
		s.create = failing("b")
		env := s.environment()
		env.ExecuteWorkflow(CopyImage, copyInput())
		text, status := requireFailed(t, env, ErrorRefused)
		require.Equal(t, "tenant b: 404 no tenant b", text)
		require.Equal(t, "replicated", status.Copies[2].Status, "the others go on")
		require.Zero(t, s.count(cancelCopies))
	})
	t.Run("several tenants", func(t *testing.T) {
		s := newService()
		s.create = failing("a", "b")
		env := s.environment()
		env.ExecuteWorkflow(CopyImage, copyInput())
		text, _ := requireFailed(t, env, ErrorRefused)
		require.Equal(t, "2 of 3 copies failed; tenant a: 404 no tenant a", text)
	})
	t.Run("no credentials", func(t *testing.T) {
		s := newService()
		s.create = func(_ int, task CopyTask) (*CopyProgress, error) {
			return nil, fails(ErrorArgument, "OS_AUTH_URL: must be set", task.Progress)
		}
		env := s.environment()
		env.ExecuteWorkflow(CopyImage, copyInput())
		text, status := requireFailed(t, env, ErrorArgument)
		require.Equal(t, "OS_AUTH_URL: must be set", text)
		require.Empty(t, status.Left)
	})
	t.Run("and cancels the others", func(t *testing.T) {
		s := newService()
		s.create = failing("b")
		s.wait = func(n int, task CopyTask) (*CopyProgress, error) {
			if n == 1 {
				require.True(t, task.Input.CancelOnFailure)
				task.Progress.Copies[0].Status = "replicated"
				return &task.Progress, nil
			}
			require.False(t, task.Input.CancelOnFailure)
			task.Progress.Copies[2].Status, task.Progress.Copies[2].Error = "canceled", "it ended canceled"
			return &task.Progress, nil
		}
		env := s.environment()
		in := copyInput()
		in.CancelOnFailure = true
		env.ExecuteWorkflow(CopyImage, in)
		text, status := requireFailed(t, env, ErrorRefused)
		require.Equal(t, []string{"copy job job of a to tenant a, which is complete"}, status.Left)
		require.Contains(t, text, "left: copy job job of a")
		require.Equal(t, 1, s.count(cancelCopies))
	})
	t.Run("and cannot cancel", func(t *testing.T) {
		s := newService()
		s.wait = func(int, CopyTask) (*CopyProgress, error) { return nil, fails(ErrorRefused, "403") }
		s.cancel = s.wait
		env := s.environment()
		in := copyInput()
		in.TenantIDs = in.TenantIDs[:1]
		env.ExecuteWorkflow(CopyImage, in)
		_, status := requireFailed(t, env, ErrorRefused)
		require.Equal(t, []string{"copy job job of a to tenant a: 403"}, status.Left)
	})
}

func TestCopyNeedsDecision(t *testing.T) {
	ambiguous := func(n int, task CopyTask) (*CopyProgress, error) {
		if n == 1 {
			task.Progress.Copies[0].JobID = "job of a"
			task.Progress.Creating, task.Progress.Before = "b", []string{"old"}
			return nil, fails(ErrorAmbiguous, "jobs 1, 2", task.Progress)
		}
		return newService().create(n, task)
	}
	for name, test := range map[string]struct {
		decision Decision
		job      string
		err      string
	}{
		"adopt":   {Decision{Action: Adopt, ID: "2"}, "2", ""},
		"repeat":  {Decision{Action: Repeat}, "job of b", ""},
		"give up": {Decision{Action: GiveUp}, "", "given up: jobs 1, 2"},
	} {
		t.Run(name, func(t *testing.T) {
			s := newService()
			s.create = ambiguous
			env := s.environment()
			rejected := update(env, time.Hour, DecideUpdate, Decision{Action: Adopt})
			update(env, 2*time.Hour, DecideUpdate, test.decision)
			env.ExecuteWorkflow(CopyImage, copyInput())
			require.Error(t, rejected.rejected)
			if test.err != "" {
				text, _ := requireFailed(t, env, ErrorGivenUp)
				require.Equal(t, "tenant b: "+test.err, text)
			} else {
				require.NoError(t, env.GetWorkflowError())
			}
			status := queryStatus(t, env)
			require.Equal(t, test.job, status.Copies[1].JobID)
			require.Equal(t, test.err, status.Copies[1].Error)
			require.Equal(t, "replicated", status.Copies[2].Status)
			require.Empty(t, input[CopyTask](t, s, waitCopies).Progress.Creating)
			require.Equal(t, test.decision.Action == Repeat, input[CopyTask](t, s, createCopies).Progress.Repeat == "b")
		})
	}
	t.Run("cancel", func(t *testing.T) {
		s := newService()
		s.create = ambiguous
		s.cancel = func(int, CopyTask) (*CopyProgress, error) { return nil, fails(ErrorAmbiguous, "jobs 1, 2") }
		env := s.environment()
		env.RegisterDelayedCallback(env.CancelWorkflow, time.Hour)
		env.ExecuteWorkflow(CopyImage, copyInput())
		require.Equal(t, []string{"perhaps a copy to tenant b: jobs 1, 2", "copy job job of a to tenant a: jobs 1, 2"}, requireCanceled(t, env).Left)
	})
}

func TestCopyIsCanceled(t *testing.T) {
	s := newService()
	s.wait = func(_ int, task CopyTask) (*CopyProgress, error) {
		if s.calls[cancelCopies] == 0 {
			return nil, fails(ErrorTransient, "still running")
		}
		for i := range task.Progress.Copies {
			task.Progress.Copies[i].Status, task.Progress.Copies[i].Error = "canceled", "it ended canceled"
		}
		return &task.Progress, nil
	}
	s.heartbeat = func(int, string) (json.RawMessage, error) { return nil, fails(ErrorRefused, "no such workflow") }
	env := s.environment()
	env.RegisterDelayedCallback(env.CancelWorkflow, 5*time.Second)
	env.ExecuteWorkflow(CopyImage, copyInput())
	status := requireCanceled(t, env)
	require.Empty(t, status.Left)
	require.Equal(t, "canceled", status.Copies[0].Status)
}
