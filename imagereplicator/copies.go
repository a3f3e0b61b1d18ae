package imagereplicator

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"sync/atomic"

	"golang.org/x/sync/errgroup"

	"github.com/imagejobs/imagejobs-go/internal/outage"
	"github.com/imagejobs/imagejobs-go/internal/poll"
)

// maxAtOnce is how many jobs are created at the same time.
const maxAtOnce = 8

// errNotStarted is a copy that was left because another one failed.
var errNotStarted = errors.New(pkg + ": not started, because another copy failed")

// CopyResult is the outcome of the copy to one tenant.
type CopyResult struct {
	// TenantID is the destination tenant.
	TenantID string
	// JobID is the job's id, empty if there is no job. After an error, the job may
	// still run: follow or cancel it.
	JobID string
	// Job is the last state seen, nil if there was none.
	Job *Job
	// Err is nil if the image was copied, and a [*StateError] if the job ended
	// otherwise.
	Err error
}

// A CopyOption configures [JobsService.CopyToTenants].
type CopyOption func(*copyConfig)

type copyConfig struct {
	cancel   bool
	progress func(*Job)
	wait     []WaitOption
}

// WithCancelOnFailure cancels the other copies once one has failed, or ctx is
// done. Without it they continue.
func WithCancelOnFailure() CopyOption { return func(c *copyConfig) { c.cancel = true } }

// WithCopyProgress calls f with the first state of each job and with every
// change, one call at a time.
func WithCopyProgress(f func(*Job)) CopyOption { return func(c *copyConfig) { c.progress = f } }

// WithCopyWait configures how the jobs are polled.
func WithCopyWait(opts ...WaitOption) CopyOption {
	return func(c *copyConfig) { c.wait = append(c.wait, opts...) }
}

// CopyToTenants copies an image to tenants, once to each, and waits until all
// copies have ended, as [JobsService.Create] and [JobsService.WaitAll] do. It
// returns one result per tenant, in the order of tenantIDs without repetitions,
// and all errors joined.
//
// When ctx is done, copies under way continue, unless [WithCancelOnFailure] is
// given, and every result names its job. CopyToTenants may then take up to a
// minute longer to find the job of a create under way, and up to half a minute
// to cancel.
func (s *JobsService) CopyToTenants(ctx context.Context, imageID string, tenantIDs []string, opts ...CopyOption) ([]CopyResult, error) {
	c := copies{JobsService: s}
	for _, opt := range opts {
		if opt != nil {
			opt(&c.copyConfig)
		}
	}
	if err := c.check(imageID, tenantIDs); err != nil {
		return nil, err
	}
	known, err := s.known(ctx)
	if err != nil {
		return nil, err
	}
	c.createAll(ctx, imageID, known)
	c.waitAll(ctx)
	results, errs := make([]CopyResult, len(c.all)), make([]error, len(c.all))
	for i, one := range c.all {
		results[i] = one.CopyResult
		if one.Err != nil {
			errs[i] = fmt.Errorf("tenant %s: %w", one.TenantID, one.Err)
		}
	}
	return results, errors.Join(errs...)
}

// copies are those of one call.
type copies struct {
	*JobsService
	copyConfig

	all      []*tenantCopy
	follow   *poll.Jobs[string, *Job]
	failed   atomic.Bool // one of them
	canceled bool
}

type tenantCopy struct {
	CopyResult

	cancelErr error
}

// pending reports whether there is a job that is not known to have ended.
func (t *tenantCopy) pending() bool {
	return t.JobID != "" && t.Err == nil && (t.Job == nil || !t.Job.Status.Terminal())
}

func (c *copies) check(imageID string, tenantIDs []string) (err error) {
	if err := checkID(opCopy+": imageID", imageID); err != nil {
		return err
	}
	if len(tenantIDs) == 0 {
		return invalid(opCopy+": tenantIDs", "must not be empty")
	}
	seen := map[string]bool{}
	for i, tenant := range tenantIDs {
		if err := checkID(fmt.Sprintf("%s: tenantIDs[%d]", opCopy, i), tenant); err != nil {
			return err
		}
		id := strings.ToLower(tenant) // hexadecimal digits
		if !seen[id] {
			c.all = append(c.all, &tenantCopy{CopyResult: CopyResult{TenantID: tenant}})
		}
		seen[id] = true
	}
	c.follow, err = c.jobs(opCopy, nil, c.wait)
	return err
}

func (c *copies) createAll(ctx context.Context, imageID string, known map[string]bool) {
	var group errgroup.Group
	group.SetLimit(maxAtOnce)
	for _, one := range c.all {
		group.Go(func() error {
			if c.cancel && c.failed.Load() {
				one.Err = errNotStarted
				return nil
			}
			job := creation{
				JobsService: c.JobsService,
				req:         &CreateJobRequest{ImageID: imageID, DestinationTenantID: one.TenantID},
				known:       known,
				insist:      true,
			}
			if one.JobID, one.Err = job.run(ctx); one.Err != nil {
				c.failed.Store(true)
			}
			return nil
		})
	}
	_ = group.Wait() // each has its own error
}

func (c *copies) waitAll(ctx context.Context) {
	byJob := map[string]*tenantCopy{}
	for _, one := range c.all {
		if one.JobID != "" {
			byJob[one.JobID] = one
			c.follow.IDs = append(c.follow.IDs, one.JobID)
		}
	}
	if c.failed.Load() {
		c.cancelRest(ctx)
	}
	ended := poll.Follow(ctx, c.follow, func(id string, job *Job, err error) bool {
		one := byJob[id]
		one.Job, one.Err = job, err
		switch {
		case err != nil:
			c.cancelRest(ctx)
		case c.progress != nil:
			c.progress(job)
		}
		return true
	})
	if ended == nil {
		return
	}
	c.cancelRest(ctx)
	for _, one := range c.all {
		if one.pending() {
			one.Err = errors.Join(ended, one.cancelErr)
		}
	}
}

// cancelRest cancels what is pending, once, if that is wanted, also after ctx is
// done.
func (c *copies) cancelRest(ctx context.Context) {
	if !c.cancel || c.canceled {
		return
	}
	c.canceled = true
	ctx, stop := context.WithTimeout(context.WithoutCancel(ctx), outage.Lag)
	defer stop()
	for _, one := range c.all {
		if !one.pending() {
			continue
		}
		if err := c.Cancel(ctx, one.JobID); !errors.Is(err, ErrConflict) { // it has ended
			one.cancelErr = err
		}
	}
}
