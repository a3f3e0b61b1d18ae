// Package activities has the activities of the workflows: the calls of the
// three services, on the SDK's clients.
package activities

import (
	"context"
	"io"
	"net/url"

	"github.com/imagejobs/imagejobs-go/imagereplicator"
	"github.com/imagejobs/imagejobs-go/multiplay"
	"github.com/imagejobs/imagejobs-go/oraclemarket"
)

// Activities has the clients that the activities use. Each function is called
// for each activity that needs its client; its error ends that activity.
type Activities struct {
	Oracle     func(context.Context) (*oraclemarket.Client, error)
	Replicator func(context.Context) (*imagereplicator.Client, error)
	Multiplay  func(context.Context) (*multiplay.Client, error)

	// SourceDir is the folder that files are uploaded from. Empty means any.
	SourceDir string
	// Openers open sources by the scheme of their URL, such as "s3". http and
	// https are built in.
	Openers map[string]Opener
}

// Opener opens a source.
type Opener func(ctx context.Context, source *url.URL) (Source, error)

// Source is an open image, read by several goroutines at once.
type Source interface {
	io.ReaderAt
	io.Closer
	// Size is the image's length in bytes.
	Size() int64
	// Version changes when the image does, such as an ETag.
	Version() string
}

// FromEnv returns Activities whose clients are configured by the environment,
// as oraclemarket.FromEnv, keystone.FromEnv and multiplay.FromEnv have it. A
// service that is not configured fails the activities that need it.
func FromEnv() *Activities { return &Activities{} }
