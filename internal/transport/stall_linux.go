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
	err = raw.Control(func(fd uintptr) { bytes, queueErr = unix.IoctlGetInt(int(fd), unix.SIOCOUTQ) })
	return bytes, err == nil && queueErr == nil
}
