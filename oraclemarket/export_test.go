package oraclemarket

import (
	"os"
	"time"
)

// WithLag sets for how long the service may not show what exists, where a test
// runs in real time.
func WithLag(d time.Duration) Option {
	return func(c *config) { c.lag = d }
}

// OnSync calls f before each sync of store.
func OnSync(store *FileCheckpointStore, f func()) {
	fsync := store.fsync
	store.fsync = func(file *os.File) error {
		f()
		return fsync(file)
	}
}
