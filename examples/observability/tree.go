package main

import (
	"fmt"
	"slices"
	"strings"

	"go.opentelemetry.io/otel/attribute"
	"go.opentelemetry.io/otel/sdk/trace/tracetest"
	"go.opentelemetry.io/otel/trace"
)

// tree draws finished spans, each below its parent and in the order of their
// beginnings.
func tree(spans tracetest.SpanStubs) string {
	children := map[trace.SpanID][]tracetest.SpanStub{}
	for _, span := range spans {
		children[span.Parent.SpanID()] = append(children[span.Parent.SpanID()], span)
	}
	var b strings.Builder
	var draw func(of trace.SpanID, indent string)
	draw = func(of trace.SpanID, indent string) {
		list := children[of]
		slices.SortStableFunc(list, func(a, b tracetest.SpanStub) int { return a.StartTime.Compare(b.StartTime) })
		for i, span := range list {
			switch {
			case !of.IsValid():
				fmt.Fprintln(&b, label(span))
				draw(span.SpanContext.SpanID(), "")
			case i < len(list)-1:
				fmt.Fprintln(&b, indent+"├── "+label(span))
				draw(span.SpanContext.SpanID(), indent+"│   ")
			default:
				fmt.Fprintln(&b, indent+"└── "+label(span))
				draw(span.SpanContext.SpanID(), indent+"    ")
			}
		}
	}
	draw(trace.SpanID{}, "")
	return b.String()
}

// label is a span's name with what a reader looks for first.
func label(span tracetest.SpanStub) string {
	var b strings.Builder
	b.WriteString(span.Name)
	attrs := attribute.NewSet(span.Attributes...)
	for _, show := range []struct {
		key    attribute.Key
		format string
	}{
		{"imagejobs.chunk", " chunk %s"},
		{"http.request.resend_count", " resend %s"},
		{"http.response.status_code", ": %s"},
	} {
		if value, ok := attrs.Value(show.key); ok {
			fmt.Fprintf(&b, show.format, value.String())
		}
	}
	return b.String()
}
