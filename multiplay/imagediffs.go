package multiplay

import (
	"cmp"
	"context"
	"encoding/json"
	"iter"
	"time"

	"github.com/imagejobs/imagejobs-go/internal/lenient"
	"github.com/imagejobs/imagejobs-go/internal/poll"
	"github.com/imagejobs/imagejobs-go/internal/transport"
)

// ImageDiffsService makes image diffs: jobs that compare what is on a build
// machine with the image's latest version. It is Client.ImageDiffs.
type ImageDiffsService struct{ client *caller }

// ImageDiffStatus is an image diff and its job. Source: "Image diff status".
type ImageDiffStatus struct {
	DiffID int64 `json:"diffid"`
	Job

	// Added, Modified and Removed are the files that differ, by path. They are
	// complete once the diff is, for a status asked for with Info. What the
	// documents say about a file beside its path is not public: it is kept as
	// JSON.
	Added    map[string]json.RawMessage `json:"added,omitempty"`
	Modified map[string]json.RawMessage `json:"modified,omitempty"`
	Removed  map[string]json.RawMessage `json:"removed,omitempty"`
	// Game, Machine and Image are JSON objects whose fields are not public;
	// nil without Info.
	Game    json.RawMessage `json:"game,omitempty"`
	Machine json.RawMessage `json:"machine,omitempty"`
	Image   json.RawMessage `json:"image,omitempty"`
}

// Empty tells whether no file differs. Ask it of a completed diff's status
// with Info.
func (s *ImageDiffStatus) Empty() bool {
	return len(s.Added) == 0 && len(s.Modified) == 0 && len(s.Removed) == 0
}

type wireDiffStatus struct {
	DiffID lenient.Int `json:"diffid"`
	wireStatus
	Added    wireFiles       `json:"added"`
	Modified wireFiles       `json:"modified"`
	Removed  wireFiles       `json:"removed"`
	Game     json.RawMessage `json:"game"`
	Machine  json.RawMessage `json:"machine"`
	Image    json.RawMessage `json:"image"`
}

type wireFiles = lenient.Map[json.RawMessage]

func (w *wireDiffStatus) status() *ImageDiffStatus {
	return &ImageDiffStatus{
		DiffID: int64(w.DiffID), Job: w.job(),
		Added: w.Added, Modified: w.Modified, Removed: w.Removed,
		Game: w.Game, Machine: w.Machine, Image: w.Image,
	}
}

// UnmarshalJSON accepts the job's fields in every form of the documents, and
// an empty array for no files.
func (s *ImageDiffStatus) UnmarshalJSON(data []byte) error {
	var w wireDiffStatus
	if err := json.Unmarshal(data, &w); err != nil {
		return err
	}
	*s = *w.status()
	return nil
}

// CreateImageDiffRequest says what to compare.
type CreateImageDiffRequest struct {
	// ImageID is the game image whose latest version is one side, MachineID the
	// build machine that is the other. Both required.
	ImageID   int64
	MachineID int64
	// DiffID runs this diff again, which must have completed or failed. 0 makes
	// a new one.
	DiffID int64
}

type createImageDiffQuery struct {
	account

	ImageID   int64 `url:"imageid"`
	MachineID int64 `url:"machineid"`
	DiffID    int64 `url:"diffid,omitempty"`
}

// Create starts an image diff, which locks the image until a version is made
// of it or it is rejected. It is carried out at most once: when ErrAmbiguous
// matches the error, Images.Options tells whether a diff holds the image now.
// An *ImageLockedError is an outstanding diff that has to go first.
//
// Source: "Image diff create", GET /cfp/v1/imagediff/create.
func (s *ImageDiffsService) Create(ctx context.Context, req *CreateImageDiffRequest) (*ImageDiffStatus, error) {
	const field = "CreateImageDiffRequest"
	if req == nil {
		return nil, transport.Invalid(pkg, field, "must not be nil")
	}
	if err := cmp.Or(checkID(field+".ImageID", req.ImageID), checkID(field+".MachineID", req.MachineID)); err != nil {
		return nil, err
	}
	if req.DiffID < 0 {
		return nil, transport.Invalid(pkg, field+".DiffID", "must not be negative")
	}
	call := change("ImageDiffs.Create", []string{"cfp", "v1", "imagediff", "create"}, createImageDiffQuery{
		account:   s.client.account,
		ImageID:   req.ImageID,
		MachineID: req.MachineID,
		DiffID:    req.DiffID,
	})
	call.Check = checkCreated("diffid")
	status, _, err := transport.Do[ImageDiffStatus](ctx, s.client.Client, call)
	return status, err
}

// ImageDiffStatusOptions says how much Status tells.
type ImageDiffStatusOptions struct {
	// Info asks for the game, machine and image, and the files that differ.
	Info bool
}

type imageDiffStatusQuery struct {
	account

	Info bool `url:"diff_info,int,omitempty"`
}

// Status looks at an image diff. nil options ask for the job alone.
//
// Source: "Image diff status", GET /cfp/v1/imagediff/{diffid}/status.
func (s *ImageDiffsService) Status(ctx context.Context, diffID int64, opts *ImageDiffStatusOptions) (*ImageDiffStatus, error) {
	status, _, err := s.status(ctx, diffID, opts)
	return status, err
}

func (s *ImageDiffsService) status(ctx context.Context, diffID int64, opts *ImageDiffStatusOptions) (*ImageDiffStatus, time.Duration, error) {
	query := imageDiffStatusQuery{account: s.client.account}
	if opts != nil {
		query.Info = opts.Info
	}
	call := read("ImageDiffs.Status", on("imagediff", diffID, "status"), query)
	call.Check = checkStatus
	return s.one(ctx, diffID, call)
}

// Retry runs an image diff again that has completed or failed, under the same
// id. It is carried out at most once; when ErrAmbiguous matches the error,
// Status tells.
//
// Source: "Image diff retry", GET /cfp/v1/imagediff/{diffid}/retry.
func (s *ImageDiffsService) Retry(ctx context.Context, diffID int64) (*ImageDiffStatus, error) {
	call := change("ImageDiffs.Retry", on("imagediff", diffID, "retry"), s.client.accountQuery)
	status, _, err := s.one(ctx, diffID, call)
	return status, err
}

// one sends a call about one diff.
func (s *ImageDiffsService) one(ctx context.Context, diffID int64, call *transport.Call) (*ImageDiffStatus, time.Duration, error) {
	if err := checkID(call.Operation+": diffID", diffID); err != nil {
		return nil, 0, err
	}
	answer, resp, err := transport.Do[wireDiffStatus](ctx, s.client.Client, call)
	if err != nil {
		return nil, resp.RetryAfter(), err
	}
	status := answer.status()
	status.DiffID = cmp.Or(status.DiffID, diffID)
	return status, resp.RetryAfter(), nil
}

// RejectImageDiffOptions says what else happens to a rejected diff.
type RejectImageDiffOptions struct {
	// Reinstall puts the image's latest version back onto the build machine.
	Reinstall bool
}

type rejectImageDiffQuery struct {
	account

	Reinstall bool `url:"reinstall,int"`
}

// ImageDiffRejection is a rejected diff. Source: "Image diff reject".
type ImageDiffRejection struct {
	DiffID int64 `json:"diffid"`
	// UninstallJobID and Job are the job that puts the machine back, with
	// Reinstall; 0 and empty otherwise.
	UninstallJobID int64 `json:"uninstalljobid,omitempty"`
	Job
}

// UnmarshalJSON accepts the job's fields in every form of the documents.
func (r *ImageDiffRejection) UnmarshalJSON(data []byte) error {
	var w struct {
		DiffID         lenient.Int `json:"diffid"`
		UninstallJobID lenient.Int `json:"uninstalljobid"`
		wireJob
	}
	if err := json.Unmarshal(data, &w); err != nil {
		return err
	}
	*r = ImageDiffRejection{DiffID: int64(w.DiffID), UninstallJobID: int64(w.UninstallJobID), Job: w.job()}
	return nil
}

// Reject discards an image diff that has completed or failed, and so unlocks
// its image. nil options leave the files on the build machine. It is carried out
// at most once.
//
// Source: "Image diff reject", GET /cfp/v1/imagediff/{diffid}/reject.
func (s *ImageDiffsService) Reject(ctx context.Context, diffID int64, opts *RejectImageDiffOptions) (*ImageDiffRejection, error) {
	if err := checkID("ImageDiffs.Reject: diffID", diffID); err != nil {
		return nil, err
	}
	query := rejectImageDiffQuery{account: s.client.account}
	if opts != nil {
		query.Reinstall = opts.Reinstall
	}
	call := change("ImageDiffs.Reject", on("imagediff", diffID, "reject"), query)
	rejection, _, err := transport.Do[ImageDiffRejection](ctx, s.client.Client, call)
	if err != nil {
		return nil, err
	}
	rejection.DiffID = cmp.Or(rejection.DiffID, diffID)
	return rejection, nil
}

// Wait polls an image diff until it has ended, and returns the last status
// seen, which is nil when none was and never has the files: ask Status for
// them. A diff that did not complete is a *StateError; a context that ended is
// an error that says how far the diff was and matches the context's.
func (s *ImageDiffsService) Wait(ctx context.Context, diffID int64, opts ...WaitOption) (*ImageDiffStatus, error) {
	return poll.Wait(ctx, s.job(diffID), opts)
}

// Watch polls an image diff until it has ended, and yields its first status
// and each that differs from the one before. A diff that did not complete
// yields its last status and then a *StateError. Any error ends the sequence;
// it comes with the last status seen, which is nil when there was none.
func (s *ImageDiffsService) Watch(ctx context.Context, diffID int64, opts ...WaitOption) iter.Seq2[*ImageDiffStatus, error] {
	return poll.Watch(ctx, s.job(diffID), opts)
}

func (s *ImageDiffsService) job(diffID int64) *poll.Job[*ImageDiffStatus] {
	return follow("image diff", diffID, func(ctx context.Context, id int64) (*ImageDiffStatus, time.Duration, error) {
		return s.status(ctx, id, nil)
	})
}
