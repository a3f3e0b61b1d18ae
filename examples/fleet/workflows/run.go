package workflows

import (
	"errors"
	"fmt"
	"strconv"
	"strings"
	"time"

	"go.temporal.io/sdk/temporal"
	"go.temporal.io/sdk/workflow"
)

// run is what the workflows of one image have in common: their status, and the
// decisions of people.
type run struct {
	status   Status
	decision *Decision
}

// newRun sets the handlers for queries and decisions. numbers is whether the ids
// of jobs are numbers.
func newRun(ctx workflow.Context, numbers bool) (*run, error) {
	r := &run{}
	if err := workflow.SetQueryHandler(ctx, StatusQuery, func() (Status, error) { return r.status, nil }); err != nil {
		return nil, err
	}
	return r, workflow.SetUpdateHandlerWithOptions(ctx, DecideUpdate, func(_ workflow.Context, d Decision) error {
		r.decision = &d
		return nil
	}, workflow.UpdateHandlerOptions{Validator: func(d Decision) error {
		switch {
		case r.status.State != StateNeedsDecision || r.decision != nil:
			return fmt.Errorf("the workflow is %s: there is nothing to decide", r.status.State)
		case d.Action == Adopt && numbers:
			_, err := number(d.ID)
			return err
		case d.Action == Adopt && d.ID == "":
			return errors.New("the id of the job to adopt is missing")
		case d.Action != Adopt && d.Action != Repeat && d.Action != GiveUp:
			return fmt.Errorf("action %q is not %s, %s or %s", d.Action, Adopt, Repeat, GiveUp)
		}
		return nil
	}})
}

// enter changes the state, for queries and for searches.
func (r *run) enter(ctx workflow.Context, s State) error {
	r.status.State = s
	return workflow.UpsertTypedSearchAttributes(ctx, StateAttribute.ValueSet(string(s)))
}

// decide waits until a person has decided what to do about a call whose outcome
// is not known.
func (r *run) decide(ctx workflow.Context, problem error) (Decision, error) {
	before := r.status.State
	r.status.Problem = message(problem)
	if err := r.enter(ctx, StateNeedsDecision); err != nil {
		return Decision{}, err
	}
	if err := workflow.Await(ctx, func() bool { return r.decision != nil }); err != nil {
		return Decision{}, err
	}
	d := *r.decision
	r.decision, r.status.Problem = nil, ""
	if d.Action == GiveUp {
		by := ""
		if d.By != "" {
			by = " by " + d.By
		}
		return d, temporal.NewNonRetryableApplicationError(fmt.Sprintf("given up%s: %s", by, message(problem)), ErrorGivenUp, problem)
	}
	return d, r.enter(ctx, before)
}

// end ends the workflow with err. cleanUp runs on a context that is not
// canceled, and returns what it leaves on the service.
func (r *run) end(ctx workflow.Context, err error, cleanUp func(workflow.Context) []string) error {
	own, cancel := workflow.NewDisconnectedContext(ctx)
	defer cancel()
	state := StateFailed
	if temporal.IsCanceledError(err) || ctx.Err() != nil {
		state = StateCanceled
		if err := r.enter(own, StateCanceling); err != nil {
			return err
		}
	}
	r.status.Problem = ""
	r.status.Left = cleanUp(own)
	if err := r.enter(own, state); err != nil {
		return err
	}
	if state == StateCanceled {
		return temporal.NewCanceledError(r.status)
	}
	text := message(err)
	if len(r.status.Left) > 0 {
		text += "; left: " + strings.Join(r.status.Left, ", ")
	}
	return temporal.NewApplicationErrorWithOptions(text, errorType(err),
		temporal.ApplicationErrorOptions{NonRetryable: true, Cause: err, Details: []any{r.status}})
}

// control returns the options of activities that move few bytes.
func control(ctx workflow.Context) workflow.Context {
	return withOptions(ctx, ControlQueue, 30*time.Minute, 15*time.Second)
}

// transfer returns the options of activities that send images.
func transfer(ctx workflow.Context) workflow.Context {
	return withOptions(ctx, TransferQueue, 7*24*time.Hour, 5*time.Second)
}

// withOptions has an activity retried until it ends, or fails for good: by its
// errors' types, not by their number. The pause is that after the loss of a
// worker; errors bring their own. What may take effect once only does so
// whatever the number of attempts, because of what their heartbeats say.
func withOptions(ctx workflow.Context, queue string, limit, heartbeat time.Duration) workflow.Context {
	return workflow.WithActivityOptions(ctx, workflow.ActivityOptions{
		TaskQueue: queue, StartToCloseTimeout: limit, HeartbeatTimeout: heartbeat, WaitForCancellation: true,
		RetryPolicy: &temporal.RetryPolicy{InitialInterval: time.Second, BackoffCoefficient: 1},
	})
}

// briefly bounds an activity of the end of a workflow, which must not last.
func briefly(ctx workflow.Context) workflow.Context {
	return workflow.WithScheduleToCloseTimeout(control(ctx), 15*time.Minute)
}

// keep executes an activity whose heartbeats have the state S, and returns the
// last one that is known, however it ends. When ctx is canceled, it first asks
// for the last heartbeat: an activity that waits for its next attempt ends
// without.
func keep[S any](ctx workflow.Context, name string, state *S, task any) error {
	free, stop := workflow.NewDisconnectedContext(ctx)
	defer stop()
	own, cancel := workflow.WithCancel(free)
	done := workflow.ExecuteActivity(own, name, task)
	canceled := false
	workflow.NewSelector(ctx).
		AddFuture(done, func(workflow.Future) {}).
		AddReceive(ctx.Done(), func(workflow.ReceiveChannel, bool) { canceled = true }).
		Select(ctx)
	if canceled {
		asking := workflow.WithScheduleToCloseTimeout(control(free), time.Minute)
		_ = workflow.ExecuteActivity(asking, lastHeartbeat, name).Get(asking, state) // or what is known stays
	}
	cancel()
	err := done.Get(free, state)
	var failed *temporal.ApplicationError
	var ended *temporal.CanceledError
	var late *temporal.TimeoutError
	switch {
	case errors.As(err, &failed) && failed.HasDetails():
		_ = failed.Details(state)
	case errors.As(err, &ended) && ended.HasDetails():
		_ = ended.Details(state)
	case errors.As(err, &late) && late.HasLastHeartbeatDetails():
		_ = late.LastHeartbeatDetails(state)
	}
	return err
}

// number returns the id of a job whose ids are numbers.
func number(id string) (int64, error) {
	n, err := strconv.ParseInt(id, 10, 64)
	if err != nil || n < 1 {
		return 0, fmt.Errorf("%q is not the id of a job", id)
	}
	return n, nil
}

// message returns what an activity or a child workflow said, without the
// engine's words around it.
func message(err error) string {
	if failed, ok := errors.AsType[*temporal.ApplicationError](err); ok {
		return failed.Message()
	}
	return err.Error()
}

func errorType(err error) string {
	if failed, ok := errors.AsType[*temporal.ApplicationError](err); ok {
		return failed.Type()
	}
	return ErrorRefused
}

func ambiguous(err error) bool { return errorType(err) == ErrorAmbiguous }

func wrong(field, problem string) error {
	return temporal.NewNonRetryableApplicationError(field+": "+problem, ErrorArgument, nil)
}
