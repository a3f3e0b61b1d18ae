package multiplay

import (
	"cmp"
	"context"
	"iter"
	"math"
	"slices"
	"strconv"
	"time"

	"github.com/imagejobs/imagejobs-go/internal/poll"
	"github.com/imagejobs/imagejobs-go/internal/transport"
)

// ImageVersionsService makes image versions of diffs, which rolls them out. Get
// it from [Client.ImageVersions].
type ImageVersionsService struct{ client *caller }

// ImageVersionStatus is an image version and the job that makes it; its rollout
// begins when that completes.
//
// Source: [Image version status].
//
// [Image version status]: https://docs.unity.com/en-us/clanforge/api/endpoints/image-version-status
type ImageVersionStatus struct {
	// ImageVersionID is what [ImageVersionsService.Create] returned.
	ImageVersionID int64 `json:"imageversionid"`
	Job
}

// CreateImageVersionRequest names the diff that becomes a version, and how that
// is rolled out.
//
// Source: [Image version create].
//
// [Image version create]: https://docs.unity.com/en-us/clanforge/api/endpoints/image-create-version
type CreateImageVersionRequest struct {
	// DiffID is a completed diff. Required.
	DiffID int64
	// Restart stops the servers, installs and starts them again. Without it
	// the version takes effect when a server exits or changes its profile.
	Restart bool
	// Full makes a full image instead of one of the differences. An empty diff
	// needs it, and fails with it if the version before was full as well.
	Full bool
	// Force continues while servers are allocated, which fails otherwise.
	Force bool
	// GameBuild becomes the name of the game version. Optional.
	GameBuild string
	// Install chooses when the machines install the version; InstallNow if empty.
	Install InstallMode
	// InstallAt is when to install, to the second. It implies [InstallScheduled].
	InstallAt time.Time
	// DisableTimeout, in whole minutes, disables slow machines: once
	// DisablePercentage of the machines have installed the version, those that
	// still have not after this time are disabled. If both are zero, the service's
	// default applies: an install fails after 4 hours.
	DisableTimeout time.Duration
	// DisablePercentage is 0.01 to 100; see DisableTimeout.
	DisablePercentage float64
}

// InstallMode chooses when machines install a version.
//
// The pages contradict each other. On one, installs wait if install_at is
// missing, and start at once if it is NOW(). On another, install_at can only be
// a time. Clients that left it out have seen installs start.
//
// Source: [Image version create].
//
// [Image version create]: https://docs.unity.com/en-us/clanforge/api/endpoints/image-create-version
type InstallMode string

// Ways to install a version.
const (
	// InstallNow installs at once. It is the default. It sends NOW(), or the
	// current time with a [BearerToken].
	InstallNow InstallMode = "now"
	// InstallScheduled installs at the time InstallAt.
	InstallScheduled InstallMode = "scheduled"
	// InstallManual waits until each install is queued with
	// [ImageInstallsService.Queue]. It sends no install_at.
	InstallManual InstallMode = "manual"
)

func (r *CreateImageVersionRequest) check() error {
	const name = "CreateImageVersionRequest"
	if r == nil {
		return invalid(name, "must not be nil")
	}
	return cmp.Or(checkID(name+".DiffID", r.DiffID), r.checkInstall(name))
}

// checkInstall checks when and how to install; name is the request that errors
// name.
func (r *CreateImageVersionRequest) checkInstall(name string) error {
	// Two decimals are sent, and rounding to them may leave 0.
	percentage := math.Round(r.DisablePercentage * 100)
	switch {
	case !slices.Contains([]InstallMode{"", InstallNow, InstallScheduled, InstallManual}, r.Install):
		return invalid(name+".Install", "must be now, scheduled or manual, not %q", r.Install)
	case r.Install == InstallScheduled && r.InstallAt.IsZero():
		return invalid(name+".InstallAt", "must be set for InstallScheduled")
	case r.Install != InstallScheduled && r.Install != "" && !r.InstallAt.IsZero():
		return invalid(name+".InstallAt", "must not be set with Install %q", r.Install)
	case !r.InstallAt.IsZero() && r.InstallAt.Unix() <= 0:
		return invalid(name+".InstallAt", "must be after 1970")
	case r.DisableTimeout < 0 || r.DisableTimeout%time.Minute != 0:
		return invalid(name+".DisableTimeout", "must be whole minutes, not %s", r.DisableTimeout)
	case r.DisablePercentage != 0 && !(percentage >= 1 && percentage <= 100*100): // NaN as well
		return invalid(name+".DisablePercentage", "must be 0.01 to 100")
	case r.DisablePercentage != 0 && r.DisableTimeout == 0:
		return invalid(name+".DisablePercentage", "needs DisableTimeout")
	case r.DisablePercentage == 0 && r.DisableTimeout != 0:
		return invalid(name+".DisableTimeout", "needs DisablePercentage")
	}
	return nil
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

func (r *CreateImageVersionRequest) query(a account) *createImageVersionQuery {
	q := &createImageVersionQuery{
		account:   a,
		DiffID:    r.DiffID,
		Restart:   r.Restart,
		Full:      r.Full,
		Force:     r.Force,
		GameBuild: r.GameBuild,
	}
	switch {
	case r.Install == InstallManual:
	case !r.InstallAt.IsZero():
		q.InstallAt = strconv.FormatInt(r.InstallAt.Unix(), 10)
	case a.AccountServiceID == 0: // the successor, whose page has times alone
		q.InstallAt = strconv.FormatInt(time.Now().Unix(), 10)
	default:
		q.InstallAt = "NOW()"
	}
	if r.DisableTimeout > 0 {
		q.DisableTimeout = int64(r.DisableTimeout / time.Minute)
		q.DisablePercentage = strconv.FormatFloat(r.DisablePercentage, 'f', 2, 64)
	}
	return q
}

// Create accepts a diff: it makes a version of it. The rollout begins when that
// completes. Create takes effect at most once. If the error matches
// [ErrAmbiguous], the version may exist; [ImagesService.Options] shows whether
// the diff still locks the image.
//
// Source: [Image version create].
//
// [Image version create]: https://docs.unity.com/en-us/clanforge/api/endpoints/image-create-version
func (s *ImageVersionsService) Create(ctx context.Context, req *CreateImageVersionRequest) (*ImageVersionStatus, error) {
	if err := req.check(); err != nil {
		return nil, err
	}
	call := s.client.changeCall(opVersionCreate, createPath("imageversion"), req.query(s.client.account))
	status, _, err := transport.Do(ctx, s.client.Client, call, func(r *transport.Response) (*ImageVersionStatus, error) {
		return receiveJob(s.client, r, false, func(v *ImageVersionStatus) string {
			return newJobProblem("imageversionid", v.ImageVersionID)
		})
	})
	return status, err
}

// Status returns the image version and the job that makes it.
//
// Source: [Image version status].
//
// [Image version status]: https://docs.unity.com/en-us/clanforge/api/endpoints/image-version-status
func (s *ImageVersionsService) Status(ctx context.Context, imageVersionID int64) (*ImageVersionStatus, error) {
	status, _, err := s.status(ctx, imageVersionID)
	return status, err
}

// status also returns how long the service asks to wait before the next poll.
func (s *ImageVersionsService) status(ctx context.Context, imageVersionID int64) (*ImageVersionStatus, time.Duration, error) {
	if err := checkID(opVersionStatus+": imageVersionID", imageVersionID); err != nil {
		return nil, 0, err
	}
	call := s.client.readCall(opVersionStatus, actionPath("imageversion", imageVersionID, "status"), s.client.accountQuery)
	status, resp, err := transport.Do(ctx, s.client.Client, call, func(r *transport.Response) (*ImageVersionStatus, error) {
		return receiveJob(s.client, r, true, func(v *ImageVersionStatus) string {
			return jobProblem("imageversionid", &v.ImageVersionID, imageVersionID, v.State)
		})
	})
	return status, resp.RetryAfter(), err
}

// Wait polls the job that makes the image version until it has ended and
// returns its last status. A nil error means completed;
// [ImagesService.WaitRollout] then waits for the machines. If the job failed or
// was squashed, the error is a [*StateError].
//
// Wait runs until ctx is done. It rides out transient failures for the outage
// limit, see [WithOutageLimit]. For half a minute it also rides out a 404, as a
// new version may not be visible yet. An error names the last state known, and
// is returned with the last status seen, nil if there was none.
func (s *ImageVersionsService) Wait(ctx context.Context, imageVersionID int64, opts ...WaitOption) (*ImageVersionStatus, error) {
	job, err := s.follow(imageVersionID, opts)
	return wait(ctx, job, err)
}

// Watch polls the job that makes the image version and yields its status, then
// again whenever it has changed, and ends with the job. If that failed or was
// squashed, Watch yields its last status and then a [*StateError]. Any error
// ends the sequence and comes with the last status seen, nil if there was none.
// Failures are ridden out as by [ImageVersionsService.Wait].
func (s *ImageVersionsService) Watch(ctx context.Context, imageVersionID int64, opts ...WaitOption) iter.Seq2[*ImageVersionStatus, error] {
	job, err := s.follow(imageVersionID, opts)
	return watch(ctx, job, err)
}

func (s *ImageVersionsService) follow(imageVersionID int64, opts []WaitOption) (*poll.Job[*ImageVersionStatus], error) {
	return follow(s.client, "image version", imageVersionID, opts, s.client.singly().ImageVersions.status)
}
