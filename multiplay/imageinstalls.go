package multiplay

import (
	"context"
	"encoding/json"
	"time"

	"github.com/imagejobs/imagejobs-go/internal/lenient"
	"github.com/imagejobs/imagejobs-go/internal/transport"
)

// ImageInstallsService looks at the installs of image versions. It is
// Client.ImageInstalls.
type ImageInstallsService struct{ client *caller }

// ImageInstall is one job that installs an image version, on a machine or a
// mirror. The types of the fields that are not the job's are not documented:
// their text is kept, whatever it is. Source: "Image install status".
type ImageInstall struct {
	JobID int64 `json:"jobid"`
	Job

	TargetImageVersionID int64     `json:"target_imageversionid"`
	Machine              string    `json:"machine,omitempty"`
	Location             string    `json:"location,omitempty"`
	ImagePath            string    `json:"imagepath,omitempty"`
	Mirror               string    `json:"mirror,omitempty"`
	Mirroring            bool      `json:"mirroring"`
	Restart              bool      `json:"restart"`
	InstallAt            time.Time `json:"install_at,omitzero"` // zero when not given
}

// UnmarshalJSON accepts the job's fields in every form of the documents.
func (i *ImageInstall) UnmarshalJSON(data []byte) error {
	var w struct {
		JobID lenient.Int `json:"jobid"`
		wireJob
		TargetImageVersionID lenient.Int  `json:"target_imageversionid"`
		Machine              loose        `json:"machine"`
		Location             loose        `json:"location"`
		ImagePath            loose        `json:"imagepath"`
		Mirror               loose        `json:"mirror"`
		Mirroring            lenient.Bool `json:"mirroring"`
		Restart              lenient.Bool `json:"restart"`
		InstallAt            lenient.Time `json:"install_at"`
	}
	if err := json.Unmarshal(data, &w); err != nil {
		return err
	}
	*i = ImageInstall{
		JobID: int64(w.JobID), Job: w.job(),
		TargetImageVersionID: int64(w.TargetImageVersionID),
		Machine:              string(w.Machine),
		Location:             string(w.Location),
		ImagePath:            string(w.ImagePath),
		Mirror:               string(w.Mirror),
		Mirroring:            bool(w.Mirroring),
		Restart:              bool(w.Restart),
		InstallAt:            w.InstallAt.Time,
	}
	return nil
}

// List gives all incomplete installs of the account service, of every image.
// None left means that every rollout is done.
//
// Source: "Image install status", GET /cfp/v1/imageinstall/status.
func (s *ImageInstallsService) List(ctx context.Context) ([]ImageInstall, error) {
	call := read("ImageInstalls.List", []string{"cfp", "v1", "imageinstall", "status"}, s.client.accountQuery)
	answer, _, err := transport.Do[struct {
		Installs []ImageInstall `json:"installs"`
	}](ctx, s.client.Client, call)
	if err != nil {
		return nil, err
	}
	return answer.Installs, nil
}

// QueueImageInstallRequest says which install to queue.
type QueueImageInstallRequest struct {
	// JobID is the install's, from List. Required.
	JobID int64
	// Mirroring tells that it is the job of a mirror, and not of a machine.
	Mirroring bool
}

type queueImageInstallQuery struct {
	account

	Mirroring bool `url:"mirroring"` // words here, not 0 and 1
}

// QueuedImageInstall is the job that took the place of the install. Source:
// "Image install queue".
type QueuedImageInstall struct {
	// VersionMirrorID is the id of a mirror's job, MachineJobID that of a
	// machine's; the other is 0.
	VersionMirrorID int64 `json:"versionmirrorid,omitempty"`
	MachineJobID    int64 `json:"machinejobid,omitempty"`
	Job

	// InstallsSquashed are the installs that a machine's job took the place of.
	// Its form is not public: it is kept as JSON, nil when not given.
	InstallsSquashed json.RawMessage `json:"installs_squashed,omitempty"`
}

// UnmarshalJSON accepts the job's fields in every form of the documents.
func (q *QueuedImageInstall) UnmarshalJSON(data []byte) error {
	var w struct {
		VersionMirrorID lenient.Int `json:"versionmirrorid"`
		MachineJobID    lenient.Int `json:"machinejobid"`
		wireJob
		InstallsSquashed json.RawMessage `json:"installs_squashed"`
	}
	if err := json.Unmarshal(data, &w); err != nil {
		return err
	}
	*q = QueuedImageInstall{
		VersionMirrorID:  int64(w.VersionMirrorID),
		MachineJobID:     int64(w.MachineJobID),
		Job:              w.job(),
		InstallsSquashed: w.InstallsSquashed,
	}
	return nil
}

// Queue queues an install now. It is carried out at most once; when
// ErrAmbiguous matches the error, List tells.
//
// Source: "Image install queue", GET /cfp/v1/imageinstall/{jobid}/queue.
func (s *ImageInstallsService) Queue(ctx context.Context, req *QueueImageInstallRequest) (*QueuedImageInstall, error) {
	if req == nil {
		return nil, transport.Invalid(pkg, "QueueImageInstallRequest", "must not be nil")
	}
	if err := checkID("QueueImageInstallRequest.JobID", req.JobID); err != nil {
		return nil, err
	}
	call := change("ImageInstalls.Queue", on("imageinstall", req.JobID, "queue"),
		queueImageInstallQuery{s.client.account, req.Mirroring})
	queued, _, err := transport.Do[QueuedImageInstall](ctx, s.client.Client, call)
	return queued, err
}
