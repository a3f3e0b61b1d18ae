package emulator

import "errors"

// errRefused is the cause of a refused connection.
var errRefused = errors.New("connection refused")
