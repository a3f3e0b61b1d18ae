package wire

import (
	"io"
	"sync"
	"time"
)

const (
	// fullRead is how much of a body is read and sent at once: less is slower,
	// and each connection has the memory of two. At first, and where the source
	// or the connection is slow, it is firstRead, so that bytes are seen to
	// move.
	fullRead  = 256 << 10
	firstRead = 32 << 10
)

var readBuffers = sync.Pool{New: func() any { return new([fullRead]byte) }}

// sendFrom is an io.Copy that goes over to full reads after a run of quick
// first reads.
func sendFrom(w io.Writer, r io.Reader) (sent int64, err error) {
	const quick, enough = 100 * time.Millisecond, 2 * fullRead / firstRead
	buf := readBuffers.Get().(*[fullRead]byte) //nolint:errcheck // nothing else is in there
	defer readBuffers.Put(buf)
	for run := 0; ; {
		size := firstRead
		if run >= enough {
			size = fullRead
		}
		start := time.Now()
		n, readErr := r.Read(buf[:size])
		if n > 0 {
			written, err := w.Write(buf[:n])
			sent += int64(written)
			if err != nil {
				return sent, err
			}
			run++
			if time.Since(start) > quick {
				run = 0
			}
		}
		if readErr == io.EOF {
			return sent, nil
		}
		if readErr != nil {
			return sent, readErr
		}
	}
}
