// Command observability uploads an image to a built-in service that refuses two
// chunks, and prints the trace of it. With -listen it then serves the metrics to
// Prometheus until it is interrupted.
//
// What it shows is in package telemetry. A real program exports spans with
// otlptracegrpc or the like in place of the exporter in memory.
package main

import (
	"bytes"
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"os/signal"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/promhttp"
	otelprometheus "go.opentelemetry.io/otel/exporters/prometheus"
	sdkmetric "go.opentelemetry.io/otel/sdk/metric"
	sdktrace "go.opentelemetry.io/otel/sdk/trace"
	"go.opentelemetry.io/otel/sdk/trace/tracetest"

	"github.com/imagejobs/imagejobs-go/examples/observability/telemetry"
	"github.com/imagejobs/imagejobs-go/oraclemarket"
	"github.com/imagejobs/imagejobs-go/oraclemarket/oraclemarkettest"
)

func main() {
	listen := flag.String("listen", "", "then serve metrics at this `address`, such as 127.0.0.1:9464, until Ctrl-C")
	flag.Usage = func() {
		fmt.Fprint(flag.CommandLine.Output(), "usage: observability [-listen ADDRESS]\n\n"+
			"Uploads an image to a built-in service that refuses two chunks, and prints the trace.\n\n")
		flag.PrintDefaults()
	}
	flag.Parse()
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt)
	err := run(ctx, *listen, os.Stdout)
	stop()
	if err != nil {
		fmt.Fprintln(os.Stderr, "observability:", err)
		os.Exit(1)
	}
}

func run(ctx context.Context, listen string, stdout io.Writer) error {
	registry := prometheus.NewRegistry()
	reader, err := otelprometheus.New(otelprometheus.WithRegisterer(registry))
	if err != nil {
		return err
	}
	spans := tracetest.NewInMemoryExporter()
	tele, err := telemetry.New(
		sdktrace.NewTracerProvider(sdktrace.WithSyncer(spans)),
		sdkmetric.NewMeterProvider(sdkmetric.WithReader(reader)))
	if err != nil {
		return err
	}

	server := oraclemarkettest.NewServer(oraclemarkettest.WithJobTime(0))
	defer server.Close()
	refuseTwoChunks(server)
	if err := publish(ctx, tele, server.Client(tele.Oracle()...)); err != nil {
		return err
	}
	fmt.Fprint(stdout, tree(spans.GetSpans()))
	if listen == "" {
		return nil
	}
	return serve(ctx, listen, promhttp.HandlerFor(registry, promhttp.HandlerOpts{}), stdout)
}

// refuseTwoChunks has the service respond 503 to the first attempts of two
// chunks.
func refuseTwoChunks(server *oraclemarkettest.Server) {
	for _, number := range []string{"2", "3"} {
		server.Inject(oraclemarkettest.Fault{
			Operation: oraclemarkettest.OpUploadChunk,
			Match:     func(r *http.Request) bool { return r.Header.Get("X-Chunk-Number") == number },
			Status:    http.StatusServiceUnavailable,
		})
	}
}

// publish uploads an image of four chunks and counts its state.
func publish(ctx context.Context, tele *telemetry.Telemetry, client *oraclemarket.Client) error {
	image := bytes.NewReader(make([]byte, 4<<20))
	job := tele.Job("oraclemarket")
	return tele.Operation(ctx, "oraclemarket.MachineImages.Upload", func(ctx context.Context) error {
		_, err := client.MachineImages.Upload(ctx, &oraclemarket.ImageUpload{
			Application: "wordpress", Version: "6.9", OperatingSystem: "Linux", FileName: "wordpress.tar.gz",
			File: image, Size: image.Size(), ChunkSize: 1 << 20,
			Concurrency: 1, // so that the trace has one order
			StatusChanged: func(r *oraclemarket.MachineImageUploadRequest) {
				job.SetState(ctx, string(r.StatusName))
			},
		})
		return err
	})
}

// serve serves the metrics until ctx is done.
func serve(ctx context.Context, address string, metrics http.Handler, stdout io.Writer) error {
	var config net.ListenConfig
	listener, err := config.Listen(ctx, "tcp", address)
	if err != nil {
		return err
	}
	mux := http.NewServeMux()
	mux.Handle("GET /metrics", metrics)
	server := &http.Server{Handler: mux, ReadHeaderTimeout: 10 * time.Second}
	defer context.AfterFunc(ctx, func() { _ = server.Close() })()
	fmt.Fprintf(stdout, "\nmetrics at http://%s/metrics until Ctrl-C\n", listener.Addr())
	if err := server.Serve(listener); !errors.Is(err, http.ErrServerClosed) {
		return err
	}
	return nil
}
