package multiplay

import (
	"cmp"
	"context"
	"encoding/json"
	"iter"
	"time"

	"github.com/imagejobs/imagejobs-go/internal/poll"
	"github.com/imagejobs/imagejobs-go/internal/transport"
)

// ImageDiffsService makes image diffs: jobs that compare what is on a build
// machine with the image's latest version. Get it from [Client.ImageDiffs].
type ImageDiffsService struct{ client *caller }

// ImageDiffStatus is an image diff and its job.
//
// Source: [Image diff status].
//
// [Image diff status]: https://docs.unity.com/en-us/clanforge/api/endpoints/image-diff-status
type ImageDiffStatus struct {
	// DiffID is what [ImageDiffsService.Create] returned.
	DiffID int64 `json:"diffid"`
	Job

	// Added holds the new files by path, if Info was requested, and is complete
	// once the diff has completed. The rest of an entry is not documented and is
	// kept as JSON.
	Added map[string]json.RawMessage `json:"added,omitempty"`
	// Modified holds the files that changed, like Added.
	Modified map[string]json.RawMessage `json:"modified,omitempty"`
	// Removed holds the files that are gone, like Added.
	Removed map[string]json.RawMessage `json:"removed,omitempty"`
	// Game is a JSON object whose fields are not documented; nil without Info.
	Game json.RawMessage `json:"game,omitempty"`
	// Machine is a JSON object whose fields are not documented; nil without Info.
	Machine json.RawMessage `json:"machine,omitempty"`
	// Image is a JSON object whose fields are not documented; nil without Info.
	Image json.RawMessage `json:"image,omitempty"`
}

// Empty reports whether no file differs. It needs the status of a completed
// diff, requested with Info.
func (s *ImageDiffStatus) Empty() bool {
	return len(s.Added) == 0 && len(s.Modified) == 0 && len(s.Removed) == 0
}

// CreateImageDiffRequest names what to compare.
//
// Source: [Image diff create].
//
// [Image diff create]: https://docs.unity.com/en-us/clanforge/api/endpoints/image-diff-create
type CreateImageDiffRequest struct {
	// ImageID is the game image whose latest version is one side. Required.
	ImageID int64
	// MachineID is the build machine that is the other side. Required.
	MachineID int64
	// DiffID re-runs an existing diff, which must have completed or failed; 0
	// creates one.
	DiffID int64
}

func (r *CreateImageDiffRequest) check() error {
	const name = "CreateImageDiffRequest"
	switch {
	case r == nil:
		return invalid(name, "must not be nil")
	case r.DiffID < 0:
		return invalid(name+".DiffID", "must not be negative")
	}
	return cmp.Or(checkID(name+".ImageID", r.ImageID), checkID(name+".MachineID", r.MachineID))
}

type createImageDiffQuery struct {
	account

	ImageID   int64 `url:"imageid"`
	MachineID int64 `url:"machineid"`
	DiffID    int64 `url:"diffid,omitempty"`
}

// Create starts an image diff, which locks the image until a version is made of
// it or it is rejected. It takes effect at most once. If the error matches
// [ErrAmbiguous], the diff may exist; [ImagesService.Options] shows it while it
// locks the image. Create returns an [*ImageLockedError] while another diff
// locks the image.
//
// Source: [Image diff create].
//
// [Image diff create]: https://docs.unity.com/en-us/clanforge/api/endpoints/image-diff-create
func (s *ImageDiffsService) Create(ctx context.Context, req *CreateImageDiffRequest) (*ImageDiffStatus, error) {
	if err := req.check(); err != nil {
		return nil, err
	}
	call := s.client.changeCall(opDiffCreate, createPath("imagediff"), createImageDiffQuery{
		account:   s.client.account,
		ImageID:   req.ImageID,
		MachineID: req.MachineID,
		DiffID:    req.DiffID,
	})
	status, _, err := transport.Do(ctx, s.client.Client, call, func(r *transport.Response) (*ImageDiffStatus, error) {
		return receiveJob(s.client, r, false, func(d *ImageDiffStatus) string {
			if req.DiffID != 0 && d.DiffID != req.DiffID {
				return "it is not about the diff that was to run again"
			}
			return newJobProblem("diffid", d.DiffID)
		})
	})
	return status, err
}

// ImageDiffStatusOptions chooses what [ImageDiffsService.Status] returns.
type ImageDiffStatusOptions struct {
	// Info requests the game, machine and image, and the files that differ.
	Info bool
}

type imageDiffStatusQuery struct {
	account

	Info bool `url:"diff_info,int,omitempty"`
}

// Status returns the image diff and its job. nil options return the job only.
//
// Source: [Image diff status].
//
// [Image diff status]: https://docs.unity.com/en-us/clanforge/api/endpoints/image-diff-status
func (s *ImageDiffsService) Status(ctx context.Context, diffID int64, opts *ImageDiffStatusOptions) (*ImageDiffStatus, error) {
	status, _, err := s.status(ctx, diffID, opts != nil && opts.Info)
	return status, err
}

// status also returns how long the service asks to wait before the next poll.
func (s *ImageDiffsService) status(ctx context.Context, diffID int64, info bool) (*ImageDiffStatus, time.Duration, error) {
	call := s.client.readCall(opDiffStatus, actionPath("imagediff", diffID, "status"), imageDiffStatusQuery{s.client.account, info})
	return s.send(ctx, diffID, call, info)
}

// Retry runs an image diff again that has completed or failed, under the same
// id. It takes effect at most once. If the error matches [ErrAmbiguous], Status
// shows whether the job runs.
//
// Source: [Image diff retry].
//
// [Image diff retry]: https://docs.unity.com/en-us/clanforge/api/endpoints/image-diff-retry
func (s *ImageDiffsService) Retry(ctx context.Context, diffID int64) (*ImageDiffStatus, error) {
	call := s.client.changeCall(opDiffRetry, actionPath("imagediff", diffID, "retry"), s.client.accountQuery)
	status, _, err := s.send(ctx, diffID, call, false)
	return status, err
}

// send sends a call about one diff.
func (s *ImageDiffsService) send(ctx context.Context, diffID int64, call *transport.Call, info bool) (*ImageDiffStatus, time.Duration, error) {
	if err := checkID(call.Operation+": diffID", diffID); err != nil {
		return nil, 0, err
	}
	status, resp, err := transport.Do(ctx, s.client.Client, call, func(r *transport.Response) (*ImageDiffStatus, error) {
		return receiveJob(s.client, r, call.Repeat == transport.Safe, func(d *ImageDiffStatus) string {
			// A response without files does not mean that none differ.
			if info && d.State == JobCompleted && d.Empty() && !has(r, "added", "modified", "removed", "game", "machine", "image") {
				return "it has no added, modified and removed"
			}
			return jobProblem("diffid", &d.DiffID, diffID, d.State)
		})
	})
	return status, resp.RetryAfter(), err
}

// RejectImageDiffOptions chooses what else happens to a rejected diff.
type RejectImageDiffOptions struct {
	// Reinstall puts the image's latest version back onto the build machine.
	Reinstall bool
}

type rejectImageDiffQuery struct {
	account

	Reinstall bool `url:"reinstall,int"`
}

// ImageDiffRejection is a rejected diff.
//
// Source: [Image diff reject].
//
// [Image diff reject]: https://docs.unity.com/en-us/clanforge/api/endpoints/image-diff-reject
type ImageDiffRejection struct {
	// DiffID is the rejected diff.
	DiffID int64 `json:"diffid"`
	// UninstallJobID is the job that restores the machine, with Reinstall; 0
	// otherwise.
	UninstallJobID int64 `json:"uninstalljobid,omitempty"`
	// Job is that job; empty otherwise.
	Job
}

// Reject discards an image diff that has completed or failed and so unlocks its
// image. nil options leave the files on the build machine. It takes effect at
// most once. If the error matches [ErrAmbiguous], [ImagesService.Options] shows
// whether the diff still locks the image.
//
// Source: [Image diff reject].
//
// [Image diff reject]: https://docs.unity.com/en-us/clanforge/api/endpoints/image-diff-reject
func (s *ImageDiffsService) Reject(ctx context.Context, diffID int64, opts *RejectImageDiffOptions) (*ImageDiffRejection, error) {
	if err := checkID(opDiffReject+": diffID", diffID); err != nil {
		return nil, err
	}
	call := s.client.changeCall(opDiffReject, actionPath("imagediff", diffID, "reject"),
		rejectImageDiffQuery{s.client.account, opts != nil && opts.Reinstall})
	rejection, _, err := transport.Do(ctx, s.client.Client, call, func(r *transport.Response) (*ImageDiffRejection, error) {
		return receiveJob(s.client, r, false, func(j *ImageDiffRejection) string {
			if j.DiffID == 0 && j.UninstallJobID > 0 {
				j.DiffID = diffID // as documented
			}
			if j.DiffID != diffID {
				return "it does not name the diff"
			}
			return ""
		})
	})
	return rejection, err
}

// Wait polls the image diff until it has ended and returns its last status,
// without the files, which [ImageDiffsService.Status] returns. A nil error
// means completed. If the diff failed or was squashed, the error is a
// [*StateError].
//
// Wait runs until ctx is done. It rides out transient failures for the outage
// limit, see [WithOutageLimit]. For half a minute it also rides out a 404, as a
// new diff may not be visible yet. An error names the last state known, and is
// returned with the last status seen, nil if there was none.
func (s *ImageDiffsService) Wait(ctx context.Context, diffID int64, opts ...WaitOption) (*ImageDiffStatus, error) {
	job, err := s.follow(diffID, opts)
	return wait(ctx, job, err)
}

// Watch polls the image diff and yields its status, then again whenever it has
// changed, and ends with the job. If that failed or was squashed, Watch yields
// its last status and then a [*StateError]. Any error ends the sequence and
// comes with the last status seen, nil if there was none. Failures are ridden
// out as by [ImageDiffsService.Wait].
func (s *ImageDiffsService) Watch(ctx context.Context, diffID int64, opts ...WaitOption) iter.Seq2[*ImageDiffStatus, error] {
	job, err := s.follow(diffID, opts)
	return watch(ctx, job, err)
}

func (s *ImageDiffsService) follow(diffID int64, opts []WaitOption) (*poll.Job[*ImageDiffStatus], error) {
	polls := s.client.singly().ImageDiffs
	return follow(s.client, "image diff", diffID, opts, func(ctx context.Context, id int64) (*ImageDiffStatus, time.Duration, error) {
		return polls.status(ctx, id, false)
	})
}
