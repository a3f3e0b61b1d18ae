// Package activities has the activities of the workflows: the calls of the
// three services, on the SDK's clients. Credentials are in the environment of
// the worker, never in what an activity takes, returns or keeps.
package activities

import (
	"context"
	"os"
	"sync"
	"time"

	"go.temporal.io/sdk/converter"

	"github.com/imagejobs/imagejobs-go/imagereplicator"
	"github.com/imagejobs/imagejobs-go/imagereplicator/keystone"
	"github.com/imagejobs/imagejobs-go/multiplay"
	"github.com/imagejobs/imagejobs-go/oraclemarket"
)

// Activities has what the activities use.
type Activities struct {
	// Oracle, Replicator and Multiplay return the client of a service. They are
	// called for each activity that needs it; their error ends that activity.
	Oracle     func(context.Context) (*oraclemarket.Client, error)
	Replicator func(context.Context) (*imagereplicator.Client, error)
	Multiplay  func(context.Context) (*multiplay.Client, error)

	// SourceDir is the folder that files are uploaded from. Empty means any: who
	// can start a workflow can then upload any file that the worker can read.
	SourceDir string
	// Openers open sources by the scheme of their URL, such as "s3". Files, http
	// and https are built in.
	Openers map[string]Opener
	// DataConverter is the Temporal client's. nil means the default.
	DataConverter converter.DataConverter

	// For tests.
	record      func(context.Context, any) error // in place of a Temporal server
	pending     func(activityType string, heartbeat any) error
	sourcePause time.Duration // after a failed request for a source; 0 is the default
}

// FromEnv returns Activities whose clients are configured by the environment, as
// oraclemarket.FromEnv, keystone.FromEnv and multiplay.FromEnv have it. A
// service that is not configured fails the activities that need it, with an
// error that names the variable. FLEET_SOURCE_DIR is SourceDir.
func FromEnv() *Activities {
	return &Activities{
		SourceDir: os.Getenv("FLEET_SOURCE_DIR"),
		Oracle: once(func(context.Context) (*oraclemarket.Client, error) {
			return oraclemarket.FromEnv()
		}),
		Replicator: once(func(ctx context.Context) (*imagereplicator.Client, error) {
			options, err := keystone.FromEnv()
			if err != nil {
				return nil, err
			}
			session, err := keystone.New(ctx, options)
			if err != nil {
				return nil, err
			}
			return session.Client()
		}),
		Multiplay: once(func(context.Context) (*multiplay.Client, error) {
			return multiplay.FromEnv()
		}),
	}
}

// once returns a function that calls f until it succeeds once.
func once[C any](f func(context.Context) (*C, error)) func(context.Context) (*C, error) {
	var mu sync.Mutex
	var client *C
	return func(ctx context.Context) (*C, error) {
		mu.Lock()
		defer mu.Unlock()
		if client != nil {
			return client, nil
		}
		made, err := f(ctx)
		if err == nil {
			client = made
		}
		return made, err
	}
}
