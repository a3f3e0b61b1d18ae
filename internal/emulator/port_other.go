//go:build !unix

package emulator

import (
	"errors"
	"net"
	"os"
)

// holdPort returns nil: it cannot hold a port.
func holdPort(*net.TCPAddr) *os.File { return nil }

// listenOn is for what holdPort returns.
func listenOn(*os.File) (net.Listener, error) { return nil, errors.ErrUnsupported }
