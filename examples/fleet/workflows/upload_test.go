package workflows

import (
	"encoding/json"
	"errors"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"go.temporal.io/sdk/temporal"
)

func uploadInput() UploadImageInput {
	return UploadImageInput{Application: "Game", Version: "1.0", OperatingSystem: "Linux", Source: "/images/image.tar.gz"}
}

func TestUploadImage(t *testing.T) {
	s := newService()
	s.upload = func(n int, task UploadTask) (*UploadProgress, error) {
		if n < 3 {
			return nil, fails(ErrorTransient, "the worker stops")
		}
		return newService().upload(n, task)
	}
	s.finish = func(n int, task UploadTask) (*UploadImageResult, error) {
		if n < 9 { // the test environment gives up after 10
			return nil, fails(ErrorPending, "upload request 7 is In Progress")
		}
		return newService().finish(n, task)
	}
	env := s.environment()
	env.ExecuteWorkflow(UploadImage, uploadInput())
	require.NoError(t, env.GetWorkflowError())
	var result UploadImageResult
	require.NoError(t, env.GetWorkflowResult(&result))
	require.Equal(t, UploadImageResult{UploadRequestID: 7, Status: "Completed"}, result)
	require.Equal(t, Status{State: StateDone, UploadRequestID: 7}, queryStatus(t, env))
	require.Zero(t, s.count(discardUpload))
}

func TestUploadInParts(t *testing.T) {
	s := newService()
	env := s.environment()
	in := uploadInput()
	in.Parts = 3
	env.ExecuteWorkflow(UploadImage, in)
	require.NoError(t, env.GetWorkflowError())
	task := input[UploadTask](t, s, finishUpload)
	require.Equal(t, []json.RawMessage{json.RawMessage("[0,3]"), json.RawMessage("[3,3]"), json.RawMessage("[6,4]")}, task.Parts)
	require.True(t, input[UploadTask](t, s, uploadImage).InitiateOnly)

	in.Parts = 200 // more than chunks
	s = newService()
	env = s.environment()
	env.ExecuteWorkflow(UploadImage, in)
	require.NoError(t, env.GetWorkflowError())
	require.Equal(t, 10, s.count(uploadPart))
}

func TestUploadFails(t *testing.T) {
	last := UploadProgress{UploadRequestID: 8, Checkpoint: []byte("8")}
	for name, test := range map[string]struct {
		prepare  func(s *service, in *UploadImageInput)
		kind     string
		text     string
		discards int
		left     []string
	}{
		"source": {func(s *service, _ *UploadImageInput) {
			s.upload = func(int, UploadTask) (*UploadProgress, error) {
				return nil, fails(ErrorArgument, "UploadImageInput.Source: open /images: no such file", UploadProgress{})
			}
		}, ErrorArgument, "UploadImageInput.Source", 0, nil},
		"source changed": {func(s *service, _ *UploadImageInput) {
			s.upload = func(int, UploadTask) (*UploadProgress, error) {
				return nil, fails(ErrorSourceChanged, "it changed", last)
			}
		}, ErrorSourceChanged, "it changed", 1, nil},
		"not discarded": {func(s *service, _ *UploadImageInput) {
			s.upload = func(int, UploadTask) (*UploadProgress, error) { return nil, fails(ErrorRefused, "403", last) }
			s.discard = func(int, UploadTask) (string, error) { return "", fails(ErrorRefused, "403 as well") }
		}, ErrorRefused, "403; left: upload request 8: 403 as well", 1, []string{"upload request 8: 403 as well"}},
		"perhaps": {func(s *service, _ *UploadImageInput) {
			s.upload = func(int, UploadTask) (*UploadProgress, error) {
				return nil, fails(ErrorRefused, "403", UploadProgress{Checkpoint: []byte("?")})
			}
			s.discard = func(int, UploadTask) (string, error) { return "", fails(ErrorTransient, "503") }
		}, ErrorRefused, "403; left: perhaps an upload request: 503", 10, []string{"perhaps an upload request: 503"}},
		"rejected": {func(s *service, _ *UploadImageInput) {
			s.finish = func(int, UploadTask) (*UploadImageResult, error) { return nil, fails(ErrorState, "Rejected") }
		}, ErrorState, "Rejected", 0, nil},
		"merged": {func(s *service, _ *UploadImageInput) {
			s.finish = func(int, UploadTask) (*UploadImageResult, error) { return nil, fails(ErrorRefused, "401") }
			s.discard = func(int, UploadTask) (string, error) { return "upload request 7, which is merged already", nil }
		}, ErrorRefused, "401; left: upload request 7, which is merged already", 1, []string{"upload request 7, which is merged already"}},
		"part": {func(s *service, in *UploadImageInput) {
			in.Parts = 2
			s.part = func(_ int, task UploadTask) (json.RawMessage, error) {
				if task.First > 0 {
					return nil, fails(ErrorSourceChanged, "it changed")
				}
				return nil, fails(ErrorTransient, "503") // until it is canceled
			}
		}, ErrorSourceChanged, "it changed", 1, nil},
		"no name":   {func(_ *service, in *UploadImageInput) { in.Version = "" }, ErrorArgument, "Version", 0, nil},
		"no source": {func(_ *service, in *UploadImageInput) { in.Source = "" }, ErrorArgument, "UploadImageInput.Source", 0, nil},
		"parts":     {func(_ *service, in *UploadImageInput) { in.Parts = 257 }, ErrorArgument, "UploadImageInput.Parts", 0, nil},
		"no URL":    {func(_ *service, in *UploadImageInput) { in.Source = "https://[" }, ErrorArgument, "is not a URL", 0, nil},
		"secret": {func(_ *service, in *UploadImageInput) {
			in.Source = "https://user:secret@example.com/image"
		}, ErrorArgument, "must not have user info", 0, nil},
		"signed": {func(_ *service, in *UploadImageInput) {
			in.Source = "https://example.com/image?X-Amz-Signature=secret"
		}, ErrorArgument, "must not have user info", 0, nil},
	} {
		t.Run(name, func(t *testing.T) {
			s := newService()
			in := uploadInput()
			test.prepare(s, &in)
			env := s.environment()
			env.ExecuteWorkflow(UploadImage, in)
			text, status := requireFailed(t, env, test.kind)
			require.Contains(t, text, test.text)
			require.NotContains(t, text, "secret")
			require.Equal(t, test.left, status.Left)
			require.Less(t, s.count(uploadPart), 6, "the other parts are canceled")
			if test.discards > 1 {
				require.Greater(t, s.count(discardUpload), 3)
			} else {
				require.Equal(t, test.discards, s.count(discardUpload))
			}
		})
	}
}

func TestUploadNeedsDecision(t *testing.T) {
	ambiguous := func(n int, task UploadTask) (*UploadProgress, error) {
		if n == 1 {
			return nil, fails(ErrorAmbiguous, "upload requests 8, 9 all match", UploadProgress{Checkpoint: []byte("?")})
		}
		if task.Progress.UploadRequestID != 0 {
			return &UploadProgress{UploadRequestID: task.Progress.UploadRequestID, TotalChunks: 4}, nil
		}
		return newService().upload(n, task)
	}
	t.Run("repeat", func(t *testing.T) {
		s := newService()
		s.upload = ambiguous
		s.processing()
		env := s.environment()
		early := update(env, 0, DecideUpdate, Decision{Action: Repeat})
		var rejected []*reply
		for i, bad := range []Decision{{}, {Action: "delete"}, {Action: Adopt, ID: "x"}, {Action: Adopt, ID: "0"}} {
			rejected = append(rejected, update(env, time.Hour+time.Duration(i), DecideUpdate, bad))
		}
		env.RegisterDelayedCallback(func() {
			require.Equal(t, Status{State: StateNeedsDecision, Problem: "upload requests 8, 9 all match"}, queryStatus(t, env))
		}, 24*time.Hour)
		decided := update(env, 48*time.Hour, DecideUpdate, Decision{Action: Repeat})
		twice := update(env, 48*time.Hour+1, DecideUpdate, Decision{Action: Repeat})
		env.ExecuteWorkflow(UploadImage, uploadInput())
		require.NoError(t, env.GetWorkflowError())
		for _, bad := range append(rejected, early) {
			require.Error(t, bad.rejected)
		}
		require.NoError(t, errors.Join(decided.rejected, decided.err))
		require.Error(t, twice.rejected)
		require.Equal(t, UploadTask{Input: uploadInput(), Repeat: true}, input[UploadTask](t, s, uploadImage), "it begins anew")
	})
	t.Run("adopt", func(t *testing.T) {
		s := newService()
		s.upload = ambiguous
		env := s.environment()
		update(env, time.Hour, DecideUpdate, Decision{Action: Adopt, ID: "9"})
		env.ExecuteWorkflow(UploadImage, uploadInput())
		require.NoError(t, env.GetWorkflowError())
		require.EqualValues(t, 9, queryStatus(t, env).UploadRequestID)
		require.Len(t, input[UploadTask](t, s, finishUpload).Parts, 1)
		require.Equal(t, 4, input[UploadTask](t, s, uploadPart).Count)
	})
	t.Run("give up", func(t *testing.T) {
		s := newService()
		s.upload = ambiguous
		s.discard = func(int, UploadTask) (string, error) { return "", fails(ErrorAmbiguous, "8 or 9") }
		env := s.environment()
		update(env, time.Hour, DecideUpdate, Decision{Action: GiveUp, By: "Kim"})
		env.ExecuteWorkflow(UploadImage, uploadInput())
		text, status := requireFailed(t, env, ErrorGivenUp)
		require.Equal(t, "given up by Kim: upload requests 8, 9 all match; left: perhaps an upload request: 8 or 9", text)
		require.Empty(t, status.Problem)
	})
	t.Run("cancel", func(t *testing.T) {
		s := newService()
		s.upload = ambiguous
		env := s.environment()
		env.RegisterDelayedCallback(env.CancelWorkflow, time.Hour)
		env.ExecuteWorkflow(UploadImage, uploadInput())
		require.Empty(t, requireCanceled(t, env).Left)
		require.Equal(t, 1, s.count(discardUpload))
	})
}

func TestUploadIsCanceled(t *testing.T) {
	last := UploadProgress{UploadRequestID: 8, Checkpoint: []byte("8")}
	// An activity that waits for its next attempt ends without its heartbeat.
	t.Run("between attempts", func(t *testing.T) {
		s := newService()
		s.upload = func(int, UploadTask) (*UploadProgress, error) { return nil, fails(ErrorTransient, "503") }
		s.heartbeat = func(_ int, name string) (json.RawMessage, error) {
			require.Equal(t, uploadImage, name)
			return json.Marshal(last)
		}
		env := s.environment()
		env.RegisterDelayedCallback(env.CancelWorkflow, 5*time.Second)
		env.ExecuteWorkflow(UploadImage, uploadInput())
		require.EqualValues(t, 8, requireCanceled(t, env).UploadRequestID)
		require.Equal(t, last, input[UploadTask](t, s, discardUpload).Progress)
	})
	t.Run("while it runs", func(t *testing.T) {
		s := newService()
		s.upload = func(int, UploadTask) (*UploadProgress, error) { return nil, temporal.NewCanceledError(last) }
		env := s.environment()
		env.ExecuteWorkflow(UploadImage, uploadInput())
		requireCanceled(t, env)
		require.Equal(t, last, input[UploadTask](t, s, discardUpload).Progress)
	})
	t.Run("while its worker is lost", func(t *testing.T) {
		s := newService()
		s.upload = func(int, UploadTask) (*UploadProgress, error) { return nil, temporal.NewHeartbeatTimeoutError(last) }
		env := s.environment()
		env.ExecuteWorkflow(UploadImage, uploadInput())
		requireFailed(t, env, ErrorRefused)
		require.Equal(t, last, input[UploadTask](t, s, discardUpload).Progress)
	})
	t.Run("while it waits", func(t *testing.T) {
		s := newService()
		s.finish = func(int, UploadTask) (*UploadImageResult, error) { return nil, fails(ErrorPending, "In Progress") }
		s.discard = func(int, UploadTask) (string, error) { return "upload request 7, which is merged already", nil }
		env := s.environment()
		env.RegisterDelayedCallback(env.CancelWorkflow, 5*time.Second)
		env.ExecuteWorkflow(UploadImage, uploadInput())
		require.Equal(t, []string{"upload request 7, which is merged already"}, requireCanceled(t, env).Left)
	})
	t.Run("parts", func(t *testing.T) {
		s := newService()
		s.part = func(int, UploadTask) (json.RawMessage, error) { return nil, fails(ErrorTransient, "503") }
		env := s.environment()
		env.RegisterDelayedCallback(env.CancelWorkflow, 5*time.Second)
		in := uploadInput()
		in.Parts = 3
		env.ExecuteWorkflow(UploadImage, in)
		require.Empty(t, requireCanceled(t, env).Left)
		require.Equal(t, 1, s.count(discardUpload))
	})
}
