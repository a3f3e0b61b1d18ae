package multiplay

import (
	"cmp"
	"context"
	"fmt"
	"iter"
	"slices"
	"time"

	"github.com/imagejobs/imagejobs-go/internal/poll"
)

// RolloutError reports a rollout that ended without reaching every machine.
type RolloutError struct {
	// ImageID is the image that was rolled out.
	ImageID int64
	MachineCounts
}

// Error implements error.
func (e *RolloutError) Error() string {
	return fmt.Sprintf("multiplay: rollout of image %d ended with %d failed and %d completed machines", e.ImageID, e.Failed, e.Completed)
}

// WaitRollout polls until no machine awaits the image's latest version and no
// install of that version is under way, and returns the last counts. Machines
// that failed are a [*RolloutError]. The rollout begins when the version's job
// completes: wait for that first.
//
// WaitRollout runs until ctx ends. It rides out transient failures for the
// outage limit, see [WithOutageLimit]. When it gives up, the error has the last
// counts known, and these, if any were seen, are returned with it.
func (s *ImagesService) WaitRollout(ctx context.Context, imageID, imageVersionID int64, opts ...WaitOption) (*RolloutStatus, error) {
	job, err := s.follow(imageID, imageVersionID, opts)
	return wait(ctx, job, err)
}

// WatchRollout polls like [ImagesService.WaitRollout] and yields the counts,
// then again whenever they have changed. A rollout with failed machines yields
// its last counts and then a [*RolloutError]. Any error ends the sequence; it
// comes with the last counts seen, nil if there were none.
func (s *ImagesService) WatchRollout(ctx context.Context, imageID, imageVersionID int64, opts ...WaitOption) iter.Seq2[*RolloutStatus, error] {
	job, err := s.follow(imageID, imageVersionID, opts)
	return watch(ctx, job, err)
}

func (s *ImagesService) follow(imageID, imageVersionID int64, opts []WaitOption) (*poll.Job[*RolloutStatus], error) {
	o, err := pollOptions(opts)
	err = cmp.Or(
		checkID("Images.WatchRollout: imageID", imageID),
		checkID("Images.WatchRollout: imageVersionID", imageVersionID),
		err,
	)
	installing := false
	return &poll.Job[*RolloutStatus]{
		Options: o,
		Package: pkg,
		Name:    fmt.Sprintf("the rollout of image %d", imageID),
		Outage:  s.client.outageLimit,
		Get: func(ctx context.Context) (now *RolloutStatus, after time.Duration, err error) {
			// The documented way is to poll the installs until there are none; the
			// counts alone may not have begun to move.
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
	}, err
}

// installing reports whether an install of that version is under way. One that
// does not name its version may be.
func (s *ImagesService) installing(ctx context.Context, imageVersionID int64) (bool, error) {
	installs, err := s.installs.List(ctx)
	return slices.ContainsFunc(installs, func(i ImageInstall) bool {
		return i.TargetImageVersionID == imageVersionID || i.TargetImageVersionID == 0
	}), err
}
