package emulator

import (
	"sync"
	"time"
)

// Clock is the time of a server and of its jobs. Its zero value is the real
// time, at speed 1.
type Clock struct {
	now   func() time.Time
	speed float64
}

// NewClock returns a clock that reads now (nil: [time.Now]) and by which jobs
// run speed times as fast as it ticks. A speed that is not positive means 1.
func NewClock(now func() time.Time, speed float64) Clock {
	return Clock{now: now, speed: speed}
}

// Now returns the current time. The speed does not affect it, so that dates in
// responses and the lifetime of tokens stay true.
func (c Clock) Now() time.Time {
	if c.now == nil {
		return time.Now()
	}
	return c.now()
}

// Since returns how long a job that started at start has run, in job time.
func (c Clock) Since(start time.Time) time.Duration {
	return time.Duration(float64(c.Now().Sub(start)) * c.factor())
}

// At returns the moment at which a job that started at start has run for ran,
// in job time. It is the inverse of Since.
func (c Clock) At(start time.Time, ran time.Duration) time.Time {
	return start.Add(time.Duration(float64(ran) / c.factor()))
}

func (c Clock) factor() float64 {
	if c.speed <= 0 {
		return 1
	}
	return c.speed
}

// ManualClock is a clock that moves only when Advance is called. Its Now method
// is an argument for [NewClock].
type ManualClock struct {
	mu  sync.Mutex
	now time.Time
}

// NewManualClock returns a clock that shows start.
func NewManualClock(start time.Time) *ManualClock {
	return &ManualClock{now: start}
}

// Now returns the time the clock shows.
func (c *ManualClock) Now() time.Time {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.now
}

// Advance moves the clock forward by d.
func (c *ManualClock) Advance(d time.Duration) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.now = c.now.Add(d)
}
