package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/url"
	"os"
	"time"

	"gocloud.dev/blob"
	_ "gocloud.dev/blob/fileblob" // file://
	_ "gocloud.dev/blob/memblob"  // mem://
	"gocloud.dev/gcerrors"

	"github.com/imagejobs/imagejobs-go/examples/internal/ranges"
	"github.com/imagejobs/imagejobs-go/internal/redact"
)

// bucketObject is an object of a bucket.
type bucketObject struct {
	bucket  *blob.Bucket
	key     string
	secrets *redact.Set

	// What identifies the object's version.
	size     int64
	etag     string
	modified time.Time
}

// openBucket opens the bucket with that URL. What drivers take from its query is
// no secret.
func openBucket(ctx context.Context, raw string) (*blob.Bucket, *redact.Set, error) {
	u, err := url.Parse(raw)
	if err != nil {
		return nil, nil, errors.New("is not a URL")
	}
	if mux := blob.DefaultURLMux(); !mux.ValidBucketScheme(u.Scheme) {
		return nil, nil, fmt.Errorf("must be a URL of the schemes %v: build with -tags s3, gs or azblob for others", mux.BucketSchemes())
	}
	password, _ := u.User.Password()
	values := []string{u.User.Username(), password}
	for _, name := range []string{
		"AWS_SECRET_ACCESS_KEY", "AWS_SESSION_TOKEN", "AZURE_STORAGE_KEY", "AZURE_STORAGE_SAS_TOKEN", "AZURE_STORAGE_CONNECTION_STRING",
	} {
		values = append(values, os.Getenv(name))
	}
	secrets := redact.New(values...)
	bucket, err := blob.OpenBucket(ctx, raw)
	if err != nil {
		return nil, nil, fmt.Errorf("cannot be opened: %w", secrets.Err(err))
	}
	return bucket, secrets, nil
}

// openBucketObject finds out which version of the object there is.
func openBucketObject(ctx context.Context, bucket *blob.Bucket, key string, secrets *redact.Set) (*bucketObject, error) {
	b := &bucketObject{bucket: bucket, key: key, secrets: secrets}
	attributes, err := bucket.Attributes(ctx, key)
	switch {
	case err != nil:
		return nil, b.err(err)
	case attributes.Size == 0:
		return nil, ranges.Final("%s is empty", key)
	}
	b.size, b.etag, b.modified = attributes.Size, attributes.ETag, attributes.ModTime
	return b, nil
}

// Open implements ranges.Object. There is no way to ask all drivers for the
// version of a stream. But if the object still has the first version after the
// stream began, the stream has it, too.
func (b *bucketObject) Open(ctx context.Context, offset, length int64) (io.ReadCloser, error) {
	r, err := b.bucket.NewRangeReader(ctx, b.key, offset, length, nil)
	if err != nil {
		return nil, b.err(err)
	}
	if err := b.same(ctx); err != nil {
		_ = r.Close() // not needed
		return nil, err
	}
	return ranges.Guard(r, b.secrets), nil
}

func (b *bucketObject) same(ctx context.Context) error {
	now, err := b.bucket.Attributes(ctx, b.key)
	switch {
	case err != nil:
		return b.err(err)
	case now.Size != b.size:
		return ranges.Changed("its size was %d and is %d", b.size, now.Size)
	case now.ETag != b.etag:
		return ranges.Changed("the ETag of %s was %s and is %s", b.key, b.etag, now.ETag)
	case !now.ModTime.Equal(b.modified):
		return ranges.Changed("%s was modified at %s", b.key, now.ModTime.UTC().Format(time.RFC3339Nano))
	}
	return nil
}

// err tells what stays from what may pass, and shows no credential.
func (b *bucketObject) err(err error) error {
	code := gcerrors.Code(err)
	err = b.secrets.Err(err)
	switch code {
	case gcerrors.NotFound, gcerrors.PermissionDenied, gcerrors.InvalidArgument, gcerrors.FailedPrecondition, gcerrors.Unimplemented:
		return ranges.Final("%w", err)
	default:
		return err
	}
}
