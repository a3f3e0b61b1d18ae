package multiplay

import (
	"cmp"
	"context"
	"encoding/json"
	"fmt"
	"iter"
	"slices"
	"strconv"
	"time"

	"github.com/imagejobs/imagejobs-go/internal/lenient"
	"github.com/imagejobs/imagejobs-go/internal/poll"
	"github.com/imagejobs/imagejobs-go/internal/transport"
)

// ImagesService tells what images there are, what locks them and how far their
// rollout is. It is Client.Images.
type ImagesService struct {
	client   *caller
	installs *ImageInstallsService
}

// ImageOptionsRequest narrows what Options tells.
type ImageOptionsRequest struct {
	// GameID and ImageID stand together or not at all.
	GameID  int64
	ImageID int64
	// GameVersionIdentifier needs both of them. Optional.
	GameVersionIdentifier string
}

type imageOptionsQuery struct {
	account

	GameID                int64  `url:"gameid,omitempty"`
	ImageID               int64  `url:"imageid,omitempty"`
	GameVersionIdentifier string `url:"gameversion_identifier,omitempty"`
}

// ImageOptions is what an update can be made of, and what is in its way.
// Source: "Image options".
type ImageOptions struct {
	// DiffID is the diff that locks the image, UpdateID the update that does; 0
	// for none.
	DiffID   int64 `json:"diffid,omitempty"`
	UpdateID int64 `json:"updateid,omitempty"`
	// UpdateURL is the image's default source. It may hold credentials, and
	// prints without them. The zero value is none.
	UpdateURL SourceURL       `json:"update_url,omitzero"`
	Games     []GameOption    `json:"games,omitempty"`
	Images    []ImageOption   `json:"images,omitempty"`
	Machines  []MachineOption `json:"machines,omitempty"`
}

// GameOption is a game of the account service.
type GameOption struct {
	GameID int64  `json:"gameid"`
	Name   string `json:"name"`
}

// ImageOption is an image of a game.
type ImageOption struct {
	ImageID       int64  `json:"imageid"`
	Name          string `json:"name"`
	GameVersionID string `json:"gameversionid"` // a string here, a number in Image
}

// MachineOption is a build machine.
type MachineOption struct {
	MachineID int64  `json:"machineid"`
	Name      string `json:"name"`
}

// UnmarshalJSON accepts ids as numbers or strings.
func (o *ImageOptions) UnmarshalJSON(data []byte) error {
	var w struct {
		DiffID    lenient.Int    `json:"diffid"`
		UpdateID  lenient.Int    `json:"updateid"`
		UpdateURL lenient.String `json:"update_url"`
		Games     []struct {
			GameID lenient.Int `json:"gameid"`
			Name   loose       `json:"name"`
		} `json:"games"`
		Images []struct {
			ImageID       lenient.Int `json:"imageid"`
			Name          loose       `json:"name"`
			GameVersionID loose       `json:"gameversionid"`
		} `json:"images"`
		Machines []struct {
			MachineID lenient.Int `json:"machineid"`
			Name      loose       `json:"name"`
		} `json:"machines"`
	}
	if err := json.Unmarshal(data, &w); err != nil {
		return err
	}
	*o = ImageOptions{DiffID: int64(w.DiffID), UpdateID: int64(w.UpdateID)}
	if w.UpdateURL != "" {
		o.UpdateURL = sourceURL(string(w.UpdateURL))
	}
	for _, g := range w.Games {
		o.Games = append(o.Games, GameOption{GameID: int64(g.GameID), Name: string(g.Name)})
	}
	for _, i := range w.Images {
		o.Images = append(o.Images, ImageOption{ImageID: int64(i.ImageID), Name: string(i.Name), GameVersionID: string(i.GameVersionID)})
	}
	for _, m := range w.Machines {
		o.Machines = append(o.Machines, MachineOption{MachineID: int64(m.MachineID), Name: string(m.Name)})
	}
	return nil
}

// Options tells which games, images and machines there are and, for one image,
// which update or diff locks it. A nil request asks without narrowing.
//
// Source: "Image options", GET /cfp/v1/image/options.
func (s *ImagesService) Options(ctx context.Context, req *ImageOptionsRequest) (*ImageOptions, error) {
	const field = "ImageOptionsRequest"
	query := imageOptionsQuery{account: s.client.account}
	if req != nil {
		switch {
		case req.GameID < 0:
			return nil, transport.Invalid(pkg, field+".GameID", "must not be negative")
		case req.ImageID < 0:
			return nil, transport.Invalid(pkg, field+".ImageID", "must not be negative")
		case (req.GameID == 0) != (req.ImageID == 0):
			return nil, transport.Invalid(pkg, field+".GameID", "must stand together with ImageID")
		case req.GameVersionIdentifier != "" && req.ImageID == 0:
			return nil, transport.Invalid(pkg, field+".GameVersionIdentifier", "needs GameID and ImageID")
		}
		query.GameID, query.ImageID, query.GameVersionIdentifier = req.GameID, req.ImageID, req.GameVersionIdentifier
	}
	call := read("Images.Options", []string{"cfp", "v1", "image", "options"}, query)
	call.Secret = true // update_url
	options, _, err := transport.Do[ImageOptions](ctx, s.client.Client, call)
	return options, err
}

// Image is a game image. Source: "Image update" (of the image's own
// properties, not of its files).
type Image struct {
	ImageID         int64     `json:"imageid"`
	Active          bool      `json:"active"`
	Path            string    `json:"path,omitempty"`
	LatestVersionID int64     `json:"latestversionid,omitempty"`
	GameVersionID   int64     `json:"gameversionid,omitempty"`
	CreatedBy       int64     `json:"created_by,omitempty"`
	UpdatedBy       int64     `json:"updated_by,omitempty"`
	CreatedAt       time.Time `json:"created_at,omitzero"`
	UpdatedAt       time.Time `json:"updated_at,omitzero"`
}

// UnmarshalJSON accepts the fields inside "image", as the document's example
// has them, and bare, as its table has them.
func (i *Image) UnmarshalJSON(data []byte) error {
	type fields struct {
		ImageID         lenient.Int  `json:"imageid"`
		Active          lenient.Bool `json:"active"`
		Path            loose        `json:"path"`
		LatestVersionID lenient.Int  `json:"latestversionid"`
		GameVersionID   lenient.Int  `json:"gameversionid"`
		CreatedBy       lenient.Int  `json:"created_by"`
		UpdatedBy       lenient.Int  `json:"updated_by"`
		CreatedAt       lenient.Time `json:"created_at"`
		UpdatedAt       lenient.Time `json:"updated_at"`
	}
	var w struct {
		Image *fields `json:"image"`
		fields
	}
	if err := json.Unmarshal(data, &w); err != nil {
		return err
	}
	f := &w.fields
	if w.Image != nil {
		f = w.Image
	}
	*i = Image{
		ImageID:         int64(f.ImageID),
		Active:          bool(f.Active),
		Path:            string(f.Path),
		LatestVersionID: int64(f.LatestVersionID),
		GameVersionID:   int64(f.GameVersionID),
		CreatedBy:       int64(f.CreatedBy),
		UpdatedBy:       int64(f.UpdatedBy),
		CreatedAt:       f.CreatedAt.Time,
		UpdatedAt:       f.UpdatedAt.Time,
	}
	return nil
}

type setActiveQuery struct {
	account

	Active bool `url:"active,int"`
}

// SetActive activates or deactivates an image. It is carried out at most
// once.
//
// Source: "Image update", GET /cfp/v1/image/{imageid}/update.
func (s *ImagesService) SetActive(ctx context.Context, imageID int64, active bool) (*Image, error) {
	if err := checkID("Images.SetActive: imageID", imageID); err != nil {
		return nil, err
	}
	call := change("Images.SetActive", on("image", imageID, "update"), setActiveQuery{s.client.account, active})
	image, _, err := transport.Do[Image](ctx, s.client.Client, call)
	if err != nil {
		return nil, err
	}
	image.ImageID = cmp.Or(image.ImageID, imageID)
	return image, nil
}

// MachineCounts are machines by how far they are with an image's latest
// version.
type MachineCounts struct {
	Pending   int64 `json:"pending_machines"`
	Failed    int64 `json:"failed_machines"` // not sent by older versions of the service
	Completed int64 `json:"completed_machines"`
}

type wireCounts struct {
	Pending   lenient.Int `json:"pending_machines"`
	Failed    lenient.Int `json:"failed_machines"`
	Completed lenient.Int `json:"completed_machines"`
}

func (w wireCounts) counts() MachineCounts {
	return MachineCounts{Pending: int64(w.Pending), Failed: int64(w.Failed), Completed: int64(w.Completed)}
}

// RolloutStatus is how far an image's rollout is. Source: "Image status".
type RolloutStatus struct {
	MachineCounts

	// Fleets are the counts by fleet id, with Detail.
	Fleets map[string]FleetRollout `json:"fleets,omitempty"`
}

// FleetRollout is one fleet's part of a rollout.
type FleetRollout struct {
	MachineCounts

	// Regions are the counts by region id.
	Regions map[string]RegionRollout `json:"regions,omitempty"`
}

// RegionRollout is one region's part of a fleet's rollout.
type RegionRollout struct {
	Name string `json:"name"`
	MachineCounts
}

// UnmarshalJSON accepts an empty array for no fleets or regions.
func (s *RolloutStatus) UnmarshalJSON(data []byte) error {
	var w struct {
		wireCounts
		Fleets lenient.Map[struct {
			wireCounts
			Regions lenient.Map[struct {
				Name loose `json:"name"`
				wireCounts
			}] `json:"regions"`
		}] `json:"fleets"`
	}
	if err := json.Unmarshal(data, &w); err != nil {
		return err
	}
	*s = RolloutStatus{MachineCounts: w.counts()}
	if w.Fleets != nil {
		s.Fleets = make(map[string]FleetRollout, len(w.Fleets))
	}
	for id, f := range w.Fleets {
		fleet := FleetRollout{MachineCounts: f.counts(), Regions: make(map[string]RegionRollout, len(f.Regions))}
		for id, r := range f.Regions {
			fleet.Regions[id] = RegionRollout{Name: string(r.Name), MachineCounts: r.counts()}
		}
		s.Fleets[id] = fleet
	}
	return nil
}

// RolloutStatusOptions says how much RolloutStatus tells.
type RolloutStatusOptions struct {
	// Detail asks for the counts by fleet and region.
	Detail bool
}

type rolloutStatusQuery struct {
	Detail bool `url:"detail,omitempty"` // words here, not 0 and 1
}

// RolloutStatus tells how many machines have, await or failed to install the
// image's latest version. nil options ask for the sums alone.
//
// Source: "Image status", GET /cfp/v2/project/{accountserviceid}/image/{imageid}/status.
func (s *ImagesService) RolloutStatus(ctx context.Context, imageID int64, opts *RolloutStatusOptions) (*RolloutStatus, error) {
	status, _, err := s.rolloutStatus(ctx, imageID, opts)
	return status, err
}

func (s *ImagesService) rolloutStatus(ctx context.Context, imageID int64, opts *RolloutStatusOptions) (*RolloutStatus, time.Duration, error) {
	if err := checkID("Images.RolloutStatus: imageID", imageID); err != nil {
		return nil, 0, err
	}
	var query rolloutStatusQuery
	if opts != nil {
		query.Detail = opts.Detail
	}
	project := strconv.FormatInt(s.client.account.AccountServiceID, 10)
	call := read("Images.RolloutStatus",
		[]string{"cfp", "v2", "project", project, "image", strconv.FormatInt(imageID, 10), "status"}, query)
	status, resp, err := transport.Do[RolloutStatus](ctx, s.client.Client, call)
	if err != nil {
		return nil, resp.RetryAfter(), err
	}
	return status, resp.RetryAfter(), nil
}

// RolloutError is a rollout that ended without reaching every machine.
type RolloutError struct {
	ImageID int64
	MachineCounts
}

// Error says how many machines it did not reach.
func (e *RolloutError) Error() string {
	return fmt.Sprintf("multiplay: rollout of image %d ended with %d failed and %d completed machines", e.ImageID, e.Failed, e.Completed)
}

// WaitRollout polls until no machine awaits the image's latest version and no
// install of that version is under way. It returns the last counts seen, which
// are nil when none were; machines that failed are a *RolloutError. Wait for
// the version's own job first: the rollout begins at its end.
func (s *ImagesService) WaitRollout(ctx context.Context, imageID, imageVersionID int64, opts ...WaitOption) (*RolloutStatus, error) {
	return poll.Wait(ctx, s.rollout(imageID, imageVersionID), opts)
}

// WatchRollout polls like WaitRollout, and yields the first counts and each
// that differ from those before. A rollout with failed machines yields its
// last counts and then a *RolloutError. Any error ends the sequence; it comes
// with the last counts seen, which are nil when there were none.
func (s *ImagesService) WatchRollout(ctx context.Context, imageID, imageVersionID int64, opts ...WaitOption) iter.Seq2[*RolloutStatus, error] {
	return poll.Watch(ctx, s.rollout(imageID, imageVersionID), opts)
}

func (s *ImagesService) rollout(imageID, imageVersionID int64) *poll.Job[*RolloutStatus] {
	installing := false
	return &poll.Job[*RolloutStatus]{
		Package: pkg,
		Name:    fmt.Sprintf("the rollout of image %d", imageID),
		Get: func(ctx context.Context) (now *RolloutStatus, after time.Duration, err error) {
			if err := cmp.Or(
				checkID("Images.WatchRollout: imageID", imageID),
				checkID("Images.WatchRollout: imageVersionID", imageVersionID),
			); err != nil {
				return nil, 0, err
			}
			// The documented way is to look at the installs until there are
			// none; the counts alone may not have begun to move.
			if installing, err = s.installing(ctx, imageVersionID); err != nil {
				return nil, 0, err
			}
			return s.rolloutStatus(ctx, imageID, nil)
		},
		Status: func(now *RolloutStatus) string { return fmt.Sprintf("%d machines pending", now.Pending) },
		Done:   func(now *RolloutStatus) bool { return now.Pending == 0 && !installing },
		Failed: func(now *RolloutStatus) error {
			if now.Failed == 0 {
				return nil
			}
			return &RolloutError{ImageID: imageID, MachineCounts: now.MachineCounts}
		},
		Same: func(older, newer *RolloutStatus) bool { return older.MachineCounts == newer.MachineCounts },
	}
}

// installing tells whether an install of that version is under way.
func (s *ImagesService) installing(ctx context.Context, imageVersionID int64) (bool, error) {
	installs, err := s.installs.List(ctx)
	return slices.ContainsFunc(installs, func(i ImageInstall) bool {
		return i.TargetImageVersionID == imageVersionID
	}), err
}
