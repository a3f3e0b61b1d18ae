//go:build !goexperiment.jsonv2 || go1.27

package decode

import "errors"

// skip leaves a value to the functions that follow, and then to the library.
var skip = errors.ErrUnsupported
