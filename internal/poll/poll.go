// Package poll follows a job until it ends.
package poll

import (
	"context"
	"errors"
	"fmt"
	"iter"
	"math/rand/v2"
	"time"

	"github.com/imagejobs/imagejobs-go/internal/transport"
)

// Defaults of Options.
const (
	DefaultFirst = time.Second
	DefaultMax   = 15 * time.Second
)

// Options bound the time between two looks at a job.
type Options struct {
	First, Max time.Duration
}

// parse applies a package's wait options and refuses bounds that make no
// sense; zero means the default.
func parse[O ~func(*Options)](pkg string, opts []O) (Options, error) {
	var o Options
	for _, opt := range opts {
		opt(&o)
	}
	const option = "WithPollInterval"
	switch {
	case o.First < 0 || o.Max < 0:
		return o, transport.Invalid(pkg, option, "must not be negative")
	case o.First > 0 && o.Max > 0 && o.Max < o.First:
		return o, transport.Invalid(pkg, option, "the longest interval must not be below the first")
	}
	if o.First == 0 {
		o.First = DefaultFirst
		if o.Max > 0 {
			o.First = min(o.First, o.Max)
		}
	}
	if o.Max == 0 {
		o.Max = max(DefaultMax, o.First)
	}
	return o, nil
}

// Check refuses wait options as Wait and Watch do, for a call that waits in
// the end.
func Check[O ~func(*Options)](pkg string, opts []O) error {
	_, err := parse(pkg, opts)
	return err
}

// Job is how to follow one job.
type Job[T any] struct {
	// Package and Name are for errors, as in "oraclemarket" and "upload
	// request 7".
	Package, Name string
	// Get looks at the job. It also gives how long the service asks to wait
	// before the next look, or zero.
	Get func(context.Context) (T, time.Duration, error)
	// Status is the job's, for errors.
	Status func(T) string
	// Done tells whether the job has ended.
	Done func(T) bool
	// Failed is the error of a job that ended badly, nil if it ended well.
	Failed func(T) error
	// Same tells whether nothing worth telling happened between two looks.
	Same func(older, newer T) bool
}

// patience is how long looks may fail in passing before waiting ends. Each of
// them went through the retries of its own call.
const patience = 5 * time.Minute

// Watch yields the job's first state and each that differs from the one
// before, and ends with the job; after the last state of one that ended badly
// it yields Failed. An error ends it, too, and comes with the last state seen.
func Watch[T any, O ~func(*Options)](ctx context.Context, j *Job[T], opts []O) iter.Seq2[T, error] {
	return func(yield func(T, error) bool) {
		var last T
		o, err := parse(j.Package, opts)
		if err != nil {
			yield(last, err)
			return
		}
		seen := false
		interval := o.First
		lastGood := time.Now()
		for {
			state, after, err := j.Get(ctx)
			if err != nil {
				// Before there was a state it may be that there never will be.
				passing := seen && ctx.Err() == nil && errors.Is(err, transport.ErrPassing)
				if !passing || time.Since(lastGood) > patience-min(after, patience) {
					yield(last, j.early(last, seen, err))
					return
				}
				if err := sleep(ctx, spread(interval, after, o.Max)); err != nil {
					yield(last, j.early(last, seen, err))
					return
				}
				interval = min(interval*3/2, o.Max)
				continue
			}
			lastGood = time.Now()
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
			if err := sleep(ctx, spread(interval, after, o.Max)); err != nil {
				yield(last, j.early(last, seen, err))
				return
			}
			interval = min(interval*3/2, o.Max)
		}
	}
}

// Wait is the last state seen, and an error unless the job ended well.
func Wait[T any, O ~func(*Options)](ctx context.Context, j *Job[T], opts []O) (T, error) {
	var last T
	for state, err := range Watch(ctx, j, opts) {
		last = state
		if err != nil {
			return last, err
		}
	}
	return last, nil
}

// early says what was known when waiting ended before the job did.
func (j *Job[T]) early(last T, seen bool, err error) error {
	switch {
	case errors.Is(err, transport.ErrInvalidArgument):
		return err
	case !seen:
		return fmt.Errorf("%s: waiting for %s, no status seen: %w", j.Package, j.Name, err)
	default:
		return fmt.Errorf("%s: waiting for %s, last status %q: %w", j.Package, j.Name, j.Status(last), err)
	}
}

// spread keeps many waiters from asking in step. Half the interval, or what the
// service asks for, is the least; up to half the interval comes on top, or half
// of what the service asks for, of which no more than the longest interval
// counts.
func spread(interval, after, longest time.Duration) time.Duration {
	const forever = 1 << 60 // so that the sum is not too large
	after = min(after, forever)
	return max(interval/2, after) + rand.N(max(interval, min(after, longest))/2+1)
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
