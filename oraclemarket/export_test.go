package oraclemarket

import "time"

// WithLag sets for how long the service may not show what exists, where a test
// runs in real time.
func WithLag(d time.Duration) Option {
	return func(c *config) { c.lag = d }
}
