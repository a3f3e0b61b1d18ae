package oraclemarket

import (
	"context"
	"fmt"
	"iter"
	"net/http"
	"time"

	"github.com/imagejobs/imagejobs-go/internal/poll"
	"github.com/imagejobs/imagejobs-go/internal/transport"
)

// WaitAll polls the upload requests until all have ended and returns their last
// states, in the order of the ids, nil for one that was never seen. A poll
// lists what changed since the one before, whatever the number of ids, and
// costs a [MachineImagesService.Get] for each id that was never listed, at most
// ten a second.
//
// The error joins those of all requests: a [*StateError] for each that ended
// badly, and one that matches [ErrNotFound] for each that the service does not
// know for half a minute. Failures of List are ridden out as by
// [MachineImagesService.Wait].
func (s *MachineImagesService) WaitAll(ctx context.Context, uploadRequestIDs []int64, opts ...WaitOption) ([]*MachineImageUploadRequest, error) {
	jobs, err := s.jobs("MachineImages.WaitAll", uploadRequestIDs, opts)
	if err != nil {
		return nil, err
	}
	return poll.WaitAll(ctx, jobs)
}

// WatchAll polls the upload requests as [MachineImagesService.WaitAll] does and
// yields the state of each, then again whenever it has changed, and ends with
// the last request. An error of one request comes with its last state, nil if
// it was never seen, and does not end the sequence. Any other error does, and
// is the last element.
func (s *MachineImagesService) WatchAll(ctx context.Context, uploadRequestIDs []int64, opts ...WaitOption) iter.Seq2[*MachineImageUploadRequest, error] {
	return func(yield func(*MachineImageUploadRequest, error) bool) {
		jobs, err := s.jobs("MachineImages.WatchAll", uploadRequestIDs, opts)
		if err != nil {
			yield(nil, err)
			return
		}
		poll.WatchAll(ctx, jobs)(yield)
	}
}

func (s *MachineImagesService) jobs(op string, ids []int64, opts []WaitOption) (*poll.Jobs[int64, *MachineImageUploadRequest], error) {
	o, err := pollOptions(opts)
	if err != nil {
		return nil, err
	}
	l := &lister{service: s, first: s.singly(), pending: make(map[int64]bool, len(ids))}
	for i, id := range ids {
		if id < 1 {
			return nil, invalid(fmt.Sprintf("%s: uploadRequestIDs[%d]", op, i), "must be positive, not %d", id)
		}
		l.pending[id] = true
	}
	return &poll.Jobs[int64, *MachineImageUploadRequest]{
		Options: o,
		Package: pkg,
		Noun:    "upload request",
		Outage:  s.outageLimit,
		IDs:     ids,
		List:    l.list,
		Get:     l.get,
		ID:      func(r *MachineImageUploadRequest) int64 { return r.UploadRequestID },
		Status:  (*MachineImageUploadRequest).status,
		Done:    (*MachineImageUploadRequest).done,
		Failed:  (*MachineImageUploadRequest).failed,
		Same:    (*MachineImageUploadRequest).same,
	}, nil
}

// wholeEvery is the time between two polls that list all requests that have not
// ended: that each change of a request changes its date is not documented.
const wholeEvery = 5 * time.Minute

// lister lists what changed since it last did.
type lister struct {
	service *MachineImagesService
	first   *MachineImagesService // for the first call of a poll; one for a later page is worth retries
	pending map[int64]bool        // followed, and not seen to have ended
	since   time.Time             // what changed before was listed, zero if that is not known
	whole   time.Time             // when a list last was for all that are pending
}

// list reads the newest requests first, to the first that was not changed since
// the last list. Where all are wanted it reads until it has all, or until as
// many pages were read as Get would need calls for the rest.
func (l *lister) list(ctx context.Context) (states []*MachineImageUploadRequest, whole bool, after time.Duration, err error) {
	now := time.Now()
	whole = l.since.IsZero() || now.Sub(l.whole) >= wholeEvery
	missing, pages := len(l.pending), 0
	if !whole {
		missing = 0
	}
	var since time.Time
	opts := ListMachineImagesOptions{OrderBy: OrderByLastUpdateDate, SortOrder: SortDescending}
	all := allPages(0, 0, func(limit, offset int) (*MachineImagePage, error) {
		if whole && pages > 0 && pages >= missing {
			return &MachineImagePage{}, nil
		}
		pages++
		opts.Limit, opts.Offset = limit, offset
		service := l.service
		if offset == 0 {
			service = l.first
		}
		page, resp, err := service.list(ctx, &opts)
		after = max(after, resp.RetryAfter())
		if err == nil && offset == 0 {
			since = l.nextSince(page, resp)
		}
		return page, err
	})
	seen := make(map[int64]bool, missing)
	sorted, previous := true, time.Time{}
	for r, err := range all {
		if err != nil {
			return nil, false, after, err
		}
		date := r.LastModifiedDate
		sorted = sorted && !date.IsZero() && (previous.IsZero() || !date.After(previous))
		previous = date
		if !whole && sorted && date.Before(l.since) {
			break
		}
		if !l.pending[r.UploadRequestID] || seen[r.UploadRequestID] {
			continue
		}
		seen[r.UploadRequestID] = true
		missing--
		states = append(states, r)
	}
	for _, r := range states {
		l.ended(r)
	}
	if l.since = since; !sorted {
		l.since = time.Time{} // no date can be relied on
	}
	if whole {
		l.whole = now
	}
	return states, whole, after, nil
}

// nextSince returns the time before which the next list needs nothing, by the
// service's clock: a list may lag behind the newest record that it shows, and
// the clock that made the dates behind that of the response.
func (l *lister) nextSince(page *MachineImagePage, resp *transport.Response) time.Time {
	if len(page.Items) == 0 || page.Items[0].LastModifiedDate.IsZero() {
		return time.Time{}
	}
	since := page.Items[0].LastModifiedDate.Add(-l.service.lag)
	if date, err := http.ParseTime(resp.Header.Get("Date")); err == nil && date.Add(-clockTolerance).After(since) {
		return date.Add(-clockTolerance)
	}
	return since
}

func (l *lister) get(ctx context.Context, id int64) (*MachineImageUploadRequest, time.Duration, error) {
	r, after, err := l.first.get(ctx, id)
	if err == nil {
		l.ended(r)
	}
	return r, after, err
}

func (l *lister) ended(r *MachineImageUploadRequest) {
	if r.done() {
		delete(l.pending, r.UploadRequestID)
	}
}
