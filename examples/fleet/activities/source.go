package activities

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io"
	"net/url"
	"os"
	"runtime"
	"strings"
	"time"

	"github.com/imagejobs/imagejobs-go/examples/fleet/workflows"
	"github.com/imagejobs/imagejobs-go/examples/internal/ranges"
	"github.com/imagejobs/imagejobs-go/oraclemarket"
)

// Opener opens a source whose URL has a certain scheme. Its Source may be read
// until ctx is done.
type Opener func(ctx context.Context, source *url.URL) (Source, error)

// Source is an open image. It is read by several goroutines at once, in pieces
// of 32 to 256 KiB that follow each other, and each chunk twice: for its checksum
// and to send it.
type Source interface {
	io.ReaderAt
	io.Closer
	// Size is the image's length in bytes.
	Size() int64
	// Version changes when the image does, such as an ETag. It is compared where
	// several workers upload parts of an image.
	Version() (string, error)
}

// sourceField is what errors about sources name.
const sourceField = "UploadImageInput.Source"

func badSource(format string, args ...any) error {
	return &oraclemarket.ArgumentError{Field: sourceField, Problem: fmt.Sprintf(format, args...)}
}

// open opens the source of an upload: a path, or a URL.
func (a *Activities) open(ctx context.Context, in workflows.UploadImageInput) (Source, error) {
	scheme, _, isURL := strings.Cut(in.Source, "://")
	if !isURL {
		return a.openFile(in.Source)
	}
	u, err := url.Parse(in.Source)
	if err != nil {
		return nil, badSource("is not a URL") // the error repeats what may be a credential
	}
	if opener := a.Openers[scheme]; opener != nil {
		return opener(ctx, u)
	}
	if scheme != "http" && scheme != "https" {
		return nil, badSource("has the scheme %q, which this worker does not know", scheme)
	}
	return a.openURL(ctx, in)
}

// remote is a source behind an http or https URL.
type remote struct {
	*ranges.Source

	download *ranges.Download
}

func (a *Activities) openURL(ctx context.Context, in workflows.UploadImageInput) (Source, error) {
	u, err := ranges.ParseURL(in.Source)
	if err != nil {
		return nil, badSource("%v", err)
	}
	d, err := ranges.OpenURL(ctx, u, a.sourcePause)
	if err != nil {
		return nil, remoteError(err)
	}
	// All chunks in flight, and those that a resumed upload compares meanwhile,
	// have a stream.
	limit := cmp.Or(in.Concurrency, oraclemarket.DefaultConcurrency) + runtime.GOMAXPROCS(0)
	return &remote{ranges.NewSource(ctx, d, d.Size(), chunkSize(in.ChunkSize, d.Size()), limit, a.sourcePause), d}, nil
}

func (r *remote) Version() (string, error) { return r.download.Version(), nil }

func (r *remote) ReadAt(p []byte, offset int64) (int, error) {
	n, err := r.Source.ReadAt(p, offset)
	if err == nil || err == io.EOF { //nolint:errorlint // a ReaderAt ends with io.EOF itself
		return n, err
	}
	return n, remoteError(err)
}

func (r *remote) Close() error {
	r.Source.Close()
	r.download.Close()
	return nil
}

// remoteError tells what another attempt may mend from what it cannot.
func remoteError(err error) error {
	switch {
	case errors.Is(err, oraclemarket.ErrSourceChanged):
		return err
	case ranges.IsFinal(err):
		return badSource("%v", err)
	default:
		return fmt.Errorf("%s: %w: %w", sourceField, oraclemarket.ErrTransient, err)
	}
}

type file struct {
	*os.File

	size int64
}

func (a *Activities) openFile(source string) (Source, error) {
	var f *os.File
	var err error
	if a.SourceDir != "" {
		f, err = os.OpenInRoot(a.SourceDir, source)
	} else {
		f, err = os.Open(source)
	}
	if err != nil {
		return nil, badSource("%v", err)
	}
	info, err := f.Stat()
	switch {
	case err == nil && !info.Mode().IsRegular():
		err = fmt.Errorf("%s: is not a regular file", source)
	case err == nil && info.Size() == 0:
		err = fmt.Errorf("%s: is empty", source)
	}
	if err != nil {
		_ = f.Close() // only read
		return nil, badSource("%v", err)
	}
	return &file{f, info.Size()}, nil
}

func (f *file) Size() int64 { return f.size }

func (f *file) Version() (string, error) {
	info, err := f.Stat()
	if err != nil {
		return "", badSource("%v", err)
	}
	return fmt.Sprintf("%d bytes, modified at %s", info.Size(), info.ModTime().UTC().Format(time.RFC3339Nano)), nil
}

// unchanged returns an error unless the source of an upload has the version that
// it began with.
func unchanged(version string, began workflows.UploadProgress) error {
	if version == began.Version {
		return nil
	}
	return &oraclemarket.SourceChangedError{
		Change: fmt.Sprintf("it was %s and is %s", began.Version, version), UploadRequestID: began.UploadRequestID,
	}
}
