package wire

import (
	"context"
	"errors"
	"net"
	"net/http/httptrace"
	"sync"
	"time"
)

// ErrStalled is the cause with which a [StallGuard] cancels an upload.
var ErrStalled = errors.New("no byte was sent or received within the stall limit")

// StallGuard cancels an upload with [ErrStalled] when no byte has moved for its
// limit. Bytes move when the source is read. Where the system reports the send
// queue of a connection, they also move when the peer acknowledges some: the
// kernel takes megabytes at once, for which a slow line needs minutes.
//
// Once the body was read to its end, the limit is the larger of the given one
// and the time from the start to the last byte that moved. A proxy may have
// acknowledged all of the body and still have to pass it on, which nothing here
// can see; that takes no longer than the sending took. A service that takes
// longer than that to respond is stalled.
//
// Once [StallGuard.ResponseStarted] was called, the rest of the response has
// the limit given there.
type StallGuard struct {
	cancel context.CancelCauseFunc
	trace  httptrace.ClientTrace

	mu        sync.Mutex
	timer     *time.Timer
	limit     time.Duration
	started   time.Time
	moved     time.Time // last
	complete  bool      // the source was read to its end
	conn      net.Conn  // nil until it is known
	connected bool
	queue     func(net.Conn) (bytes int, known bool)
	queued    int // at the last check, -1 before the first
	stopped   bool
}

// NewStallGuard starts a guard that calls cancel when no byte has moved for
// limit. Stop releases it.
func NewStallGuard(limit time.Duration, cancel context.CancelCauseFunc) *StallGuard {
	now := time.Now()
	g := &StallGuard{cancel: cancel, limit: limit, started: now, moved: now, queue: SendQueue, queued: -1}
	g.trace.GotConn = g.gotConn
	g.mu.Lock() // the timer may fire before it is assigned
	defer g.mu.Unlock()
	g.timer = time.AfterFunc(g.untilCheck(now), g.check)
	return g
}

// Trace returns the trace from which the guard learns the connection of the
// upload.
func (g *StallGuard) Trace() *httptrace.ClientTrace { return &g.trace }

// ResponseStarted sets the limit for the rest of the response, counted from
// now. Nothing prolongs it.
func (g *StallGuard) ResponseStarted(limit time.Duration) {
	g.mu.Lock()
	defer g.mu.Unlock()
	if g.stopped {
		return
	}
	g.limit, g.moved, g.complete, g.conn = limit, time.Now(), false, nil
	g.timer.Reset(g.untilCheck(g.moved))
}

// Stop ends the guard. It cancels nothing afterwards.
func (g *StallGuard) Stop() {
	g.mu.Lock()
	defer g.mu.Unlock()
	g.stopped = true
	g.timer.Stop()
}

// untilCheck returns the time until the next check, 0 when the upload has
// stalled.
func (g *StallGuard) untilCheck(now time.Time) time.Duration {
	limit := g.limit
	if g.complete {
		limit = max(limit, g.moved.Sub(g.started))
	}
	return max(min(limit-now.Sub(g.moved), g.limit/4), 0)
}

func (g *StallGuard) check() {
	g.mu.Lock()
	defer g.mu.Unlock()
	if g.stopped {
		return
	}
	now := time.Now()
	if g.conn != nil {
		if queued, known := g.queue(g.conn); known && queued != g.queued {
			g.queued, g.moved = queued, now
		}
	}
	wait := g.untilCheck(now)
	if wait == 0 {
		g.cancel(ErrStalled)
		return
	}
	g.timer.Reset(wait)
}

// bodyRead notes that the source was read, and whether to its end.
func (g *StallGuard) bodyRead(complete bool) {
	g.mu.Lock()
	defer g.mu.Unlock()
	g.moved, g.complete = time.Now(), complete
}

// Connected reports whether the upload got a connection. Without a guard there is
// none to know of.
func (g *StallGuard) Connected() bool {
	if g == nil {
		return false
	}
	g.mu.Lock()
	defer g.mu.Unlock()
	return g.connected
}

func (g *StallGuard) gotConn(info httptrace.GotConnInfo) {
	g.mu.Lock()
	defer g.mu.Unlock()
	g.conn, g.connected = info.Conn, true
}
