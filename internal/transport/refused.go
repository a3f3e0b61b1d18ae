//go:build !plan9

package transport

import "syscall"

const errRefused = syscall.ECONNREFUSED
