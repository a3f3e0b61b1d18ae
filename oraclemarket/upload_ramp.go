package oraclemarket

import (
	"context"
	"math"
	"net/http/httptrace"
	"sync"
	"time"

	"github.com/imagejobs/imagejobs-go/internal/transport"
	"github.com/imagejobs/imagejobs-go/internal/wire"
)

const (
	// rampTime is how long the line may take for the chunks in flight, which an
	// interruption loses.
	rampTime = 10 * time.Second
	// rampWindow is the time over which rates are compared.
	rampWindow = 2 * time.Second
	// rampLeast is how many bytes tell the first rate. Of each connection, rampHeld
	// do not count, which a proxy nearby may hold, or rampBuffered where the system
	// does not say how many it buffers.
	rampLeast, rampHeld, rampBuffered = 1 << 20, 256 << 10, 1 << 20
	// rampGain is the share of what more chunks could add to the rate that they
	// have to add.
	rampGain = 0.4
	// rampPause is how many chunks are sent before more at once are tried again.
	rampPause = 16
)

// ramp bounds how many chunks are sent at once. It begins with one, and lets as
// many as the line carries in rampTime. Where that is half of what there may be
// or fewer, it probes with twice as many from time to time, and keeps them if they
// are faster together: over a long line each connection may have a rate of its
// own.
type ramp struct {
	most  int
	chunk int64 // its size

	mu      sync.Mutex
	changed chan struct{} // closed when those who wait should check again
	allowed int
	sending map[*countingReader]time.Time // since
	passed  int64                         // bytes of chunks that were sent

	begun   time.Time // the window
	from    int64     // bytes by then
	windows int       // that have ended since the last change
	fewer   int       // how many were allowed before a trial, 0 outside of one
	rate    float64   // by then
	pause   int       // chunks until the next trial
}

// newRamp returns a ramp for chunks of that size. It allows the most from the
// start unless it may choose.
func newRamp(most int, choose bool, chunk int64) *ramp {
	m := &ramp{most: most, chunk: chunk, changed: make(chan struct{}), allowed: most, sending: map[*countingReader]time.Time{}}
	if choose {
		m.allowed = 1
	}
	return m
}

// send calls f, which sends a chunk of that size through r, when it is its turn.
func (m *ramp) send(ctx context.Context, r *countingReader, size int64, f func(context.Context) error) error {
	if err := m.enter(ctx, r); err != nil {
		return err
	}
	err := errGoexit
	defer func() { m.leave(r, size, err == nil) }()
	err = f(httptrace.WithClientTrace(ctx, &httptrace.ClientTrace{GotConn: func(info httptrace.GotConnInfo) { r.conn.Store(&info.Conn) }}))
	return err
}

func (m *ramp) enter(ctx context.Context, r *countingReader) error {
	for {
		m.mu.Lock()
		if len(m.sending) < m.allowed {
			m.sending[r] = time.Now()
			m.mu.Unlock()
			return nil
		}
		changed := m.changed
		m.mu.Unlock()
		select {
		case <-changed:
		case <-ctx.Done():
			return transport.ContextErr(ctx)
		}
	}
}

func (m *ramp) leave(r *countingReader, size int64, sent bool) {
	m.mu.Lock()
	defer m.mu.Unlock()
	delete(m.sending, r)
	if sent {
		m.passed += size
		m.pause--
	}
	m.measure(time.Now())
	m.wake()
}

// moved notes that a chunk was read further.
func (m *ramp) moved() {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.measure(time.Now())
}

func (m *ramp) wake() {
	close(m.changed)
	m.changed = make(chan struct{})
}

// measure decides how many chunks are sent at once: as soon as something is known
// at first, then at the end of each window.
func (m *ramp) measure(now time.Time) {
	if m.allowed >= m.most && m.fewer == 0 {
		return
	}
	if m.begun.IsZero() { // nothing moved before
		m.begun = now
		for r := range m.sending {
			m.sending[r] = now
		}
	}
	bytes, held := m.bytes()
	took, moved := max(now.Sub(m.begun), time.Microsecond), bytes-m.from
	ended := took >= rampWindow
	if !ended && (m.windows > 0 || m.fewer > 0 || moved < min(rampLeast, m.chunk/4)) {
		return
	}
	if !ended || m.passed == 0 { // later on, as much goes on as is held
		moved -= held
	}
	rate := float64(moved) / took.Seconds()
	if fits := math.Ceil(rate * rampTime.Seconds() / float64(m.chunk)); fits > float64(m.allowed) {
		m.fewer = 0
		m.allow(now, bytes, int(min(fits, float64(m.most))))
		return
	}
	if !ended {
		return
	}
	m.windows++
	switch {
	case m.fewer > 0 && m.windows == 1: // in which new connections come up to speed
		m.begun, m.from = now, bytes
	case m.fewer > 0 && rate < m.rate*(1+rampGain*(float64(m.allowed)/float64(m.fewer)-1)):
		m.pause = rampPause
		m.allow(now, bytes, m.fewer)
		m.fewer, m.windows = 0, 1
	case 2*m.allowed <= m.most && (m.fewer > 0 || m.pause <= 0 && rate > 0):
		m.fewer, m.rate = m.allowed, rate
		m.allow(now, bytes, 2*m.allowed)
	default:
		m.fewer, m.begun, m.from = 0, now, bytes
	}
}

// allow begins a new window with so many chunks at once.
func (m *ramp) allow(now time.Time, bytes int64, chunks int) {
	m.allowed, m.begun, m.from, m.windows = min(chunks, m.most), now, bytes, 0
	m.wake()
}

// bytes returns how many bytes have left this machine, as far as is known, and
// how many of those in the window may not have gone far.
func (m *ramp) bytes() (sum, held int64) {
	sum = m.passed
	for r, since := range m.sending {
		queued, known := 0, false
		if conn := r.conn.Load(); conn != nil {
			queued, known = wire.SendQueue(*conn)
		}
		switch {
		case since.Before(m.begun): // it holds as much as it did
		case known:
			held += rampHeld
		default:
			held += rampBuffered
		}
		sum += max(r.at.Load()-int64(queued), 0)
	}
	return sum, held
}
