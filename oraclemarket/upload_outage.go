package oraclemarket

import (
	"context"

	"github.com/imagejobs/imagejobs-go/internal/outage"
	"github.com/imagejobs/imagejobs-go/internal/transport"
)

// rideOut calls f until it succeeds, fails for good, or has failed transiently
// for the outage limit.
func (u *upload) rideOut(ctx context.Context, f func() error) error {
	rule := outage.Rule{Limit: u.service.outageLimit}
	for {
		err := f()
		if err == nil {
			return nil
		}
		left, goOn := rule.Left(ctx, err, false)
		if !goOn {
			return err
		}
		if sleepErr := transport.Sleep(ctx, min(rule.Pause(retryAfter(err)), left)); sleepErr != nil {
			return after(sleepErr, err)
		}
	}
}

// get returns the upload request.
func (u *upload) get(ctx context.Context) (now *MachineImageUploadRequest, err error) {
	err = u.rideOut(ctx, func() error {
		now, err = u.service.Get(ctx, u.state.UploadRequestID)
		return err
	})
	return now, err
}

// list returns one page of the upload requests.
func (u *upload) list(ctx context.Context, opts *ListMachineImagesOptions) (page *MachineImagePage, resp *transport.Response, err error) {
	err = u.rideOut(ctx, func() error {
		page, resp, err = u.service.list(ctx, opts)
		return err
	})
	return page, resp, err
}
