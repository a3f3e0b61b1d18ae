//go:build !plan9

package emulator

import (
	"os"
	"syscall"
)

// errRefused is the cause of a refused connection, as a socket reports it.
var errRefused = os.NewSyscallError("connect", syscall.ECONNREFUSED)
