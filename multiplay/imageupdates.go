package multiplay

import (
	"cmp"
	"context"
	"encoding/json"
	"fmt"
	"iter"
	"time"

	"github.com/imagejobs/imagejobs-go/internal/lenient"
	"github.com/imagejobs/imagejobs-go/internal/poll"
	"github.com/imagejobs/imagejobs-go/internal/transport"
)

// ImageUpdatesService makes image updates: jobs in which a build machine
// fetches the files of a new image from a Source. It is Client.ImageUpdates.
type ImageUpdatesService struct{ client *caller }

// ImageUpdateStatus is an image update and its job. Source: "Image update
// status".
type ImageUpdateStatus struct {
	UpdateID int64 `json:"updateid"`
	Job
}

type wireUpdateStatus struct {
	UpdateID lenient.Int `json:"updateid"`
	wireStatus
}

func (w *wireUpdateStatus) status() *ImageUpdateStatus {
	return &ImageUpdateStatus{UpdateID: int64(w.UpdateID), Job: w.job()}
}

// UnmarshalJSON accepts the job's fields in every form of the documents.
func (s *ImageUpdateStatus) UnmarshalJSON(data []byte) error {
	var w wireUpdateStatus
	if err := json.Unmarshal(data, &w); err != nil {
		return err
	}
	*s = *w.status()
	return nil
}

// CreateImageUpdateRequest says what to fetch and onto which machine. It
// prints without the secrets of Source.
type CreateImageUpdateRequest struct {
	// ImageID is the game image to update, MachineID the build machine that
	// fetches the files. Both required; Images.Options lists them.
	ImageID   int64
	MachineID int64
	// Description is free text for people. Required.
	Description string
	// Source is where the files are. nil uses the image's update_url, where it
	// has one.
	Source Source
}

// Format implements fmt.Formatter, so that no verb shows the secrets of Source:
// where a verb does not suit a pointer, fmt prints what it points to without
// asking the fields.
func (r CreateImageUpdateRequest) Format(f fmt.State, verb rune) {
	type fields CreateImageUpdateRequest
	_, _ = fmt.Fprintf(f, fmt.FormatString(f, verb), fields(r))
}

type createImageUpdateQuery struct {
	account

	ImageID     int64  `url:"imageid"`
	Description string `url:"desc"`
	MachineID   int64  `url:"machineid"`
	URL         string `url:"url,omitempty"`
}

// Create starts an image update. It is carried out at most once: when
// ErrAmbiguous matches the error, Images.Options tells whether an update holds
// the image now. An *ImageLockedError is an outstanding diff that has to be
// rejected or made a version of first.
//
// Source: "Image update create", GET /cfp/v1/imageupdate/create.
func (s *ImageUpdatesService) Create(ctx context.Context, req *CreateImageUpdateRequest) (*ImageUpdateStatus, error) {
	const field = "CreateImageUpdateRequest"
	if req == nil {
		return nil, transport.Invalid(pkg, field, "must not be nil")
	}
	if err := cmp.Or(checkID(field+".ImageID", req.ImageID), checkID(field+".MachineID", req.MachineID)); err != nil {
		return nil, err
	}
	if req.Description == "" {
		return nil, transport.Invalid(pkg, field+".Description", "must not be empty")
	}
	query := createImageUpdateQuery{
		account:     s.client.account,
		ImageID:     req.ImageID,
		MachineID:   req.MachineID,
		Description: req.Description,
	}
	var secrets []string
	if req.Source != nil {
		url, err := req.Source.URL()
		if err != nil {
			return nil, err
		}
		query.URL, secrets = url, allSecrets(req.Source, url)
	}
	call := change("ImageUpdates.Create", []string{"cfp", "v1", "imageupdate", "create"}, query)
	call.Secrets = secrets
	call.Check = checkCreated("updateid")
	status, _, err := transport.Do[ImageUpdateStatus](ctx, s.client.Client, call)
	return status, err
}

// Status looks at an image update.
//
// Source: "Image update status", GET /cfp/v1/imageupdate/{updateid}/status.
func (s *ImageUpdatesService) Status(ctx context.Context, updateID int64) (*ImageUpdateStatus, error) {
	status, _, err := s.status(ctx, updateID)
	return status, err
}

func (s *ImageUpdatesService) status(ctx context.Context, updateID int64) (*ImageUpdateStatus, time.Duration, error) {
	call := read("ImageUpdates.Status", on("imageupdate", updateID, "status"), s.client.accountQuery)
	call.Check = checkStatus
	return s.one(ctx, updateID, call)
}

// Retry runs a failed image update again, under the same id. It is carried out
// at most once; when ErrAmbiguous matches the error, Status tells.
//
// Source: "Image update retry", GET /cfp/v1/imageupdate/{updateid}/retry,
// which does not say in which states an update may be retried.
func (s *ImageUpdatesService) Retry(ctx context.Context, updateID int64) (*ImageUpdateStatus, error) {
	call := change("ImageUpdates.Retry", on("imageupdate", updateID, "retry"), s.client.accountQuery)
	status, _, err := s.one(ctx, updateID, call)
	return status, err
}

// one sends a call about one update.
func (s *ImageUpdatesService) one(ctx context.Context, updateID int64, call *transport.Call) (*ImageUpdateStatus, time.Duration, error) {
	if err := checkID(call.Operation+": updateID", updateID); err != nil {
		return nil, 0, err
	}
	answer, resp, err := transport.Do[wireUpdateStatus](ctx, s.client.Client, call)
	if err != nil {
		return nil, resp.RetryAfter(), err
	}
	status := answer.status()
	// In the example of the answer, but not in its field table.
	status.UpdateID = cmp.Or(status.UpdateID, updateID)
	return status, resp.RetryAfter(), nil
}

// Wait polls an image update until it has ended, and returns the last status
// seen, which is nil when none was. An update that did not complete is a
// *StateError; a context that ended is an error that says how far the update
// was and matches the context's.
func (s *ImageUpdatesService) Wait(ctx context.Context, updateID int64, opts ...WaitOption) (*ImageUpdateStatus, error) {
	return poll.Wait(ctx, s.job(updateID), opts)
}

// Watch polls an image update until it has ended, and yields its first status
// and each that differs from the one before. An update that did not complete
// yields its last status and then a *StateError. Any error ends the sequence;
// it comes with the last status seen, which is nil when there was none.
func (s *ImageUpdatesService) Watch(ctx context.Context, updateID int64, opts ...WaitOption) iter.Seq2[*ImageUpdateStatus, error] {
	return poll.Watch(ctx, s.job(updateID), opts)
}

func (s *ImageUpdatesService) job(updateID int64) *poll.Job[*ImageUpdateStatus] {
	return follow("image update", updateID, s.status)
}
