package multiplay

import (
	"context"
	"fmt"
	"time"

	"github.com/imagejobs/imagejobs-go/internal/poll"
)

// status is the status of a job: a pointer to a struct with a Job in it.
type status interface{ job() *Job }

// follow is how to wait for a job; resource is its kind, as StateError has it.
func follow[T status](resource string, id int64, get func(context.Context, int64) (T, time.Duration, error)) *poll.Job[T] {
	return &poll.Job[T]{
		Package: pkg,
		Name:    fmt.Sprintf("%s %d", resource, id),
		Get:     func(ctx context.Context) (T, time.Duration, error) { return get(ctx, id) },
		Status:  func(now T) string { return string(now.job().State) },
		Done:    func(now T) bool { return now.job().State.Terminal() },
		Failed: func(now T) error {
			if ended := now.job(); ended.State != JobCompleted {
				return &StateError{Resource: resource, ID: id, State: ended.State, Reason: ended.Error}
			}
			return nil
		},
		Same: func(older, newer T) bool { return *older.job() == *newer.job() },
	}
}
