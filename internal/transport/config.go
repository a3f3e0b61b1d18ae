package transport

import (
	"context"
	"log/slog"
	"net/http"
	"time"

	"github.com/imagejobs/imagejobs-go/internal/auth"
	"github.com/imagejobs/imagejobs-go/internal/decode"
)

// Defaults of Config.
const (
	DefaultMaxAttempts    = 5
	DefaultMinWait        = 500 * time.Millisecond
	DefaultMaxWait        = 30 * time.Second
	DefaultAttemptTimeout = 30 * time.Second
	DefaultStallTimeout   = 60 * time.Second
)

// maxRetryAfter is how long a call waits at most because the service asks to.
const maxRetryAfter = 2 * time.Minute

// maxInFlight bounds the requests of one client, however many goroutines wait
// with it: past it they queue. There may be about twice as many sockets, since
// net/http dials ahead for requests that then get a connection which became
// free. A limit in there would count dials whose request is long over.
const maxInFlight = 64

// Config is what a client package's options fill in; New validates it.
type Config struct {
	Package     string // prefix of operations, such as "oraclemarket"
	BaseURL     string // absolute
	BaseURLName string // what an error about it names, "WithBaseURL" if empty
	// InsecureName is the option that the same error names for plain http,
	// "WithInsecureHTTP()" if empty.
	InsecureName string
	Credentials  auth.Credentials  // nil for none
	Header       map[string]string // of each request to the service's own origin
	PublicQuery  []string          // query names whose values errors and the log may show
	Decoder      *decode.Decoder   // for Response.JSON
	// WrapError makes the package's own error of a failed call. said is the
	// message in the response as it came, to be parsed and never to be shown.
	WrapError func(e *Error, said string) error
	// RetryAfter returns how long the service asks to wait, of an error that
	// WrapError made. nil for an error that is none.
	RetryAfter func(error) time.Duration
	// Invalid makes the package's own error of a wrong argument.
	Invalid func(field, problem string) error

	HTTPClient *http.Client // nil for a pooled one
	UserAgent  string       // the application's, put in front of ours
	Logger     *slog.Logger // nil for no log
	Observe    func(context.Context, Attempt)
	// Start is called before an attempt. Its context is the attempt's, and what it
	// adds to the header goes to the origin of HeaderURL.
	Start          func(context.Context, Attempt, http.Header) context.Context
	HeaderURL      string // "" for the base URL
	Sent           func() // is called for each request but uploads, may be nil
	Retry          *Retry // nil for the defaults
	AttemptTimeout time.Duration
	StallTimeout   time.Duration
	InsecureHTTP   bool

	captureKey any // here so that no call allocates it
}

// Retry bounds the retry loop.
type Retry struct {
	MaxAttempts      int // the first included
	MinWait, MaxWait time.Duration
}

// Attempt is what an observer learns of one attempt of a call. The client
// packages have types with the same fields.
type Attempt struct {
	Op            string
	Method        string
	Scheme        string
	Host          string
	Path          string
	Query         string
	Number        int
	StatusCode    int
	Duration      time.Duration
	BytesSent     int64
	BytesReceived int64
	RequestID     string
	RateLimit     http.Header
	Err           error
	Retry         bool
	RetryIn       time.Duration
}
