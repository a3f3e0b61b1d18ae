package transport

import (
	"syscall"

	"golang.org/x/sys/unix"
)

func socketQueue(c syscall.Conn) (bytes int, known bool) {
	raw, err := c.SyscallConn()
	if err != nil {
		return 0, false
	}
	var queueErr error
	err = raw.Control(func(fd uintptr) { bytes, queueErr = unix.GetsockoptInt(int(fd), unix.SOL_SOCKET, unix.SO_NWRITE) })
	return bytes, err == nil && queueErr == nil
}
