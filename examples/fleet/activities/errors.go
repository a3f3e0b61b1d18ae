package activities

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
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
func failure(err error, details ...any) error {
	if _, ok := errors.AsType[*temporal.ApplicationError](err); ok || err == nil {
		return err
	}
	kind := errorType(err)
	return temporal.NewApplicationErrorWithOptions(err.Error(), kind, temporal.ApplicationErrorOptions{
		NonRetryable: kind != workflows.ErrorTransient, NextRetryDelay: retryAfter(err), Details: details,
	})
}

// errorType returns the type of an error of any of the three packages, which
// share their sentinels.
func errorType(err error) string {
	switch {
	case errors.Is(err, oraclemarket.ErrSourceChanged):
		return workflows.ErrorSourceChanged
	case endedBadly(err):
		return workflows.ErrorState
	case errors.Is(err, oraclemarket.ErrInvalidArgument), errors.Is(err, oraclemarket.ErrCheckpointInvalid):
		return workflows.ErrorArgument
	case errors.Is(err, oraclemarket.ErrAmbiguous):
		return workflows.ErrorAmbiguous
	case oraclemarket.IsTransient(err), errors.Is(err, context.Canceled), errors.Is(err, context.DeadlineExceeded):
		return workflows.ErrorTransient
	default:
		return workflows.ErrorRefused
	}
}

func endedBadly(err error) bool {
	_, upload := errors.AsType[*oraclemarket.StateError](err)
	_, copied := errors.AsType[*imagereplicator.StateError](err)
	_, job := errors.AsType[*multiplay.StateError](err)
	_, rollout := errors.AsType[*multiplay.RolloutError](err)
	_, waiting := errors.AsType[*multiplay.RolloutNotStartedError](err)
	return upload || copied || job || rollout || waiting
}

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
	const longest = 15 * time.Second
	delay := min(time.Duration(activity.GetInfo(ctx).Attempt)*time.Second, longest)
	delay -= rand.N(delay / 2) // so that many jobs are not polled in step
	return temporal.NewApplicationErrorWithOptions(fmt.Sprintf(format, args...), workflows.ErrorPending,
		temporal.ApplicationErrorOptions{NextRetryDelay: delay})
}

// sleep returns early, with an error, if ctx is done.
func sleep(ctx context.Context, d time.Duration) error {
	select {
	case <-time.After(d):
		return nil
	case <-ctx.Done():
		return context.Cause(ctx)
	}
}
