package wire

import "golang.org/x/sys/unix"

func socketQueue(fd uintptr) (int, error) {
	return unix.GetsockoptInt(int(fd), unix.SOL_SOCKET, unix.SO_NWRITE)
}
