//go:build !plan9

package conformance

import "syscall"

// errRefused is what a refused connection's error wraps.
const errRefused = syscall.ECONNREFUSED
