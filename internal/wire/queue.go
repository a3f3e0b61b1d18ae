package wire

import (
	"crypto/tls"
	"net"
	"syscall"
)

// SendQueue returns how much the kernel holds that the peer has not
// acknowledged. It is not known on every system, and not for one of the many
// requests on an HTTP/2 connection.
func SendQueue(c net.Conn) (bytes int, known bool) {
	for {
		switch conn := c.(type) {
		case interface{ ConnectionState() tls.ConnectionState }:
			if conn.ConnectionState().NegotiatedProtocol == "h2" {
				return 0, false
			}
		case syscall.Conn:
			raw, err := conn.SyscallConn()
			if err != nil {
				return 0, false
			}
			var queueErr error
			err = raw.Control(func(fd uintptr) { bytes, queueErr = socketQueue(fd) })
			return bytes, err == nil && queueErr == nil
		}
		wrapper, ok := c.(interface{ NetConn() net.Conn })
		if !ok {
			return 0, false
		}
		c = wrapper.NetConn()
	}
}
