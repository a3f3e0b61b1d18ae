package main

import (
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
