package conformance

import (
	"bytes"
	"compress/gzip"
	"encoding/json"
	"strings"
	"sync"
	"testing"

	"github.com/stretchr/testify/require"
)

// padded returns a body long enough for the faults that need time.
func padded(body string) string {
	body = orEmpty(body)
	return body + strings.Repeat(" ", max(0, pad-len(body)))
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

// objects changes each object that stands at the top of body, or in an array
// there.
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

// duplicated returns body with each key twice, the first time with nothing.
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

// extended returns body with fields that no document knows, deeply nested ones
// among them.
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

// nulled returns body with null for each value, but for arrays and objects.
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

// The bodies are what their names say, so that no cell passes for want of a
// fault.
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
