package multiplay

import (
	"cmp"
	"context"
	"strconv"
	"time"

	"github.com/imagejobs/imagejobs-go/internal/transport"
)

// ImagesService lists images and what locks them, and follows rollouts. Get it
// from [Client.Images].
type ImagesService struct {
	client   *caller
	installs *ImageInstallsService
}

// ImageOptionsRequest narrows what [ImagesService.Options] returns.
//
// Source: [Image options].
//
// [Image options]: https://docs.unity.com/en-us/clanforge/api/endpoints/image-options
type ImageOptionsRequest struct {
	// GameID and ImageID are given together or not at all.
	GameID int64
	// ImageID is the image whose locks to return.
	ImageID int64
	// GameVersionIdentifier requires both of them. Optional.
	GameVersionIdentifier string
}

func (r *ImageOptionsRequest) check() error {
	const name = "ImageOptionsRequest"
	switch {
	case r == nil:
		return nil
	case r.GameID < 0:
		return invalid(name+".GameID", "must not be negative")
	case r.ImageID < 0:
		return invalid(name+".ImageID", "must not be negative")
	case (r.GameID == 0) != (r.ImageID == 0):
		return invalid(name+".GameID", "must be set together with ImageID")
	case r.GameVersionIdentifier != "" && r.ImageID == 0:
		return invalid(name+".GameVersionIdentifier", "needs GameID and ImageID")
	}
	return nil
}

type imageOptionsQuery struct {
	account

	GameID                int64  `url:"gameid,omitempty"`
	ImageID               int64  `url:"imageid,omitempty"`
	GameVersionIdentifier string `url:"gameversion_identifier,omitempty"`
}

// ImageOptions lists what an update can use, and what locks the image.
//
// Source: [Image options].
//
// [Image options]: https://docs.unity.com/en-us/clanforge/api/endpoints/image-options
type ImageOptions struct {
	// DiffID is the diff that locks the image, 0 if none does.
	DiffID int64 `json:"diffid,omitempty"`
	// UpdateID is the update that locks the image, 0 if none does.
	UpdateID int64 `json:"updateid,omitempty"`
	// UpdateURL is the image's default source, zero if it has none. JSON leaves
	// it out: it may hold credentials.
	UpdateURL SourceURL `json:"-"`
	// Games has the games of the account service.
	Games []GameOption `json:"games,omitempty"`
	// Images has the games' images.
	Images []ImageOption `json:"images,omitempty"`
	// Machines has the build machines.
	Machines []MachineOption `json:"machines,omitempty"`
}

// GameOption is a game of the account service.
type GameOption struct {
	// GameID identifies the game; see [ImageOptionsRequest] and [ReleaseRequest].
	GameID int64 `json:"gameid"`
	// Name is the game's name.
	Name string `json:"name"`
}

// ImageOption is an image of a game.
type ImageOption struct {
	// ImageID identifies the image.
	ImageID int64 `json:"imageid"`
	// Name is the image's name.
	Name string `json:"name"`
	// GameVersionID is a string here and a number in [Image].
	GameVersionID string `json:"gameversionid"`
}

// MachineOption is a build machine.
type MachineOption struct {
	// MachineID identifies the machine in updates and diffs.
	MachineID int64 `json:"machineid"`
	// Name is the machine's name.
	Name string `json:"name"`
}

// Options lists games, images and machines and, for one image, the update or
// diff that locks it. A nil request lists everything.
//
// Source: [Image options].
//
// [Image options]: https://docs.unity.com/en-us/clanforge/api/endpoints/image-options
func (s *ImagesService) Options(ctx context.Context, req *ImageOptionsRequest) (*ImageOptions, error) {
	if err := req.check(); err != nil {
		return nil, err
	}
	query := imageOptionsQuery{account: s.client.account}
	if req != nil {
		query.GameID, query.ImageID, query.GameVersionIdentifier = req.GameID, req.ImageID, req.GameVersionIdentifier
	}
	type options struct {
		ImageOptions

		UpdateURL string `json:"update_url"`
	}
	call := s.client.readCall(opImageOptions, []string{"cfp", "v1", "image", "options"}, query)
	call.Secret = true // update_url
	got, _, err := transport.Do(ctx, s.client.Client, call, func(r *transport.Response) (*options, error) {
		return receive(r, func(*options) string {
			if !has(r, "games", "images", "machines", "diffid", "updateid", "update_url") {
				return "it has neither games nor images"
			}
			return ""
		})
	})
	if err != nil {
		return nil, err
	}
	if got.UpdateURL != "" {
		got.ImageOptions.UpdateURL = newSourceURL(got.UpdateURL)
		s.client.sent.add(got.ImageOptions.UpdateURL)
	}
	return &got.ImageOptions, nil
}

// Image is a game image.
//
// Source: [Image update] (of the image's own properties, not of its files).
//
// [Image update]: https://docs.unity.com/en-us/clanforge/api/endpoints/image-update
type Image struct {
	// ImageID identifies the image.
	ImageID int64 `json:"imageid"`
	// Active reports whether the image is in use; see [ImagesService.SetActive].
	Active bool `json:"active"`
	// Path is where the service keeps the image.
	Path string `json:"path,omitempty"`
	// LatestVersionID is the newest image version.
	LatestVersionID int64 `json:"latestversionid,omitempty"`
	// GameVersionID is a number here and a string in [ImageOption].
	GameVersionID int64 `json:"gameversionid,omitempty"`
	// CreatedBy is the id of a user.
	CreatedBy int64 `json:"created_by,omitempty"`
	// UpdatedBy is the id of a user.
	UpdatedBy int64 `json:"updated_by,omitempty"`
	// CreatedAt is when the image was created.
	CreatedAt time.Time `json:"created_at,omitzero"`
	// UpdatedAt is when it last changed.
	UpdatedAt time.Time `json:"updated_at,omitzero"`
}

type setActiveQuery struct {
	account

	Active bool `url:"active,int"`
}

// SetActive activates or deactivates an image. It takes effect at most once;
// repeating it after an error that matches [ErrAmbiguous] is harmless.
//
// Source: [Image update].
//
// [Image update]: https://docs.unity.com/en-us/clanforge/api/endpoints/image-update
func (s *ImagesService) SetActive(ctx context.Context, imageID int64, active bool) (*Image, error) {
	if err := checkID(opSetActive+": imageID", imageID); err != nil {
		return nil, err
	}
	// The page's example has the fields inside "image", its table has them bare.
	type image struct {
		Image

		Wrapped Image `json:"image"`
	}
	call := s.client.changeCall(opSetActive, actionPath("image", imageID, "update"), setActiveQuery{s.client.account, active})
	got, _, err := transport.Do(ctx, s.client.Client, call, func(r *transport.Response) (*image, error) {
		return receive(r, func(i *image) string {
			if i.Wrapped.ImageID != 0 {
				i.Image = i.Wrapped
			}
			if i.ImageID != imageID {
				return "it is not about image " + strconv.FormatInt(imageID, 10)
			}
			return ""
		})
	})
	if err != nil {
		return nil, err
	}
	return &got.Image, nil
}

// MachineCounts counts an image's machines by how far they are with its latest
// version.
type MachineCounts struct {
	// Pending machines are running and await the version.
	Pending int64 `json:"pending_machines"`
	// Failed machines are disabled and cannot install the version. Older
	// versions of the service do not send them.
	Failed int64 `json:"failed_machines"`
	// Completed machines have installed the version.
	Completed int64 `json:"completed_machines"`
}

// RolloutStatus describes how far an image's rollout is.
//
// Source: [Image status].
//
// [Image status]: https://docs.unity.com/en-us/clanforge/api/endpoints/image-status
type RolloutStatus struct {
	MachineCounts

	// Fleets has the counts by fleet id, with Detail.
	Fleets map[string]FleetRollout `json:"fleets,omitempty"`
}

// FleetRollout is one fleet's part of a rollout.
type FleetRollout struct {
	MachineCounts

	// Regions has the counts by region id.
	Regions map[string]RegionRollout `json:"regions,omitempty"`
}

// RegionRollout is one region's part of a fleet's rollout.
type RegionRollout struct {
	// Name is the region's name.
	Name string `json:"name"`
	MachineCounts
}

// RolloutStatusOptions chooses what [ImagesService.RolloutStatus] returns.
type RolloutStatusOptions struct {
	// Detail requests the counts by fleet and region.
	Detail bool
}

type rolloutStatusQuery struct {
	Detail bool `url:"detail,omitempty"` // words here, not 0 and 1
}

// RolloutStatus returns how many machines have installed the image's latest
// version, await it, or failed to install it. nil options return the totals
// only.
//
// Source: [Image status].
//
// [Image status]: https://docs.unity.com/en-us/clanforge/api/endpoints/image-status
func (s *ImagesService) RolloutStatus(ctx context.Context, imageID int64, opts *RolloutStatusOptions) (*RolloutStatus, error) {
	status, _, err := s.rolloutStatus(ctx, imageID, opts)
	return status, err
}

// rolloutStatus also returns how long the service asks to wait before the next
// poll.
func (s *ImagesService) rolloutStatus(ctx context.Context, imageID int64, opts *RolloutStatusOptions) (*RolloutStatus, time.Duration, error) {
	if err := cmp.Or(checkID(opRolloutStatus+": imageID", imageID), s.client.checkProject(opRolloutStatus)); err != nil {
		return nil, 0, err
	}
	var query rolloutStatusQuery
	if opts != nil {
		query.Detail = opts.Detail
	}
	path := []string{
		"cfp", "v2", "project", strconv.FormatInt(s.client.project, 10),
		"image", strconv.FormatInt(imageID, 10), "status",
	}
	status, resp, err := transport.Do(ctx, s.client.Client, s.client.readCall(opRolloutStatus, path, query),
		func(r *transport.Response) (*RolloutStatus, error) {
			return receive(r, func(now *RolloutStatus) string {
				// Zero counts end a rollout, and so must have been sent.
				return cmp.Or(countProblem(r, "pending_machines", now.Pending), countProblem(r, "completed_machines", now.Completed))
			})
		})
	return status, resp.RetryAfter(), err
}

// countProblem returns why a response does not count the machines.
func countProblem(r *transport.Response, name string, count int64) string {
	if count < 0 || count == 0 && !isZero(member(r, name)) {
		return "it has no " + name
	}
	return ""
}
