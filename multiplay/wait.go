package multiplay

import (
	"context"
	"fmt"
	"iter"
	"time"

	"github.com/imagejobs/imagejobs-go/internal/poll"
)

// follow returns how to wait for a job; resource is its kind, as [StateError]
// has it.
func follow[S holdsJob](
	c *caller, resource string, id int64, opts []WaitOption, get func(context.Context, int64) (S, time.Duration, error),
) (*poll.Job[S], error) {
	o, err := waitOptions(opts)
	return &poll.Job[S]{
		Options: o.Options,
		Package: pkg,
		Name:    fmt.Sprintf("%s %d", resource, id),
		Outage:  c.outageLimit,
		Get:     func(ctx context.Context) (S, time.Duration, error) { return get(ctx, id) },
		Status:  func(now S) string { return string(now.job().State) },
		Done:    func(now S) bool { return now.job().State.Terminal() },
		Failed: func(now S) error {
			if ended := now.job(); ended.State != JobCompleted {
				return &StateError{Resource: resource, ID: id, State: ended.State, Reason: ended.Error}
			}
			return nil
		},
		Same: func(older, newer S) bool { return *older.job() == *newer.job() },
	}, err
}

func wait[S any](ctx context.Context, job *poll.Job[S], err error) (S, error) {
	if err != nil {
		var none S
		return none, err
	}
	return poll.Wait(ctx, job)
}

func watch[S any](ctx context.Context, job *poll.Job[S], err error) iter.Seq2[S, error] {
	if err != nil {
		return func(yield func(S, error) bool) {
			var none S
			yield(none, err)
		}
	}
	return poll.Watch(ctx, job)
}
