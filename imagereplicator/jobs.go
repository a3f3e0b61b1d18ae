package imagereplicator

import (
	"bytes"
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"net/http"
	"slices"
	"time"

	"github.com/imagejobs/imagejobs-go/internal/lenient"
	"github.com/imagejobs/imagejobs-go/internal/transport"
)

// Operations, as errors and the log name them.
const (
	opCreate = "Jobs.Create"
	opGet    = "Jobs.Get"
	opList   = "Jobs.List"
	opCancel = "Jobs.Cancel"
)

// JobsService copies images to tenants in other regions. Source: the Image
// Storage API reference of NTT's SDPF / Enterprise Cloud 2.0, extension image
// replicator.
type JobsService struct {
	client *transport.Client
}

// Status is the state of a job. A value that has no constant here is kept as
// the service sent it.
type Status string

// States of a job, as the pages "Get image copy job details" and "List image
// copy jobs" spell them. The pages do not say which follows which; what is
// said here is the plain reading.
const (
	// StatusReplicateRequested is a job that was accepted and has not started.
	StatusReplicateRequested Status = "replicate_requested"
	// StatusReplicating is a copy under way.
	StatusReplicating Status = "replicating"
	// StatusReplicated is a copy that is complete.
	StatusReplicated Status = "replicated"
	// StatusCancelRequested is a cancellation that was accepted and has not
	// started. In the documented example it lasts for more than two minutes.
	StatusCancelRequested Status = "cancel_requested"
	// StatusCanceling is a cancellation under way.
	StatusCanceling Status = "canceling"
	// StatusCanceled is a job that was canceled.
	StatusCanceled Status = "canceled"
	// StatusError is a job that failed.
	StatusError Status = "error"
)

// Terminal tells whether a job in this state has ended: replicated, canceled
// or error. A state that is not known has not.
func (s Status) Terminal() bool {
	switch s {
	case StatusReplicated, StatusCanceled, StatusError:
		return true
	default:
		return false
	}
}

// Cancelable tells whether the service accepts to cancel a job in this state:
// replicate_requested or replicating. It refuses every other with status 409.
func (s Status) Cancelable() bool {
	return s == StatusReplicateRequested || s == StatusReplicating
}

// Job is one copy of an image. The service sends no time, no size and no
// reason of a failure. Source: "Get image copy job details".
type Job struct {
	// ID is what Create returned, a UUID with dashes.
	ID     string `json:"job_id"`
	Status Status `json:"status"`
	// CopyProgress is how much was copied; percent, as the samples suggest.
	CopyProgress int64 `json:"copy_progress"`

	// SourceImageID is a UUID with dashes.
	SourceImageID string `json:"source_image_id"`
	// SourceImageName may be empty.
	SourceImageName string `json:"source_image_name"`
	// SourceRegionID is a short name, as in "jp1".
	SourceRegionID string `json:"source_region_id"`
	// SourceTenantID has 32 hexadecimal digits.
	SourceTenantID string `json:"source_tenant_id"`

	// DestinationImageID is empty until the service knows it. Only with
	// StatusReplicated is it the id of a whole image.
	DestinationImageID  string `json:"destination_image_id,omitempty"`
	DestinationRegionID string `json:"destination_region_id"`
	DestinationTenantID string `json:"destination_tenant_id"`
}

// UnmarshalJSON decodes what the service sends, in each spelling that its
// pages print.
func (j *Job) UnmarshalJSON(data []byte) error {
	var w jobWire
	if err := json.Unmarshal(data, &w); err != nil {
		return err
	}
	*j = Job{
		ID:                  string(w.ID),
		Status:              Status(w.Status),
		CopyProgress:        int64(cmp.Or(w.CopyProgress, w.CopyProgress2)),
		SourceImageID:       string(cmp.Or(w.SourceImageID, w.SourceImageID2, w.SourceImageID3)),
		SourceImageName:     string(w.SourceImageName),
		SourceRegionID:      string(cmp.Or(w.SourceRegionID, w.SourceRegionID2)),
		SourceTenantID:      string(cmp.Or(w.SourceTenantID, w.SourceTenantID2)),
		DestinationImageID:  string(cmp.Or(w.DestinationImageID, w.DestinationImageID2, w.DestinationImageID3)),
		DestinationRegionID: string(cmp.Or(w.DestinationRegionID, w.DestinationRegionID2)),
		DestinationTenantID: string(cmp.Or(w.DestinationTenantID, w.DestinationTenantID2)),
	}
	return nil
}

type jobWire struct {
	ID                  lenient.String `json:"job_id"`
	Status              lenient.String `json:"status"`
	CopyProgress        lenient.Int    `json:"copy_progress"`
	SourceImageID       lenient.String `json:"source_image_id"`
	SourceImageName     lenient.String `json:"source_image_name"`
	SourceRegionID      lenient.String `json:"source_region_id"`
	SourceTenantID      lenient.String `json:"source_tenant_id"`
	DestinationImageID  lenient.String `json:"destination_image_id"`
	DestinationRegionID lenient.String `json:"destination_region_id"`
	DestinationTenantID lenient.String `json:"destination_tenant_id"`

	// The format blocks of "Get image copy job details" have a space in two
	// keys, its parameter table in others; its execution example and NTT's own
	// clients have underscores alone.
	SourceImageID2      lenient.String `json:"source_image id"`
	DestinationImageID2 lenient.String `json:"destination_image id"`

	CopyProgress2        lenient.Int    `json:"copy progress"`
	SourceImageID3       lenient.String `json:"source image_id"`
	SourceRegionID2      lenient.String `json:"source region_id"`
	SourceTenantID2      lenient.String `json:"source tenant_id"`
	DestinationImageID3  lenient.String `json:"destination image_id"`
	DestinationRegionID2 lenient.String `json:"destination region_id"`
	DestinationTenantID2 lenient.String `json:"destination tenant_id"`
}

// CreateJobRequest says what to copy and where to. The destination region is
// the one that the destination tenant belongs to. Source: "Copy image".
type CreateJobRequest struct {
	// ImageID is the image in the region being called, a UUID. Required.
	ImageID string `json:"image_id"`
	// DestinationTenantID is the tenant to copy to. Required.
	DestinationTenantID string `json:"tenant_id_dst"`
}

func (r *CreateJobRequest) check() error {
	if r == nil {
		return transport.Invalid(pkg, "CreateJobRequest", "must not be nil")
	}
	if err := transport.CheckID(pkg, "CreateJobRequest.ImageID", r.ImageID); err != nil {
		return err
	}
	return transport.CheckID(pkg, "CreateJobRequest.DestinationTenantID", r.DestinationTenantID)
}

// createAnswer is the 202 of "Copy image".
type createAnswer struct {
	JobID string
}

func (a *createAnswer) UnmarshalJSON(data []byte) error {
	var w struct {
		JobID lenient.String `json:"job_id"`
	}
	if err := json.Unmarshal(data, &w); err != nil {
		return err
	}
	if w.JobID == "" {
		return errors.New("no job_id in it")
	}
	a.JobID = string(w.JobID)
	return nil
}

// jobAnswer is a job that must be one, unlike the {} of a proxy.
type jobAnswer struct{ Job }

func (a *jobAnswer) UnmarshalJSON(data []byte) error {
	if err := a.Job.UnmarshalJSON(data); err != nil {
		return err
	}
	if a.ID == "" || a.Status == "" {
		return errors.New("no job_id and status in it")
	}
	return nil
}

// Create asks for a copy and returns the job's id at once; see Wait.
//
// The service has no way to tell a repeated request from a new one, so a
// request that may have been carried out is not sent again: the error matches
// ErrAmbiguous, and List shows whether there is a job with this SourceImageID
// and DestinationTenantID. Other errors: ErrBadRequest, ErrUnauthorized (also
// for a destination tenant, after one try with a new token), ErrNotFound,
// ErrConflict. Source: "Copy image".
func (s *JobsService) Create(ctx context.Context, req *CreateJobRequest) (jobID string, err error) {
	if err := req.check(); err != nil {
		return "", err
	}
	body, err := transport.JSONBody(req)
	if err != nil {
		return "", err
	}
	answer, _, err := transport.Do[createAnswer](ctx, s.client, &transport.Call{
		Operation: opCreate,
		Method:    http.MethodPost,
		Path:      jobsPath(),
		Body:      body,
		Repeat:    transport.Once,
	})
	if err != nil {
		return "", err
	}
	return answer.JobID, nil
}

// Get looks at a job. Errors: ErrNotFound for an id the service does not know.
// Source: "Get image copy job details".
func (s *JobsService) Get(ctx context.Context, jobID string) (*Job, error) {
	job, _, err := s.get(ctx, jobID)
	return job, err
}

// get also gives how long the service asks to wait before the next look.
func (s *JobsService) get(ctx context.Context, jobID string) (*Job, time.Duration, error) {
	if err := transport.CheckID(pkg, opGet+": jobID", jobID); err != nil {
		return nil, 0, err
	}
	answer, resp, err := transport.Do[jobAnswer](ctx, s.client, &transport.Call{
		Operation: opGet,
		Method:    http.MethodGet,
		Path:      jobsPath(jobID),
		Repeat:    transport.Safe,
	})
	if err != nil {
		return nil, resp.RetryAfter(), err
	}
	return &answer.Job, resp.RetryAfter(), nil
}

// List returns the jobs of the token's tenant, in the service's order, in one
// answer without pages; no jobs is an empty list. How long it lists jobs that
// have ended is not documented. Source: "List image copy jobs".
func (s *JobsService) List(ctx context.Context) ([]*Job, error) {
	jobs, _, err := transport.Do[[]*Job](ctx, s.client, &transport.Call{
		Operation: opList,
		Method:    http.MethodGet,
		Path:      jobsPath(),
		Repeat:    transport.Safe,
	})
	if err != nil {
		return nil, err
	}
	return slices.DeleteFunc(*jobs, func(j *Job) bool { return j == nil }), nil
}

// Cancel asks to cancel a job. It returns when the service has accepted that,
// and the job may go on for minutes; follow it with Wait. The copy can be
// complete before the cancellation gets to it.
//
// A job that is not Cancelable is ErrConflict. Other errors: ErrNotFound.
// Source: "Cancel during copy image".
func (s *JobsService) Cancel(ctx context.Context, jobID string) error {
	if err := transport.CheckID(pkg, opCancel+": jobID", jobID); err != nil {
		return err
	}
	_, err := transport.DoEmpty(ctx, s.client, &transport.Call{
		Operation: opCancel,
		Method:    http.MethodDelete,
		Path:      jobsPath(jobID),
		Repeat:    transport.Repeatable,
		Check: func(r *transport.Response) error {
			if bytes.HasPrefix(bytes.TrimSpace(r.Body), []byte("<")) { // the page of a proxy
				return transport.BadAnswer(r, errors.New("no content was expected"))
			}
			return nil
		},
	})
	if e, ok := errors.AsType[*Error](err); ok && e.StatusCode == http.StatusConflict && e.Attempts > 1 {
		// An earlier try may have been accepted and its answer lost.
		if job, lookErr := s.Get(ctx, jobID); lookErr == nil && job.Status.cancels() {
			return nil
		}
	}
	return err
}

func (s Status) cancels() bool {
	return s == StatusCancelRequested || s == StatusCanceling || s == StatusCanceled
}

// jobsPath is the collection, or a job in it. The version is part of the
// extension's path: endpoints in the catalog have none.
func jobsPath(jobID ...string) []string {
	return slices.Concat([]string{"v2", "extension", "image_replicator", "jobs"}, jobID)
}
