package transport

import (
	"context"
	"crypto/tls"
	"net"
	"net/http/httptrace"
	"sync"
	"syscall"
	"time"
)

// stallClock cuts an upload in which no byte has moved for a while. Bytes move
// when the source is read; and because the kernel takes megabytes at once, which
// a slow line needs minutes for, also when its send queue changes.
type stallClock struct {
	cut   context.CancelCauseFunc
	trace httptrace.ClientTrace // tells the connection

	mu      sync.Mutex
	timer   *time.Timer
	limit   time.Duration
	began   time.Time
	moved   time.Time // last
	whole   bool      // the source was read to its end
	conn    net.Conn  // nil until it is known
	queue   func(net.Conn) (bytes int, known bool)
	queued  int // at the last look, -1 before the first
	stopped bool
}

func newStallClock(limit time.Duration, cut context.CancelCauseFunc) *stallClock {
	now := time.Now()
	s := &stallClock{cut: cut, limit: limit, began: now, moved: now, queue: sendQueue, queued: -1}
	s.trace.GotConn = s.sendsOn
	s.mu.Lock()
	defer s.mu.Unlock()
	s.timer = time.AfterFunc(s.left(now), s.look)
	return s
}

// left is how long until the next look, 0 when time is up.
func (s *stallClock) left(now time.Time) time.Duration {
	limit := s.limit
	if s.whole {
		// What buffers on the way still hold takes no longer than all of it
		// took, and to send it again would.
		limit = max(limit, s.moved.Sub(s.began))
	}
	return max(min(limit-now.Sub(s.moved), s.limit/4), 0)
}

func (s *stallClock) look() {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.stopped {
		return
	}
	now := time.Now()
	if s.conn != nil {
		if queued, known := s.queue(s.conn); known && queued != s.queued {
			s.queued, s.moved = queued, now
		}
	}
	left := s.left(now)
	if left == 0 {
		s.cut(ErrStalled)
		return
	}
	s.timer.Reset(left)
}

// read tells that the source was read, and whether to its end.
func (s *stallClock) read(whole bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.moved, s.whole = time.Now(), whole
}

func (s *stallClock) sendsOn(info httptrace.GotConnInfo) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.conn = info.Conn
}

// answered gives what is left of the answer, which is small, a limit of its own.
func (s *stallClock) answered(limit time.Duration) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.stopped {
		return
	}
	s.limit, s.moved, s.whole, s.conn = limit, time.Now(), false, nil
	s.timer.Reset(s.left(s.moved))
}

func (s *stallClock) stop() {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.stopped = true
	s.timer.Stop()
}

// sendQueue is how much the kernel holds that the other side has not
// acknowledged. It is not known everywhere, and not for one of the many
// requests on an HTTP/2 connection.
func sendQueue(c net.Conn) (bytes int, known bool) {
	for {
		switch on := c.(type) {
		case interface{ ConnectionState() tls.ConnectionState }:
			if on.ConnectionState().NegotiatedProtocol == "h2" {
				return 0, false
			}
		case syscall.Conn:
			raw, err := on.SyscallConn()
			if err != nil {
				return 0, false
			}
			var queueErr error
			err = raw.Control(func(fd uintptr) { bytes, queueErr = socketQueue(fd) })
			return bytes, err == nil && queueErr == nil
		}
		above, ok := c.(interface{ NetConn() net.Conn })
		if !ok {
			return 0, false
		}
		c = above.NetConn()
	}
}
