package main

import (
	"bytes"
	"cmp"
	"context"
	"path"
	"runtime"

	"gocloud.dev/blob/memblob"

	"github.com/imagejobs/imagejobs-go/examples/internal/cli"
	"github.com/imagejobs/imagejobs-go/examples/internal/ranges"
	"github.com/imagejobs/imagejobs-go/oraclemarket"
)

// image is what is uploaded.
type image struct {
	name   string
	source *ranges.Source
	close  func()
}

// openImage opens what the arguments name, or makes up an image where none is
// needed.
func (p *program) openImage(ctx context.Context, demo bool) (*image, error) {
	switch {
	case p.url != "" && (p.bucket != "" || p.key != ""):
		return nil, cli.UsageError("-url must not be set together with -bucket or -key")
	case p.url != "":
		return p.openURL(ctx)
	case p.bucket != "" && p.key != "":
		return p.openKey(ctx)
	case p.bucket != "" || p.key != "":
		return nil, cli.UsageError("-bucket and -key must be set together")
	case demo:
		return p.openSample(ctx)
	default:
		return nil, cli.UsageError("-url, or -bucket and -key, must be set")
	}
}

func (p *program) openURL(ctx context.Context) (*image, error) {
	u, err := ranges.ParseURL(p.url)
	if err != nil {
		return nil, cli.UsageError("-url %w", err)
	}
	d, err := ranges.OpenURL(ctx, u, p.minPause)
	if err != nil {
		return nil, err
	}
	return p.newImage(ctx, d, u.Path, d.Size(), d.Close), nil
}

func (p *program) openKey(ctx context.Context) (*image, error) {
	bucket, secrets, err := openBucket(ctx, p.bucket)
	if err != nil {
		return nil, cli.UsageError("-bucket %w", err)
	}
	o, err := openBucketObject(ctx, bucket, p.key, secrets)
	if err != nil {
		_ = bucket.Close() // only read
		return nil, err
	}
	return p.newImage(ctx, o, p.key, o.size, func() { _ = bucket.Close() }), nil
}

const sampleSize = 64 << 20

func (p *program) openSample(ctx context.Context) (*image, error) {
	const key = "images/sample-image.tar.gz"
	bucket := memblob.OpenBucket(nil)
	err := bucket.WriteAll(ctx, key, bytes.Repeat([]byte("a sample of 16 B"), sampleSize/16), nil)
	var o *bucketObject
	if err == nil {
		o, err = openBucketObject(ctx, bucket, key, nil)
	}
	if err != nil {
		_ = bucket.Close() // nothing to keep
		return nil, err
	}
	return p.newImage(ctx, o, key, o.size, func() { _ = bucket.Close() }), nil
}

func (p *program) newImage(ctx context.Context, o ranges.Object, where string, size int64, closeObject func()) *image {
	// All chunks in flight, and those that a resumed upload compares meanwhile,
	// have a stream.
	limit := cmp.Or(p.upload.Concurrency, oraclemarket.DefaultConcurrency) + runtime.GOMAXPROCS(0)
	s := ranges.NewSource(ctx, o, size, cmp.Or(int64(p.upload.ChunkSize), chunkSize(size)), limit, p.minPause)
	return &image{cmp.Or(p.name, path.Base(where)), s, func() { s.Close(); closeObject() }}
}

// chunkSize returns the size of a chunk that the client chooses: a 64th of the
// image, in whole MiB, but 16 to 64.
func chunkSize(size int64) int64 {
	const mib = 1 << 20
	return min(max((size-1)/(64*mib)+1, 16), 64) * mib
}
