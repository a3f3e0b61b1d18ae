package oraclemarket

import (
	"context"
	"errors"
	"time"

	"github.com/imagejobs/imagejobs-go/internal/outage"
	"github.com/imagejobs/imagejobs-go/internal/transport"
)

// mergeTimeouts is how many times as long as another small call a merge request
// may take: the service may join the chunks before it responds.
const mergeTimeouts = 3

// merge requests the merge. After a failure it polls for a merge that came
// through before it requests it again. repeated means that an earlier call
// requested it.
func (u *upload) merge(ctx context.Context, repeated bool) error {
	timeout := mergeTimeouts * u.service.client.AttemptTimeout()
	rule := outage.Rule{Limit: u.service.outageLimit}
	for {
		_, err := u.service.merge(ctx, u.state.UploadRequestID, transport.Once, timeout)
		if err == nil {
			return u.save(ctx, phaseMerged)
		}
		if ctx.Err() != nil {
			return err
		}
		cause := err
		if errors.Is(err, ErrAmbiguous) {
			repeated, cause = true, ErrTransient
		}
		conflict := errors.Is(err, ErrConflict)
		left, goOn := rule.Left(ctx, cause, conflict || isGone(err))
		failed := time.Now()
		look := time.Duration(0)
		switch {
		case errors.Is(err, ErrAmbiguous):
			look = min(u.service.lag, left)
		case repeated:
			look = u.service.lag
		}
		merged, lookErr := false, error(nil)
		if !IsTransient(err) { // else this request has merged nothing
			merged, lookErr = u.looksMerged(ctx, look, repeated && (conflict || errors.Is(err, ErrBadRequest)))
		}
		switch {
		case merged:
			return u.save(ctx, phaseMerged)
		case lookErr != nil:
			return after(lookErr, err)
		case !goOn:
			return err
		}
		wait := rule.Pause(retryAfter(err)) - time.Since(failed)
		if sleepErr := transport.Sleep(ctx, min(wait, left-time.Since(failed))); sleepErr != nil {
			return after(sleepErr, err)
		}
	}
}

// looksMerged reports whether the service has merged. It polls for that long,
// since the record may lag. A repeated merge may be refused because the service
// has, and Pending, which may come before the merge or after it, is after it
// then.
func (u *upload) looksMerged(ctx context.Context, look time.Duration, refused bool) (bool, error) {
	end := time.Now().Add(look)
	interval, rule := u.service.lag/30, outage.Rule{}
	for {
		now, err := u.service.Get(ctx, u.state.UploadRequestID)
		switch {
		case ctx.Err() != nil:
			return false, transport.ContextErr(ctx)
		case err != nil: // the error of the merge explains more
		case now.StatusName.Terminal(), now.StatusName.pastMerge():
			return true, nil
		case refused && (now.StatusName == StatusPending || u.mergeUncertain):
			return true, nil
		}
		if !time.Now().Before(end) {
			return false, nil
		}
		pause := interval
		if IsTransient(err) {
			pause = rule.Pause(retryAfter(err))
		} else {
			rule.Success()
			interval = min(2*interval, u.service.lag/6)
		}
		if err := transport.Sleep(ctx, min(pause, time.Until(end))); err != nil {
			return false, err
		}
	}
}

// wait follows the request to its end, or to its first state, with which the
// checkpoint ends, too.
func (u *upload) wait(ctx context.Context) (*MachineImageUploadRequest, error) {
	var last *MachineImageUploadRequest
	for now, err := range u.service.Watch(ctx, u.state.UploadRequestID, u.req.WaitOptions...) {
		if err != nil {
			if _, ended := errors.AsType[*StateError](err); ended {
				err = errors.Join(err, u.forget(ctx))
			}
			return last, err
		}
		last = now
		if u.req.StatusChanged != nil {
			u.req.StatusChanged(now)
		}
		if u.req.NoWait && !now.done() {
			break
		}
	}
	return last, u.forget(ctx)
}
