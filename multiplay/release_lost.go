package multiplay

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"slices"
	"time"

	"github.com/imagejobs/imagejobs-go/internal/outage"
	"github.com/imagejobs/imagejobs-go/internal/poll"
	"github.com/imagejobs/imagejobs-go/internal/transport"
)

// locks returns what locks the image.
func (r *release) locks(ctx context.Context) (*ImageOptions, error) {
	return r.client.Images.Options(ctx, &ImageOptionsRequest{GameID: r.req.GameID, ImageID: r.req.ImageID})
}

// locksBefore returns what locks the image before a job is created, nil if
// there is no way to know.
func (r *release) locksBefore(ctx context.Context) (before *ImageOptions, err error) {
	if r.req.GameID == 0 {
		return nil, nil //nolint:nilnil // it is optional
	}
	_, err = r.repeat(ctx, 0, false, func(ctx context.Context) (id int64, err error) {
		before, err = r.locks(ctx)
		return 1, err
	})
	return before, err
}

// findUpdate returns the update whose creation got no response.
func (r *release) findUpdate(ctx context.Context, before *ImageOptions, lost error) (int64, error) {
	if before == nil {
		return 0, fmt.Errorf("%w; with ReleaseRequest.GameID, Release searches for it", lost)
	}
	id, err := r.repeat(ctx, outage.Lag, false, func(ctx context.Context) (int64, error) {
		now, err := r.locks(ctx)
		if err != nil || now.UpdateID == before.UpdateID {
			return 0, err
		}
		return now.UpdateID, nil
	})
	return id, notFound(id, err, lost, "Images.Options shows no new update: it may have ended or never begun")
}

// findDiff returns the diff whose creation got no response. An image has one
// outstanding diff at most, and the service names it when it refuses another: so
// to ask again makes no second one.
func (r *release) findDiff(
	ctx context.Context, before *ImageOptions, send func(context.Context) (int64, *Job, error), lost error,
) (int64, error) {
	const attempts = 3
	for range attempts {
		id, err := r.shownDiff(ctx, before)
		if id != 0 || err != nil {
			return id, notFound(id, err, lost, "")
		}
		id, err = r.repeat(ctx, 0, false, func(ctx context.Context) (int64, error) {
			id, _, err := send(ctx)
			return id, err
		})
		locked, ok := errors.AsType[*ImageLockedError](err)
		if ok {
			return r.lockingDiff(ctx, before, locked, lost)
		}
		if !errors.Is(err, ErrAmbiguous) || ctx.Err() != nil {
			return id, err
		}
		lost = err
	}
	return 0, lost
}

// shownDiff returns the diff that locks the image now and did not before, 0 if
// none shows up.
func (r *release) shownDiff(ctx context.Context, before *ImageOptions) (int64, error) {
	if before == nil {
		return 0, transport.Sleep(ctx, cmp.Or(r.options.Initial, poll.DefaultInitial))
	}
	return r.repeat(ctx, outage.Lag, false, func(ctx context.Context) (int64, error) {
		now, err := r.locks(ctx)
		if err != nil || now.DiffID == before.DiffID {
			return 0, err
		}
		return now.DiffID, nil
	})
}

// lockingDiff returns the diff that locks the image, unless it was there before
// the release could create one.
func (r *release) lockingDiff(ctx context.Context, before *ImageOptions, locked *ImageLockedError, lost error) (int64, error) {
	if before != nil {
		if locked.DiffID == before.DiffID {
			return 0, locked
		}
		return locked.DiffID, nil
	}
	var diff *ImageDiffStatus
	_, err := r.repeat(ctx, 0, true, func(ctx context.Context) (id int64, err error) {
		diff, err = r.client.ImageDiffs.Status(ctx, locked.DiffID, nil)
		return 1, err
	})
	switch {
	case err != nil:
		return 0, notFound(0, err, lost, "")
	case diff.Created.IsZero(), r.before.IsZero(), between(diff.Created, r.before.Add(-outage.Lag), r.before):
		// Which of the service's clocks are late by how much is not known.
		return 0, notFound(0, nil, lost, fmt.Sprintf("it may be diff %d, which locks the image", locked.DiffID))
	case diff.Created.Before(r.before):
		return 0, locked
	default:
		return locked.DiffID, nil
	}
}

func between(t, from, to time.Time) bool { return !t.Before(from) && t.Before(to) }

// installed returns the versions that are being installed.
func (r *release) installed(ctx context.Context) (map[int64]bool, error) {
	installs, err := r.client.ImageInstalls.List(ctx)
	versions := map[int64]bool{}
	for _, i := range installs {
		versions[i.TargetImageVersionID] = true
	}
	return versions, err
}

// installedBefore returns the versions that are being installed before one is
// created, nil if there is no way to know whose they are.
func (r *release) installedBefore(ctx context.Context) (before map[int64]bool, err error) {
	if r.req.GameID == 0 {
		return nil, nil //nolint:nilnil // it is optional
	}
	_, err = r.repeat(ctx, 0, false, func(ctx context.Context) (id int64, err error) {
		before, err = r.installed(ctx)
		return 1, err
	})
	return before, err
}

// findVersion returns the version whose creation got no response: the only new
// one that is being installed, once the diff no longer locks the image.
func (r *release) findVersion(ctx context.Context, before map[int64]bool, lost error) (int64, error) {
	if before == nil {
		return 0, fmt.Errorf("%w; with ReleaseRequest.GameID, Release searches for it", lost)
	}
	accepted, err := r.repeat(ctx, r.client.outageLimit(), false, func(ctx context.Context) (int64, error) {
		locks, err := r.locks(ctx)
		if err != nil || locks.DiffID == r.result.DiffID {
			return 0, err
		}
		return r.result.DiffID, nil
	})
	if err := notFound(accepted, err, lost, fmt.Sprintf("diff %d still locks the image", r.result.DiffID)); err != nil {
		return 0, err
	}
	id, err := r.repeat(ctx, r.options.startLimit, false, func(ctx context.Context) (int64, error) {
		now, err := r.installed(ctx)
		if err != nil {
			return 0, err
		}
		return r.newVersion(ctx, before, now)
	})
	return id, notFound(id, err, lost, fmt.Sprintf("diff %d no longer locks the image, but ImageInstalls.List shows no new version", r.result.DiffID))
}

// newVersion returns the version in now that was not before, 0 if there is none.
func (r *release) newVersion(ctx context.Context, before, now map[int64]bool) (int64, error) {
	var found []int64
	for id := range now {
		if before[id] || id == 0 {
			continue
		}
		version, err := r.client.ImageVersions.Status(ctx, id)
		if err != nil && !errors.Is(err, ErrNotFound) {
			return 0, err
		}
		if err == nil && (version.Created.IsZero() || !version.Created.Before(r.before)) {
			found = append(found, id)
		}
	}
	switch len(found) {
	case 0:
		return 0, nil
	case 1:
		return found[0], nil
	default:
		slices.Sort(found)
		return 0, fmt.Errorf("the versions %v are all new; find out which one it is", found)
	}
}

// notFound returns why a job was not found, nil if it was.
func notFound(id int64, err, lost error, text string) error {
	switch {
	case err != nil:
		return fmt.Errorf("%w; searching for it: %w", lost, err)
	case id == 0:
		return fmt.Errorf("%w; searched for it: %s", lost, text)
	default:
		return nil
	}
}

// repeat calls get until it returns an id, but no longer than limit after it
// first worked, and rides out outages. A limit of 0 is for a get that always
// returns an id. exists means that what get asks for exists.
func (r *release) repeat(
	ctx context.Context, limit time.Duration, exists bool, get func(context.Context) (int64, error),
) (int64, error) {
	var until time.Time
	rule := outage.Rule{Limit: r.client.outageLimit()}
	longest := cmp.Or(r.options.Max, poll.DefaultMax)
	interval := cmp.Or(r.options.Initial, poll.DefaultInitial)
	for {
		id, err := get(ctx)
		pause := interval
		if err == nil {
			interval = min(interval*3/2, longest)
			rule.Success()
			if until.IsZero() {
				until = time.Now().Add(limit)
			}
			left := time.Until(until)
			if id != 0 || left <= 0 {
				return id, nil
			}
			pause = min(pause, left)
		} else {
			left, goOn := rule.Left(ctx, err, exists && outage.Lagging(err, true))
			if !goOn {
				return 0, err
			}
			pause = min(rule.Pause(retryAfter(err)), left)
		}
		if err := transport.Sleep(ctx, pause); err != nil {
			return 0, err
		}
	}
}

func (c *Client) outageLimit() time.Duration {
	return cmp.Or(c.Images.client.outageLimit, outage.DefaultLimit)
}
