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

// job is how the workflows of one image differ.
type job interface {
	work(ctx workflow.Context) error
	// cleanUp takes back what a failed or canceled workflow has done, and returns
	// what it leaves on the service.
	cleanUp(ctx workflow.Context) []string
	// show adds what the service has.
	show(s *Status)
}

// run is what the workflows of one image have in common.
type run struct {
	status    Status
	decisions *question[Decision]
}

// do runs a workflow to its end, unless its input is invalid. numbers is whether
// the ids of its jobs are numbers.
func (r *run) do(ctx workflow.Context, j job, invalid error, numbers bool) (*Status, error) {
	r.status.State = StateRunning
	err := workflow.SetQueryHandler(ctx, StatusQuery, func() (Status, error) { return r.now(j), nil })
	if err != nil {
		return nil, err
	}
	r.decisions, err = newQuestion(ctx, r, DecideUpdate, StateNeedsDecision, func(d Decision) error {
		switch {
		case d.Action == Adopt && numbers:
			_, err := number(d.ID)
			return err
		case d.Action == Adopt && d.ID == "":
			return errors.New("the id of the job to adopt is missing")
		case d.Action != Adopt && d.Action != Repeat && d.Action != GiveUp:
			return fmt.Errorf("action %q is not %s, %s or %s", d.Action, Adopt, Repeat, GiveUp)
		}
		return nil
	})
	if err != nil {
		return nil, err
	}
	if err = invalid; err == nil {
		err = j.work(ctx)
	}
	if err != nil {
		return nil, r.end(ctx, j, err)
	}
	r.status.State = StateDone
	return new(r.now(j)), nil
}

func (r *run) now(j job) Status {
	s := r.status
	j.show(&s)
	return s
}

// end ends the workflow with err, after the clean-up on a context that is not
// canceled.
func (r *run) end(ctx workflow.Context, j job, err error) error {
	own, cancel := workflow.NewDisconnectedContext(ctx)
	defer cancel()
	r.status.Problem = ""
	if err := r.enter(own, StateCleaningUp); err != nil {
		return err
	}
	r.status.Left, r.status.State = j.cleanUp(own), StateFailed
	if temporal.IsCanceledError(err) || ctx.Err() != nil {
		r.status.State = StateCanceled
		return temporal.NewCanceledError(r.now(j))
	}
	text := message(err)
	if len(r.status.Left) > 0 {
		text += "; left: " + strings.Join(r.status.Left, ", ")
	}
	return temporal.NewApplicationErrorWithOptions(text, errorType(err),
		temporal.ApplicationErrorOptions{NonRetryable: true, Cause: err, Details: []any{r.now(j)}})
}

// enter changes the state, for queries and for searches.
func (r *run) enter(ctx workflow.Context, s State) error {
	r.status.State = s
	return workflow.UpsertTypedSearchAttributes(ctx, StateAttribute.ValueSet(string(s)))
}

// decided runs step until its outcome is known: while that is ambiguous, a person
// decides, and decide does what that one says.
func (r *run) decided(ctx workflow.Context, step func() error, decide func(d Decision, problem string) error) error {
	for {
		err := step()
		if errorType(err) != ErrorAmbiguous {
			return err
		}
		before, problem := r.status.State, message(err)
		d, err := r.decisions.ask(ctx, problem, 0)
		if err == nil {
			err = decide(*d, problem)
		}
		if err == nil {
			err = r.enter(ctx, before)
		}
		if err != nil {
			return err
		}
	}
}

func givenUp(d Decision, problem string) error {
	by := ""
	if d.By != "" {
		by = " by " + d.By
	}
	return temporal.NewNonRetryableApplicationError(fmt.Sprintf("given up%s: %s", by, problem), ErrorGivenUp, nil)
}

// question is what a person replies to with a T, by an update.
type question[T any] struct {
	run   *run
	state State // while it is asked
	reply *T
}

func newQuestion[T any](ctx workflow.Context, r *run, update string, state State, check func(T) error) (*question[T], error) {
	q := &question[T]{run: r, state: state}
	return q, workflow.SetUpdateHandlerWithOptions(ctx, update, func(_ workflow.Context, reply T) error {
		q.reply = &reply
		return nil
	}, workflow.UpdateHandlerOptions{Validator: func(reply T) error {
		if r.status.State != state || q.reply != nil {
			return fmt.Errorf("the workflow is %s and does not wait for this", r.status.State)
		}
		return check(reply)
	}})
}

// ask waits for the reply, which is nil if there is none within limit; 0 is none.
func (q *question[T]) ask(ctx workflow.Context, problem string, limit time.Duration) (*T, error) {
	q.run.status.Problem = problem
	if err := q.run.enter(ctx, q.state); err != nil {
		return nil, err
	}
	given := func() bool { return q.reply != nil }
	var err error
	if limit > 0 {
		_, err = workflow.AwaitWithTimeout(ctx, limit, given)
	} else {
		err = workflow.Await(ctx, given)
	}
	if err != nil {
		return nil, err
	}
	reply := q.reply
	q.reply, q.run.status.Problem = nil, ""
	return reply, nil
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
	if workflow.Await(ctx, done.IsReady) != nil {
		asking := workflow.WithScheduleToCloseTimeout(control(free), time.Minute)
		take(state, func(last ...any) error {
			return workflow.ExecuteActivity(asking, lastHeartbeat, name).Get(asking, last[0])
		})
	}
	cancel()
	var err error
	take(state, func(last ...any) error {
		err = done.Get(free, last[0])
		return err
	})
	if failed, ok := errors.AsType[*temporal.ApplicationError](err); ok {
		take(state, failed.Details)
	}
	if ended, ok := errors.AsType[*temporal.CanceledError](err); ok {
		take(state, ended.Details)
	}
	if late, ok := errors.AsType[*temporal.TimeoutError](err); ok {
		take(state, late.LastHeartbeatDetails)
	}
	return err
}

// take sets state to the one that get returns, if it does.
func take[S any](state *S, get func(...any) error) {
	var last S
	if get(&last) == nil {
		*state = last
	}
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
// engine's words around it. If it ran out of time, that is why its last attempt
// failed.
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

// rule says what is wrong with a field of an input unless it is ok.
type rule struct {
	field   string
	ok      bool
	problem string
}

func check(input string, rules []rule) error {
	for _, r := range rules {
		if !r.ok {
			return temporal.NewNonRetryableApplicationError(input+"."+r.field+": "+r.problem, ErrorArgument, nil)
		}
	}
	return nil
}
