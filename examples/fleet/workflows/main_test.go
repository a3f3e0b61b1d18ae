package workflows

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/mock"
	"github.com/stretchr/testify/require"
	"go.temporal.io/sdk/activity"
	"go.temporal.io/sdk/converter"
	"go.temporal.io/sdk/temporal"
	"go.temporal.io/sdk/testsuite"
	"go.temporal.io/sdk/worker"
	"go.temporal.io/sdk/workflow"
)

// service has the activities of a test. It counts their calls.
type service struct {
	mu    sync.Mutex // activities run at once
	calls map[string]int
	tasks map[string]any // the last input

	upload    func(n int, task UploadTask) (*UploadProgress, error)
	part      func(n int, task UploadTask) (json.RawMessage, error)
	finish    func(n int, task UploadTask) (*UploadImageResult, error)
	discard   func(n int, task UploadTask) (string, error)
	create    func(n int, task CopyTask) (*CopyProgress, error)
	wait      func(n int, task CopyTask) (*CopyProgress, error)
	cancel    func(n int, task CopyTask) (*CopyProgress, error)
	release   func(n int, task ReleaseTask) (*ReleaseProgress, error)
	reject    func(n int, diffID int64) (struct{}, error)
	follow    func(n int, id string) (struct{}, error)
	heartbeat func(n int, name string) (json.RawMessage, error)
}

func call[T, R any](s *service, name string, f *func(int, T) (R, error)) any {
	return func(_ context.Context, task T) (R, error) {
		s.mu.Lock()
		defer s.mu.Unlock()
		s.calls[name]++
		s.tasks[name] = task
		return (*f)(s.calls[name], task)
	}
}

func newService() *service {
	return &service{
		calls: map[string]int{}, tasks: map[string]any{},
		upload: func(int, UploadTask) (*UploadProgress, error) {
			return &UploadProgress{UploadRequestID: 7, TotalChunks: 10, Chunks: 10, Checkpoint: []byte("7")}, nil
		},
		part: func(_ int, task UploadTask) (json.RawMessage, error) {
			return json.RawMessage(fmt.Sprintf("[%d,%d]", task.First, task.Count)), nil
		},
		finish: func(_ int, task UploadTask) (*UploadImageResult, error) {
			return &UploadImageResult{UploadRequestID: task.Progress.UploadRequestID, Status: "Completed"}, nil
		},
		discard: func(int, UploadTask) (string, error) { return "", nil },
		create: func(_ int, task CopyTask) (*CopyProgress, error) {
			for i := range task.Progress.Copies {
				if one := &task.Progress.Copies[i]; one.JobID == "" && one.Error == "" {
					one.JobID = "job of " + one.TenantID
				}
			}
			return &task.Progress, nil
		},
		wait: func(_ int, task CopyTask) (*CopyProgress, error) {
			for i := range task.Progress.Copies {
				if one := &task.Progress.Copies[i]; one.Error == "" {
					one.Status = "replicated"
				}
			}
			return &task.Progress, nil
		},
		cancel: func(_ int, task CopyTask) (*CopyProgress, error) {
			task.Progress.Creating = ""
			return &task.Progress, nil
		},
		release: func(_ int, task ReleaseTask) (*ReleaseProgress, error) {
			task.Progress.UpdateID, task.Progress.DiffID = 1, 2
			if !task.DiffOnly {
				task.Progress.ImageVersionID, task.Progress.Machines = 3, 30
			}
			return &task.Progress, nil
		},
		reject:    func(int, int64) (struct{}, error) { return struct{}{}, nil },
		follow:    func(int, string) (struct{}, error) { return struct{}{}, nil },
		heartbeat: func(int, string) (json.RawMessage, error) { return nil, fails(ErrorRefused, "no heartbeat") },
	}
}

// count returns how often an activity was called. Those that were canceled may
// still run when their workflow has ended.
func (s *service) count(name string) int {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.calls[name]
}

// input returns the last input of an activity.
func input[T any](t *testing.T, s *service, name string) T {
	t.Helper()
	s.mu.Lock()
	defer s.mu.Unlock()
	task, ok := s.tasks[name].(T)
	require.True(t, ok, "%s was not called", name)
	return task
}

// environment returns a test environment with the service's activities.
func (s *service) environment() *testsuite.TestWorkflowEnvironment {
	var suite testsuite.WorkflowTestSuite
	env := suite.NewTestWorkflowEnvironment()
	env.SetTestTimeout(time.Minute)
	env.SetWorkerOptions(worker.Options{DeadlockDetectionTimeout: time.Minute}) // a busy machine may stop for its second
	env.SetWorkflowRunTimeout(365 * 24 * time.Hour)
	for name, f := range map[string]any{
		uploadImage: call(s, uploadImage, &s.upload), uploadPart: call(s, uploadPart, &s.part), finishUpload: call(s, finishUpload, &s.finish),
		discardUpload: call(s, discardUpload, &s.discard), createCopies: call(s, createCopies, &s.create), waitCopies: call(s, waitCopies, &s.wait),
		cancelCopies: call(s, cancelCopies, &s.cancel), release: call(s, release, &s.release), rejectDiff: call(s, rejectDiff, &s.reject),
		followRun: call(s, followRun, &s.follow), lastHeartbeat: call(s, lastHeartbeat, &s.heartbeat),
	} {
		env.RegisterActivityWithOptions(f, activity.RegisterOptions{Name: name})
	}
	env.RegisterWorkflow(UploadImage)
	env.RegisterWorkflow(CopyImage)
	env.RegisterWorkflow(ReleaseImage)
	return env
}

// fails returns an error as the activities do.
func fails(kind, text string, details ...any) error {
	return temporal.NewApplicationErrorWithOptions(text, kind, temporal.ApplicationErrorOptions{
		NonRetryable: kind != ErrorTransient && kind != ErrorPending, Details: details,
	})
}

// requireFailed returns the error that a workflow ended with, and its status.
func requireFailed(t *testing.T, env *testsuite.TestWorkflowEnvironment, kind string) (text string, status Status) {
	t.Helper()
	require.True(t, env.IsWorkflowCompleted())
	failed, ok := errors.AsType[*temporal.ApplicationError](env.GetWorkflowError())
	require.True(t, ok, "%v", env.GetWorkflowError())
	require.Equal(t, kind, failed.Type(), failed.Error())
	require.True(t, failed.NonRetryable())
	require.NoError(t, failed.Details(&status))
	require.Equal(t, StateFailed, status.State)
	require.Equal(t, status, queryStatus(t, env))
	return failed.Message(), status
}

// requireCanceled returns the status of a workflow that was canceled.
func requireCanceled(t *testing.T, env *testsuite.TestWorkflowEnvironment) (status Status) {
	t.Helper()
	require.True(t, env.IsWorkflowCompleted())
	canceled, ok := errors.AsType[*temporal.CanceledError](env.GetWorkflowError())
	require.True(t, ok, "%v", env.GetWorkflowError())
	require.NoError(t, canceled.Details(&status))
	require.Equal(t, StateCanceled, status.State)
	return status
}

func queryStatus(t *testing.T, env *testsuite.TestWorkflowEnvironment) (status Status) {
	t.Helper()
	value, err := env.QueryWorkflow(StatusQuery)
	require.NoError(t, err)
	require.NoError(t, value.Get(&status))
	return status
}

// reply is what became of an update.
type reply struct{ rejected, err error }

func (r *reply) Accept()                   {}
func (r *reply) Reject(err error)          { r.rejected = err }
func (r *reply) Complete(_ any, err error) { r.err = err }

// processing makes the service process each image for a while, in the time of
// the environment. Without it nothing does: what is to happen before an upload
// ends, such as an update, may find it ended.
func (s *service) processing() {
	seen := map[string]bool{}
	s.finish = func(n int, task UploadTask) (*UploadImageResult, error) {
		if id := UploadID(task.Input); !seen[id] {
			seen[id] = true
			return nil, fails(ErrorPending, "In Progress")
		}
		return newService().finish(n, task)
	}
}

// update sends an update after a while.
func update(env *testsuite.TestWorkflowEnvironment, after time.Duration, name string, arg any) *reply {
	r := &reply{}
	env.RegisterDelayedCallback(func() { env.UpdateWorkflow(name, fmt.Sprint(name, after), r, arg) }, after)
	return r
}

type (
	workflowInfo    = workflow.Info
	workflowContext = workflow.Context
	encodedArgs     = converter.EncodedValues
	encodedArg      = converter.EncodedValue
)

const anything = mock.Anything
