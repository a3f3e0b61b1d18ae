package imagereplicator

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"net/http"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/imagejobs/imagejobs-go/internal/outage"
	"github.com/imagejobs/imagejobs-go/internal/poll"
	"github.com/imagejobs/imagejobs-go/internal/transport"
)

// maxCreates is how often a job is requested at most, where none appeared.
const maxCreates = 3

// CreateJobRequest names an image and the tenant to copy it to. The destination
// region is the one that the tenant belongs to.
//
// Source: [Copy image].
//
// [Copy image]: https://sdpf.ntt.com/services/docs/image-storage/api-references/rsts/APIList/Image_Data_Storage/Copy_image.html
type CreateJobRequest struct {
	// ImageID is the image in the region being called, a UUID. Required.
	ImageID string `json:"image_id"`
	// DestinationTenantID is the tenant to copy to. Required.
	DestinationTenantID string `json:"tenant_id_dst"`
}

func (r *CreateJobRequest) check() error {
	if r == nil {
		return invalid("CreateJobRequest", "must not be nil")
	}
	return cmp.Or(
		checkID("CreateJobRequest.ImageID", r.ImageID),
		checkID("CreateJobRequest.DestinationTenantID", r.DestinationTenantID),
	)
}

// Create requests a copy and returns the id of its job, which [JobsService.Wait]
// follows.
//
// The service cannot tell a repeated request from a new one, so Create lists
// the jobs first. If the response is lost, it lists them again, for up to half
// a minute. If exactly one new job has this image and tenant, its id is
// returned; if none has, the copy is requested again, at most twice. The error
// matches [ErrAmbiguous] if several have, if ctx is done meanwhile, or if jobs
// cannot be listed: the user is not allowed to, or there are too many.
//
// Other errors match [ErrBadRequest], [ErrUnauthorized] (also for a destination
// tenant, after one attempt with a new token), [ErrNotFound] or [ErrConflict].
//
// Source: [Copy image].
//
// [Copy image]: https://sdpf.ntt.com/services/docs/image-storage/api-references/rsts/APIList/Image_Data_Storage/Copy_image.html
func (s *JobsService) Create(ctx context.Context, req *CreateJobRequest) (jobID string, err error) {
	if err := req.check(); err != nil {
		return "", err
	}
	known, err := s.known(ctx)
	if err != nil {
		return "", err
	}
	return (&creation{JobsService: s, req: req, known: known}).run(ctx)
}

// known returns the ids of the jobs that there are, or nil if they cannot be
// listed.
func (s *JobsService) known(ctx context.Context) (map[string]bool, error) {
	jobs, err := s.List(ctx)
	switch {
	case noList(err):
		return nil, nil //nolint:nilnil // which is not an empty list
	case err != nil:
		return nil, err
	}
	known := make(map[string]bool, len(jobs))
	for _, job := range jobs {
		known[job.ID] = true
	}
	return known, nil
}

// noList reports whether err is one that each list ends with: this user may not
// list jobs, or there are more than a response can have.
func noList(err error) bool {
	return errors.Is(err, ErrForbidden) || errors.Is(err, ErrResponseTooLarge)
}

// creation is a job to be created once, however many responses are lost.
type creation struct {
	*JobsService

	req   *CreateJobRequest
	known map[string]bool // jobs from before, nil if unknown
	// insist is to keep searching for the job after the context is done.
	insist bool
}

func (c *creation) run(ctx context.Context) (string, error) {
	for n := 1; ; n++ {
		id, err := c.post(ctx)
		if err == nil {
			c.recent.claim(id)
			return id, nil
		}
		if !errors.Is(err, ErrAmbiguous) || c.known == nil {
			return "", err
		}
		found, lookErr := c.lookUp(ctx)
		if ctx.Err() != nil && len(found) == 0 && c.insist {
			own, cancel := context.WithTimeout(context.WithoutCancel(ctx), 2*outage.Lag)
			found, lookErr = c.lookUp(own)
			cancel()
		}
		switch {
		case len(found) == 1 && c.recent.claim(found[0]):
			return found[0], nil
		case len(found) > 0:
			return "", several(err, found)
		case ctx.Err() != nil:
			if !errors.Is(err, ctx.Err()) {
				err = fmt.Errorf("%w; %w", err, transport.ContextErr(ctx))
			}
			return "", err
		case lookErr != nil:
			return "", fmt.Errorf("%w; %w", err, lookErr)
		case n == maxCreates:
			return "", err
		}
	}
}

// lookUp returns the new jobs that the lost response may be of: as soon as there
// are any, or none when one would have appeared.
func (c *creation) lookUp(ctx context.Context) ([]string, error) {
	last, polls := time.Now().Add(outage.Lag), c.singly()
	return poll.Wait(ctx, &poll.Job[[]string]{
		Options: poll.Options{Max: 5 * time.Second},
		Package: pkg,
		Name:    "the job of a lost response",
		Outage:  c.outageLimit,
		Get: func(ctx context.Context) ([]string, time.Duration, error) {
			jobs, after, err := polls.list(ctx)
			var found []string
			for _, job := range jobs {
				if c.matches(job) {
					found = append(found, job.ID)
				}
			}
			return found, after, err
		},
		Status: func([]string) string { return "not listed" },
		Done:   func(found []string) bool { return len(found) > 0 || !time.Now().Before(last) },
		Failed: func([]string) error { return nil },
		Same:   slices.Equal[[]string],
	})
}

func (c *creation) matches(job *Job) bool {
	return !c.known[job.ID] && !c.recent.has(job.ID) &&
		strings.EqualFold(job.SourceImageID, c.req.ImageID) &&
		strings.EqualFold(job.DestinationTenantID, c.req.DestinationTenantID)
}

func (c *creation) post(ctx context.Context) (string, error) {
	body, err := transport.JSONBody(c.req)
	if err != nil {
		return "", err
	}
	id, _, err := transport.Do(ctx, c.client, &transport.Call{
		Operation: opCreate,
		Method:    http.MethodPost,
		Path:      jobsPath(),
		Body:      body,
		Repeat:    transport.Once,
	}, func(r *transport.Response) (string, error) {
		var created Job
		if err := r.JSON(&created); err != nil || created.ID != "" {
			return created.ID, err
		}
		return "", r.Malformed("it has no job_id")
	})
	return id, err
}

// several returns the error of a lost response that may be of any of the jobs.
func several(err error, ids []string) error {
	if lost, ok := errors.AsType[*Error](err); ok {
		e := *lost
		e.Hint = "jobs " + strings.Join(ids, ", ") + " are new, with this image and tenant: cancel those that are not wanted"
		return &e
	}
	return err
}

// recent are the jobs that this client has created lately. A list may not have
// shown them yet when the next one was created.
type recent struct {
	mu  sync.Mutex
	ids map[string]time.Time
}

// claim adds the job unless it is there.
func (r *recent) claim(id string) bool {
	r.mu.Lock()
	defer r.mu.Unlock()
	now := time.Now()
	for id, since := range r.ids {
		if now.Sub(since) > 10*outage.Lag {
			delete(r.ids, id)
		}
	}
	if _, ok := r.ids[id]; ok {
		return false
	}
	if r.ids == nil {
		r.ids = map[string]time.Time{}
	}
	r.ids[id] = now
	return true
}

func (r *recent) has(id string) bool {
	r.mu.Lock()
	defer r.mu.Unlock()
	_, ok := r.ids[id]
	return ok
}
