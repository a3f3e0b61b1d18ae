package auth

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"sync"
	"time"
)

const (
	// A token is replaced when less than a tenth of its life is left, at most
	// this much before its end.
	maxEarly = 5 * time.Minute
	// The pause after an early refresh failed, while the old token is still valid.
	earlyRetry = 30 * time.Second
	// The pause after any other that failed: the source is asked once for all who
	// ask meanwhile.
	retryPause = 500 * time.Millisecond
	// How long a refusal applies to all calls: a wrong password that is sent again
	// and again locks its account.
	refusalStands = 30 * time.Second
	// A refresh continues for other calls when the one that started it ends, but
	// not forever.
	flightTimeout = 2 * time.Minute
)

// ErrRefused matches the error of a Source whose credentials were refused.
var ErrRefused = errors.New("the credentials were refused")

// Source returns a new token each time, or the error of one attempt to get one:
// who waits for it repeats what is transient. A zero expiry means that it is not
// known when the token ends.
type Source func(ctx context.Context) (value string, expiry time.Time, err error)

// tokens is the cache of one client.
type tokens struct {
	source         Source
	header, prefix string

	mu     sync.Mutex
	grant  Grant // its generation counts the tokens of source
	expiry time.Time
	early  time.Time // refresh from here on, zero for never
	flight *flight   // the refresh under way

	rejected bool      // the token in grant
	ended    int       // refreshes
	failed   error     // the error of the newest of them, nil if it had none
	since    time.Time // it ended
}

// flight is one request to the source that any number of calls wait for.
type flight struct {
	done chan struct{}
	err  error
}

// Token returns credentials that send source's token in that header, after the
// prefix.
func Token(source Source, header, prefix string) Credentials {
	return &tokens{source: source, header: header, prefix: prefix}
}

func (t *tokens) Grant(ctx context.Context) (Grant, error) {
	t.mu.Lock()
	defer t.mu.Unlock()
	for !t.usable(time.Now()) {
		fresh, err := t.ask(ctx)
		if err != nil {
			return Grant{}, err
		}
		if fresh && !t.rejected {
			break // sent even if it has expired by now: the service decides
		}
	}
	if !t.early.IsZero() && time.Now().After(t.early) {
		t.early = time.Now().Add(earlyRetry)
		t.refresh(ctx)
	}
	return t.grant, nil
}

// Renew refreshes unless another call has done so, or failed to, since used was
// returned, so that calls rejected together cause one refresh.
func (t *tokens) Renew(ctx context.Context, used Grant) (bool, error) {
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.grant.generation == used.generation && t.rejected && t.flight == nil && t.failed != nil {
		return false, t.failed
	}
	for t.grant.generation == used.generation {
		t.rejected = true
		if _, err := t.ask(ctx); err != nil {
			return false, err
		}
	}
	return t.grant.secret != used.secret, nil
}

// ask waits for the refresh under way or for a new one. Soon after one that
// failed, it waits until it is time for another first, or returns the refusal
// that still applies. t.mu is held, but not while it waits.
func (t *tokens) ask(ctx context.Context) (fresh bool, err error) {
	ended, since := t.ended, time.Since(t.since)
	switch {
	case t.flight != nil || t.failed == nil:
	case errors.Is(t.failed, ErrRefused) && since < refusalStands:
		return false, t.failed
	case since < retryPause:
		timer := time.NewTimer(retryPause - since)
		defer timer.Stop()
		if err := wait(ctx, t, timer.C); err != nil {
			return false, err
		}
		if t.ended != ended { // somebody else's refresh was for all who waited
			return false, t.failed
		}
	}
	f := t.refresh(ctx)
	if err := wait(ctx, t, f.done); err != nil {
		return false, err
	}
	return true, f.err
}

func (t *tokens) usable(now time.Time) bool {
	return t.grant.secret != "" && !t.rejected && (t.expiry.IsZero() || now.Before(t.expiry))
}

// refresh joins or starts the flight. t.mu is held.
func (t *tokens) refresh(ctx context.Context) *flight {
	if t.flight != nil {
		return t.flight
	}
	f := &flight{done: make(chan struct{})}
	t.flight = f
	go func() {
		ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), flightTimeout)
		defer cancel()
		var value string
		var expiry time.Time
		err := errors.New("the token source called runtime.Goexit")
		defer func() { // also when the source panics: calls wait
			if v := recover(); v != nil {
				err = fmt.Errorf("the token source panicked: %v", v)
			}
			t.mu.Lock()
			defer t.mu.Unlock()
			f.err, t.failed, t.since = err, err, time.Now()
			t.ended++
			switch {
			case err == nil:
				t.keep(value, expiry, t.since)
			case errors.Is(err, ErrRefused):
				t.early = time.Time{} // not before it is needed
			}
			t.flight = nil
			close(f.done)
		}()
		value, expiry, err = t.source(ctx)
		if err != nil && ctx.Err() != nil {
			err = &flightTimeoutError{err}
		}
		value = strings.TrimSpace(value) // line ends of files and variables
		if err == nil {
			err = check(value)
		}
	}()
	return f
}

// flightTimeoutError reports a source that took too long. The deadline was not
// the caller's, so it is transient and matches no error of a context.
type flightTimeoutError struct{ err error }

func (e *flightTimeoutError) Error() string {
	return fmt.Sprintf("no token within %s: %s", flightTimeout, e.err)
}

// As finds what the source failed with.
func (e *flightTimeoutError) As(target any) bool { return errors.As(e.err, target) }

func (*flightTimeoutError) Timeout() bool   { return true }
func (*flightTimeoutError) Temporary() bool { return true }

func (t *tokens) keep(value string, expiry, now time.Time) {
	t.grant = Grant{Header: t.header, Value: t.prefix + value, generation: t.grant.generation + 1, secret: value}
	t.rejected, t.expiry, t.early = false, time.Time{}, time.Time{}
	// A new token that has expired was judged by a clock that is wrong.
	if life := expiry.Sub(now); life > 0 {
		t.expiry, t.early = expiry, expiry.Add(-min(life/10, maxEarly))
	}
}

func check(value string) error {
	switch {
	case value == "":
		return errors.New("the token source returned an empty token")
	case strings.ContainsFunc(value, func(r rune) bool { return r <= ' ' || r >= 0x7f }):
		return errors.New("the token source returned a token that no header can carry")
	}
	return nil
}

// wait waits for c without the lock, which is held before and after.
func wait[T any](ctx context.Context, t *tokens, c <-chan T) error {
	t.mu.Unlock()
	defer t.mu.Lock()
	select {
	case <-c:
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}
