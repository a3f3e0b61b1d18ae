package multiplay

import (
	"cmp"
	"context"
	"log/slog"
	"net/http"
	"time"

	"github.com/imagejobs/imagejobs-go/internal/poll"
	"github.com/imagejobs/imagejobs-go/internal/transport"
)

// An Option configures a [Client]. [New] validates it.
type Option func(*config)

type config struct {
	transport.Config

	account     account
	project     int64
	outageLimit time.Duration
}

// WithBaseURL sets the service's base URL: an absolute https URL without user
// info, query and fragment. Plain http is accepted for loopback addresses; for
// others see [WithInsecureHTTP]. The default is [DefaultBaseURL] for
// [AccessKey] and [SuccessorBaseURL] for [BearerToken].
func WithBaseURL(url string) Option {
	return func(c *config) { c.BaseURL, c.BaseURLName = url, "WithBaseURL" }
}

// WithAccountServiceID sets the account service of rollouts, for use with a
// [BearerToken]. [Client.Release], [ImagesService.RolloutStatus],
// [ImagesService.WaitRollout] and [ImagesService.WatchRollout] need it, as the
// path of their calls contains it. [AccessKey] implies it. Zero means none.
func WithAccountServiceID(id int64) Option {
	return func(c *config) { c.project = id }
}

// WithHTTPClient sends requests through client's Transport and uses its cookie
// jar. The client is copied, never changed. Redirects are not followed,
// whatever its CheckRedirect says. Its Timeout bounds an attempt if it is
// shorter than that of [WithAttemptTimeout]. nil uses a default pooled
// transport, as does a nil Transport unless the program has replaced
// http.DefaultTransport.
func WithHTTPClient(client *http.Client) Option {
	return func(c *config) { c.HTTPClient = client }
}

// WithUserAgent puts the application's own product token, "name/version", in
// front of the SDK's.
func WithUserAgent(application string) Option {
	return func(c *config) { c.UserAgent = application }
}

// WithLogger logs each attempt of a request: operation, method, host, path,
// status, duration, attempt, bytes and request id. The level is debug, or warn
// for a failure after which the request is repeated; if the call is retried, the
// record has the pause before that. It never logs a header, a body or a secret.
// nil logs nothing.
func WithLogger(logger *slog.Logger) Option {
	return func(c *config) { c.Logger = logger }
}

// WithObserver calls observe after each attempt of a request, before the pause
// that may follow, from the goroutine of the call. It is the hook for metrics
// and traces; observe must be safe for concurrent use and return soon. nil
// observes nothing.
func WithObserver(observe func(context.Context, Attempt)) Option {
	return func(c *config) {
		c.Observe = nil
		if observe != nil {
			c.Observe = func(ctx context.Context, a transport.Attempt) { observe(ctx, Attempt(a)) }
		}
	}
}

// WithAttemptStart calls start before each attempt of a request, from the
// goroutine of the call. start returns the context of the attempt, derived from
// the one it is given. The request, its log record and the function of
// [WithObserver], which is called once for each start, get that context. Of the
// [Attempt] only Op, Method, Scheme, Host, Path, Query and Number are set. start
// must be safe for concurrent use and return soon. nil is the same as no option.
//
// header has the headers of the operation itself and no credentials. Headers
// that start adds, such as traceparent, are sent to the origin of the base URL
// only, and replace none that the request has. Prefer this to a wrapper around
// the transport of [WithHTTPClient]: behind one, calls that must not be sent
// twice fail with [ErrAmbiguous] more often.
func WithAttemptStart(start func(ctx context.Context, a Attempt, header http.Header) context.Context) Option {
	return func(c *config) {
		c.Start = nil
		if start != nil {
			c.Start = func(ctx context.Context, a transport.Attempt, header http.Header) context.Context {
				return start(ctx, Attempt(a), header)
			}
		}
	}
}

// WithRetry bounds a call to maxAttempts attempts, at least 1. The pauses
// between them grow from minWait to maxWait, with jitter; a Retry-After takes
// precedence, and one above two minutes ends the call. The default is 5
// attempts, 500 ms and 30 s. Retries also draw on a token-bucket budget of the
// client that successes refill. Polls and the calls of a release are repeated within
// [WithOutageLimit] instead.
func WithRetry(maxAttempts int, minWait, maxWait time.Duration) Option {
	return func(c *config) {
		c.Retry = &transport.Retry{MaxAttempts: maxAttempts, MinWait: minWait, MaxWait: maxWait}
	}
}

// WithAttemptTimeout bounds one attempt of a call, from the request for a
// connection to the end of the response. Zero means the default, 30 s.
func WithAttemptTimeout(d time.Duration) Option {
	return func(c *config) { c.AttemptTimeout = d }
}

// WithOutageLimit bounds how long Wait, Watch and [Client.Release] ride out
// transient failures, from the first after a success. Meanwhile polls come at
// growing intervals of up to 15 s, or as the service asks with Retry-After. Zero
// means the default, 5 minutes.
func WithOutageLimit(d time.Duration) Option {
	return func(c *config) { c.outageLimit = d }
}

// WithInsecureHTTP permits plain http to hosts that are not loopback addresses.
// The credentials then travel unencrypted.
func WithInsecureHTTP() Option {
	return func(c *config) { c.InsecureHTTP = true }
}

// A WaitOption configures how Wait, Watch and [Client.Release] poll.
type WaitOption func(*waitConfig)

type waitConfig struct {
	poll.Options

	startLimit time.Duration
}

// WithPollInterval sets the interval between polls: initial at first, 1 s by
// default, growing to max, 15 s by default. Zero means the default. Each
// interval is shortened at random by up to half, so that many waiters do not
// poll in step. A longer Retry-After takes precedence.
func WithPollInterval(initial, max time.Duration) WaitOption { //nolint:predeclared // nothing else says it as well
	return func(c *waitConfig) { c.Initial, c.Max = initial, max }
}

// WithStartLimit bounds how long [ImagesService.WaitRollout],
// [ImagesService.WatchRollout] and [Client.Release] wait for the first install
// of a rollout to start, from when it could: see [RolloutNotStartedError]. Zero
// means the default, 15 minutes.
func WithStartLimit(d time.Duration) WaitOption {
	return func(c *waitConfig) { c.startLimit = d }
}

const defaultStartLimit = 15 * time.Minute

// waitOptions validates what Wait, Watch and Release were given.
func waitOptions(opts []WaitOption) (waitConfig, error) {
	c := waitConfig{}
	for _, opt := range opts {
		if opt != nil {
			opt(&c)
		}
	}
	if problem := c.Problem(); problem != "" {
		return c, invalid("WithPollInterval", "%s", problem)
	}
	if c.startLimit < 0 {
		return c, invalid("WithStartLimit", "must not be negative")
	}
	c.startLimit = cmp.Or(c.startLimit, defaultStartLimit)
	return c, nil
}
