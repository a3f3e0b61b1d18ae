package oraclemarket

import (
	"context"
	"errors"
)

// merge requests the merge, again if it was requested before. A repeated merge
// may be refused because the first one came through, so a refusal counts only
// if the service has not gone on, and not where the status may be late.
func (u *upload) merge(ctx context.Context, repeated bool) error {
	id := u.state.UploadRequestID
	if _, err := u.service.Merge(ctx, id); err != nil {
		if ctx.Err() != nil {
			return err
		}
		e, _ := errors.AsType[*Error](err)
		repeated = repeated || e != nil && e.Attempts > 1
		refused := errors.Is(err, ErrBadRequest) || errors.Is(err, ErrConflict)
		now, getErr := u.service.Get(ctx, id)
		if getErr != nil {
			return err
		}
		late := repeated && refused && (now.StatusName == StatusPending || u.mergeUncertain)
		if !now.StatusName.Terminal() && !now.StatusName.pastMerge() && !late {
			return err
		}
	}
	return u.save(ctx, phaseMerged)
}

// wait follows the request to its end, with which the checkpoint ends, too.
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
	}
	return last, u.forget(ctx)
}
