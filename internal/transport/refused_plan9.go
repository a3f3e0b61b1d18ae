package transport

import "errors"

// errRefused is nothing here: Plan 9 has texts in place of error numbers.
var errRefused = errors.New("connection refused")
