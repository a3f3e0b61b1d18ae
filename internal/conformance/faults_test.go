package conformance

import (
	"bytes"
	"compress/gzip"
	"encoding/json"
	"net"
	"net/http"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/imagejobs/imagejobs-go/internal/emulator"
)

// kind is what a fault means to the client.
type kind int

const (
	unsent    kind = iota // no connection: certainly not processed
	lost                  // no whole answer came
	status                // an answer with a status of its own
	redirect              // an answer that points elsewhere
	tooLarge              // a 200 with more in it than is read
	garbage               // a 200 that is not the JSON expected
	allNull               // the JSON expected, without a value in it
	unchanged             // an answer that is as good as the usual one
)

// page is the fault of a proxy that answers 200 with a page of its own.
const page = "HTML"

// fault is one column of the matrix.
type fault struct {
	name      string
	kind      kind
	processed bool // the service carries the request out
	slow      bool // each try takes as long as it may
	cut       bool // the connection ends without a byte of an answer
	inBody    bool // shows in the answer's body only
	status    int
	wait      time.Duration // Retry-After
	waitOnce  bool          // the first one only: a date
	dial      func() (net.Conn, error)
	always    bool // too much work, or not possible, for one request alone
	server    func(body string) emulator.Fault
}

const (
	drip = time.Second
	// A little more than one dripping byte a second for as long as a try may take.
	pad = 200
)

// padded is a body long enough for the faults that need time.
func padded(body string) string {
	if body == "" {
		body = "{}"
	}
	return body + strings.Repeat(" ", max(0, pad-len(body)))
}

func faults() []fault {
	answered := func(name string, status int, retryAfter string, wait time.Duration) fault {
		return fault{name: name, kind: statusKind(status), status: status, wait: wait, server: func(string) emulator.Fault {
			return emulator.Fault{Status: status, RetryAfter: retryAfter}
		}}
	}
	spoilt := func(name string, kind kind, body func(string) string) fault {
		return fault{name: name, kind: kind, processed: true, inBody: true, server: func(s string) emulator.Fault {
			return emulator.Fault{Body: body(s), ContentType: "application/json"}
		}}
	}
	refused := func() (net.Conn, error) { return nil, &net.OpError{Op: "dial", Net: "tcp", Err: syscall.ECONNREFUSED} }
	date := answered("503, Retry-After as a date", 503, "", 20*time.Second)
	date.waitOnce = true
	date.server = func(string) emulator.Fault {
		return emulator.Fault{Status: 503, RetryAfter: time.Now().Add(20 * time.Second).UTC().Format(http.TimeFormat)}
	}
	return []fault{
		{name: "dial refused", kind: unsent, dial: refused},
		{name: "dropped before the first byte", kind: lost, cut: true, server: func(string) emulator.Fault { return emulator.Fault{Drop: emulator.DropBefore} }},
		{name: "dropped in the middle of the request", kind: lost, cut: true, server: func(string) emulator.Fault { return emulator.Fault{Drop: emulator.DropDuring} }},
		{name: "dropped after it was processed", kind: lost, cut: true, processed: true, server: func(string) emulator.Fault { return emulator.Fault{Drop: emulator.DropAfter} }},
		{name: "dropped in the middle of the answer", kind: lost, processed: true, inBody: true, server: func(body string) emulator.Fault {
			return emulator.Fault{Body: padded(body), Truncate: true}
		}},
		answered("401", 401, "", 0),
		answered("403", 403, "", 0),
		answered("404", 404, "", 0),
		answered("408", 408, "", 0),
		answered("409", 409, "", 0),
		answered("429", 429, "", 0),
		answered("429, Retry-After", 429, "9", 9*time.Second),
		answered("429, Retry-After absurd", 429, "99999999999999", 1<<62),
		answered("500", 500, "", 0),
		{name: "500 after it was processed", kind: status, status: 500, processed: true, server: func(string) emulator.Fault {
			return emulator.Fault{Status: 500, Process: true}
		}},
		answered("501", 501, "", 0),
		answered("502", 502, "", 0),
		answered("503, Retry-After in seconds", 503, "7", 7*time.Second),
		answered("503, Retry-After absurd", 503, "31536000", 365*24*time.Hour),
		date,
		answered("504", 504, "", 0),
		{name: "redirect to another host", kind: redirect, status: 307, server: func(string) emulator.Fault {
			return emulator.Fault{Status: 307, Header: http.Header{"Location": {"https://elsewhere.example/path?q=" + mark}}}
		}},
		{name: "stalled headers", kind: lost, slow: true, server: func(string) emulator.Fault { return emulator.Fault{Stall: emulator.StallResponse} }},
		{name: "stalled headers after it was processed", kind: lost, slow: true, processed: true, server: func(string) emulator.Fault {
			return emulator.Fault{Stall: emulator.StallResponse, Process: true}
		}},
		{name: "stalled body", kind: lost, slow: true, processed: true, inBody: true, server: func(body string) emulator.Fault {
			return emulator.Fault{Stall: emulator.StallResponseBody, Body: padded(body)}
		}},
		{name: "slow-drip answer", kind: lost, slow: true, processed: true, inBody: true, server: func(body string) emulator.Fault {
			return emulator.Fault{Drip: drip, Body: padded(body)}
		}},
		{name: "truncated JSON", kind: garbage, processed: true, inBody: true, server: func(body string) emulator.Fault {
			return emulator.Fault{Body: strings.TrimSpace(strings.TrimRight(body, "}]\n\t ")) + " ", ContentType: "application/json"}
		}},
		{name: page, kind: garbage, processed: true, inBody: true, server: func(string) emulator.Fault {
			return emulator.Fault{Body: "<html><h1>Sign in</h1></html>", ContentType: "text/html; charset=utf-8"}
		}},
		{name: "JSON under another content type", kind: unchanged, processed: true, inBody: true, server: func(body string) emulator.Fault {
			return emulator.Fault{Body: padded(body), ContentType: "application/octet-stream"}
		}},
		{name: "gzip bomb", kind: tooLarge, processed: true, inBody: true, always: true, server: func(string) emulator.Fault {
			return emulator.Fault{Body: bomb(), Header: http.Header{"Content-Encoding": {"gzip"}}}
		}},
		{name: "20 MiB", kind: tooLarge, processed: true, inBody: true, always: true, server: func(string) emulator.Fault {
			return emulator.Fault{Body: large(), ContentType: "application/json"}
		}},
		spoilt("duplicate keys", unchanged, duplicated),
		spoilt("unknown fields", unchanged, extended),
		spoilt("deep nesting", garbage, func(string) string { return strings.Repeat("[", 20_000) + strings.Repeat("]", 20_000) }),
		spoilt("nulls everywhere", allNull, nulled),
	}
}

func statusKind(code int) kind {
	if code >= 300 && code < 400 {
		return redirect
	}
	return status
}

// Made once, for all the cells that need them.
var (
	large = sync.OnceValue(func() string { return `{"pad":"` + strings.Repeat("a", huge) + `"}` })
	bomb  = sync.OnceValue(func() string {
		var packed bytes.Buffer
		z, _ := gzip.NewWriterLevel(&packed, gzip.BestSpeed)
		_, _ = z.Write([]byte(large()))
		_ = z.Close()
		return packed.String()
	})
)

// objects changes each object that stands at the top of body, or in an array there.
func objects(body string, change func(string) string) string {
	var list []json.RawMessage
	if json.Unmarshal([]byte(body), &list) != nil {
		return change(body)
	}
	changed := make([]string, len(list))
	for i, item := range list {
		changed[i] = change(string(item))
	}
	return "[" + strings.Join(changed, ",") + "]"
}

// duplicated has each key twice, the first time with nothing.
func duplicated(body string) string {
	return objects(orEmpty(body), func(object string) string {
		var fields map[string]json.RawMessage
		if err := json.Unmarshal([]byte(object), &fields); err != nil {
			panic(err)
		}
		var twice strings.Builder
		for name := range fields {
			twice.WriteString(`"` + name + `":null,`)
		}
		return "{" + twice.String() + strings.TrimPrefix(strings.TrimSpace(object), "{")
	})
}

// extended has fields that no document knows, deeply nested ones among them.
func extended(body string) string {
	deep := strings.Repeat(`[`, 1000) + strings.Repeat(`]`, 1000)
	return objects(orEmpty(body), func(object string) string {
		rest := strings.TrimPrefix(strings.TrimSpace(object), "{")
		if strings.HasPrefix(rest, "}") {
			return `{"x-deep":` + deep + "}"
		}
		return `{"x-unknown":{"a":[1,{"b":null}]},"x-deep":` + deep + "," + rest
	})
}

// nulled has null for each value, but for arrays and objects.
func nulled(body string) string {
	var v any
	if err := json.Unmarshal([]byte(orEmpty(body)), &v); err != nil {
		panic(err)
	}
	data, err := json.Marshal(toNulls(v))
	if err != nil {
		panic(err)
	}
	return string(data)
}

func toNulls(v any) any {
	switch v := v.(type) {
	case map[string]any:
		for name := range v {
			v[name] = toNulls(v[name])
		}
		return v
	case []any:
		for i := range v {
			v[i] = toNulls(v[i])
		}
		return v
	default:
		return nil
	}
}

func orEmpty(body string) string {
	if body == "" {
		return "{}"
	}
	return body
}

// The bodies are what their names say, so that no cell passes for want of a fault.
func TestFaultBodies(t *testing.T) {
	body := `{"a":{"b":[1,"x"]},"c":true}`
	require.Equal(t, `{"a":{"b":[null,null]},"c":null}`, nulled(body))
	require.Equal(t, 2, strings.Count(duplicated(body), `"a":`))
	for _, same := range []string{duplicated(body), duplicated("[" + body + "]")} {
		require.Contains(t, same, body[1:])
	}
	require.Equal(t, 3, strings.Count(extended("["+body+","+body+","+body+"]"), `"x-deep":[[[[`))
	require.Greater(t, len(large()), huge)
	require.Less(t, len(bomb()), huge/100)
}
