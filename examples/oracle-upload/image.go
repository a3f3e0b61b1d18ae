package main

import (
	"context"
	"crypto/md5" //nolint:gosec // the service's checksum
	"encoding/binary"
	"encoding/hex"
	"errors"
	"io"
	"os"

	"github.com/imagejobs/imagejobs-go/examples/internal/cli"
)

// image is what is uploaded.
type image struct {
	io.ReaderAt
	name  string
	size  int64
	close func()
}

// openImage opens the file, or makes up an image where none is needed.
func openImage(name string, demo bool) (*image, error) {
	if name == "" && demo {
		return &image{sample{}, "sample-image.tar.gz", sampleSize, func() {}}, nil
	} else if name == "" {
		return nil, cli.UsageError("-file must not be empty")
	}
	info, err := os.Stat(name)
	switch {
	case err != nil:
		return nil, cli.UsageError("-file: %w", err)
	case !info.Mode().IsRegular(): // opening a pipe could wait for ever
		return nil, cli.UsageError("-file: %s is not a regular file", name)
	case info.Size() == 0:
		return nil, cli.UsageError("-file: %s is empty", name)
	}
	f, err := os.Open(name)
	if err != nil {
		return nil, cli.UsageError("-file: %w", err)
	}
	return &image{f, name, info.Size(), func() { _ = f.Close() }}, nil
}

const sampleSize = 256 << 20

// sample is an image that looks random and is the same in each run. It takes no
// room on the disk, so that nothing of it can be left behind.
type sample struct{}

// ReadAt implements io.ReaderAt.
func (sample) ReadAt(p []byte, off int64) (int, error) {
	n := int(max(0, min(int64(len(p)), sampleSize-off)))
	var block [8]byte
	for i := 0; i < n; {
		at := uint64(off) + uint64(i) //nolint:gosec // not negative
		// SplitMix64 of the block's number.
		x := (at/8 + 1) * 0x9e3779b97f4a7c15
		x = (x ^ x>>30) * 0xbf58476d1ce4e5b9
		x = (x ^ x>>27) * 0x94d049bb133111eb
		binary.LittleEndian.PutUint64(block[:], x^x>>31)
		i += copy(p[i:n], block[at%8:])
	}
	if n < len(p) {
		return n, io.EOF
	}
	return n, nil
}

// startMD5 starts to hash the image. The result is to be fetched with the
// function that it returns.
func (i *image) startMD5(ctx context.Context) func() (string, error) {
	var sum string
	var err error
	done := make(chan struct{})
	go func() {
		defer close(done)
		sum, err = i.md5(ctx)
	}()
	return func() (string, error) {
		<-done
		return sum, err
	}
}

func (i *image) md5(ctx context.Context) (string, error) {
	r := io.NewSectionReader(i, 0, i.size)
	h, buf := md5.New(), make([]byte, 128<<10) //nolint:gosec // the service's checksum
	for ctx.Err() == nil {
		n, err := r.Read(buf)
		_, _ = h.Write(buf[:n])
		if errors.Is(err, io.EOF) {
			return hex.EncodeToString(h.Sum(nil)), nil
		}
		if err != nil {
			return "", err
		}
	}
	return "", context.Cause(ctx)
}
