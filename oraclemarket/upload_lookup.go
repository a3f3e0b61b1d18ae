package oraclemarket

import (
	"context"
	"fmt"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"time"

	"github.com/imagejobs/imagejobs-go/internal/transport"
)

// adoptLost searches List for the upload request of an initiate whose response
// was lost, until it is found or a list would show it however much it lags:
// arrived is the last moment at which the request can have reached the service.
// It reports whether it was found, and takes it over then.
func (u *upload) adoptLost(ctx context.Context, arrived time.Time) (found bool, err error) {
	id, err := u.findLost(ctx, arrived.Add(u.service.lag))
	if id == 0 || err != nil {
		return false, err
	}
	u.adopted = true
	return true, u.take(ctx, id)
}

// sharedWith returns an error if an upload request that List had counts chunks
// that this upload has not sent: then it is somebody else's.
func (u *upload) sharedWith(ack *ChunkAcknowledgement) error {
	u.mu.Lock()
	defer u.mu.Unlock()
	if !u.adopted || ack.UploadedChunks <= u.begun {
		return nil
	}
	return fmt.Errorf("%w: upload request %d counts %d chunks, of which this upload has sent %d: another upload uses it",
		ErrAmbiguous, u.state.UploadRequestID, ack.UploadedChunks, u.begun)
}

// findLost returns 0 if there is no such request by the end.
func (u *upload) findLost(ctx context.Context, end time.Time) (int64, error) {
	lag := u.service.lag
	var only int64 // the one that fits, since
	var since time.Time
	for interval := lag / 30; ; interval = min(2*interval, lag/6) {
		ids, err := u.candidates(ctx)
		now := time.Now()
		switch {
		case err != nil:
			return 0, fmt.Errorf("%s: search for the upload request of a lost response: %w", pkg, err)
		case len(ids) == 1 && ids[0] != only:
			only, since = ids[0], now
		case len(ids) == 1 && now.Sub(since) >= lag/6:
			// Another one would have shown, or chunks of somebody else in this.
			return only, nil
		case len(ids) != 1 && now.After(end):
			if len(ids) == 0 {
				return 0, nil
			}
			return 0, fmt.Errorf("%s: %w: upload requests %v all match; delete the unwanted ones and try again", pkg, ErrAmbiguous, ids)
		}
		if err := transport.Sleep(ctx, interval); err != nil {
			return 0, fmt.Errorf("%s: search for the upload request of a lost response: %w", pkg, err)
		}
	}
}

const (
	// clockTolerance is how far the clocks of one service's machines may be
	// apart.
	clockTolerance = 2 * time.Minute
	// foreignTolerance is the same for machines that nothing compares: those that
	// run one upload, one after the other, and a service that sends no Date.
	foreignTolerance = 15 * time.Minute
)

// candidates returns the upload requests that may be the one of an initiate.
func (u *upload) candidates(ctx context.Context) ([]int64, error) {
	var since, until time.Time
	opts := ListMachineImagesOptions{OrderBy: OrderByLastUpdateDate, SortOrder: SortDescending}
	all := allPages(0, 0, func(limit, offset int) (*MachineImagePage, error) {
		opts.Limit, opts.Offset = limit, offset
		page, resp, err := u.list(ctx, &opts)
		if err == nil && offset == 0 {
			since, until = u.initiateTimes(resp)
		}
		return page, err
	})
	var ids []int64
	for r, err := range all {
		if err != nil {
			return nil, err
		}
		inTime := r.CreatedDate.IsZero() || !r.CreatedDate.Before(since) && !r.CreatedDate.After(until)
		// A request comes twice when others pass it while the pages are read.
		seen := slices.Contains(ids, r.UploadRequestID) || slices.Contains(u.state.Abandoned, r.UploadRequestID)
		_, taken := u.service.uploading.Load(r.UploadRequestID)
		if inTime && u.matches(r) && !seen && !taken {
			ids = append(ids, r.UploadRequestID)
		}
	}
	return ids, nil
}

// initiateTimes returns between which dates the service may have created the
// upload request, by its clock: that made the dates in the list.
func (u *upload) initiateTimes(list *transport.Response) (since, until time.Time) {
	date, err := http.ParseTime(list.Header.Get("Date"))
	tolerance := clockTolerance
	if u.resumed || err != nil {
		tolerance = foreignTolerance
	}
	since, until = u.state.InitiatedAt.Add(-tolerance), u.state.LastInitiateAt.Add(maxInitiate+tolerance)
	if err != nil {
		return since, until
	}
	skew := time.Until(date)
	since, until = since.Add(skew), until.Add(skew)
	if since.After(date) { // our clock was ahead then, nobody knows how far
		since = time.Time{}
	}
	return since, until
}

// matches reports whether r is the same image, in as many chunks, with nothing
// in it that this upload has not sent. What pendingChunks means is not
// documented: 0 means nothing.
func (u *upload) matches(r *MachineImageUploadRequest) bool {
	sent := 0
	if u.state.First != "" {
		sent = 1
	}
	return u.sameImage(r) && (!strings.Contains(r.CreatedBy, "@") || strings.EqualFold(strings.TrimSpace(r.CreatedBy), strings.TrimSpace(u.service.user))) &&
		r.UploadedChunks <= sent &&
		(r.PendingChunks == 0 || r.PendingChunks == u.chunks() || r.PendingChunks == u.chunks()-r.UploadedChunks) &&
		!r.StatusName.Terminal() && !r.StatusName.pastMerge()
}

// sameImage reports whether r is of the image of this upload.
func (u *upload) sameImage(r *MachineImageUploadRequest) bool {
	return sameName(r.Application, u.req.Application) && sameName(r.Version, u.req.Version) &&
		sameName(r.OperatingSystem, u.req.OperatingSystem) && sameFileName(r.FileName, u.req.FileName)
}

// sameName compares names of which the service may have trimmed its own.
func sameName(theirs, ours string) bool { return strings.TrimSpace(theirs) == strings.TrimSpace(ours) }

// sameFileName compares a name in a response with ours, which the service may
// have kept as the header had it, or decoded where there was nothing to decode.
func sameFileName(theirs, ours string) bool {
	decoded, err := url.PathUnescape(ours)
	return sameName(theirs, ours) || sameName(theirs, headerFileName(ours)) || err == nil && sameName(theirs, decoded)
}
