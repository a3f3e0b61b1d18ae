// Package worker runs the workflows and the activities.
package worker

import (
	"cmp"
	"context"
	"encoding/hex"
	"errors"
	"fmt"
	"os"
	"sync"
	"time"

	"go.temporal.io/sdk/client"
	"go.temporal.io/sdk/contrib/envconfig"
	"go.temporal.io/sdk/converter"
	"go.temporal.io/sdk/temporal"
	"go.temporal.io/sdk/worker"

	"github.com/imagejobs/imagejobs-go/examples/fleet/activities"
	"github.com/imagejobs/imagejobs-go/examples/fleet/workflows"
)

// handOver is how long activities have to end when the worker stops: for the
// response to a create call to arrive, and for a chunk's state to be stored.
const handOver = 40 * time.Second

// Options configure a Worker.
type Options struct {
	// MaxTransfers bounds how many images, or parts of one, are sent at once, 2 by
	// default. Each sends as many chunks at once as its Concurrency.
	MaxTransfers int
	// NoTransfers and NoControl leave a task queue to other workers.
	NoTransfers bool
	NoControl   bool
}

// Worker polls the task queues of package workflows.
type Worker struct {
	workers []worker.Worker
}

// New returns a worker with a client of [ClientOptions]. It does not start it.
func New(c client.Client, a *activities.Activities, o Options) *Worker {
	w := &Worker{}
	if !o.NoControl {
		control := worker.New(c, workflows.ControlQueue, worker.Options{WorkerStopTimeout: handOver})
		control.RegisterWorkflow(workflows.UploadImage)
		control.RegisterWorkflow(workflows.CopyImage)
		control.RegisterWorkflow(workflows.ReleaseImage)
		control.RegisterWorkflow(workflows.PublishFleet)
		control.RegisterActivity(a)
		w.workers = append(w.workers, control)
	}
	if !o.NoTransfers {
		transfer := worker.New(c, workflows.TransferQueue, worker.Options{
			DisableWorkflowWorker: true, WorkerStopTimeout: handOver,
			MaxConcurrentActivityExecutionSize: cmp.Or(o.MaxTransfers, 2),
		})
		transfer.RegisterActivity(a)
		w.workers = append(w.workers, transfer)
	}
	return w
}

// Start starts to poll.
func (w *Worker) Start() error {
	for i, one := range w.workers {
		if err := one.Start(); err != nil {
			for _, started := range w.workers[:i] {
				started.Stop()
			}
			return fmt.Errorf("worker: %w", err)
		}
	}
	return nil
}

// Stop has other workers go on with what this one does, and returns when it has
// ended here.
func (w *Worker) Stop() {
	var all sync.WaitGroup
	for _, one := range w.workers {
		all.Go(one.Stop)
	}
	all.Wait()
}

// keyVariable is the AES key of payloads.
const keyVariable = "FLEET_PAYLOAD_KEY"

// ClientOptions returns the options of a Temporal client that the environment
// and the configuration file of the Temporal CLI determine: address, namespace,
// API key and TLS. An API key without TLS is an error.
//
// If FLEET_PAYLOAD_KEY is set, 32 bytes in hex, inputs, results, heartbeats and
// errors are encrypted with it, and only who has it can read them. Workflow ids
// and search attributes are not. Set activities.Activities.DataConverter to the
// options' DataConverter.
func ClientOptions() (client.Options, error) {
	options, err := envconfig.LoadDefaultClientOptions()
	if err != nil {
		return options, fmt.Errorf("worker: client options: %w", err)
	}
	secret := options.Credentials != nil
	if options.HeadersProvider != nil {
		headers, err := options.HeadersProvider.GetHeaders(context.Background())
		secret = secret || err != nil || headers["authorization"] != ""
	}
	if secret && options.ConnectionOptions.TLS == nil { // the SDK would send it in plain text
		return options, errors.New("worker: TEMPORAL_API_KEY and other credentials need TLS, which is disabled by TEMPORAL_TLS or the configuration file")
	}
	if text := os.Getenv(keyVariable); text != "" {
		key, err := hex.DecodeString(text)
		if err != nil || len(key) != keySize {
			return options, fmt.Errorf("worker: %s must be %d bytes in hex", keyVariable, keySize)
		}
		options.DataConverter = converter.NewCodecDataConverter(converter.GetDefaultDataConverter(), newCodec(key))
		options.FailureConverter = temporal.NewDefaultFailureConverter(temporal.DefaultFailureConverterOptions{
			DataConverter: options.DataConverter, EncodeCommonAttributes: true,
		})
	}
	return options, nil
}
