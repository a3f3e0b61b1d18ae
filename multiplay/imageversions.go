package multiplay

import (
	"cmp"
	"context"
	"encoding/json"
	"iter"
	"strconv"
	"time"

	"github.com/imagejobs/imagejobs-go/internal/lenient"
	"github.com/imagejobs/imagejobs-go/internal/poll"
	"github.com/imagejobs/imagejobs-go/internal/transport"
)

// ImageVersionsService makes image versions of diffs, which rolls them out. It
// is Client.ImageVersions.
type ImageVersionsService struct{ client *caller }

// ImageVersionStatus is an image version and the job that makes it; its rollout
// begins when that completes. Source: "Image version status".
type ImageVersionStatus struct {
	ImageVersionID int64 `json:"imageversionid"`
	Job
}

type wireVersionStatus struct {
	ImageVersionID lenient.Int `json:"imageversionid"`
	wireStatus
}

func (w *wireVersionStatus) status() *ImageVersionStatus {
	return &ImageVersionStatus{ImageVersionID: int64(w.ImageVersionID), Job: w.job()}
}

// UnmarshalJSON accepts the job's fields in every form of the documents.
func (s *ImageVersionStatus) UnmarshalJSON(data []byte) error {
	var w wireVersionStatus
	if err := json.Unmarshal(data, &w); err != nil {
		return err
	}
	*s = *w.status()
	return nil
}

// CreateImageVersionRequest says which diff becomes a version, and how it is
// rolled out.
type CreateImageVersionRequest struct {
	// DiffID is a completed diff. Required.
	DiffID int64
	// Restart stops the servers, installs and starts them again. Without it
	// the version takes effect when a server exits or changes its profile.
	Restart bool
	// Full makes a full image instead of one of the differences. An empty diff
	// needs it, and fails with it if the version before was full as well.
	Full bool
	// Force goes on while servers are allocated, which fails otherwise.
	Force bool
	// GameBuild becomes the name of the game version. Optional.
	GameBuild string
	// InstallAt is when to install, in seconds; zero leaves it out. One
	// document calls scheduling unsupported.
	InstallAt time.Time
	// InstallNow sends NOW() instead of a time, as one document has it.
	InstallNow bool
	// DisableTimeout, in whole minutes, and DisablePercentage, 0 to 100 with
	// two decimals, belong together: how long to wait for servers to become
	// free, and for how many of them. Zero leaves both out; the service's own
	// default is given as 4 hours.
	DisableTimeout    time.Duration
	DisablePercentage float64
}

type createImageVersionQuery struct {
	account

	DiffID            int64  `url:"diffid"`
	Restart           bool   `url:"restart,int"`
	Full              bool   `url:"full,int,omitempty"`
	Force             bool   `url:"force,int,omitempty"`
	GameBuild         string `url:"game_build,omitempty"`
	InstallAt         string `url:"install_at,omitempty"`
	DisableTimeout    int64  `url:"disable_timeout,omitempty"`
	DisablePercentage string `url:"disable_percentage,omitempty"`
}

func (req *CreateImageVersionRequest) query(a account) (*createImageVersionQuery, error) {
	const field = "CreateImageVersionRequest"
	if req == nil {
		return nil, transport.Invalid(pkg, field, "must not be nil")
	}
	if err := checkID(field+".DiffID", req.DiffID); err != nil {
		return nil, err
	}
	q := &createImageVersionQuery{
		account:   a,
		DiffID:    req.DiffID,
		Restart:   req.Restart,
		Full:      req.Full,
		Force:     req.Force,
		GameBuild: req.GameBuild,
	}
	if err := q.schedule(field, req); err != nil {
		return nil, err
	}
	return q, nil
}

// schedule fills in when to install and how long to wait for servers. field is
// the name of the request that errors give.
func (q *createImageVersionQuery) schedule(field string, req *CreateImageVersionRequest) error {
	switch {
	case req.InstallNow && !req.InstallAt.IsZero():
		return transport.Invalid(pkg, field+".InstallNow", "must not stand beside InstallAt")
	case req.InstallNow:
		q.InstallAt = "NOW()"
	case !req.InstallAt.IsZero():
		if req.InstallAt.Unix() <= 0 {
			return transport.Invalid(pkg, field+".InstallAt", "must be after 1970")
		}
		q.InstallAt = strconv.FormatInt(req.InstallAt.Unix(), 10)
	}
	switch {
	case req.DisableTimeout < 0 || req.DisableTimeout%time.Minute != 0:
		return transport.Invalid(pkg, field+".DisableTimeout", "must be whole minutes, not %s", req.DisableTimeout)
	case !(req.DisablePercentage >= 0 && req.DisablePercentage <= 100): // NaN as well
		return transport.Invalid(pkg, field+".DisablePercentage", "must be 0 to 100")
	case req.DisablePercentage > 0 && req.DisableTimeout == 0:
		return transport.Invalid(pkg, field+".DisablePercentage", "needs DisableTimeout")
	case req.DisableTimeout > 0:
		q.DisableTimeout = int64(req.DisableTimeout / time.Minute)
		q.DisablePercentage = strconv.FormatFloat(req.DisablePercentage, 'f', 2, 64)
	}
	return nil
}

// Create accepts a diff: it makes a version of it, whose completion begins the
// rollout. It is carried out at most once: when ErrAmbiguous matches the error,
// Images.Options tells whether the diff still locks the image.
//
// Source: "Image version create", GET /cfp/v1/imageversion/create.
func (s *ImageVersionsService) Create(ctx context.Context, req *CreateImageVersionRequest) (*ImageVersionStatus, error) {
	query, err := req.query(s.client.account)
	if err != nil {
		return nil, err
	}
	call := change("ImageVersions.Create", []string{"cfp", "v1", "imageversion", "create"}, query)
	call.Check = checkCreated("imageversionid")
	status, _, err := transport.Do[ImageVersionStatus](ctx, s.client.Client, call)
	return status, err
}

// Status looks at the job that makes an image version.
//
// Source: "Image version status", GET /cfp/v1/imageversion/{imageversionid}/status.
func (s *ImageVersionsService) Status(ctx context.Context, imageVersionID int64) (*ImageVersionStatus, error) {
	status, _, err := s.status(ctx, imageVersionID)
	return status, err
}

func (s *ImageVersionsService) status(ctx context.Context, imageVersionID int64) (*ImageVersionStatus, time.Duration, error) {
	if err := checkID("ImageVersions.Status: imageVersionID", imageVersionID); err != nil {
		return nil, 0, err
	}
	call := read("ImageVersions.Status", on("imageversion", imageVersionID, "status"), s.client.accountQuery)
	call.Check = checkStatus
	answer, resp, err := transport.Do[wireVersionStatus](ctx, s.client.Client, call)
	if err != nil {
		return nil, resp.RetryAfter(), err
	}
	status := answer.status()
	status.ImageVersionID = cmp.Or(status.ImageVersionID, imageVersionID)
	return status, resp.RetryAfter(), nil
}

// Wait polls the job that makes an image version until it has ended, and
// returns the last status seen, which is nil when none was. A job that did not
// complete is a *StateError; a context that ended is an error that says how
// far the job was and matches the context's. Images.WaitRollout waits on, for
// the machines.
func (s *ImageVersionsService) Wait(ctx context.Context, imageVersionID int64, opts ...WaitOption) (*ImageVersionStatus, error) {
	return poll.Wait(ctx, s.job(imageVersionID), opts)
}

// Watch polls the job of an image version until it has ended, and yields its first status
// and each that differs from the one before. A job that did not complete
// yields its last status and then a *StateError. Any error ends the sequence;
// it comes with the last status seen, which is nil when there was none.
func (s *ImageVersionsService) Watch(ctx context.Context, imageVersionID int64, opts ...WaitOption) iter.Seq2[*ImageVersionStatus, error] {
	return poll.Watch(ctx, s.job(imageVersionID), opts)
}

func (s *ImageVersionsService) job(imageVersionID int64) *poll.Job[*ImageVersionStatus] {
	return follow("image version", imageVersionID, s.status)
}
