//go:build !linux && !darwin

package wire

import "errors"

func socketQueue(uintptr) (int, error) { return 0, errors.ErrUnsupported }
