package imagereplicator

import (
	"bytes"
	"context"
	"net/http"
	"slices"
	"strings"
	"time"

	"github.com/imagejobs/imagejobs-go/internal/decode"
	"github.com/imagejobs/imagejobs-go/internal/transport"
)

// Operations, as errors and the log name them.
const (
	opCreate   = "Jobs.Create"
	opGet      = "Jobs.Get"
	opList     = "Jobs.List"
	opCancel   = "Jobs.Cancel"
	opWaitAll  = "Jobs.WaitAll"
	opWatchAll = "Jobs.WatchAll"
	opCopy     = "Jobs.CopyToTenants"
)

// Status is the state of a job. A state that the service spells with capitals or
// as "cancelled" is decoded to its constant; one without a constant is kept as
// the service sent it.
type Status string

// States of a job, as the service's pages spell them. The pages do not define
// them; the comments follow their names.
const (
	// StatusReplicateRequested is a copy that was accepted and has not started.
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

var statuses = []Status{
	StatusReplicateRequested, StatusReplicating, StatusReplicated, StatusCancelRequested, StatusCanceling, StatusCanceled, StatusError,
}

// canonical returns the constant that text means, or text.
func canonical(text string) Status {
	plain := Status(strings.Replace(strings.ToLower(strings.TrimSpace(text)), "cancell", "cancel", 1))
	if slices.Contains(statuses, plain) {
		return plain
	}
	return Status(text)
}

// Terminal reports whether a job in this state has ended: replicated, canceled
// or error. Unknown states have not.
func (s Status) Terminal() bool {
	switch canonical(string(s)) {
	case StatusReplicated, StatusCanceled, StatusError:
		return true
	default:
		return false
	}
}

// Cancelable reports whether the service cancels a job in this state:
// replicate_requested or replicating. It refuses others with status 409.
func (s Status) Cancelable() bool {
	switch canonical(string(s)) {
	case StatusReplicateRequested, StatusReplicating:
		return true
	default:
		return false
	}
}

// Job is one copy of an image. The service sends no times, no size and no reason
// for a failure. Missing fields are zero.
//
// Source: [Get image copy job details].
//
// [Get image copy job details]: https://sdpf.ntt.com/services/docs/image-storage/api-references/rsts/APIList/Image_Data_Storage/Get_image_copy_job_details.html
type Job struct {
	// ID is what [JobsService.Create] returned, a UUID with dashes.
	ID string `json:"job_id"`
	// Status is the state of the job.
	Status Status `json:"status"`
	// CopyProgress is how much was copied. The unit is not documented; it is
	// probably percent.
	CopyProgress int64 `json:"copy_progress"`

	// SourceImageID is a UUID with dashes.
	SourceImageID string `json:"source_image_id"`
	// SourceImageName may be empty.
	SourceImageName string `json:"source_image_name"`
	// SourceRegionID is a short name, such as "jp1".
	SourceRegionID string `json:"source_region_id"`
	// SourceTenantID has 32 hexadecimal digits.
	SourceTenantID string `json:"source_tenant_id"`

	// DestinationImageID is empty until the service knows it. The image is
	// complete only with [StatusReplicated].
	DestinationImageID string `json:"destination_image_id,omitempty"`
	// DestinationRegionID is a short name, such as "jp2".
	DestinationRegionID string `json:"destination_region_id"`
	// DestinationTenantID has 32 hexadecimal digits.
	DestinationTenantID string `json:"destination_tenant_id"`
}

// Get returns the job. If the service does not know the id, the error matches
// [ErrNotFound].
//
// Source: [Get image copy job details].
//
// [Get image copy job details]: https://sdpf.ntt.com/services/docs/image-storage/api-references/rsts/APIList/Image_Data_Storage/Get_image_copy_job_details.html
func (s *JobsService) Get(ctx context.Context, jobID string) (*Job, error) {
	job, _, err := s.get(ctx, jobID)
	return job, err
}

// get also returns how long the service asks to wait before the next poll.
func (s *JobsService) get(ctx context.Context, jobID string) (*Job, time.Duration, error) {
	if err := checkID(opGet+": jobID", jobID); err != nil {
		return nil, 0, err
	}
	job, resp, err := transport.Do(ctx, s.client, &transport.Call{
		Operation: opGet,
		Method:    http.MethodGet,
		Path:      jobsPath(jobID),
		Repeat:    transport.Safe,
	}, func(r *transport.Response) (*Job, error) {
		job := new(Job)
		if err := r.JSON(job); err != nil {
			return nil, err
		}
		if !strings.EqualFold(job.ID, jobID) || job.Status == "" {
			return nil, r.Malformed("it has no status of job " + jobID)
		}
		return job, nil
	})
	return job, resp.RetryAfter(), err
}

// List returns the jobs of the token's tenant, in the service's order. There are
// no pages. How long the service lists jobs that have ended is not documented.
//
// Source: [List image copy jobs].
//
// [List image copy jobs]: https://sdpf.ntt.com/services/docs/image-storage/api-references/rsts/APIList/Image_Data_Storage/List_image_copy_jobs.html
func (s *JobsService) List(ctx context.Context) ([]*Job, error) {
	jobs, _, err := s.list(ctx)
	return jobs, err
}

func (s *JobsService) list(ctx context.Context) ([]*Job, time.Duration, error) {
	jobs, resp, err := transport.Do(ctx, s.client, &transport.Call{
		Operation: opList,
		Method:    http.MethodGet,
		Path:      jobsPath(),
		Repeat:    transport.Safe,
	}, func(r *transport.Response) ([]*Job, error) {
		var jobs []*Job
		if err := r.JSON(&jobs); err != nil {
			return nil, err
		}
		jobs = decode.WithoutNil(jobs)
		for _, job := range jobs {
			if job.ID == "" || job.Status == "" {
				return nil, r.Malformed("a job in it has no job_id or no status")
			}
		}
		return jobs, nil
	})
	return jobs, resp.RetryAfter(), err
}

// Cancel requests the cancellation of a job. It returns once the service has
// accepted the request. The job may run on for minutes, see [JobsService.Wait],
// and may even complete.
//
// If the job is not cancelable, the error matches [ErrConflict]. If the service
// does not know the id, it matches [ErrNotFound].
//
// Source: [Cancel during copy image].
//
// [Cancel during copy image]: https://sdpf.ntt.com/services/docs/image-storage/api-references/rsts/APIList/Image_Data_Storage/Cancel_during_copy_image.html
func (s *JobsService) Cancel(ctx context.Context, jobID string) error {
	if err := checkID(opCancel+": jobID", jobID); err != nil {
		return err
	}
	_, _, err := transport.Do(ctx, s.client, &transport.Call{
		Operation: opCancel,
		Method:    http.MethodDelete,
		Path:      jobsPath(jobID),
		Repeat:    transport.Repeatable,
	}, func(r *transport.Response) (struct{}, error) {
		if len(bytes.TrimSpace(r.Body)) > 0 {
			return struct{}{}, r.Malformed("no content was expected")
		}
		return struct{}{}, nil
	})
	if repeatedConflict(err) {
		// An earlier attempt may have been accepted and its response lost.
		if job, getErr := s.Get(ctx, jobID); getErr == nil && job.Status.cancels() {
			return nil
		}
	}
	return err
}

func (s Status) cancels() bool {
	return s == StatusCancelRequested || s == StatusCanceling || s == StatusCanceled
}

func checkID(field, id string) error {
	if problem := transport.IDProblem(id); problem != "" {
		return invalid(field, "%s", problem)
	}
	return nil
}

// jobsPath is the collection, or a job in it. The version is part of the
// extension's path: endpoints in the catalog have none.
func jobsPath(jobID ...string) []string {
	return slices.Concat([]string{"v2", "extension", "image_replicator", "jobs"}, jobID)
}
