package oraclemarket

import (
	"context"
	"fmt"
	"sync"
	"time"

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
	err = u.callStore(ctx, func(ctx context.Context) error { return u.req.Checkpoints.Save(ctx, u.key, data) })
	if s, ok := u.req.Checkpoints.(interface{ skippedSync() bool }); ok && s.skippedSync() {
		u.warnOnce.Do(func() {
			u.service.client.Logger().WarnContext(ctx, "checkpoints cannot be synced to disk here: a crash of the machine may lose the newest")
		})
	}
	return err
}

// locked calls f while it holds the checkpoint's lock, if the store has locks.
func (u *upload) locked(ctx context.Context, f func() error) (err error) {
	locker, ok := u.req.Checkpoints.(CheckpointLocker)
	if !ok {
		return f()
	}
	unlock, err := locker.Lock(ctx, u.key)
	if err != nil {
		return u.checkpointError("lock", err)
	}
	defer func() {
		if unlockErr := unlock(); unlockErr != nil && err == nil {
			err = u.checkpointError("unlock", unlockErr)
		}
	}()
	return f()
}

// callStore calls a method of the caller's store. It ends with f, or some time
// after ctx: a store that hangs holds nobody up for longer.
func (u *upload) callStore(ctx context.Context, f func(context.Context) error) error {
	done := make(chan error, 1)
	go func() {
		_, err := guard(func() (struct{}, error) { return struct{}{}, f(context.WithoutCancel(ctx)) })
		done <- err
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
		return fmt.Errorf("the store did not return within %s: %w", storeGrace, transport.ContextErr(ctx))
	}
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
