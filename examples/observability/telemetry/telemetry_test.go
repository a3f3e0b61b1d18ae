package telemetry_test

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/promhttp"
	"github.com/stretchr/testify/require"
	"go.opentelemetry.io/otel/attribute"
	"go.opentelemetry.io/otel/codes"
	otelprometheus "go.opentelemetry.io/otel/exporters/prometheus"
	sdkmetric "go.opentelemetry.io/otel/sdk/metric"
	"go.opentelemetry.io/otel/sdk/metric/metricdata"
	sdktrace "go.opentelemetry.io/otel/sdk/trace"
	"go.opentelemetry.io/otel/sdk/trace/tracetest"
	"go.opentelemetry.io/otel/trace"
	"go.uber.org/goleak"

	"github.com/imagejobs/imagejobs-go/examples/observability/telemetry"
	"github.com/imagejobs/imagejobs-go/imagereplicator/imagereplicatortest"
	"github.com/imagejobs/imagejobs-go/internal/emulator"
	"github.com/imagejobs/imagejobs-go/multiplay/multiplaytest"
	"github.com/imagejobs/imagejobs-go/oraclemarket"
	"github.com/imagejobs/imagejobs-go/oraclemarket/oraclemarkettest"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// rig is a Telemetry whose spans and metrics stay in memory.
type rig struct {
	*telemetry.Telemetry

	spans  *tracetest.InMemoryExporter
	reader *sdkmetric.ManualReader
}

func newRig(t *testing.T) *rig {
	t.Helper()
	r := &rig{spans: tracetest.NewInMemoryExporter(), reader: sdkmetric.NewManualReader()}
	var err error
	r.Telemetry, err = telemetry.New(
		sdktrace.NewTracerProvider(sdktrace.WithSyncer(r.spans)),
		sdkmetric.NewMeterProvider(sdkmetric.WithReader(r.reader)))
	require.NoError(t, err)
	return r
}

func (r *rig) span(t *testing.T, name string) tracetest.SpanStub {
	t.Helper()
	var found []tracetest.SpanStub
	for _, span := range r.spans.GetSpans() {
		if span.Name == name {
			found = append(found, span)
		}
	}
	require.Len(t, found, 1, name)
	return found[0]
}

// collect returns what was measured, by the name of the instrument.
func (r *rig) collect(t *testing.T) map[string]metricdata.Aggregation {
	t.Helper()
	var data metricdata.ResourceMetrics
	require.NoError(t, r.reader.Collect(t.Context(), &data))
	all := map[string]metricdata.Aggregation{}
	for _, scope := range data.ScopeMetrics {
		for _, m := range scope.Metrics {
			all[m.Name] = m.Data
		}
	}
	return all
}

// value returns an attribute as text, "" if there is none.
func value(set attribute.Set, key attribute.Key) string {
	v, ok := set.Value(key)
	if !ok {
		return ""
	}
	return v.String()
}

// upload publishes an image of three chunks, in virtual time. Two attempts are
// refused. It returns the requests that the service at origin received.
func upload(t *testing.T, r *rig) (requests []oraclemarkettest.Request) {
	t.Helper()
	synctest.Test(t, func(t *testing.T) {
		listener := emulator.NewPipeListener()
		server := oraclemarkettest.NewServer(oraclemarkettest.WithListener(listener), oraclemarkettest.WithJobTime(0))
		defer server.Close()
		server.Inject(oraclemarkettest.Fault{
			Operation: oraclemarkettest.OpUploadChunk, Status: http.StatusServiceUnavailable, Times: 2,
		})
		transport := &http.Transport{DialContext: listener.DialContext}
		defer transport.CloseIdleConnections()
		client := server.Client(append(r.Oracle(), oraclemarket.WithHTTPClient(&http.Client{Transport: transport}))...)
		image := bytes.NewReader(make([]byte, 3000))
		require.NoError(t, r.Operation(t.Context(), "publish", func(ctx context.Context) error {
			_, err := client.MachineImages.Upload(ctx, &oraclemarket.ImageUpload{
				Application: "wordpress", Version: "6.9", OperatingSystem: "Linux", FileName: "wordpress.tar.gz",
				File: image, Size: image.Size(), ChunkSize: 1000, Concurrency: 1,
			})
			return err
		}))
		requests = server.Requests()
	})
	return requests
}

// origin is where an upload goes.
const origin = "http://localhost"

func TestSpans(t *testing.T) {
	r := newRig(t)
	requests := upload(t, r)

	publish := r.span(t, "publish")
	require.Equal(t, codes.Unset, publish.Status.Code)
	require.False(t, publish.Parent.IsValid())
	initiate := r.span(t, "POST oraclemarket.MachineImages.Initiate")
	require.Equal(t, publish.SpanContext.SpanID(), initiate.Parent.SpanID())
	require.Equal(t, trace.SpanKindClient, initiate.SpanKind)
	login := r.span(t, "GET oraclemarket.Authenticate")
	require.Equal(t, initiate.SpanContext.SpanID(), login.Parent.SpanID(), "the attempt waited for it")

	ids := map[string]string{} // of spans, as they are sent
	resends := map[string]int{}
	for _, span := range r.spans.GetSpans() {
		require.Equal(t, publish.SpanContext.TraceID(), span.SpanContext.TraceID())
		require.False(t, span.EndTime.Before(span.StartTime))
		if span.Name == "publish" {
			continue
		}
		context := span.SpanContext
		ids[fmt.Sprintf("00-%s-%s-01", context.TraceID(), context.SpanID())] = span.Name
		set := attribute.NewSet(span.Attributes...)
		require.Equal(t, "localhost:80", value(set, "server.address")+":"+value(set, "server.port"))
		require.Equal(t, strings.Fields(span.Name)[0], value(set, "http.request.method"))
		require.True(t, strings.HasPrefix(value(set, "url.full"), origin+"/"), value(set, "url.full"))
		if value(set, "http.response.status_code") == "503" {
			require.Equal(t, "503", value(set, "error.type"))
			require.Equal(t, codes.Error, span.Status.Code)
		} else {
			require.Equal(t, "200", value(set, "http.response.status_code"))
			require.Equal(t, codes.Unset, span.Status.Code)
		}
		if strings.HasSuffix(span.Name, "UploadChunk") {
			require.NotEmpty(t, value(set, "imagejobs.chunk"))
			resends[value(set, "http.request.resend_count")]++
		}
	}
	require.Equal(t, map[string]int{"": 3, "1": 1, "2": 1}, resends)

	for _, request := range requests {
		parent := request.Header.Get("Traceparent")
		require.True(t, strings.HasSuffix(ids[parent], "."+request.Operation), "%s: %q", request.Operation, parent)
		delete(ids, parent)
		require.Empty(t, request.Header.Get("Baggage"))
	}
	require.Empty(t, ids, "each span is of one request")
}

func TestMetrics(t *testing.T) {
	r := newRig(t)
	requests := upload(t, r)
	all := r.collect(t)

	byStatus := map[string]uint64{}
	seconds, ok := all["http.client.request.duration"].(metricdata.Histogram[float64])
	require.True(t, ok)
	total := 0
	for _, point := range seconds.DataPoints {
		total += int(point.Count)
		byStatus[value(point.Attributes, "imagejobs.operation")+" "+value(point.Attributes, "http.response.status_code")] += point.Count
	}
	require.Len(t, requests, total)
	require.EqualValues(t, 3, byStatus["oraclemarket.MachineImages.UploadChunk 200"])
	require.EqualValues(t, 2, byStatus["oraclemarket.MachineImages.UploadChunk 503"])

	sent, ok := all["http.client.request.body.size"].(metricdata.Histogram[int64])
	require.True(t, ok)
	for _, point := range sent.DataPoints {
		if value(point.Attributes, "imagejobs.operation") == "oraclemarket.MachineImages.UploadChunk" &&
			value(point.Attributes, "http.response.status_code") == "200" {
			require.Greater(t, point.Sum, int64(3000))
		}
	}
	require.Contains(t, all, "http.client.response.body.size")

	retries, ok := all["imagejobs.retries"].(metricdata.Sum[int64])
	require.True(t, ok)
	require.Len(t, retries.DataPoints, 1)
	require.EqualValues(t, 2, retries.DataPoints[0].Value)
	operations, ok := all["imagejobs.operation.duration"].(metricdata.Histogram[float64])
	require.True(t, ok)
	require.Len(t, operations.DataPoints, 1)
	require.EqualValues(t, 1, operations.DataPoints[0].Count)
	require.Equal(t, "publish", value(operations.DataPoints[0].Attributes, "imagejobs.operation"))
}

func TestFailures(t *testing.T) {
	r := newRig(t)
	server := oraclemarkettest.NewServer()
	client := server.Client(append(r.Oracle(), oraclemarket.WithRetry(1, 0, 0))...)
	server.Close() // so that nobody listens
	err := r.Operation(t.Context(), "look", func(ctx context.Context) error {
		_, err := client.MachineImages.Get(ctx, 1)
		return err
	})
	require.Error(t, err)
	operation := r.span(t, "look")
	require.Equal(t, sdktrace.Status{Code: codes.Error, Description: err.Error()}, operation.Status)
	require.Equal(t, "*oraclemarket.Error", value(attribute.NewSet(operation.Attributes...), "error.type"))
	// No token, so no request.
	attempt := r.span(t, "GET oraclemarket.MachineImages.Get")
	require.Equal(t, codes.Error, attempt.Status.Code)
	require.Empty(t, value(attribute.NewSet(attempt.Attributes...), "http.response.status_code"))
	require.NotEmpty(t, value(attribute.NewSet(attempt.Attributes...), "error.type"))
	require.Equal(t, codes.Error, r.span(t, "GET oraclemarket.Authenticate").Status.Code)
}

func TestTheOtherClients(t *testing.T) {
	r := newRig(t)
	replicator := imagereplicatortest.NewServer()
	defer replicator.Close()
	play := multiplaytest.NewServer()
	defer play.Close()
	_, err := replicator.Client(r.Replicator()...).Jobs.List(t.Context())
	require.NoError(t, err)
	_, err = play.Client(r.Multiplay()...).ImageInstalls.List(t.Context())
	require.NoError(t, err)
	r.span(t, "GET imagereplicator.Jobs.List")
	r.span(t, "GET multiplay.ImageInstalls.List")
	require.NotEmpty(t, replicator.Requests()[0].Header.Get("Traceparent"))
	require.NotEmpty(t, play.Requests()[0].Header.Get("Traceparent"))
}

// Trace context reaches the service and nobody else: not the token endpoint of
// another host, and not where a redirect points.
func TestTraceContextStaysAtTheOrigin(t *testing.T) {
	var elsewhere []http.Header
	login := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		elsewhere = append(elsewhere, r.Header)
		w.Header().Set("Content-Type", "application/json")
		_, _ = io.WriteString(w, `{"access_token":"Access-token","expires_in":3600}`)
	}))
	defer login.Close()
	server := oraclemarkettest.NewServer()
	defer server.Close()
	server.Inject(oraclemarkettest.Fault{
		Operation: oraclemarkettest.OpList, Status: http.StatusTemporaryRedirect, Header: http.Header{"Location": {login.URL + "/"}},
	})

	r := newRig(t)
	client, err := oraclemarket.New(server.User, oraclemarket.OAMClientCredentials(login.URL+"/tokens", "domain", "id", "secret"),
		append(r.Oracle(), oraclemarket.WithBaseURL(server.URL))...)
	require.NoError(t, err)
	_, err = client.MachineImages.List(t.Context(), nil)
	require.ErrorContains(t, err, "redirects to")
	_, err = client.MachineImages.List(t.Context(), nil)
	require.NoError(t, err)

	require.Len(t, elsewhere, 1, "the login, and nothing that was redirected")
	for name := range elsewhere[0] {
		require.NotRegexp(t, `(?i)^(traceparent|tracestate|baggage)$`, name)
	}
	require.Equal(t, "POST oraclemarket.OAMToken", r.span(t, "POST oraclemarket.OAMToken").Name, "it is traced all the same")
	requests := server.Requests()
	require.Len(t, requests, 2)
	for _, request := range requests {
		require.NotEmpty(t, request.Header.Get("Traceparent"))
	}
}

func TestScrape(t *testing.T) {
	registry := prometheus.NewPedanticRegistry()
	reader, err := otelprometheus.New(otelprometheus.WithRegisterer(registry))
	require.NoError(t, err)
	r := &rig{spans: tracetest.NewInMemoryExporter()}
	r.Telemetry, err = telemetry.New(
		sdktrace.NewTracerProvider(sdktrace.WithSyncer(r.spans)), sdkmetric.NewMeterProvider(sdkmetric.WithReader(reader)))
	require.NoError(t, err)
	upload(t, r)
	first, second := r.Job("oraclemarket"), r.Job("oraclemarket")
	first.SetState(t.Context(), "Pending")
	second.SetState(t.Context(), "Pending")
	first.SetState(t.Context(), "Completed")

	handler := httptest.NewServer(promhttp.HandlerFor(registry, promhttp.HandlerOpts{ErrorHandling: promhttp.HTTPErrorOnError}))
	defer handler.Close()
	text := scrape(t, handler.URL)
	for _, want := range []string{
		`imagejobs_retries_total{.*imagejobs_operation="oraclemarket.MachineImages.UploadChunk".*} 2`,
		`imagejobs_jobs{imagejobs_job_state="Completed",imagejobs_service="oraclemarket",.*} 1`,
		`imagejobs_jobs{imagejobs_job_state="Pending",imagejobs_service="oraclemarket",.*} 1`,
		`imagejobs_operation_duration_seconds_count{imagejobs_operation="publish",.*} 1`,
		`http_client_request_duration_seconds_count{.*http_response_status_code="503",.*} 2`,
		`http_client_request_body_size_bytes_sum{.*UploadChunk".*}`,
		`http_client_response_body_size_bytes_count{`,
	} {
		require.Regexp(t, `(?m)^`+want, text)
	}
	first.SetState(t.Context(), "")
	require.Regexp(t, `(?m)^imagejobs_jobs{imagejobs_job_state="Completed",.*} 0`, scrape(t, handler.URL))
}

func scrape(t *testing.T, url string) string {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), 10*time.Second)
	defer cancel()
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, url, http.NoBody)
	require.NoError(t, err)
	client := &http.Client{Transport: &http.Transport{DisableKeepAlives: true}}
	resp, err := client.Do(req)
	require.NoError(t, err)
	defer resp.Body.Close()
	require.Equal(t, http.StatusOK, resp.StatusCode)
	text, err := io.ReadAll(resp.Body)
	require.NoError(t, err)
	return string(text)
}
