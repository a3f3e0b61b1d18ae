package transport

import (
	"cmp"
	"context"
	"crypto/tls"
	"fmt"
	"log/slog"
	"net"
	"net/http"
	"net/url"
	"runtime/debug"
	"strconv"
	"strings"
	"sync"
	"time"

	"github.com/hashicorp/go-cleanhttp"
	"github.com/hashicorp/go-retryablehttp"

	"github.com/imagejobs/imagejobs-go/internal/auth"
)

// Limits that no option changes.
const (
	maxAnswer      = 8 << 20
	maxErrorAnswer = 64 << 10
	maxErrorBody   = 8 << 10
	maxRetryAfter  = 2 * time.Minute
)

// Defaults of Config.
const (
	DefaultMaxAttempts  = 5
	DefaultMinWait      = 500 * time.Millisecond
	DefaultMaxWait      = 30 * time.Second
	DefaultTryTimeout   = 30 * time.Second
	DefaultStallTimeout = 60 * time.Second
)

// maxInFlight bounds the requests of one client, however many goroutines wait
// with it: past it they queue. Of sockets there may be about twice as many, since
// net/http dials ahead for requests that then get a connection which became
// free. A limit in there would count dials whose request is long over.
const maxInFlight = 64

// Config is what a client package's options fill in; New checks it.
type Config struct {
	Package     string // prefix of argument errors, as in "oraclemarket"
	BaseURL     string // absolute
	BaseURLName string // what an error about it names, "WithBaseURL" if empty
	// InsecureName is what the same error says permits plain http,
	// "WithInsecureHTTP()" if empty.
	InsecureName string
	Credentials  auth.Credentials  // nil for none
	Header       map[string]string // of each request to the service's own origin
	PublicQuery  []string          // query names whose values errors and the log may show
	// WrapError makes the package's own error of what Do returns.
	WrapError func(*Error) error

	HTTPClient   *http.Client // nil for our own pooled one
	UserAgent    string       // the application's, put before ours
	Logger       *slog.Logger // nil for no log
	Retry        *Retry       // nil for the defaults
	TryTimeout   time.Duration
	StallTimeout time.Duration
	InsecureHTTP bool
}

// Retry bounds the retry loop.
type Retry struct {
	MaxAttempts      int // the first try included
	MinWait, MaxWait time.Duration
}

// Client sends calls to one service. Safe for concurrent use.
type Client struct {
	config    Config
	base      *url.URL
	loop      *retryablehttp.Client
	budget    budget
	places    chan struct{} // one for each request under way
	userAgent string
}

// New checks the configuration; its errors name the option that is wrong.
func New(config Config) (*Client, error) {
	base, err := parseBaseURL(&config)
	if err != nil {
		return nil, err
	}
	retry := Retry{DefaultMaxAttempts, DefaultMinWait, DefaultMaxWait}
	if config.Retry != nil {
		retry = *config.Retry
		switch {
		case retry.MaxAttempts < 1:
			return nil, Invalid(config.Package, "WithRetry", "maxAttempts must be at least 1, not %d", retry.MaxAttempts)
		case retry.MinWait < 0:
			return nil, Invalid(config.Package, "WithRetry", "minWait must not be negative")
		case retry.MaxWait < retry.MinWait:
			return nil, Invalid(config.Package, "WithRetry", "maxWait must not be below minWait")
		}
	}
	if config.TryTimeout < 0 || config.StallTimeout < 0 {
		return nil, Invalid(config.Package, "WithTimeouts", "must not be negative")
	}
	if config.TryTimeout == 0 {
		config.TryTimeout = DefaultTryTimeout
	}
	if config.StallTimeout == 0 {
		config.StallTimeout = DefaultStallTimeout
	}
	if err := CheckHeader(config.Package, "WithUserAgent", config.UserAgent); err != nil {
		return nil, err
	}

	c := &Client{config: config, base: base, userAgent: userAgent(config.UserAgent), places: make(chan struct{}, maxInFlight)}
	given := config.HTTPClient
	if given == nil {
		given = &http.Client{}
	}
	// A caller's Timeout would cut long uploads: it bounds the small calls only.
	if t := given.Timeout; t > 0 && t < c.config.TryTimeout {
		c.config.TryTimeout = t
	}
	next := given.Transport
	if next == nil {
		next = newTransport()
	}
	c.budget.tokens = budgetSize
	c.loop = &retryablehttp.Client{
		// tries has no CloseIdleConnections method, so that the loop cannot
		// close the connections of other calls after a failure.
		HTTPClient: &http.Client{
			Transport:     &tries{client: c, next: next, jar: given.Jar},
			CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse },
		},
		RetryMax:     retry.MaxAttempts - 1,
		RetryWaitMin: retry.MinWait,
		RetryWaitMax: retry.MaxWait,
		CheckRetry:   c.checkRetry,
		Backoff:      backoff,
		ErrorHandler: func(resp *http.Response, err error, _ int) (*http.Response, error) { return resp, err },
	}
	return c, nil
}

// Invalid is an argument error of the client's package.
func (c *Client) Invalid(field, format string, args ...any) error {
	return Invalid(c.config.Package, field, format, args...)
}

// BaseURL is where calls go, without a slash at the end.
func (c *Client) BaseURL() string { return c.base.String() }

func newTransport() *http.Transport {
	t := cleanhttp.DefaultPooledTransport()
	t.MaxIdleConnsPerHost = maxInFlight
	t.TLSClientConfig = &tls.Config{MinVersion: tls.VersionTLS12}
	// Parallel chunks want parallel connections; HTTP/2 would put all of them
	// through one, under one congestion window.
	t.ForceAttemptHTTP2 = false
	t.Protocols = new(http.Protocols)
	t.Protocols.SetHTTP1(true)
	dialing(t)
	return t
}

func parseBaseURL(config *Config) (*url.URL, error) {
	invalid := func(format string, args ...any) error {
		return Invalid(config.Package, cmp.Or(config.BaseURLName, "WithBaseURL"), format, args...)
	}
	raw := config.BaseURL
	if strings.ContainsAny(raw, `\`) {
		return nil, invalid("must not contain a backslash")
	}
	u, err := url.Parse(raw)
	if err != nil {
		// url.Parse repeats the whole text, password included.
		return nil, invalid("is not a URL")
	}
	switch {
	case u.User != nil:
		return nil, invalid("must not contain user info")
	case u.RawQuery != "" || u.ForceQuery:
		return nil, invalid("must not have a query")
	case u.Fragment != "" || strings.Contains(raw, "#"):
		return nil, invalid("must not have a fragment")
	case u.Opaque != "" || u.Host == "" || u.Hostname() == "":
		return nil, invalid("must be absolute, like https://host")
	case badPort(u.Port()):
		return nil, invalid("must have a port from 1 to 65535, or none")
	case u.Scheme != "https" && u.Scheme != "http":
		return nil, invalid("must have the scheme https, not %q", u.Scheme)
	case strings.Contains(u.Path, "//"), hasDotSegment(u.Path):
		return nil, invalid("must not have empty or dot segments in its path")
	case u.Scheme == "http" && !config.InsecureHTTP && !isLoopback(u.Hostname()):
		return nil, invalid("plain http would send the credentials unencrypted: use https, or %s in a trusted network",
			cmp.Or(config.InsecureName, "WithInsecureHTTP()"))
	}
	u.Host = strings.TrimSuffix(u.Host, ":") // a port that is empty
	u.Path = strings.TrimSuffix(u.Path, "/")
	u.RawPath = strings.TrimSuffix(u.RawPath, "/")
	if !strings.Contains(u.Host, "%") { // the zone of an IPv6 address has a case
		u.Host = strings.ToLower(u.Host)
	}
	return u, nil
}

func badPort(port string) bool {
	if port == "" {
		return false
	}
	n, err := strconv.ParseUint(port, 10, 16)
	return err != nil || n == 0
}

func hasDotSegment(path string) bool {
	for segment := range strings.SplitSeq(path, "/") {
		if segment == "." || segment == ".." {
			return true
		}
	}
	return false
}

func isLoopback(host string) bool {
	if strings.EqualFold(host, "localhost") {
		return true
	}
	ip := net.ParseIP(host)
	return ip != nil && ip.IsLoopback()
}

// sameOrigin is the one rule for credentials: scheme, host and port are those
// of the base URL.
func (c *Client) sameOrigin(u *url.URL) bool {
	return u.Scheme == c.base.Scheme && strings.EqualFold(u.Hostname(), c.base.Hostname()) && port(u) == port(c.base)
}

func port(u *url.URL) string {
	switch p := u.Port(); {
	case p != "":
		return p
	case u.Scheme == "https":
		return "443"
	default:
		return "80"
	}
}

const modulePath = "github.com/imagejobs/imagejobs-go"

// moduleVersion is the version the program was built with.
var moduleVersion = sync.OnceValue(func() string {
	info, ok := debug.ReadBuildInfo()
	if !ok {
		return "devel"
	}
	for _, dep := range append(info.Deps, &info.Main) {
		if dep.Path == modulePath && dep.Version != "" && dep.Version != "(devel)" {
			return strings.TrimPrefix(dep.Version, "v")
		}
	}
	return "devel"
})

func userAgent(application string) string {
	own := fmt.Sprintf("imagejobs-go/%s", moduleVersion())
	if application == "" {
		return own
	}
	return application + " " + own
}

// TryTimeout is how long a try of a small call takes at most.
func (c *Client) TryTimeout() time.Duration { return c.config.TryTimeout }

// MaxAttempts is how many tries a call gets.
func (c *Client) MaxAttempts() int { return c.loop.RetryMax + 1 }

// Pause waits as the retry loop does before try number attempt+1, for what a
// service package repeats itself, and at least for the Retry-After of the try
// that failed. It reports false, and does not wait, where that is too long.
func (c *Client) Pause(ctx context.Context, attempt int, retryAfter time.Duration) (bool, error) {
	if retryAfter > maxRetryAfter {
		return false, nil
	}
	timer := time.NewTimer(retryAfter + backoff(c.loop.RetryWaitMin, c.loop.RetryWaitMax, attempt-1, nil))
	defer timer.Stop()
	select {
	case <-timer.C:
		return true, nil
	case <-ctx.Done():
		return false, ContextErr(ctx)
	}
}
