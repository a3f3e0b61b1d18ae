package oraclemarket

import (
	"context"
	"fmt"
	"sync"
	"time"

	"golang.org/x/sync/errgroup"

	"github.com/imagejobs/imagejobs-go/internal/transport"
)

// storeGrace is how long a call of a checkpoint store may continue once its
// context has ended: what was acknowledged is to be kept, but not at any price.
const storeGrace = 5 * time.Second

// save stores the state of the upload, and returns when it is stored.
func (u *upload) save(ctx context.Context, p phase) error {
	u.mu.Lock()
	u.state.Phase = p
	u.mu.Unlock()
	if u.req.Checkpoints == nil {
		return nil
	}
	if err := u.saves.join(func() error { return u.saveNow(ctx) }); err != nil {
		return u.checkpointError("save", err)
	}
	return nil
}

func (u *upload) saveNow(ctx context.Context) error {
	u.mu.Lock()
	u.state.Acknowledged = u.done.ranges(u.state.FirstChunk)
	u.state.Unproven = u.state.Unproven || !u.proven && u.state.Phase == phaseUploading
	data, err := u.state.encode()
	u.mu.Unlock()
	if err != nil {
		return err
	}
	err = u.callStore(ctx, func(ctx context.Context) error { return u.req.Checkpoints.Save(ctx, u.key, data) }, nil)
	if s, ok := u.req.Checkpoints.(interface{ skippedSync() bool }); ok && s.skippedSync() {
		u.warnOnce.Do(func() {
			u.service.client.Logger().WarnContext(ctx, "checkpoints cannot be synced to disk here: a crash of the machine may lose the newest")
		})
	}
	return err
}

// saveAcknowledged stores that chunk i is acknowledged, and reports it then.
func (u *upload) saveAcknowledged(ctx context.Context, i int) error {
	_, err := guard(func() (struct{}, error) {
		if err := u.save(ctx, phaseUploading); err != nil {
			return struct{}{}, err
		}
		u.reportChunk(i)
		return struct{}{}, nil
	})
	return err
}

// savesBehind returns a function that has saveAcknowledged follow the chunks as
// a part of group. It waits only while as many acknowledgements as there are
// chunks in flight are not saved: a store that takes its time holds up no chunk,
// and a crash has few of them sent again. ctx is that of the whole upload: a
// chunk that fails does not hurry the store.
func (u *upload) savesBehind(ctx context.Context, group *errgroup.Group) func(i int) error {
	if u.req.Checkpoints == nil {
		return func(i int) error { return u.saveAcknowledged(ctx, i) }
	}
	unsaved := make(chan struct{}, u.req.Concurrency)
	return func(i int) error {
		unsaved <- struct{}{}
		group.Go(func() error {
			defer func() { <-unsaved }()
			return u.saveAcknowledged(ctx, i)
		})
		return nil
	}
}

// locked calls f while it holds the checkpoint's lock, if the store has locks.
func (u *upload) locked(ctx context.Context, f func() error) (err error) {
	locker, ok := u.req.Checkpoints.(CheckpointLocker)
	if !ok {
		return f()
	}
	var unlock func() error
	err = u.callStore(ctx, func(ctx context.Context) (err error) {
		unlock, err = locker.Lock(ctx, u.key)
		return err
	}, func() error { return unlock() })
	if err != nil {
		return u.checkpointError("lock", err)
	}
	defer func() {
		if hung := u.hung; hung != nil { // it may still write
			go func() {
				<-hung.returned
				_, _ = guard(func() (struct{}, error) { return struct{}{}, unlock() }) // for which nobody waits
			}()
			return
		}
		unlockErr := u.callStore(ctx, func(context.Context) error { return unlock() }, nil)
		if unlockErr != nil && err == nil {
			err = u.checkpointError("unlock", unlockErr)
		}
	}()
	return f()
}

// callStore calls a method of the caller's store, one at a time. It ends with f,
// or some time after ctx: a store that hangs holds nobody up for longer. late is
// called if f succeeds after that, nil for nothing.
func (u *upload) callStore(ctx context.Context, f func(context.Context) error, late func() error) error {
	if u.hung != nil {
		return u.hung.err
	}
	done, left, returned := make(chan error), make(chan struct{}), make(chan struct{})
	go func() {
		defer close(returned)
		_, err := guard(func() (struct{}, error) { return struct{}{}, f(context.WithoutCancel(ctx)) })
		select {
		case done <- err:
		case <-left:
			if err == nil && late != nil {
				_, _ = guard(func() (struct{}, error) { return struct{}{}, late() })
			}
		}
	}()
	select {
	case err := <-done:
		return err
	case <-ctx.Done():
	}
	timer := time.NewTimer(storeGrace)
	defer timer.Stop()
	select {
	case err := <-done:
		return err
	case <-timer.C:
		close(left)
		u.hung = &hungCall{returned, fmt.Errorf("the store did not return within %s: %w", storeGrace, transport.ContextErr(ctx))}
		return u.hung.err
	}
}

// hungCall is a call of a store that was left before it returned.
type hungCall struct {
	returned <-chan struct{}
	err      error
}

// joinedSaves runs one save at a time. Callers that wait for their turn share
// the next one, so that a slow store costs its time once and not once a chunk.
type joinedSaves struct {
	turn chan struct{} // holds one
	mu   sync.Mutex
	next *joinedSave // that has not begun
}

func newJoinedSaves() *joinedSaves { return &joinedSaves{turn: make(chan struct{}, 1)} }

type joinedSave struct {
	done chan struct{}
	err  error
}

// join returns the result of a save that began after the call.
func (s *joinedSaves) join(save func() error) error {
	s.mu.Lock()
	joined, first := s.next, s.next == nil
	if first {
		joined = &joinedSave{done: make(chan struct{})}
		s.next = joined
	}
	s.mu.Unlock()
	if !first {
		<-joined.done
		return joined.err
	}
	s.turn <- struct{}{}
	defer func() { <-s.turn }()
	s.mu.Lock()
	s.next = nil
	s.mu.Unlock()
	defer close(joined.done)
	joined.err = save()
	return joined.err
}
