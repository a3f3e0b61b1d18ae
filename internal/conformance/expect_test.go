package conformance

import (
	"net/http"
	"slices"
	"strings"
	"time"
)

// The limits that the options document.
const (
	attempts       = 5
	minWait        = 500 * time.Millisecond
	maxWait        = 30 * time.Second
	longestWait    = 2 * time.Minute // the longest Retry-After that a call obeys
	attemptTimeout = 30 * time.Second
	stallTimeout   = 60 * time.Second
	outageLimit    = 5 * time.Minute
	lag            = 30 * time.Second // of a service that does not know yet what exists
	longestPoll    = 15 * time.Second // the longest interval of polls
	// afterwards is longer than anything that is bounded may take.
	afterwards = 20 * time.Minute
)

// outcome is what must come of an operation under a fault.
type outcome struct {
	requests, atLeast int // that reach the service; atLeast below requests where time decides
	attempts          int // of a call, as the error says; at most where atLeast is below requests
	ok                bool
	same              bool // the result is the usual one
	ambiguous         bool
	transient         bool
	least, most       time.Duration
}

// exact reports whether the number of requests does not depend on time.
func (w *outcome) exact() bool { return w.atLeast == w.requests }

func success() outcome {
	return outcome{requests: 1, atLeast: 1, attempts: 1, ok: true, same: true}
}

// expect returns what the promises make of a fault that hits every request, or
// the first alone. It knows the classes and what each kind of fault means; it
// does not know the code.
func expect(o *operation, f *fault, always bool) outcome {
	if always && (f.dial != nil || f.connect != 0) {
		o = o.begins()
	}
	return o.expect(f, o.meaning(f), always)
}

func (o *operation) expect(f *fault, k kind, always bool) outcome {
	if k == unchanged {
		w := success()
		w.same = !slices.Contains(o.accepts, f.name)
		if f.slow {
			w.most = drip
		}
		return w
	}
	if o.class == adopted {
		return o.adopts(f, k, always)
	}
	if o.gets && (k == tooLarge || f.status == http.StatusForbidden && k == status) {
		return success()
	}
	w := expectCall(o, f, k, always)
	if o.gated {
		w.least = 0
	}
	switch {
	case o.asks > 0 && w.ambiguous:
		return o.asksAgain(f, &w, always)
	case o.patient && !w.ok:
		return o.rides(f, k, &w, always)
	case o.login:
		w.attempts = 1 // each of its requests is for another attempt of the call
	}
	return w
}

// begins returns the operation as it is until its first request has succeeded.
func (o *operation) begins() *operation {
	first := *o
	switch {
	case o.name == "Release":
		first.class, first.seen = safe, false
	case o.pkg == "imagereplicator" && o.class == once: // it lists first
		first.class, first.asks = safe, 0
	case o.name == "MachineImages.DiscardUpload", strings.HasSuffix(o.name, "Range") || strings.HasSuffix(o.name, "Ranges"): // a Get
		first.class, first.patient = safe, true
	case o.class != adopted && strings.HasPrefix(o.name, "MachineImages.Upload") && o.of != "":
		first.class, first.patient, first.upload = adopted, false, false
	}
	return &first
}

// meaning returns what the fault means to this operation.
func (o *operation) meaning(f *fault) kind {
	switch {
	case o.content == header && f.inBody, slices.Contains(o.accepts, f.name):
		return unchanged
	case o.content == nothing && f.kind == unchanged: // a body where there should be none
		return garbage
	case f.kind == refusal && !o.refuses:
		return garbage
	default:
		return f.kind
	}
}

// mayHaveBeen reports whether the service may have carried out the request.
func (f *fault) mayHaveBeen(k kind) bool {
	switch k {
	case lost, early, garbage, tooLarge:
		return true
	case status:
		return f.status == http.StatusRequestTimeout || f.status >= 500
	default:
		return false
	}
}

// passes reports whether the same may well succeed some time later.
func (f *fault) passes(k kind) bool {
	switch k {
	case unsent, lost, early, garbage:
		return true
	case status:
		switch f.status {
		case 408, 425, 429, 500, 502, 503, 504, 507, 598, 599:
			return true
		default:
			return f.status >= 520 && f.status <= 530
		}
	default:
		return false
	}
}

// expectCall is for one call.
func expectCall(o *operation, f *fault, k kind, always bool) outcome {
	again := f.passes(k)
	if o.class == once {
		again = k == unsent || f.status == http.StatusTooManyRequests
	}
	w := outcome{attempts: 1}
	if again && !o.patient && f.wait <= longestWait {
		w.attempts = attempts
		if !always {
			w.attempts, w.ok, w.same = 2, true, true
		}
	}
	switch w.requests = w.attempts; {
	case k == byProxy, k == unsent && !w.ok:
		w.requests = 0
	case k == unsent:
		w.requests = 1
	}
	w.ambiguous = o.class == once && f.mayHaveBeen(k)
	w.transient = f.passes(k) && !w.ambiguous

	waits := w.attempts - 1
	w.least, w.most = repeated(waits, minWait), repeated(waits, maxWait)
	if f.waitOnce {
		waits = min(waits, 1)
	}
	if f.wait > 0 && waits > 0 {
		w.least = max(w.least, repeated(waits, f.wait))
		w.most += repeated(waits, f.wait)
	}
	if f.slow {
		slow := w.attempts
		if w.ok {
			slow--
		}
		w.least += repeated(slow, attemptTimeout)
		w.most += repeated(slow, attemptTimeout)
		if o.upload {
			w.most += repeated(slow, stallTimeout)
		}
	}
	if k == early { // the server lingers before it closes the connection
		w.most += repeated(w.attempts, time.Second)
	}
	if o.reuses && f.cut {
		// net/http sends a GET again by itself when a connection that it used
		// before broke. It may: the call is safe.
		if always {
			w.requests++
		} else {
			w.ok, w.same, w.requests, w.attempts, w.least = true, true, 2, 1, 0
		}
	}
	w.atLeast = w.requests
	return w
}

// asksAgain is for a request whose response was lost as in w. It is sent again
// where the service carries out only one, or where it certainly has not.
func (o *operation) asksAgain(f *fault, w *outcome, always bool) outcome {
	if o.looks && f.processed {
		found := success()
		found.most = w.most + lag
		return found
	}
	again := *w
	again.requests += o.asks
	again.most += repeated(o.asks, w.most+longestPoll)
	if o.looks {
		again.most += repeated(again.requests, lag+longestPoll)
	}
	if !always {
		again.ok, again.same, again.requests = true, true, 2
	}
	again.atLeast = again.requests
	return again
}

// rides is for polls, whose calls fail as in w.
func (o *operation) rides(f *fault, k kind, w *outcome, always bool) outcome {
	bound := outageLimit
	switch {
	case w.transient:
	case f.status == http.StatusNotFound && (o.class == safe || o.gated),
		o.seen && (f.status == http.StatusForbidden || k == refusal):
		bound = lag
	default:
		return *w
	}
	ridden := *w
	if !always { // the next poll succeeds
		ridden.ok, ridden.same = true, true
		ridden.requests++
		ridden.atLeast++
		if pause := max(minWait, min(f.wait, bound)); !o.gated || f.wait > 0 {
			ridden.least += pause
		}
		ridden.most += max(time.Second, min(f.wait, bound)+longestPoll/2)
		return ridden
	}
	ridden.atLeast = min(1, w.requests)
	ridden.requests = w.requests * 60 // at least half of 15 s apart in the long run
	ridden.least = bound
	ridden.most = bound + 2*w.most + longestPoll
	return ridden
}

// adopts is for the requests of an upload whose outcome is looked for before
// there is another.
func (o *operation) adopts(f *fault, k kind, always bool) outcome {
	mayHaveBeen := f.mayHaveBeen(k)
	if f.processed && (mayHaveBeen || o.looks) {
		w := success()
		w.most = outageLimit
		return w
	}
	bound := time.Duration(0)
	switch {
	case f.passes(k), mayHaveBeen:
		bound = outageLimit
	case o.looks && (f.status == http.StatusNotFound || f.status == http.StatusConflict):
		bound = lag
	}
	w := outcome{requests: 1, atLeast: 1, attempts: 1, ambiguous: mayHaveBeen, transient: f.passes(k) && !mayHaveBeen}
	if k == unsent || k == byProxy {
		w.requests, w.atLeast = 0, 0
	}
	switch {
	case bound == 0:
		w.most = minWait
	case always:
		w.requests *= 300
		w.least, w.most = bound, bound+outageLimit
	default:
		w.ok, w.same, w.ambiguous = true, true, false
		w.requests, w.atLeast = 2-btoi(k == unsent), 2-btoi(k == unsent)
		w.most = outageLimit + 2*lag
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
