package oraclemarkettest

import (
	"net"
	"slices"
	"time"

	"github.com/imagejobs/imagejobs-go/internal/emulator"
)

// An Option configures a [Server].
type Option func(*config)

type config struct {
	server  emulator.Config
	now     func() time.Time
	speed   float64
	jobTime time.Duration
	outcome Outcome
	dir     string
	discard bool

	clientID      string
	clientSecret  string
	users         []string
	staticTokens  []string
	tokenLifetime time.Duration

	dataCenters []DataCenter
	firstChunk  int // -1: any
	dialect     Dialect

	listLag, getLag, countLag time.Duration
}

func newConfig(opts []Option) config {
	c := config{
		jobTime:       3 * time.Second,
		clientID:      "test-client-id",
		clientSecret:  "test-client-secret",
		users:         []string{"partner@example.com", "partner-email"},
		staticTokens:  []string{"Access-token"},
		tokenLifetime: 7 * 24 * time.Hour,
		dataCenters:   []DataCenter{{Name: "US2 COMMERCIAL CHERRY", Region: "US2 Commercial Cherry"}},
		firstChunk:    -1,
	}
	for _, opt := range opts {
		opt(&c)
	}
	c.server.Clock = emulator.NewClock(c.now, c.speed)
	return c
}

// WithListener serves on listener, for example one in memory, instead of on a
// loopback port. The server closes it. If it is not a TCP listener, URL is
// http://localhost and clients need a dialer that reaches the listener.
func WithListener(listener net.Listener) Option {
	return func(c *config) { c.server.Listener = listener }
}

// WithClock sets the server's clock, [time.Now] by default. The function must
// be safe for concurrent use.
func WithClock(now func() time.Time) Option {
	return func(c *config) { c.now = now }
}

// WithSpeed makes jobs run factor times as fast. Dates, lags and the lifetime
// of tokens are not affected.
func WithSpeed(factor float64) Option {
	return func(c *config) { c.speed = factor }
}

// WithJobTime sets how long an upload takes from Pending to Completed at speed
// 1, 3 seconds by default. With 0 it is Completed at once.
func WithJobTime(d time.Duration) Option {
	return func(c *config) { c.jobTime = max(d, 0) }
}

// WithOutcome sets how uploads end unless [Server.SetNextOutcome] is used.
func WithOutcome(outcome Outcome) Option {
	return func(c *config) { c.outcome = outcome }
}

// WithDir sets the folder of the uploaded bytes, which is created if missing:
// one file per chunk, named after the upload request's id and the chunk's
// number. Close leaves them there. By default they are in a new folder of
// [os.TempDir], which Close removes.
func WithDir(dir string) Option {
	return func(c *config) { c.dir = dir }
}

// WithDiscard discards uploaded bytes once they are received and verified, for
// uploads larger than the disk. The MD5s of chunks are known, that of an image
// in several chunks is not.
func WithDiscard() Option {
	return func(c *config) { c.discard = true }
}

// WithClientCredentials sets the only client id and secret that get a token.
func WithClientCredentials(id, secret string) Option {
	return func(c *config) { c.clientID, c.clientSecret = id, secret }
}

// WithUsers sets the users of the account: the accepted values of
// X-Oracle-UserId. The default is [Server.User], and "partner-email" as in the
// documentation's commands.
func WithUsers(users ...string) Option {
	return func(c *config) { c.users = slices.Clone(users) }
}

// WithStaticTokens sets bearer tokens that are accepted besides issued ones and
// never expire. The default is "Access-token", as in the documentation's
// commands. Without arguments, no token is static.
func WithStaticTokens(tokens ...string) Option {
	return func(c *config) { c.staticTokens = slices.Clone(tokens) }
}

// WithTokenLifetime sets how long issued tokens are valid, 7 days by default.
func WithTokenLifetime(d time.Duration) Option {
	return func(c *config) { c.tokenLifetime = d }
}

// WithDataCenters sets the data centers that uploads go to, by default that of
// the documentation's sample.
func WithDataCenters(dataCenters ...DataCenter) Option {
	return func(c *config) { c.dataCenters = slices.Clone(dataCenters) }
}

// WithFirstChunkNumber makes the merge require chunks numbered from first. By
// default both 0 and 1 are accepted, as the documentation does not say which.
func WithFirstChunkNumber(first int) Option {
	return func(c *config) { c.firstChunk = first }
}

// WithListLag makes a new upload request appear in lists only d after its
// creation.
func WithListLag(d time.Duration) Option {
	return func(c *config) { c.listLag = d }
}

// WithGetLag makes Get and Head return 404 for a new upload request until d
// after its creation. Chunks and the merge are accepted at once.
func WithGetLag(d time.Duration) Option {
	return func(c *config) { c.getLag = d }
}

// WithChunkCountLag makes Get and List count a chunk only d after its arrival.
func WithChunkCountLag(d time.Duration) Option {
	return func(c *config) { c.countLag = d }
}

// WithRateLimit refuses requests above perSecond with status 429 and a
// Retry-After header, as a proxy in front of the service does. Up to burst
// requests more are accepted at once. Refused requests do not count.
func WithRateLimit(perSecond float64, burst int) Option {
	return func(c *config) { c.server.Limits.Rate, c.server.Limits.Burst = perSecond, burst }
}

// WithBodyLimit refuses request bodies above size bytes with status 413, before
// they are read.
func WithBodyLimit(size int64) Option {
	return func(c *config) { c.server.Limits.BodySize = size }
}
