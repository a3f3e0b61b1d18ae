// Package telemetry makes OpenTelemetry spans and metrics of what the clients of
// imagejobs-go do. Copy it into a program and change it at will.
//
// Spans: one for each operation, see [Telemetry.Operation], and below it one of
// kind client for each attempt of a request. The requests for a token are below
// the attempt that waited for it. Attributes follow the semantic conventions for
// HTTP clients; imagejobs.operation and imagejobs.chunk are added.
//
// Metrics:
//
//   - imagejobs.operation.duration: histogram of the operations
//   - http.client.request.duration: histogram of the attempts; it counts them
//   - http.client.request.body.size, http.client.response.body.size: the bytes
//   - imagejobs.retries: the attempts of a call beyond its first
//   - imagejobs.jobs: how many jobs are in each state, see [Telemetry.Job]
//
// W3C trace context is sent to the service's own origin and nowhere else; the
// clients see to that.
package telemetry

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"strconv"
	"time"

	"go.opentelemetry.io/otel/attribute"
	"go.opentelemetry.io/otel/codes"
	"go.opentelemetry.io/otel/metric"
	"go.opentelemetry.io/otel/propagation"
	semconv "go.opentelemetry.io/otel/semconv/v1.43.0"
	"go.opentelemetry.io/otel/trace"

	"github.com/imagejobs/imagejobs-go/imagereplicator"
	"github.com/imagejobs/imagejobs-go/multiplay"
	"github.com/imagejobs/imagejobs-go/oraclemarket"
)

// Telemetry makes spans and metrics. It is safe for concurrent use.
type Telemetry struct {
	tracer     trace.Tracer
	propagator propagation.TextMapPropagator

	operations     metric.Float64Histogram
	attempts       metric.Float64Histogram
	sent, received metric.Int64Histogram
	retries        metric.Int64Counter
	jobs           metric.Int64UpDownCounter
}

// New returns a Telemetry that uses the providers' defaults otherwise.
func New(traces trace.TracerProvider, metrics metric.MeterProvider) (*Telemetry, error) {
	const scope = "github.com/imagejobs/imagejobs-go/examples/observability/telemetry"
	meter := metrics.Meter(scope)
	// Baggage is left out: what others put into it is none of the service's
	// business.
	t := &Telemetry{tracer: traces.Tracer(scope), propagator: propagation.TraceContext{}}
	seconds := metric.WithExplicitBucketBoundaries(0.01, 0.05, 0.1, 0.5, 1, 5, 10, 30, 60, 120, 300, 900, 3600)
	bytes := metric.WithExplicitBucketBoundaries(1<<10, 32<<10, 1<<20, 16<<20, 32<<20, 64<<20, 256<<20)

	var errs [6]error
	t.operations, errs[0] = meter.Float64Histogram("imagejobs.operation.duration", metric.WithUnit("s"),
		metric.WithDescription("Duration of operations."), seconds)
	t.attempts, errs[1] = meter.Float64Histogram("http.client.request.duration", metric.WithUnit("s"),
		metric.WithDescription("Duration of HTTP client requests."), seconds)
	t.sent, errs[2] = meter.Int64Histogram("http.client.request.body.size", metric.WithUnit("By"),
		metric.WithDescription("Size of HTTP client request bodies."), bytes)
	t.received, errs[3] = meter.Int64Histogram("http.client.response.body.size", metric.WithUnit("By"),
		metric.WithDescription("Size of HTTP client response bodies."), bytes)
	t.retries, errs[4] = meter.Int64Counter("imagejobs.retries", metric.WithUnit("{retry}"),
		metric.WithDescription("Attempts of a call beyond its first."))
	t.jobs, errs[5] = meter.Int64UpDownCounter("imagejobs.jobs", metric.WithUnit("{job}"),
		metric.WithDescription("Jobs by their last known state."))
	return t, errors.Join(errs[:]...)
}

// Oracle returns the options for an oraclemarket.Client.
func (t *Telemetry) Oracle() []oraclemarket.Option {
	return []oraclemarket.Option{oraclemarket.WithAttemptStart(t.start), oraclemarket.WithObserver(t.end)}
}

// Replicator returns the options for an imagereplicator.Client.
func (t *Telemetry) Replicator() []imagereplicator.Option {
	return []imagereplicator.Option{
		imagereplicator.WithAttemptStart(func(ctx context.Context, a imagereplicator.Attempt, header http.Header) context.Context {
			return t.start(ctx, attempt(a), header)
		}),
		imagereplicator.WithObserver(func(ctx context.Context, a imagereplicator.Attempt) { t.end(ctx, attempt(a)) }),
	}
}

// Multiplay returns the options for a multiplay.Client.
func (t *Telemetry) Multiplay() []multiplay.Option {
	return []multiplay.Option{
		multiplay.WithAttemptStart(func(ctx context.Context, a multiplay.Attempt, header http.Header) context.Context {
			return t.start(ctx, attempt(a), header)
		}),
		multiplay.WithObserver(func(ctx context.Context, a multiplay.Attempt) { t.end(ctx, attempt(a)) }),
	}
}

// attempt is the Attempt of any of the clients: their fields are the same.
type attempt = oraclemarket.Attempt

// start begins the span of an attempt and sends its id along.
func (t *Telemetry) start(ctx context.Context, a attempt, header http.Header) context.Context {
	target := a.Scheme + "://" + a.Host + a.Path
	if a.Query != "" { // only what may be shown
		target += "?" + a.Query
	}
	attrs := append(common(a), semconv.URLFull(target))
	if a.Number > 1 {
		attrs = append(attrs, semconv.HTTPRequestResendCount(a.Number-1))
	}
	if chunk, err := strconv.Atoi(header.Get("X-Chunk-Number")); err == nil {
		attrs = append(attrs, attribute.Int("imagejobs.chunk", chunk))
	}
	ctx, _ = t.tracer.Start(ctx, a.Method+" "+a.Op, trace.WithSpanKind(trace.SpanKindClient), trace.WithAttributes(attrs...))
	t.propagator.Inject(ctx, propagation.HeaderCarrier(header))
	return ctx
}

// end ends the span that start began, and counts the attempt.
func (t *Telemetry) end(ctx context.Context, a attempt) {
	attrs := common(a)
	if a.StatusCode != 0 {
		attrs = append(attrs, semconv.HTTPResponseStatusCode(a.StatusCode))
	}
	span := trace.SpanFromContext(ctx)
	switch {
	case a.Err != nil:
		attrs = append(attrs, semconv.ErrorTypeKey.String(fmt.Sprintf("%T", a.Err)))
		span.SetStatus(codes.Error, a.Err.Error()) // it shows no secret
	case a.StatusCode >= 300:
		attrs = append(attrs, semconv.ErrorTypeKey.String(strconv.Itoa(a.StatusCode)))
		span.SetStatus(codes.Error, "")
	}
	span.SetAttributes(attrs...)
	span.SetAttributes(semconv.HTTPRequestBodySize(int(a.BytesSent)), semconv.HTTPResponseBodySize(int(a.BytesReceived)))
	if a.RequestID != "" {
		span.SetAttributes(attribute.String("imagejobs.request_id", a.RequestID))
	}
	span.End()

	with := metric.WithAttributes(attrs...)
	t.attempts.Record(ctx, a.Duration.Seconds(), with)
	t.sent.Record(ctx, a.BytesSent, with)
	t.received.Record(ctx, a.BytesReceived, with)
	if a.Number > 1 {
		t.retries.Add(ctx, 1, metric.WithAttributes(common(a)...))
	}
}

// common are the attributes of spans and metrics alike, of few values each.
func common(a attempt) []attribute.KeyValue {
	host := url.URL{Host: a.Host}
	port, err := strconv.Atoi(host.Port())
	switch {
	case err == nil:
	case a.Scheme == "https":
		port = 443
	default:
		port = 80
	}
	return []attribute.KeyValue{
		semconv.HTTPRequestMethodKey.String(a.Method),
		semconv.ServerAddress(host.Hostname()),
		semconv.ServerPort(port),
		attribute.String("imagejobs.operation", a.Op),
	}
}

// Operation calls do, which calls methods of a client with the context that it
// is given. The operation is a span and a duration, whatever requests it takes.
func (t *Telemetry) Operation(ctx context.Context, name string, do func(context.Context) error) error {
	start := time.Now()
	ctx, span := t.tracer.Start(ctx, name)
	defer span.End()
	err := do(ctx)
	attrs := []attribute.KeyValue{attribute.String("imagejobs.operation", name)}
	if err != nil {
		attrs = append(attrs, semconv.ErrorTypeKey.String(fmt.Sprintf("%T", err)))
		span.SetStatus(codes.Error, err.Error())
	}
	span.SetAttributes(attrs...)
	t.operations.Record(ctx, time.Since(start).Seconds(), metric.WithAttributes(attrs...))
	return err
}

// Job is the state of one job, in the metric imagejobs.jobs. One goroutine at a
// time may use it.
type Job struct {
	telemetry      *Telemetry
	service, state string
}

// Job returns a job that has no state yet. The service is a name for dashboards,
// such as "oraclemarket".
func (t *Telemetry) Job(service string) *Job { return &Job{telemetry: t, service: service} }

// SetState moves the job from the state that it had to another. The empty state
// takes it out of the count.
func (j *Job) SetState(ctx context.Context, state string) {
	count := func(state string, n int64) {
		if state != "" {
			j.telemetry.jobs.Add(ctx, n, metric.WithAttributes(
				attribute.String("imagejobs.service", j.service), attribute.String("imagejobs.job.state", state)))
		}
	}
	count(j.state, -1)
	count(state, 1)
	j.state = state
}
