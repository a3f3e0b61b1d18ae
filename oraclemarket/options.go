package oraclemarket

import (
	"log/slog"
	"net/http"
	"time"

	"github.com/imagejobs/imagejobs-go/internal/poll"
	"github.com/imagejobs/imagejobs-go/internal/transport"
)

// Option changes a default of New, which checks it.
type Option func(*config)

type config struct {
	transport.Config

	firstChunk int
}

// WithBaseURL sets where the service is: an absolute https URL without user
// info, query and fragment. Plain http is accepted for loopback addresses, for
// others see WithInsecureHTTP. The default is DefaultBaseURL.
func WithBaseURL(url string) Option {
	return func(c *config) { c.BaseURL = url }
}

// WithHTTPClient sends through client's transport and cookie jar. The client
// is copied, never changed: redirects are not followed whatever it says, and
// its Timeout bounds a try of a small call, never an upload. nil keeps the
// default, a pooled client of our own.
func WithHTTPClient(client *http.Client) Option {
	return func(c *config) { c.HTTPClient = client }
}

// WithUserAgent puts the application's own product token, "name/version",
// before that of the SDK.
func WithUserAgent(application string) Option {
	return func(c *config) { c.UserAgent = application }
}

// WithLogger writes one debug record for each try of a request: operation,
// method, host, path, status, duration, try and bytes; never a header, a body
// or a secret.
func WithLogger(logger *slog.Logger) Option {
	return func(c *config) { c.Logger = logger }
}

// WithRetry bounds the retries: maxAttempts tries in all, at least 1, and
// between two of them minWait to maxWait, growing, with jitter. The default is
// 5 tries, 500 ms and 30 s.
func WithRetry(maxAttempts int, minWait, maxWait time.Duration) Option {
	return func(c *config) {
		c.Retry = &transport.Retry{MaxAttempts: maxAttempts, MinWait: minWait, MaxWait: maxWait}
	}
}

// WithTimeouts bounds one try: a small call as a whole (default 30 s), and an
// upload by the time in which no byte moves (default 60 s): none is read from the
// source, and on Linux and macOS none of those that the kernel took arrives.
// After its last byte it may take as long as all of them took. Zero keeps a
// default. There is no limit on a whole upload but the context's.
func WithTimeouts(try, stall time.Duration) Option {
	return func(c *config) { c.TryTimeout, c.StallTimeout = try, stall }
}

// WithInsecureHTTP permits plain http to hosts that are not loopback. The
// credentials travel unencrypted then.
func WithInsecureHTTP() Option {
	return func(c *config) { c.InsecureHTTP = true }
}

// WithFirstChunkNumber sets the X-Chunk-Number of an upload's first chunk, 1
// or 0. The documentation does not say which; its one sample has 1, which is
// the default.
func WithFirstChunkNumber(n int) Option {
	return func(c *config) { c.firstChunk = n }
}

// WaitOption changes how Wait and Watch poll.
type WaitOption func(*poll.Options)

// WithPollInterval sets the time between the first two looks, default 1 s, and
// the most it grows to, default 15 s. Each is shortened by up to half, so that
// many waiters do not ask in step. Zero keeps a default. A Retry-After of the
// service goes before both, and up to half the longest interval comes on top.
func WithPollInterval(first, most time.Duration) WaitOption {
	return func(o *poll.Options) { o.First, o.Max = first, most }
}
