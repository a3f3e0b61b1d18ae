//go:build linux

package proxies

import (
	"strings"
	"testing"
	"time"
)

// chunksPaced is how many chunks an upload has that a proxy limits.
const chunksPaced = 60

// paced is what a proxy's log says about such an upload.
type paced struct {
	first, last     time.Time // requests let through, up to the last chunk
	passed, refused int       // the latter of chunks
	all, wasted     int64     // bytes of chunks
}

// add adds a request, in the order of the log.
func (n *paced) add(at time.Time, path string, size int64, refused bool) {
	chunk := strings.HasSuffix(path, "/chunk")
	switch {
	case chunk && refused:
		n.refused++
		n.wasted += size
	case chunk:
		n.last = at
		n.passed++
	case n.last.IsZero(): // what comes before the chunks uses the limit up, too
		n.passed++
	}
	if n.first.IsZero() {
		n.first = at
	}
	if chunk {
		n.all += size
	}
}

// log logs which share of a limit, of rate requests a second and burst at once,
// was used, and returns it.
func (n *paced) log(t *testing.T, rate, burst float64) float64 {
	t.Helper()
	took := n.last.Sub(n.first)
	share := float64(n.passed) / (rate*took.Seconds() + burst)
	t.Logf("%d chunks in %s: %.0f %% of the limit used, %d chunk requests refused, %.1f %% of the bytes in vain",
		chunksPaced, took.Round(time.Millisecond), 100*share, n.refused, 100*n.inVain())
	return share
}

// inVain returns the share of the bytes that were sent for nothing.
func (n *paced) inVain() float64 { return float64(n.wasted) / float64(n.all) }
