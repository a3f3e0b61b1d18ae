package conformance

import "syscall"

// errRefused is what a refused connection's error wraps.
const errRefused = syscall.ErrorString("connection refused")
