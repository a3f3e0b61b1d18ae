// Package poll follows a job until it ends.
package poll

import (
	"context"
	"errors"
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

// Check refuses bounds that make no sense; zero means the default.
func (o *Options) Check() error {
	switch {
	case o.First < 0 || o.Max < 0:
		return errors.New("must not be negative")
	case o.First > 0 && o.Max > 0 && o.Max < o.First:
		return errors.New("max must not be below first")
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
	return nil
}

// Job is how to follow one kind of job.
type Job[T any] struct {
	// Get looks at the job. It also gives how long the service asks to wait
	// before the next look, or zero.
	Get func(context.Context) (T, time.Duration, error)
	// Done tells whether the job has ended.
	Done func(T) bool
	// Same tells whether nothing worth telling happened between two looks.
	Same func(older, newer T) bool
}

// Watch yields the job's first state and each that differs from the one
// before, and ends with the job. An error ends it too.
func (j Job[T]) Watch(ctx context.Context, o Options) iter.Seq2[T, error] {
	return func(yield func(T, error) bool) {
		var last T
		seen := false
		interval := o.First
		for {
			state, after, err := j.Get(ctx)
			if err != nil {
				yield(last, err)
				return
			}
			if !seen || !j.Same(last, state) {
				seen = true
				if !yield(state, nil) {
					return
				}
			}
			last = state
			if j.Done(state) {
				return
			}
			if err := sleep(ctx, max(after, spread(interval))); err != nil {
				yield(last, err)
				return
			}
			interval = min(interval*3/2, o.Max)
		}
	}
}

// Wait is the last state seen, and an error if the job was not seen to end.
func (j Job[T]) Wait(ctx context.Context, o Options) (T, error) {
	var last T
	for state, err := range j.Watch(ctx, o) {
		last = state
		if err != nil {
			return last, err
		}
	}
	return last, nil
}

// spread keeps many waiters from asking in step: between three quarters of the
// interval and all of it.
func spread(interval time.Duration) time.Duration {
	return interval - rand.N(interval/4+1)
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
