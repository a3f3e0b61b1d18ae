//go:build unix

package emulator

import (
	"net"
	"os"
	"syscall"
)

// holdPort binds a socket that does not listen to the address of a listener that
// was closed: connections are refused, and the system gives the port to nobody
// who asks for any. It returns nil if it cannot.
func holdPort(addr *net.TCPAddr) *os.File {
	ip := addr.IP.To4()
	if ip == nil {
		return nil
	}
	syscall.ForkLock.RLock()
	fd, err := syscall.Socket(syscall.AF_INET, syscall.SOCK_STREAM, 0)
	if err == nil {
		syscall.CloseOnExec(fd)
	}
	syscall.ForkLock.RUnlock()
	if err != nil {
		return nil
	}
	held := os.NewFile(uintptr(fd), addr.String())
	at := &syscall.SockaddrInet4{Port: addr.Port, Addr: [4]byte(ip)}
	err = syscall.SetsockoptInt(fd, syscall.SOL_SOCKET, syscall.SO_REUSEADDR, 1) // its old connections may not be gone yet
	if err == nil {
		err = syscall.Bind(fd, at)
	}
	if err != nil {
		_ = held.Close()
		return nil
	}
	return held
}

// listenOn makes the socket listen, and closes held.
func listenOn(held *os.File) (net.Listener, error) {
	defer held.Close()
	if err := syscall.Listen(int(held.Fd()), syscall.SOMAXCONN); err != nil {
		return nil, os.NewSyscallError("listen", err)
	}
	return net.FileListener(held)
}
