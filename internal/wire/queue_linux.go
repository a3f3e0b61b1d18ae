package wire

import "golang.org/x/sys/unix"

func socketQueue(fd uintptr) (int, error) { return unix.IoctlGetInt(int(fd), unix.SIOCOUTQ) }
