package workflows

import (
	"errors"
	"strconv"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"go.temporal.io/sdk/temporal"
	"go.temporal.io/sdk/testsuite"
)

func fleetOf(n int) PublishFleetInput {
	in := PublishFleetInput{Name: "nightly"}
	for i := range n {
		upload := uploadInput()
		upload.Version = strconv.Itoa(i)
		in.Images = append(in.Images, FleetImage{Upload: &upload})
	}
	return in
}

func fleetStatus(t *testing.T, env *testsuite.TestWorkflowEnvironment) (status FleetStatus) {
	t.Helper()
	value, err := env.QueryWorkflow(StatusQuery)
	require.NoError(t, err)
	require.NoError(t, value.Get(&status))
	return status
}

func TestPublishFleet(t *testing.T) {
	s := newService()
	s.processing()
	running, most := 0, 0
	s.upload = func(n int, task UploadTask) (*UploadProgress, error) { return newService().upload(n, task) }
	env := s.environment()
	in := fleetOf(7)
	in.MaxRunning = 3
	in.Images = append(in.Images, FleetImage{Copy: new(copyInput())}, FleetImage{Release: new(releaseInput())})
	in.Images[8].Release.Approve = true
	env.SetOnChildWorkflowStartedListener(func(*workflowInfo, workflowContext, encodedArgs) {
		running++
		most = max(most, running)
	})
	env.SetOnChildWorkflowCompletedListener(func(*workflowInfo, encodedArg, error) { running-- })
	env.ExecuteWorkflow(PublishFleet, in)
	require.NoError(t, env.GetWorkflowError())
	var status FleetStatus
	require.NoError(t, env.GetWorkflowResult(&status))
	require.Equal(t, status, fleetStatus(t, env))
	require.Equal(t, 9, status.Done)
	require.Zero(t, status.Failed+status.Running)
	require.Equal(t, FleetImageStatus{WorkflowID: "upload/Game/3/Linux/image.tar.gz", State: StateDone}, status.Images[3])
	require.Equal(t, "release/10/build%2042", status.Images[8].WorkflowID)
	require.Equal(t, 3, most)
}

func TestFleetWithFailures(t *testing.T) {
	s := newService()
	s.upload = func(n int, task UploadTask) (*UploadProgress, error) {
		if task.Input.Version == "1" {
			return nil, fails(ErrorArgument, "UploadImageInput.Source: open /images: no such file", UploadProgress{})
		}
		return newService().upload(n, task)
	}
	for _, stop := range []bool{false, true} {
		env := s.environment()
		in := fleetOf(4)
		in.MaxRunning, in.StopOnFailure = 1, stop
		env.ExecuteWorkflow(PublishFleet, in)
		failed, ok := errors.AsType[*temporal.ApplicationError](env.GetWorkflowError())
		require.True(t, ok)
		require.Equal(t, ErrorFleet, failed.Type())
		var status FleetStatus
		require.NoError(t, failed.Details(&status))
		require.Equal(t, 1, status.Failed)
		require.Equal(t, "UploadImageInput.Source: open /images: no such file", status.Images[1].Error)
		require.Equal(t, StateFailed, status.Images[1].State)
		if stop {
			require.Equal(t, 1, status.Done)
			require.Equal(t, "1 of 4 images failed, 2 were not started", failed.Message())
		} else {
			require.Equal(t, 3, status.Done)
		}
	}
}

func TestFleetIsCanceled(t *testing.T) {
	s := newService()
	s.finish = func(int, UploadTask) (*UploadImageResult, error) { return nil, fails(ErrorPending, "In Progress") }
	env := s.environment()
	in := fleetOf(3)
	in.MaxRunning = 2
	env.RegisterDelayedCallback(env.CancelWorkflow, 5*time.Second)
	env.ExecuteWorkflow(PublishFleet, in)
	canceled, ok := errors.AsType[*temporal.CanceledError](env.GetWorkflowError())
	require.True(t, ok, "%v", env.GetWorkflowError())
	var status FleetStatus
	require.NoError(t, canceled.Details(&status))
	require.Equal(t, 2, status.Failed)
	require.Equal(t, StateCanceled, status.Images[0].State)
	require.Empty(t, status.Images[2].State)
	require.Equal(t, 2, s.count(discardUpload))
}

// Somebody else has started the workflow of an image.
func TestFleetFollowsOtherRuns(t *testing.T) {
	for name, failure := range map[string]error{"done": nil, "failed": fails(ErrorRefused, "Failed: 404")} {
		t.Run(name, func(t *testing.T) {
			s := newService()
			s.follow = func(_ int, id string) (struct{}, error) {
				require.Equal(t, "upload/Game/0/Linux/image.tar.gz", id)
				return struct{}{}, failure
			}
			env := s.environment()
			env.OnWorkflow(UploadImage, anything, anything).Return(nil, &temporal.ChildWorkflowExecutionAlreadyStartedError{})
			env.ExecuteWorkflow(PublishFleet, fleetOf(1))
			require.Equal(t, 1, s.count(followRun))
			require.Equal(t, failure != nil, env.GetWorkflowError() != nil)
		})
	}
}

func TestFleetInput(t *testing.T) {
	for name, test := range map[string]struct {
		change func(*PublishFleetInput)
		text   string
	}{
		"name":    {func(in *PublishFleetInput) { in.Name = "" }, "PublishFleetInput.Name"},
		"images":  {func(in *PublishFleetInput) { in.Images = nil }, "PublishFleetInput.Images: must be 1 to 1000"},
		"running": {func(in *PublishFleetInput) { in.MaxRunning = -1 }, "PublishFleetInput.MaxRunning"},
		"nothing": {func(in *PublishFleetInput) { in.Images[1].Upload = nil }, "PublishFleetInput.Images[1]: must have one"},
		"two":     {func(in *PublishFleetInput) { in.Images[1].Copy = new(copyInput()) }, "PublishFleetInput.Images[1]: must have one"},
		"twice":   {func(in *PublishFleetInput) { in.Images[2] = in.Images[0] }, "PublishFleetInput.Images[2]: is Images[0] again"},
	} {
		t.Run(name, func(t *testing.T) {
			s := newService()
			env := s.environment()
			in := fleetOf(3)
			test.change(&in)
			env.ExecuteWorkflow(PublishFleet, in)
			failed, ok := errors.AsType[*temporal.ApplicationError](env.GetWorkflowError())
			require.True(t, ok)
			require.Equal(t, ErrorArgument, failed.Type())
			require.Contains(t, failed.Message(), test.text)
			require.Empty(t, s.calls)
		})
	}
}

func TestWorkflowIDs(t *testing.T) {
	in := uploadInput()
	in.Application = "a/b"
	require.Equal(t, "upload/a%2Fb/1.0/Linux/image.tar.gz", UploadID(in))
	in.Source = `C:\images\other.tar.gz`
	require.Equal(t, "upload/a%2Fb/1.0/Linux/other.tar.gz", UploadID(in))
	in.FileName = "name.tar.gz"
	require.Equal(t, "upload/a%2Fb/1.0/Linux/name.tar.gz", UploadID(in))
	one := CopyImageInput{ImageID: "i", TenantIDs: []string{"a", "a"}}
	require.Equal(t, "copy/i/a", CopyID(one))
	two, other := CopyImageInput{ImageID: "i", TenantIDs: []string{"a", "b"}}, CopyImageInput{ImageID: "i", TenantIDs: []string{"b", "a", "a"}}
	require.Equal(t, CopyID(two), CopyID(other))
	require.NotEqual(t, CopyID(one), CopyID(two))
	require.Equal(t, "release/10/1.2", ReleaseID(ReleaseImageInput{ImageID: 10, Description: "x", GameBuild: "1.2"}))
	require.Equal(t, "fleet/nightly", FleetID(fleetOf(1)))
}
