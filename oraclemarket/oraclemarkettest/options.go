package oraclemarkettest

import (
	"net"
	"slices"
	"time"

	"github.com/imagejobs/imagejobs-go/internal/emulator"
)

// Option changes how a [Server] behaves.
type Option func(*config)

type config struct {
	server   emulator.Config
	now      func() time.Time
	speed    float64
	jobTime  time.Duration
	outcome  Outcome
	dir      string
	discard  bool
	noHashes bool

	clientID      string
	clientSecret  string
	users         []string
	staticTokens  []string
	tokenLifetime time.Duration

	dataCenters []DataCenter
	firstChunk  int // -1: any
	created201  bool
	bareItems   bool
	misspelt    bool
	checkSum    bool
}

func newConfig(opts []Option) config {
	c := config{
		jobTime:       3 * time.Second,
		clientID:      "test-client-id",
		clientSecret:  "test-client-secret",
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

// WithListener serves on a listener of the caller's, in memory for example, instead of a loopback port. The server
// closes it. If it is not a TCP listener, URL is http://localhost, and it takes a client with a dialer of its own to
// connect.
func WithListener(listener net.Listener) Option {
	return func(c *config) { c.server.Listener = listener }
}

// WithClock has the server take the time from now, which must be safe for concurrent use. Without it, it is [time.Now].
func WithClock(now func() time.Time) Option {
	return func(c *config) { c.now = now }
}

// WithSpeed makes jobs run factor times as fast. It bears neither on dates nor on the life of tokens.
func WithSpeed(factor float64) Option {
	return func(c *config) { c.speed = factor }
}

// WithJobTime sets how long an upload takes from Pending to Completed at speed 1: 3 seconds unless set. With 0 it is
// Completed at once.
func WithJobTime(d time.Duration) Option {
	return func(c *config) { c.jobTime = max(d, 0) }
}

// WithOutcome sets how uploads end unless [Server.SetOutcome] and its like say otherwise.
func WithOutcome(outcome Outcome) Option {
	return func(c *config) { c.outcome = outcome }
}

// WithDir keeps the uploaded bytes in a folder of the caller's, which is made if need be: a file for each chunk, named after
// the upload request's id and the chunk's number. Close leaves them there. Without it they are in a new folder of
// [os.TempDir], which Close removes.
func WithDir(dir string) Option {
	return func(c *config) { c.dir = dir }
}

// WithDiscard throws uploaded bytes away once they are received and verified, for uploads larger than the disk. The MD5
// of an image that came in several chunks is then unknown; those of the chunks are not.
func WithDiscard() Option {
	return func(c *config) { c.discard = true }
}

// WithoutChecksums computes no MD5s on receipt, which is what takes the time of a large upload: X-MD5-Checksum is not
// verified, and chunk answers have no checksum.
func WithoutChecksums() Option {
	return func(c *config) { c.noHashes = true }
}

// WithClientCredentials sets the only client id and secret that get a token.
func WithClientCredentials(id, secret string) Option {
	return func(c *config) { c.clientID, c.clientSecret = id, secret }
}

// WithUsers accepts only these values of X-Oracle-UserId. Without it any is accepted that is not empty.
func WithUsers(users ...string) Option {
	return func(c *config) { c.users = slices.Clone(users) }
}

// WithStaticTokens sets the bearer tokens that are accepted besides issued ones and never expire: "Access-token", as
// the documentation's curl commands have it, unless set. Without arguments there are none.
func WithStaticTokens(tokens ...string) Option {
	return func(c *config) { c.staticTokens = slices.Clone(tokens) }
}

// WithTokenLifetime sets how long issued tokens are valid: 7 days unless set, as documented.
func WithTokenLifetime(d time.Duration) Option {
	return func(c *config) { c.tokenLifetime = d }
}

// WithDataCenters sets the data centers that uploads go to: the one of the documentation's sample unless set.
func WithDataCenters(dataCenters ...DataCenter) Option {
	return func(c *config) { c.dataCenters = slices.Clone(dataCenters) }
}

// WithFirstChunkNumber has the merge insist on chunks numbered from first. Without it, chunks from 0 and chunks from 1
// are both accepted, since the documentation does not say which it is.
func WithFirstChunkNumber(first int) Option {
	return func(c *config) { c.firstChunk = first }
}

// WithCreated201 answers a create or initiate call as the documentation's guide has it: 201, a Location header and the
// JSON that was sent. Without it the answer is that of the reference: 200 and an acknowledgement.
func WithCreated201() Option {
	return func(c *config) { c.created201 = true }
}

// WithBareItems sends the items of a list as they are. Without it each is an object with the one member "machineimage".
func WithBareItems() Option {
	return func(c *config) { c.bareItems = true }
}

// WithPrintedStatuses sends states as the documentation's list of filter values prints them: in upper case and with its
// misspellings, IN PROGESS and DELECTION FAILED. Without it they are in title case and spelt right.
func WithPrintedStatuses() Option {
	return func(c *config) { c.misspelt = true }
}

// WithCheckSum adds the member checkSum, which the schema has and the sample has not, to upload requests that are
// Completed. The first such answer for an image in chunks has to read them all.
func WithCheckSum() Option {
	return func(c *config) { c.checkSum = true }
}

// WithRequestLogLimit sets how many requests the log holds: 100,000 unless set.
func WithRequestLogLimit(n int) Option {
	return func(c *config) { c.server.LogLimit = n }
}
