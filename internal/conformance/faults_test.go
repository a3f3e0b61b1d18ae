package conformance

import (
	"net"
	"net/http"
	"strconv"
	"strings"
	"time"

	"github.com/imagejobs/imagejobs-go/internal/emulator"
)

// kind is what a fault means to the client.
type kind int

const (
	unsent    kind = iota // no connection: certainly not processed
	byProxy               // a forward proxy refused it: the same, and for good
	lost                  // no whole response came
	early                 // a response before the request was sent
	status                // a response with a status of its own
	redirect              // a response that points elsewhere
	tooLarge              // a 200 with more in it than is read
	refusal               // a 200 with the service's own refusal in it
	garbage               // a 200 that is none of the operation
	unchanged             // a response that is as good as the usual one
)

// Faults that are none to some operations.
const nulls = "nulls everywhere"

// fault is one column of the matrix.
type fault struct {
	name      string
	kind      kind
	processed bool // the service carries the request out
	slow      bool // each attempt takes as long as it may
	cut       bool // the connection ends without a byte of a response
	inBody    bool // shows in the response's body only
	status    int
	wait      time.Duration // Retry-After that counts
	waitOnce  bool          // the first one only: a date
	always    bool          // too much work, or not possible, for one request alone
	dial      func() (net.Conn, error)
	connect   int // the status of a forward proxy
	large     bool
	concerns  func(*operation) bool // nil for each
	server    func(*operation) emulator.Fault
}

const (
	drip = time.Second
	// A little more than one dripping byte a second for as long as an attempt
	// may take.
	pad = 200
)

func faults() []fault {
	list := []fault{
		{name: "dial refused", kind: unsent, dial: func() (net.Conn, error) {
			return nil, &net.OpError{Op: "dial", Net: "tcp", Err: errRefused}
		}},
		{name: "a forward proxy's 403", kind: byProxy, connect: 403, always: true},
		{name: "a forward proxy's 407", kind: byProxy, connect: 407, always: true},
		{name: "a forward proxy's 502", kind: unsent, connect: 502, always: true},
		{name: "dropped before the first byte", kind: lost, cut: true, server: with(emulator.Fault{Drop: emulator.DropBefore})},
		{name: "dropped in the middle of the request", kind: lost, cut: true, server: with(emulator.Fault{Drop: emulator.DropDuring})},
		{name: "dropped after it was processed", kind: lost, cut: true, processed: true, server: with(emulator.Fault{Drop: emulator.DropAfter})},
		{name: "dropped in the middle of the response", kind: lost, processed: true, inBody: true, server: withBody(func(body string) emulator.Fault {
			return emulator.Fault{Body: padded(body), Truncate: true}
		})},
		{
			// Of what fits into one segment nobody can tell.
			name: "an early 200", kind: early, large: true, concerns: func(o *operation) bool { return o.upload },
			server: withBody(func(body string) emulator.Fault { return emulator.Fault{Early: true, Body: body} }),
		},
		{name: "redirect to another host", kind: redirect, status: 307, server: with(emulator.Fault{
			Status: 307, Header: http.Header{"Location": {"https://elsewhere.example/path?q=" + mark}},
		})},
		{name: "stalled headers", kind: lost, slow: true, server: with(emulator.Fault{Stall: emulator.StallResponse})},
		{name: "stalled headers after it was processed", kind: lost, slow: true, processed: true, server: with(emulator.Fault{
			Stall: emulator.StallResponse, Process: true,
		})},
		{name: "stalled body", kind: lost, slow: true, processed: true, inBody: true, server: withBody(func(body string) emulator.Fault {
			return emulator.Fault{Stall: emulator.StallResponseBody, Body: padded(body)}
		})},
		{name: "slow-drip response", kind: lost, slow: true, processed: true, inBody: true, server: withBody(func(body string) emulator.Fault {
			return emulator.Fault{Drip: drip, Body: padded(body)}
		})},
	}
	list = append(list, statusFaults()...)
	return append(list, bodyFaults()...)
}

func with(f emulator.Fault) func(*operation) emulator.Fault {
	return func(*operation) emulator.Fault { return f }
}

// withBody is for faults that are made of the good response.
func withBody(f func(body string) emulator.Fault) func(*operation) emulator.Fault {
	return func(o *operation) emulator.Fault { return f(good(o.target)) }
}

func statusFaults() []fault {
	refused := func(name string, code int, retryAfter string, wait time.Duration) fault {
		return fault{name: name, kind: status, status: code, wait: wait, server: with(emulator.Fault{Status: code, RetryAfter: retryAfter})}
	}
	var list []fault
	for _, code := range []int{401, 403, 404, 407, 408, 409, 425, 429, 500, 501, 502, 504, 505, 507, 522, 599} {
		list = append(list, refused(http.StatusText(code), code, "", 0))
	}
	for i := range list { // the newer ones have no text
		list[i].name = strings.TrimSpace(strconv.Itoa(list[i].status) + " " + list[i].name)
	}
	dated := func(name string, ahead, wait time.Duration) fault {
		return fault{name: name, kind: status, status: 503, wait: wait, waitOnce: true, server: func(*operation) emulator.Fault {
			return emulator.Fault{Status: 503, RetryAfter: time.Now().Add(ahead).UTC().Format(http.TimeFormat)}
		}}
	}
	return append(list,
		dated("503, Retry-After as a date", 20*time.Second, 20*time.Second),
		dated("503, Retry-After as a date in a year", 365*24*time.Hour, 0),
		refused("429, Retry-After", 429, "9", 9*time.Second),
		refused("429, Retry-After with a fraction", 429, "2.5", 2500*time.Millisecond),
		refused("429, Retry-After of an hour", 429, "3600", time.Hour),
		refused("429, Retry-After absurd", 429, "99999999999999", 0),
		refused("503, Retry-After in seconds", 503, "7", 7*time.Second),
		refused("503, Retry-After of an hour", 503, "3600", time.Hour),
		refused("503, Retry-After absurd", 503, "31536000", 0),
		fault{name: "500 after it was processed", kind: status, status: 500, processed: true, server: with(emulator.Fault{
			Status: 500, Process: true,
		})},
	)
}

func bodyFaults() []fault {
	spoiled := func(name string, kind kind, body func(string) string) fault {
		return fault{name: name, kind: kind, processed: true, inBody: true, server: withBody(func(good string) emulator.Fault {
			return emulator.Fault{Body: body(good), ContentType: "application/json"}
		})}
	}
	list := []fault{
		{name: "HTML", kind: garbage, processed: true, inBody: true, server: with(emulator.Fault{
			Body: "<html><h1>Sign in</h1></html>", ContentType: "text/html; charset=utf-8",
		})},
		{name: "JSON under another content type", kind: unchanged, processed: true, inBody: true, server: withBody(func(body string) emulator.Fault {
			return emulator.Fault{Body: padded(body), ContentType: "application/octet-stream"}
		})},
		{name: "gzip bomb", kind: tooLarge, processed: true, inBody: true, always: true, server: func(*operation) emulator.Fault {
			return emulator.Fault{Body: bomb(), Header: http.Header{"Content-Encoding": {"gzip"}}}
		}},
		{name: "20 MiB", kind: tooLarge, processed: true, inBody: true, always: true, server: func(*operation) emulator.Fault {
			return emulator.Fault{Body: large(), ContentType: "application/json"}
		}},
		{
			name: "without its header", kind: garbage, processed: true, concerns: func(o *operation) bool { return o.named },
			server: with(emulator.Fault{Header: http.Header{"X-Upload-Status": {""}, "X-Subject-Token": {""}}}),
		},
		{
			name: "of another id", kind: garbage, processed: true, inBody: true,
			concerns: func(o *operation) bool { return ofAnother(o.target) != "" },
			server: func(o *operation) emulator.Fault {
				return emulator.Fault{Body: ofAnother(o.target), ContentType: "application/json"}
			},
		},
		spoiled("truncated JSON", garbage, func(body string) string {
			return strings.TrimRight(orEmpty(body), "}]\n\t ") + " "
		}),
		spoiled("duplicate keys", unchanged, duplicated),
		spoiled("unknown fields", unchanged, extended),
		spoiled("deep nesting", garbage, func(string) string { return strings.Repeat("[", 20_000) + strings.Repeat("]", 20_000) }),
		spoiled(nulls, garbage, nulled),
	}
	// What a gateway may say in place of the service.
	for _, text := range []string{`{}`, `[]`, `null`, `"ok"`, `{"status":"maintenance"}`, `{"message":"busy"}`} {
		list = append(list, spoiled(text, garbage, func(string) string { return text }))
	}
	// What the service may say itself.
	for _, text := range []string{
		`{"error":{"code":5,"message":"denied"}}`, `{"error":"denied"}`, `{"error_message":"denied","error_code":5}`, `{"success":"no"}`, `{"success":false}`,
	} {
		list = append(list, spoiled(text, refusal, func(string) string { return text }))
	}
	return list
}
