package conformance

import (
	"time"
)

// The limits that the README and the options' documentation give.
const (
	minWait       = 500 * time.Millisecond
	maxWait       = 30 * time.Second
	longestWait   = 2 * time.Minute // the longest Retry-After that is obeyed
	tryTimeout    = 30 * time.Second
	stallTimeout  = 60 * time.Second
	lookWait      = 5 * time.Second // the longest between two looks for what was lost
	refreshFlight = 2 * time.Minute // for a token that several calls may wait for
)

// outcome is what must come of an operation under a fault.
type outcome struct {
	requests, atLeast int // that reach the service; atLeast below requests where time decides
	attempts          int
	processed         int
	ok                bool
	same              bool // the result is the usual one
	ambiguous         bool
	endless           bool // it goes on until the context ends
	plain             bool // an error that is not about a request
	least, most       time.Duration
}

// expect says what the promises make of a fault that hits every request, or the first alone. It knows the classes and
// what each kind of fault means; it does not know the code.
func expect(o *operation, f *fault, always bool) outcome {
	kind := f.kind
	switch {
	case o.content == none && f.inBody:
		w := success() // there is no body that it could show in
		w.most = drip
		return w
	case o.content == ignored && f.name != page && (kind == garbage || kind == allNull):
		return success()
	case kind == unchanged:
		return success()
	case kind == allNull:
		switch o.nulls {
		case accepted:
			w := success()
			w.same = false
			return w
		case refused:
			return outcome{requests: 1, attempts: 1, processed: 1, plain: true}
		case unfinished:
			if always {
				return outcome{endless: true, least: afterwards, most: afterwards}
			}
			return outcome{requests: 2, processed: 2, ok: true, most: time.Second}
		case unreadable:
			kind = garbage
		}
	}

	mayHaveBeen := kind == lost || kind == garbage || kind == tooLarge || f.status == 408 || f.status >= 500
	again := false // by its kind, the fault is a passing one
	switch kind {
	case unsent, lost, garbage:
		again = true
	case status:
		switch f.status {
		case 408, 429, 500, 502, 503, 504:
			again = true
		}
	default: // another try would meet the same
	}
	switch o.class {
	case safe, repeatable:
	case once:
		again = kind == unsent || f.status == 429
	case adopted:
		if mayHaveBeen && f.processed {
			w := success() // found, and gone on with
			w.most = afterwards
			return w
		}
		again = kind == unsent || f.status == 429 || mayHaveBeen
	}
	if f.wait > longestWait {
		again = false
	}

	w := outcome{attempts: 1}
	if again {
		w.attempts = tries
		if !always {
			w.attempts = 2
			w.ok, w.same = true, true
		}
	}
	w.requests = w.attempts
	if kind == unsent {
		w.requests = 0
		if w.ok {
			w.requests = 1
		}
	}
	if f.processed {
		w.processed = w.requests
	} else if w.ok {
		w.processed = 1
	}
	w.ambiguous = !w.ok && mayHaveBeen && (o.class == once || o.class == adopted)

	waits := w.attempts - 1
	w.least, w.most = repeated(waits, minWait), repeated(waits, maxWait)
	if f.waitOnce {
		waits = min(waits, 1)
	}
	if f.wait > 0 && waits > 0 {
		w.least = max(w.least, repeated(waits, f.wait))
		w.most += repeated(waits, f.wait)
	}
	if o.class == adopted && (kind == lost || f.status == 408 || f.status == 502 || f.status == 504) {
		// The service itself said nothing: it is looked at for the time of a try before there is another.
		w.least += repeated(w.attempts-1, tryTimeout)
		w.most += repeated(w.attempts-1, tryTimeout+lookWait)
	}
	if f.slow {
		slow := w.attempts
		if w.ok {
			slow--
		}
		w.least += repeated(slow, tryTimeout)
		w.most += repeated(slow, tryTimeout)
		if o.upload {
			w.most += repeated(slow, stallTimeout)
		}
	}
	if o.reuses && f.cut {
		// net/http sends a GET again by itself when a connection that it used before dies. It may: the call is safe.
		if always {
			w.requests++
			w.processed = w.requests * btoi(f.processed)
		} else {
			w.attempts, w.least = 1, 0
		}
	}
	w.atLeast = w.requests
	if o.login && w.most > refreshFlight {
		w.atLeast = min(2, w.requests)
		w.least, w.most = min(w.least, refreshFlight), refreshFlight
	}
	return w
}

func repeated(n int, d time.Duration) time.Duration { return time.Duration(n) * d }

func btoi(b bool) int {
	if b {
		return 1
	}
	return 0
}

func success() outcome {
	return outcome{requests: 1, atLeast: 1, attempts: 1, processed: 1, ok: true, same: true}
}
