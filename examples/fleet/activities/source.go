package activities

import (
	"cmp"
	"context"
	"fmt"
	"io"
	"net/url"
	"os"
	"path/filepath"
	"strings"
	"time"

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

// open opens a source: a path, or a URL.
func (a *Activities) open(ctx context.Context, source string) (Source, error) {
	scheme, _, isURL := strings.Cut(source, "://")
	if !isURL {
		return a.openFile(source)
	}
	u, err := url.Parse(source)
	if err != nil {
		return nil, badSource("%v", err)
	}
	if opener := a.Openers[scheme]; opener != nil {
		return opener(ctx, u)
	}
	if scheme != "http" && scheme != "https" {
		return nil, badSource("has the scheme %q, which this worker does not know", scheme)
	}
	return openHTTP(ctx, source)
}

// path returns the path of a source that is a file, empty if it is a URL.
func (a *Activities) path(source string) string {
	if strings.Contains(source, "://") {
		return ""
	}
	if a.SourceDir != "" {
		return filepath.Join(a.SourceDir, source)
	}
	return source
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

// unchanged returns an error unless the source is of that size and version.
func unchanged(s Source, id, size int64, version string) error {
	now, err := s.Version()
	if err != nil {
		return err
	}
	if s.Size() != size || now != version {
		return &oraclemarket.SourceChangedError{
			Change: fmt.Sprintf("it was %s and is %s", cmp.Or(version, "of another size"), now), UploadRequestID: id,
		}
	}
	return nil
}
