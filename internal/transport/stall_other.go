//go:build !linux && !darwin

package transport

import "syscall"

func socketQueue(syscall.Conn) (bytes int, known bool) { return 0, false }
