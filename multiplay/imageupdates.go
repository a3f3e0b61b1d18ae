package multiplay

import (
	"cmp"
	"context"
	"iter"
	"time"

	"github.com/imagejobs/imagejobs-go/internal/poll"
	"github.com/imagejobs/imagejobs-go/internal/transport"
)

// ImageUpdatesService makes image updates: jobs in which a build machine
// fetches the files of a new image from a [Source]. Get it from
// [Client.ImageUpdates].
type ImageUpdatesService struct{ client *caller }

// ImageUpdateStatus is an image update and its job.
//
// Source: [Image update status].
//
// [Image update status]: https://docs.unity.com/en-us/clanforge/api/endpoints/image-update-status
type ImageUpdateStatus struct {
	// UpdateID is what [ImageUpdatesService.Create] returned.
	UpdateID int64 `json:"updateid"`
	Job
}

// CreateImageUpdateRequest names what to fetch and onto which machine.
//
// Source: [Image update create].
//
// [Image update create]: https://docs.unity.com/en-us/clanforge/api/endpoints/image-update-create
type CreateImageUpdateRequest struct {
	// ImageID is the game image to update. Required; [ImagesService.Options]
	// lists the images.
	ImageID int64
	// MachineID is the build machine that fetches the files. Required;
	// [ImagesService.Options] lists the machines.
	MachineID int64
	// Description is free text for people. Required.
	Description string
	// Source is where the files are. nil uses the image's default source, if it
	// has one.
	Source Source
}

func (r *CreateImageUpdateRequest) check() error {
	const name = "CreateImageUpdateRequest"
	if r == nil {
		return invalid(name, "must not be nil")
	}
	return cmp.Or(
		checkID(name+".ImageID", r.ImageID),
		checkID(name+".MachineID", r.MachineID),
		required(name+".Description", r.Description),
		checkSource(r.Source),
	)
}

type createImageUpdateQuery struct {
	account

	ImageID     int64  `url:"imageid"`
	Description string `url:"desc"`
	MachineID   int64  `url:"machineid"`
	URL         string `url:"url,omitempty"`
}

// Create starts an image update. It takes effect at most once. If the error
// matches [ErrAmbiguous], the update may exist; [ImagesService.Options] shows
// it while it locks the image. Create returns an [*ImageLockedError] while a
// diff locks the image.
//
// Source: [Image update create].
//
// [Image update create]: https://docs.unity.com/en-us/clanforge/api/endpoints/image-update-create
func (s *ImageUpdatesService) Create(ctx context.Context, req *CreateImageUpdateRequest) (*ImageUpdateStatus, error) {
	if err := req.check(); err != nil {
		return nil, err
	}
	status, _, err := transport.Do(ctx, s.client.Client, s.createCall(req), func(r *transport.Response) (*ImageUpdateStatus, error) {
		return receiveJob(s.client, r, false, func(u *ImageUpdateStatus) string { return newJobProblem("updateid", u.UpdateID) })
	})
	return status, err
}

func (s *ImageUpdatesService) createCall(req *CreateImageUpdateRequest) *transport.Call {
	query := createImageUpdateQuery{
		account:     s.client.account,
		ImageID:     req.ImageID,
		MachineID:   req.MachineID,
		Description: req.Description,
	}
	if req.Source != nil {
		query.URL = req.Source.url()
		s.client.sent.add(req.Source)
	}
	return s.client.changeCall(opUpdateCreate, createPath("imageupdate"), query)
}

// Status returns the image update and its job.
//
// Source: [Image update status].
//
// [Image update status]: https://docs.unity.com/en-us/clanforge/api/endpoints/image-update-status
func (s *ImageUpdatesService) Status(ctx context.Context, updateID int64) (*ImageUpdateStatus, error) {
	status, _, err := s.status(ctx, updateID)
	return status, err
}

// status also returns how long the service asks to wait before the next poll.
func (s *ImageUpdatesService) status(ctx context.Context, updateID int64) (*ImageUpdateStatus, time.Duration, error) {
	return s.send(ctx, updateID, s.client.readCall(opUpdateStatus, actionPath("imageupdate", updateID, "status"), s.client.accountQuery))
}

// Retry runs a failed image update again, under the same id. It takes effect at
// most once. If the error matches [ErrAmbiguous], Status shows whether the job
// runs. The page does not say in which states an update may be retried.
//
// Source: [Image update retry].
//
// [Image update retry]: https://docs.unity.com/en-us/clanforge/api/endpoints/image-update-retry
func (s *ImageUpdatesService) Retry(ctx context.Context, updateID int64) (*ImageUpdateStatus, error) {
	call := s.client.changeCall(opUpdateRetry, actionPath("imageupdate", updateID, "retry"), s.client.accountQuery)
	status, _, err := s.send(ctx, updateID, call)
	return status, err
}

// send sends a call about one update.
func (s *ImageUpdatesService) send(ctx context.Context, updateID int64, call *transport.Call) (*ImageUpdateStatus, time.Duration, error) {
	if err := checkID(call.Operation+": updateID", updateID); err != nil {
		return nil, 0, err
	}
	status, resp, err := transport.Do(ctx, s.client.Client, call, func(r *transport.Response) (*ImageUpdateStatus, error) {
		return receiveJob(s.client, r, call.Repeat == transport.Safe, func(u *ImageUpdateStatus) string {
			return jobProblem("updateid", &u.UpdateID, updateID, u.State)
		})
	})
	return status, resp.RetryAfter(), err
}

// Wait polls the image update until it has ended and returns its last status. A
// nil error means completed. If the update failed or was squashed, the error is
// a [*StateError].
//
// Wait runs until ctx is done. It rides out transient failures for the outage
// limit, see [WithOutageLimit]. For half a minute it also rides out a 404, as a
// new update may not be visible yet. An error names the last state known, and
// is returned with the last status seen, nil if there was none.
func (s *ImageUpdatesService) Wait(ctx context.Context, updateID int64, opts ...WaitOption) (*ImageUpdateStatus, error) {
	job, err := s.follow(updateID, opts)
	return wait(ctx, job, err)
}

// Watch polls the image update and yields its status, then again whenever it
// has changed, and ends with the job. If that failed or was squashed, Watch
// yields its last status and then a [*StateError]. Any error ends the sequence
// and comes with the last status seen, nil if there was none. Failures are
// ridden out as by [ImageUpdatesService.Wait].
func (s *ImageUpdatesService) Watch(ctx context.Context, updateID int64, opts ...WaitOption) iter.Seq2[*ImageUpdateStatus, error] {
	job, err := s.follow(updateID, opts)
	return watch(ctx, job, err)
}

func (s *ImageUpdatesService) follow(updateID int64, opts []WaitOption) (*poll.Job[*ImageUpdateStatus], error) {
	return follow(s.client, "image update", updateID, opts, s.client.singly().ImageUpdates.status)
}
