package oraclemarket

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/imagejobs/imagejobs-go/internal/outage"
	"github.com/imagejobs/imagejobs-go/internal/transport"
)

// maxInitiate is how long one initiate call may take, with the token that it
// may wait for and its attempts.
const maxInitiate = 10 * time.Minute

// maxPause is the longest pause between two calls in an outage, unless the
// service asks for more.
const maxPause = 15 * time.Second

// initiate gets an upload request and leaves exactly one on the service. The
// checkpoint goes first, so that the next call knows of a request whose response
// this one did not live to see.
func (u *upload) initiate(ctx context.Context) error {
	var arrived time.Time // the last moment at which a lost request can have
	lost := u.resumed     // an earlier call may have come through
	u.mayExist = lost
	if lost {
		arrived = time.Now()
		if latest := u.state.LastInitiateAt.Add(maxInitiate); latest.Before(arrived) {
			arrived = latest
		}
	}
	rule := outage.Rule{Limit: u.service.outageLimit}
	for pause := time.Second; ; pause = min(pause*3/2, maxPause) {
		if lost {
			if found, err := u.adoptLost(ctx, arrived); found || err != nil {
				return err
			}
		}
		if err := u.saveInitiate(ctx); err != nil {
			return err
		}
		created, err := u.requestUpload(ctx)
		arrived = time.Now()
		u.mayExist = u.mayExist || errors.Is(err, ErrAmbiguous) || ctx.Err() != nil && attempts(err) > 0
		ambiguous, cause := errors.Is(err, ErrAmbiguous), err
		switch {
		case err == nil:
			u.resumed = false
			u.state.UploadRequestID = created.EntityID
			return u.save(ctx, phaseUploading)
		case ctx.Err() != nil:
			return err // the checkpoint stays: the request may have come through
		case ambiguous:
			lost, cause = true, ErrTransient // unless List has it
		case !IsTransient(err) && lost:
			return err // the checkpoint stays: the list may have lagged
		case !IsTransient(err):
			return errors.Join(err, u.forget(ctx))
		}
		left, goOn := rule.Left(ctx, cause, false)
		if ambiguous {
			if found, searchErr := u.adoptLost(ctx, arrived); found || searchErr != nil {
				return after(searchErr, err)
			}
		}
		left -= time.Since(arrived)
		if !goOn || left <= 0 {
			return err
		}
		if sleepErr := sleep(ctx, min(left, max(pause, retryAfter(err))-time.Since(arrived))); sleepErr != nil {
			return after(sleepErr, err)
		}
	}
}

func (u *upload) saveInitiate(ctx context.Context) error {
	u.state.LastInitiateAt = time.Now().UTC()
	if u.state.InitiatedAt.IsZero() {
		u.state.InitiatedAt = u.state.LastInitiateAt
	}
	return u.save(ctx, phaseInitiating)
}

func (u *upload) requestUpload(ctx context.Context) (*Acknowledgement, error) {
	return u.service.Initiate(ctx, &InitiateUploadRequest{
		Application: u.req.Application, Version: u.req.Version, OperatingSystem: u.req.OperatingSystem,
		OverwriteStorageFile: u.req.OverwriteStorageFile, FileName: u.req.FileName,
		NumberOfChunks: u.chunks(),
	})
}

// attempts returns how many requests were sent.
func attempts(err error) int {
	if e, ok := errors.AsType[*Error](err); ok {
		return e.Attempts
	}
	return 0
}

// retryAfter returns how long the service asks to wait.
func retryAfter(err error) time.Duration {
	if e, ok := errors.AsType[*Error](err); ok {
		return e.RetryAfter
	}
	return 0
}

// after returns err with the failure that came before it. nil stays nil.
func after(err, before error) error {
	if err == nil {
		return nil
	}
	return fmt.Errorf("%w, after: %w", err, before)
}

func sleep(ctx context.Context, d time.Duration) error {
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-timer.C:
		return nil
	case <-ctx.Done():
		return transport.ContextErr(ctx)
	}
}
