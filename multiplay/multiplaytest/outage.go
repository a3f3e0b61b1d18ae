package multiplaytest

import "github.com/imagejobs/imagejobs-go/internal/emulator"

// Outage is how a service that is down shows itself; see [Server.StartOutage].
type Outage struct {
	// Status is what a proxy in front of the service responds to every request:
	// 502, 522 or 429, for example. Zero refuses connections, and closes those
	// that exist.
	Status int
	// RetryAfter is the Retry-After header of these responses.
	RetryAfter string
}

// StartOutage makes the whole service unavailable until end is called. During
// an outage no request takes effect and no fault is used up. Of outages that
// overlap, the newest shows. Like [NewServer], end panics if the server cannot
// listen on its address again.
//
// With [WithListener], a listener that is not a TCP one cannot refuse
// connections and closes them once accepted.
func (s *Server) StartOutage(o Outage) (end func()) {
	return s.core.StartOutage(emulator.Outage(o))
}
