package multiplay

import (
	"context"
	"encoding/json"
	"slices"
	"time"

	"github.com/imagejobs/imagejobs-go/internal/transport"
)

// ImageInstallsService lists and queues the installs of image versions. Get it
// from [Client.ImageInstalls].
type ImageInstallsService struct{ client *caller }

// ImageInstall is one job that installs an image version, on a machine or a
// mirror. The types of the fields beside the job's are not documented, so they
// are kept as text.
//
// Source: [Image install status].
//
// [Image install status]: https://docs.unity.com/en-us/clanforge/api/endpoints/image-install-status
type ImageInstall struct {
	// JobID identifies the install; see [ImageInstallsService.Queue].
	JobID int64 `json:"jobid"`
	Job

	// TargetImageVersionID is the version to install.
	TargetImageVersionID int64 `json:"target_imageversionid"`
	// Machine is where to install it.
	Machine string `json:"machine,omitempty"`
	// Location is the machine's location.
	Location string `json:"location,omitempty"`
	// ImagePath is the image's path.
	ImagePath string `json:"imagepath,omitempty"`
	// Mirror is the mirror to install on, for a mirror's job.
	Mirror string `json:"mirror,omitempty"`
	// Mirroring reports whether it is a mirror's job.
	Mirroring bool `json:"mirroring"`
	// Restart reports whether servers are stopped and started again.
	Restart bool `json:"restart"`
	// InstallAt is when to install; zero if not given.
	InstallAt time.Time `json:"install_at,omitzero"`
}

// List returns all incomplete installs of the account service, of every image.
// An empty list means that every rollout has ended.
//
// Source: [Image install status].
//
// [Image install status]: https://docs.unity.com/en-us/clanforge/api/endpoints/image-install-status
func (s *ImageInstallsService) List(ctx context.Context) ([]ImageInstall, error) {
	type list struct {
		Installs []ImageInstall `json:"installs"`
	}
	call := s.client.readCall(opInstallList, []string{"cfp", "v1", "imageinstall", "status"}, s.client.accountQuery)
	got, _, err := transport.Do(ctx, s.client.Client, call, func(r *transport.Response) (*list, error) {
		return receive(r, func(l *list) string {
			switch {
			case l.Installs == nil && !has(r, "installs"):
				return "it has no installs"
			case slices.ContainsFunc(l.Installs, func(i ImageInstall) bool { return i.JobID <= 0 }):
				return "an install in it has no jobid"
			}
			return ""
		})
	})
	if err != nil {
		return nil, err
	}
	for i := range got.Installs {
		got.Installs[i].settle(time.Time{}, s.client.sent)
	}
	return got.Installs, nil
}

// QueueImageInstallRequest names the install to queue.
//
// Source: [Image install queue].
//
// [Image install queue]: https://docs.unity.com/en-us/clanforge/api/endpoints/image-install-queue
type QueueImageInstallRequest struct {
	// JobID is the install's job id, from [ImageInstallsService.List]. Required.
	JobID int64
	// Mirroring is whether it is a mirror's job, not a machine's.
	Mirroring bool
}

func (r *QueueImageInstallRequest) check() error {
	if r == nil {
		return invalid("QueueImageInstallRequest", "must not be nil")
	}
	return checkID("QueueImageInstallRequest.JobID", r.JobID)
}

type queueImageInstallQuery struct {
	account

	Mirroring bool `url:"mirroring"` // words here, not 0 and 1
}

// QueuedImageInstall is the job that replaced the install.
//
// Source: [Image install queue].
//
// [Image install queue]: https://docs.unity.com/en-us/clanforge/api/endpoints/image-install-queue
type QueuedImageInstall struct {
	// VersionMirrorID is the id of a mirror's job, 0 for a machine's.
	VersionMirrorID int64 `json:"versionmirrorid,omitempty"`
	// MachineJobID is the id of a machine's job, 0 for a mirror's.
	MachineJobID int64 `json:"machinejobid,omitempty"`
	Job

	// InstallsSquashed has the installs that a machine's job replaced. Its form is
	// not documented: it is kept as JSON, nil if not given.
	InstallsSquashed json.RawMessage `json:"installs_squashed,omitempty"`
}

// Queue queues an install now. It takes effect at most once. If the error
// matches [ErrAmbiguous], [ImageInstallsService.List] shows the install's
// state.
//
// Source: [Image install queue].
//
// [Image install queue]: https://docs.unity.com/en-us/clanforge/api/endpoints/image-install-queue
func (s *ImageInstallsService) Queue(ctx context.Context, req *QueueImageInstallRequest) (*QueuedImageInstall, error) {
	if err := req.check(); err != nil {
		return nil, err
	}
	call := s.client.changeCall(opInstallQueue, actionPath("imageinstall", req.JobID, "queue"),
		queueImageInstallQuery{s.client.account, req.Mirroring})
	queued, _, err := transport.Do(ctx, s.client.Client, call, func(r *transport.Response) (*QueuedImageInstall, error) {
		return receiveJob(s.client, r, false, func(q *QueuedImageInstall) string {
			// versionmirrorid is optional.
			if q.MachineJobID <= 0 && q.VersionMirrorID <= 0 && q.State == "" {
				return "it has neither machinejobid nor versionmirrorid"
			}
			return ""
		})
	})
	return queued, err
}
