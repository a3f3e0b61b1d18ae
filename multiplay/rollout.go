package multiplay

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"iter"
	"time"

	"github.com/imagejobs/imagejobs-go/internal/outage"
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

// RolloutNotStartedError reports a rollout in which no install started within
// the start limit; see [WithStartLimit]. Its installs may wait to be queued by
// hand: do that with [ImageInstallsService.Queue], or release with another
// [InstallMode]. Or there are machines that await the version, and no installs.
type RolloutNotStartedError struct {
	// ImageID is the image to roll out.
	ImageID int64
	// ImageVersionID is the version to install.
	ImageVersionID int64
	// Waiting has the installs that wait, as [ImageInstallsService.List] returns
	// them. It may be empty.
	Waiting []ImageInstall
	// Limit is the start limit.
	Limit time.Duration
}

// Error implements error.
func (e *RolloutNotStartedError) Error() string {
	text := fmt.Sprintf("multiplay: rollout of version %d of image %d has not started in %s", e.ImageVersionID, e.ImageID, e.Limit)
	if len(e.Waiting) == 0 {
		return text + ": machines await it, but ImageInstalls.List shows no install"
	}
	text += fmt.Sprintf(": %d installs wait, the first is job %d", len(e.Waiting), e.Waiting[0].JobID)
	return text + ": queue them with ImageInstalls.Queue, or release with InstallManual"
}

// WaitRollout polls until no machine awaits the image's latest version and no
// install of that version is under way, and returns the last counts. If
// machines failed, the error is a [*RolloutError]. The rollout begins when the
// version's job completes: wait for that first. Where there is nothing of it to
// be seen yet, WaitRollout polls for half a minute, since it may show up late. If
// it never starts, the error is a [*RolloutNotStartedError].
//
// WaitRollout runs until ctx is done. It rides out transient failures for the
// outage limit, see [WithOutageLimit]. An error names the last counts known,
// and is returned with them, nil if there were none.
func (s *ImagesService) WaitRollout(ctx context.Context, imageID, imageVersionID int64, opts ...WaitOption) (*RolloutStatus, error) {
	job, err := s.follow(imageID, imageVersionID, opts)
	return wait(ctx, job, err)
}

// WatchRollout polls like [ImagesService.WaitRollout] and yields the counts,
// then again whenever they have changed. If machines failed, it yields the last
// counts and then a [*RolloutError]. Any error ends the sequence and comes with
// the last counts seen, nil if there were none.
func (s *ImagesService) WatchRollout(ctx context.Context, imageID, imageVersionID int64, opts ...WaitOption) iter.Seq2[*RolloutStatus, error] {
	job, err := s.follow(imageID, imageVersionID, opts)
	return watch(ctx, job, err)
}

func (s *ImagesService) follow(imageID, imageVersionID int64, opts []WaitOption) (*poll.Job[*RolloutStatus], error) {
	o, err := waitOptions(opts)
	err = cmp.Or(
		checkID("Images.WatchRollout: imageID", imageID),
		checkID("Images.WatchRollout: imageVersionID", imageVersionID),
		s.client.checkProject("Images.WatchRollout"),
		err,
	)
	r := &rollout{images: s.client.singly().Images, imageID: imageID, versionID: imageVersionID, limit: o.startLimit, queueAfter: never}
	return r.follow(o), err
}

// rollout is what is known of one under way.
type rollout struct {
	images             *ImagesService
	imageID, versionID int64
	limit              time.Duration // for the first install to start
	due                time.Time     // of the installs; zero for at once
	queueAfter         time.Duration // how long installs wait before they are queued from here
	quiet              time.Duration // for how long nothing of it may be seen

	first      *MachineCounts // from before it, or of the first poll
	moved      bool           // something of the rollout was seen
	started    bool           // an install was
	began      time.Time      // of waiting for one: when the installs are due
	installing bool
	waiting    map[int64]*waitingInstall // by job id
}

const never = time.Duration(1<<63 - 1)

// waitingInstall is an install that waits to be queued.
type waitingInstall struct {
	since, queued time.Time
	err           error // of queueing it
}

func (r *rollout) follow(o waitConfig) *poll.Job[*RolloutStatus] {
	r.waiting = map[int64]*waitingInstall{}
	// Who polls far more often, as tests do, knows of a service without lag.
	r.quiet = min(outage.Lag, 30*cmp.Or(o.Max, poll.DefaultMax))
	return &poll.Job[*RolloutStatus]{
		Options: o.Options,
		Package: pkg,
		Name:    fmt.Sprintf("the rollout of image %d", r.imageID),
		Outage:  r.images.client.outageLimit,
		Get:     r.get,
		Status:  func(now *RolloutStatus) string { return fmt.Sprintf("%d machines pending", now.Pending) },
		Done:    r.done,
		Failed: func(now *RolloutStatus) error {
			if now.Failed == 0 {
				return nil
			}
			return &RolloutError{ImageID: r.imageID, MachineCounts: now.MachineCounts}
		},
		Same: func(older, newer *RolloutStatus) bool { return older.MachineCounts == newer.MachineCounts },
	}
}

// done reports whether the rollout has ended. The installs of a version that has
// just completed may not be listed yet.
func (r *rollout) done(now *RolloutStatus) bool {
	return now.Pending == 0 && !r.installing && (r.moved || time.Since(r.began) >= r.quiet)
}

// get polls the installs as well, which is the documented way: the counts alone
// may not have begun to move.
func (r *rollout) get(ctx context.Context) (*RolloutStatus, time.Duration, error) {
	installs, err := r.images.installs.List(ctx)
	if err != nil {
		return nil, retryAfter(err), err
	}
	now, after, err := r.images.rolloutStatus(ctx, r.imageID, nil)
	if err != nil {
		return nil, after, err
	}
	waiting := r.look(installs, now)
	if err := r.queue(ctx, waiting); err != nil {
		return nil, max(after, retryAfter(err)), err
	}
	return now, after, r.checkStart(waiting, now)
}

// look records what a poll shows to be under way, and returns the installs that
// wait to be queued.
func (r *rollout) look(installs []ImageInstall, now *RolloutStatus) (waiting []ImageInstall) {
	r.installing = false
	for _, i := range installs {
		switch i.TargetImageVersionID {
		case r.versionID:
			r.moved = true
			r.installing = r.installing || !i.State.Terminal() // one that has ended may be listed for a while
			if i.State == JobCreated || i.State == JobPending {
				waiting = append(waiting, i)
			} else if i.State != "" && i.State != JobSquashed {
				r.started = true
			}
		case 0: // it may be one of the version
			r.installing = true
		}
	}
	if r.first == nil {
		r.first = &now.MachineCounts
	}
	if r.began.IsZero() {
		r.began = time.Now()
		if r.due.After(r.began) {
			r.began = r.due
		}
	}
	r.moved = r.moved || now.Pending > 0 || now.MachineCounts != *r.first
	// Installs that have ended are not listed any more.
	r.started = r.started || now.Completed > r.first.Completed || now.Failed > r.first.Failed
	return waiting
}

// queue queues the installs that have waited for long enough, each once. If
// that got no response, or was refused, the install may have started all the
// same: a list that still has it waiting half a minute later shows that it has
// not.
func (r *rollout) queue(ctx context.Context, waiting []ImageInstall) error {
	now := time.Now()
	for _, i := range waiting {
		w := r.waiting[i.JobID]
		if w == nil {
			w = &waitingInstall{since: now}
			r.waiting[i.JobID] = w
		}
		switch {
		case now.Sub(w.since) < r.queueAfter:
			continue
		case w.queued.IsZero():
		case w.err == nil || now.Sub(w.queued) < outage.Lag:
			continue
		case !errors.Is(w.err, ErrAmbiguous):
			return fmt.Errorf("install %d waits and cannot be queued: %w", i.JobID, w.err)
		}
		_, err := r.images.installs.Queue(ctx, &QueueImageInstallRequest{JobID: i.JobID, Mirroring: i.Mirroring})
		if err != nil && (ctx.Err() != nil || IsTransient(err)) {
			return err
		}
		w.queued, w.err = now, err
	}
	return nil
}

// checkStart returns an error if the rollout has not started in time.
func (r *rollout) checkStart(waiting []ImageInstall, now *RolloutStatus) error {
	switch {
	case r.started:
		return nil
	case len(waiting) > 0:
	case r.installing, now.Pending == 0, now.Completed > 0, now.Failed > 0:
		return nil // there is nothing to start, or it started before the first poll
	}
	due := r.began
	for _, i := range waiting {
		if i.InstallAt.After(due) {
			due = i.InstallAt
		}
	}
	if time.Since(due) < r.limit {
		return nil
	}
	return &RolloutNotStartedError{ImageID: r.imageID, ImageVersionID: r.versionID, Waiting: waiting, Limit: r.limit}
}
