package emulator

import (
	"fmt"
	"math"
	"net/http"
	"strconv"
	"sync"
	"time"
)

// Limits are what a proxy in front of a service refuses. The zero value refuses
// nothing.
type Limits struct {
	// Rate is how many requests a second get through, Burst how many more than
	// that at once. The others get a 429 with a Retry-After header.
	Rate  float64
	Burst int
	// BodySize is the largest request body in bytes, as announced in
	// Content-Length. A larger one gets a 413, before it is read.
	BodySize int64
}

// limiter enforces Limits. Refused requests cost nothing.
type limiter struct {
	Limits

	mu     sync.Mutex
	tokens float64
	last   time.Time
}

func newLimiter(limits Limits) *limiter {
	return &limiter{Limits: limits, tokens: float64(limits.Burst) + 1}
}

// check returns the response to a request that exceeds a limit.
func (l *limiter) check(r *http.Request, now time.Time) (refusal Fault, exceeded bool) {
	if wait := l.take(now); wait > 0 {
		seconds := int(math.Ceil(wait.Seconds()))
		return Fault{
			Status: http.StatusTooManyRequests, RetryAfter: strconv.Itoa(seconds), reason: "too many requests a second",
		}, true
	}
	if l.BodySize > 0 && r.ContentLength > l.BodySize {
		return Fault{
			Status: http.StatusRequestEntityTooLarge, Early: true,
			reason: fmt.Sprintf("the body is larger than %d bytes", l.BodySize),
		}, true
	}
	return Fault{}, false
}

// take takes a token. If no token is left, it returns when there will be one.
func (l *limiter) take(now time.Time) (wait time.Duration) {
	if l.Rate <= 0 {
		return 0
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	if !l.last.IsZero() {
		l.tokens = min(float64(l.Burst)+1, l.tokens+l.Rate*now.Sub(l.last).Seconds())
	}
	l.last = now
	if l.tokens < 1 {
		return time.Duration((1 - l.tokens) / l.Rate * float64(time.Second))
	}
	l.tokens--
	return 0
}
