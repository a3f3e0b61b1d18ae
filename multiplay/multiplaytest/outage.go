package multiplaytest

import "github.com/imagejobs/imagejobs-go/internal/emulator"

// Outage describes how an unavailable service behaves; see
// [Server.StartOutage].
type Outage struct {
	// Status is the status with which a proxy in front of the service responds to
	// every request: 502, 522 or 429, for example. Zero refuses connections, and
	// closes those that exist.
	Status int
	// RetryAfter is the Retry-After header of these responses.
	RetryAfter string
}

// StartOutage makes the whole service unavailable until end is called. During
// an outage no request takes effect and no fault is used up. Of overlapping
// outages, the newest applies. Like [NewServer], end panics if the server
// cannot listen on its address again.
//
// With [WithListener], a listener that is not a TCP one cannot refuse
// connections and closes them once accepted.
func (s *Server) StartOutage(o Outage) (end func()) {
	return s.core.StartOutage(emulator.Outage(o))
}
