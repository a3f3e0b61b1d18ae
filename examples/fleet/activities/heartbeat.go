package activities

import (
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"sync"
	"time"

	"go.temporal.io/api/serviceerror"
	"go.temporal.io/sdk/activity"
	"go.temporal.io/sdk/converter"
	"go.temporal.io/sdk/temporal"

	"github.com/imagejobs/imagejobs-go/examples/fleet/workflows"
	"github.com/imagejobs/imagejobs-go/oraclemarket"
)

var errHandOver = errors.New("the worker stops; another one goes on")

// keep runs an activity whose state S is in its heartbeats. It passes run a client
// of the service, what the attempt before had or else state, and a context that
// ends when the activity is canceled, or its worker is about to stop. It returns
// the last state, which is in the details of a failure as well: a new activity,
// unlike a new attempt, does not get the heartbeats of the one before.
func keep[S, C any](
	ctx context.Context, a *Activities, client func(context.Context) (*C, error), state S, run func(context.Context, *C, *keeper[S]) error,
) (*S, error) {
	if activity.HasHeartbeatDetails(ctx) {
		if err := activity.GetHeartbeatDetails(ctx, &state); err != nil {
			return nil, failure(ctx, fmt.Errorf("heartbeat: %w", err))
		}
	}
	running, cancel := context.WithCancelCause(ctx)
	k := &keeper[S]{state: state, turn: make(chan struct{}, 1), record: a.record, cancel: cancel}
	info := activity.GetInfo(ctx)
	if k.record == nil {
		server := activity.GetClient(ctx)
		k.record = func(ctx context.Context, details any) error {
			return server.RecordActivityHeartbeat(ctx, info.TaskToken, details)
		}
	}
	var alive sync.WaitGroup
	alive.Go(func() { k.beat(running, info.HeartbeatTimeout/3, activity.GetWorkerStopChannel(ctx)) })
	c, err := client(running)
	if err == nil {
		err = run(running, c, k)
	}
	cause := context.Cause(running)
	cancel(nil)
	alive.Wait()
	last, unsent := k.get(), k.unsent
	if err != nil && unsent && cause == nil {
		_ = k.send(ctx) // the failure has it as well
	}
	_, decided := errors.AsType[*temporal.ApplicationError](err)
	switch {
	case err == nil:
		return &last, nil
	case temporal.IsCanceledError(cause):
		return nil, temporal.NewCanceledError(last)
	case cause != nil && !decided && (errors.Is(err, cause) || errors.Is(err, context.Canceled)):
		return nil, temporal.NewApplicationErrorWithOptions(cause.Error(), workflows.ErrorTransient,
			temporal.ApplicationErrorOptions{NextRetryDelay: time.Millisecond, Details: []any{last}})
	default:
		return nil, failure(ctx, err, last)
	}
}

// keeper has the state of an activity.
type keeper[S any] struct {
	record func(context.Context, any) error
	cancel context.CancelCauseFunc
	turn   chan struct{} // holds one: heartbeats arrive in order

	mu     sync.Mutex
	state  S
	unsent bool // it changed since the last heartbeat
}

func (k *keeper[S]) get() S {
	k.mu.Lock()
	defer k.mu.Unlock()
	return k.state
}

// set changes the state. What the state points to must not be changed, as it may
// be on its way.
func (k *keeper[S]) set(change func(*S)) {
	k.mu.Lock()
	defer k.mu.Unlock()
	change(&k.state)
	k.unsent = true
}

// save changes the state and returns once the server has it.
// activity.RecordHeartbeat would hold it back for most of the heartbeat timeout,
// and it would be lost with the process.
func (k *keeper[S]) save(ctx context.Context, change func(*S)) error {
	k.set(change)
	return k.send(ctx)
}

func (k *keeper[S]) send(ctx context.Context) error {
	k.turn <- struct{}{}
	defer func() { <-k.turn }()
	k.mu.Lock()
	state := k.state
	k.unsent = false
	k.mu.Unlock()
	err := k.record(ctx, state)
	_, gone := errors.AsType[*serviceerror.NotFound](err) // another attempt runs, or the workflow has ended
	if gone || temporal.IsCanceledError(err) || errors.Is(err, activity.ErrActivityPaused) || errors.Is(err, activity.ErrActivityReset) {
		k.cancel(err)
		return err
	}
	if err != nil {
		return fmt.Errorf("heartbeat: %w: %w", oraclemarket.ErrTransient, err)
	}
	return nil
}

// beat sends the state again and again, as the server forgets what a heartbeat
// does not repeat.
func (k *keeper[S]) beat(ctx context.Context, interval time.Duration, stop <-chan struct{}) {
	var tick <-chan time.Time
	if interval > 0 {
		ticker := time.NewTicker(interval)
		defer ticker.Stop()
		tick = ticker.C
	}
	for {
		select {
		case <-tick:
			_ = k.send(ctx) // the next one may arrive
		case <-stop:
			k.cancel(errHandOver)
			return
		case <-ctx.Done():
			return
		}
	}
}

// LastHeartbeat returns the last heartbeat of another activity of the same
// workflow. A workflow asks before it cancels one: an activity that waits for its
// next attempt ends without its heartbeat.
func (a *Activities) LastHeartbeat(ctx context.Context, activityType string) (details json.RawMessage, err error) {
	if err := a.heartbeat(ctx, activityType, &details); err != nil {
		return nil, failure(ctx, err)
	}
	return details, nil
}

var errNoHeartbeat = errors.New("there is no heartbeat")

func (a *Activities) heartbeat(ctx context.Context, activityType string, details any) error {
	if a.pending != nil {
		return a.pending(activityType, details)
	}
	run := activity.GetInfo(ctx).WorkflowExecution
	now, err := activity.GetClient(ctx).DescribeWorkflowExecution(ctx, run.ID, run.RunID)
	if err != nil {
		return fmt.Errorf("%w: %w", oraclemarket.ErrTransient, err)
	}
	for _, p := range now.GetPendingActivities() {
		if p.GetActivityType().GetName() == activityType && p.GetHeartbeatDetails() != nil {
			return cmp.Or(a.DataConverter, converter.GetDefaultDataConverter()).FromPayloads(p.GetHeartbeatDetails(), details)
		}
	}
	return errNoHeartbeat
}

// status asks the workflow of the activity.
func status(ctx context.Context) (s workflows.Status, err error) {
	run := activity.GetInfo(ctx).WorkflowExecution
	value, err := activity.GetClient(ctx).QueryWorkflow(ctx, run.ID, run.RunID, workflows.StatusQuery)
	if err != nil {
		return s, fmt.Errorf("%w: %w", oraclemarket.ErrTransient, err)
	}
	err = value.Get(&s)
	return s, err
}
