package main

import (
	"bytes"
	"context"
	"flag"
	"io"
	"net/http"
	"os"
	"regexp"
	"strings"
	"testing"
	"testing/synctest"

	"github.com/stretchr/testify/require"
	sdkmetric "go.opentelemetry.io/otel/sdk/metric"
	sdktrace "go.opentelemetry.io/otel/sdk/trace"
	"go.opentelemetry.io/otel/sdk/trace/tracetest"
	"go.uber.org/goleak"

	"github.com/imagejobs/imagejobs-go/examples/observability/telemetry"
	"github.com/imagejobs/imagejobs-go/internal/emulator"
	"github.com/imagejobs/imagejobs-go/oraclemarket"
	"github.com/imagejobs/imagejobs-go/oraclemarket/oraclemarkettest"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

var update = flag.Bool("update", false, "write the trace into README.md")

// The trace in the README is what an upload with two retried chunks leaves.
func TestTraceOfTheReadme(t *testing.T) {
	var got string
	synctest.Test(t, func(t *testing.T) {
		listener := emulator.NewPipeListener()
		server := oraclemarkettest.NewServer(oraclemarkettest.WithListener(listener), oraclemarkettest.WithJobTime(0))
		defer server.Close()
		refuseTwoChunks(server)
		transport := &http.Transport{DialContext: listener.DialContext}
		defer transport.CloseIdleConnections()

		spans := tracetest.NewInMemoryExporter()
		tele, err := telemetry.New(sdktrace.NewTracerProvider(sdktrace.WithSyncer(spans)), sdkmetric.NewMeterProvider())
		require.NoError(t, err)
		client := server.Client(append(tele.Oracle(), oraclemarket.WithHTTPClient(&http.Client{Transport: transport}))...)
		require.NoError(t, publish(t.Context(), tele, client))
		got = tree(spans.GetSpans())
	})

	readme, err := os.ReadFile("README.md")
	require.NoError(t, err)
	block := regexp.MustCompile("(?s)```text\n(.*?)```\n")
	require.Len(t, block.FindAll(readme, -1), 1)
	if *update {
		text := "```text\n" + got + "```\n"
		readme = block.ReplaceAll(readme, []byte(strings.ReplaceAll(text, "$", "$$")))
		require.NoError(t, os.WriteFile("README.md", readme, 0o644))
	}
	require.Equal(t, string(block.FindSubmatch(readme)[1]), got, "run go test -run README -update .")
}

// What the command prints is that trace, and Prometheus finds the metrics at the
// address that it prints.
func TestRun(t *testing.T) {
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	out, in := io.Pipe()
	done := make(chan error, 1)
	go func() { done <- run(ctx, "127.0.0.1:0", in) }()

	var printed bytes.Buffer
	var address []string
	for p := make([]byte, 1<<10); address == nil; {
		n, err := out.Read(p)
		require.NoError(t, err)
		printed.Write(p[:n])
		address = regexp.MustCompile(`metrics at (http://\S+) until`).FindStringSubmatch(printed.String())
	}
	readme, err := os.ReadFile("README.md")
	require.NoError(t, err)
	trace, _, _ := strings.Cut(printed.String(), "\nmetrics")
	require.Contains(t, string(readme), trace)

	client := &http.Client{Transport: &http.Transport{DisableKeepAlives: true}}
	req, err := http.NewRequestWithContext(t.Context(), http.MethodGet, address[1], http.NoBody)
	require.NoError(t, err)
	resp, err := client.Do(req)
	require.NoError(t, err)
	defer resp.Body.Close()
	text, err := io.ReadAll(resp.Body)
	require.NoError(t, err)
	require.Contains(t, string(text), "imagejobs_retries_total")
	cancel()
	require.NoError(t, <-done)
}
