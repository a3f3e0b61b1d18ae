// Package poll follows a job until it ends.
package poll

import (
	"context"
	"errors"
	"fmt"
	"iter"
	"time"

	"github.com/imagejobs/imagejobs-go/internal/outage"
	"github.com/imagejobs/imagejobs-go/internal/transport"
)

// Defaults of Options.
const (
	DefaultInitial = time.Second
	DefaultMax     = 15 * time.Second
)

// Options bound the time between two polls. Zero means the default.
type Options struct {
	Initial, Max time.Duration
}

// Problem returns what is wrong with the options, "" if nothing is.
func (o Options) Problem() string {
	switch {
	case o.Initial < 0 || o.Max < 0:
		return "must not be negative"
	case o.Initial > 0 && o.Max > 0 && o.Max < o.Initial:
		return "max must not be below initial"
	}
	return ""
}

func (o Options) withDefaults() Options {
	if o.Initial == 0 {
		o.Initial = DefaultInitial
		if o.Max > 0 {
			o.Initial = min(o.Initial, o.Max)
		}
	}
	if o.Max == 0 {
		o.Max = max(DefaultMax, o.Initial)
	}
	return o
}

// Job is how to follow one job.
type Job[T any] struct {
	Options

	// Package and Name are for errors, such as "oraclemarket" and "upload request
	// 7".
	Package, Name string
	// Outage is how long transient failures are ridden out, 0 for the default.
	Outage time.Duration
	// Last is a state that was seen before, nil if none was. The first poll is
	// then one like those that follow.
	Last *T
	// Get returns the job, and how long the service asks to wait before the
	// next poll, or zero.
	Get func(context.Context) (T, time.Duration, error)
	// Status returns the job's, for errors.
	Status func(T) string
	// Done reports whether the job has ended.
	Done func(T) bool
	// Failed returns the error of a job that ended badly, nil if it ended well.
	Failed func(T) error
	// Same reports whether nothing changed between two polls.
	Same func(older, newer T) bool
}

// Watch yields the job's first state and each that differs from the one before,
// and ends with the job; after the last state of one that ended badly it yields
// Failed. An error ends it, too, and comes with the last state seen.
func Watch[T any](ctx context.Context, j *Job[T]) iter.Seq2[T, error] {
	return func(yield func(T, error) bool) {
		var last T
		o, rule := j.withDefaults(), outage.Rule{Limit: j.Outage}
		seen := j.Last != nil
		if seen {
			last = *j.Last
		}
		for interval := o.Initial; ; interval = min(interval*3/2, o.Max) {
			state, after, err := j.Get(ctx)
			if err == nil {
				rule.Success()
				after = min(after, rule.Bound())
				changed := !seen || !j.Same(last, state)
				last, seen = state, true
				if changed && !yield(state, nil) {
					return
				}
				if j.Done(state) {
					if err := j.Failed(state); err != nil {
						yield(state, err)
					}
					return
				}
				err = transport.Sleep(ctx, outage.WithJitter(interval, after, o.Max))
			} else if left, goOn := rule.Left(ctx, err, outage.Lagging(err, seen)); goOn {
				err = transport.Sleep(ctx, min(rule.Pause(after), left)) // the last poll comes at the limit
			}
			if err != nil {
				yield(last, j.interrupted(last, seen, err))
				return
			}
		}
	}
}

// Wait returns the last state seen, and an error unless the job ended well.
func Wait[T any](ctx context.Context, j *Job[T]) (T, error) {
	var last T
	if j.Last != nil {
		last = *j.Last
	}
	for state, err := range Watch(ctx, j) {
		last = state
		if err != nil {
			return last, err
		}
	}
	return last, nil
}

// interrupted adds what was known when waiting ended before the job did.
func (j *Job[T]) interrupted(last T, seen bool, err error) error {
	switch {
	case errors.Is(err, transport.ErrInvalidArgument):
		return err
	case !seen:
		return fmt.Errorf("%s: waiting for %s, no status seen: %w", j.Package, j.Name, err)
	default:
		return fmt.Errorf("%s: waiting for %s, last status %q: %w", j.Package, j.Name, j.Status(last), err)
	}
}
