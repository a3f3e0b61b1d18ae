package activities

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"slices"
	"time"

	"go.temporal.io/sdk/activity"
	"go.temporal.io/sdk/temporal"

	"github.com/imagejobs/imagejobs-go/examples/fleet/workflows"
	"github.com/imagejobs/imagejobs-go/imagereplicator"
	"github.com/imagejobs/imagejobs-go/multiplay"
	"github.com/imagejobs/imagejobs-go/oraclemarket"
)

// failure returns err as Temporal is to see it. It is the one place that decides
// what is retried.
func failure(ctx context.Context, err error, details ...any) error {
	if is[*temporal.ApplicationError](err) {
		return err
	}
	kind := errorType(err)
	return temporal.NewApplicationErrorWithOptions(err.Error(), kind, temporal.ApplicationErrorOptions{
		NonRetryable:   kind != workflows.ErrorTransient,
		NextRetryDelay: cmp.Or(retryAfter(err), pause(ctx, time.Minute)),
		Details:        details,
	})
}

func is[E error](err error) bool {
	_, ok := errors.AsType[E](err)
	return ok
}

// errorType returns the type of an error of any of the three packages, which
// share their sentinels.
func errorType(err error) string {
	switch {
	case errors.Is(err, oraclemarket.ErrSourceChanged):
		return workflows.ErrorSourceChanged
	case is[*oraclemarket.StateError](err), is[*imagereplicator.StateError](err), is[*multiplay.StateError](err),
		is[*multiplay.RolloutError](err), is[*multiplay.RolloutNotStartedError](err):
		return workflows.ErrorState
	case errors.Is(err, oraclemarket.ErrInvalidArgument), errors.Is(err, oraclemarket.ErrCheckpointInvalid):
		return workflows.ErrorArgument
	case errors.Is(err, oraclemarket.ErrAmbiguous) && !willSearch(err):
		return workflows.ErrorAmbiguous
	case oraclemarket.IsTransient(err), willSearch(err), errors.Is(err, context.Canceled), errors.Is(err, context.DeadlineExceeded):
		return workflows.ErrorTransient
	default:
		return workflows.ErrorRefused
	}
}

// willSearch reports whether err is an upload that an outage ended before it knew
// its upload request: the next attempt searches for that before it requests
// another.
func willSearch(err error) bool {
	upload, ok := errors.AsType[*oraclemarket.UploadError](err)
	if !ok || upload.UploadRequestID != 0 {
		return false
	}
	call, ok := upload.Err.(*oraclemarket.Error) //nolint:errorlint // several candidates are another error, around this one
	return ok && call.Ambiguous
}

// retryAfter returns the wait that the service asked for, 0 if none.
func retryAfter(err error) time.Duration {
	if e, ok := errors.AsType[*oraclemarket.Error](err); ok {
		return e.RetryAfter
	}
	if e, ok := errors.AsType[*imagereplicator.Error](err); ok {
		return e.RetryAfter
	}
	if e, ok := errors.AsType[*multiplay.Error](err); ok {
		return e.RetryAfter
	}
	return 0
}

// pending ends an attempt that found a job under way. The server starts the next
// one after a while, which costs no event of the workflow's history.
func pending(ctx context.Context, format string, args ...any) error {
	return temporal.NewApplicationErrorWithOptions(fmt.Sprintf(format, args...), workflows.ErrorPending,
		temporal.ApplicationErrorOptions{NextRetryDelay: pause(ctx, 15*time.Second)})
}

// pause returns the time until the next attempt, which grows with their number.
func pause(ctx context.Context, longest time.Duration) time.Duration {
	d := min(time.Duration(activity.GetInfo(ctx).Attempt)*time.Second, longest)
	return d - rand.N(d/2) //nolint:gosec // so that many jobs are not polled in step
}

// slice bounds an attempt that waits by itself. It is longer than the SDK takes
// until it queues installs, and until it gives up on a rollout that does not
// start.
const slice = 20 * time.Minute

// lost returns the jobs that an attempt has created which was lost before it could
// say so: those that list has, and had not before. It waits until such a job would
// be visible.
func lost(ctx context.Context, c workflows.Creation, list func() ([]string, error)) (ids []string, err error) {
	if c.Creating == "" {
		return nil, nil
	}
	_, err = poll(ctx, 2*time.Second, 16, func() (bool, error) {
		ids, err = list()
		ids = slices.DeleteFunc(ids, func(id string) bool { return slices.Contains(c.Before, id) })
		return len(ids) > 0, err
	})
	return ids, err
}

// poll calls done until it is, fails, or was called often enough.
func poll(ctx context.Context, interval time.Duration, times int, done func() (bool, error)) (bool, error) {
	for n := 1; ; n++ {
		ok, err := done()
		if ok || err != nil || n == times {
			return ok, err
		}
		select {
		case <-time.After(interval):
		case <-ctx.Done():
			return false, context.Cause(ctx)
		}
	}
}
