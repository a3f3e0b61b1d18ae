package main

import (
	"context"
	"crypto/md5" //nolint:gosec // the service's checksum
	"encoding/hex"
	"errors"
	"io"
	"math/rand/v2"
	"os"
)

const sampleSize = 256 << 20

// makeSample writes an image of random bytes that are the same in each run.
func makeSample() (name string, err error) {
	f, err := os.CreateTemp("", "sample-image-*.tar.gz")
	if err != nil {
		return "", err
	}
	defer func() {
		if err = errors.Join(err, f.Close()); err != nil {
			_ = os.Remove(f.Name())
		}
	}()
	_, err = io.CopyN(f, rand.NewChaCha8([32]byte([]byte("imagejobs sample image, 256 MiB."))), sampleSize)
	return f.Name(), err
}

func fileMD5(ctx context.Context, name string) (string, error) {
	f, err := os.Open(name)
	if err != nil {
		return "", err
	}
	defer func() { _ = f.Close() }()
	h, buf := md5.New(), make([]byte, 128<<10) //nolint:gosec // the service's checksum
	for ctx.Err() == nil {
		n, err := f.Read(buf)
		_, _ = h.Write(buf[:n])
		if errors.Is(err, io.EOF) {
			return hex.EncodeToString(h.Sum(nil)), nil
		}
		if err != nil {
			return "", err
		}
	}
	return "", ctx.Err()
}
