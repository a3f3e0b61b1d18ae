//go:build !(darwin || dragonfly || freebsd || linux || netbsd || openbsd || windows)

package oraclemarket

import (
	"errors"
	"fmt"
	"runtime"
)

// lockFile has no way to make a lock that ends with its process here.
func lockFile(string) (unlock func() error, err error) {
	return nil, fmt.Errorf("%s: FileCheckpoints on %s: %w", pkg, runtime.GOOS, errors.ErrUnsupported)
}

func syncDir(string) error { return nil }
