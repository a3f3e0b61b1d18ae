//go:build !linux && !darwin

package transport

import "errors"

func socketQueue(uintptr) (int, error) { return 0, errors.ErrUnsupported }
