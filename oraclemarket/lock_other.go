//go:build !(darwin || dragonfly || freebsd || linux || netbsd || openbsd || windows)

package oraclemarket

import (
	"errors"
	"fmt"
	"runtime"
)

// lockFile fails: there is no lock here that ends with its process.
func lockFile(string) (unlock func() error, err error) {
	return nil, fmt.Errorf("%s: FileCheckpoints on %s: %w", pkg, runtime.GOOS, errors.ErrUnsupported)
}

func (*FileCheckpointStore) syncDir(string) error { return nil }
