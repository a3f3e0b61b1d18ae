package multiplay

import (
	"net/http"
	"net/url"
	"os"
	"strconv"
	"strings"
	"sync"
	"time"

	"github.com/imagejobs/imagejobs-go/internal/decode"
	"github.com/imagejobs/imagejobs-go/internal/transport"
)

const pkg = "multiplay"

const (
	// DefaultBaseURL is the host of Clanforge, for [AccessKey].
	DefaultBaseURL = "https://api.multiplay.co.uk"
	// SuccessorBaseURL is the host of Clanforge's successor, which has the same
	// paths, for [BearerToken].
	SuccessorBaseURL = "https://api.multiplay.dev"
)

// decoder reads the service's JSON. What some fields hold is not documented.
var decoder = decode.New(decode.Enum(stateNamed), decode.TextOfAnything())

// Client calls the Multiplay Clanforge game image API. Create it with [New]. It
// is safe for concurrent use.
type Client struct {
	// ImageUpdates fetches the files of a new image onto a build machine.
	ImageUpdates *ImageUpdatesService
	// ImageDiffs compares that machine with the image's latest version.
	ImageDiffs *ImageDiffsService
	// ImageVersions makes a version of a diff and so rolls it out.
	ImageVersions *ImageVersionsService
	// ImageInstalls lists and queues the machines' installs of versions.
	ImageInstalls *ImageInstallsService
	// Images lists games, images, machines and locks, and follows rollouts.
	Images *ImagesService
}

// New returns a client for the account service that the credentials give access
// to; see [AccessKey] and [BearerToken].
//
// New sends no request. A wrong argument or option is an [*ArgumentError].
func New(credentials Credentials, opts ...Option) (*Client, error) {
	if credentials.apply == nil {
		return nil, invalid("New: credentials", "must come from AccessKey or BearerToken")
	}
	config := &config{
		Config: transport.Config{
			Package: pkg,
			// The documents ask for it, although there is no body whose type it could be.
			Header: map[string]string{"Content-Type": "application/x-www-form-urlencoded"},
			// Never url, whose value holds credentials, nor desc, which is free text.
			PublicQuery: []string{
				"accountserviceid", "imageid", "machineid", "diffid", "gameid", "diff_info", "reinstall", "restart",
				"full", "force", "install_at", "disable_timeout", "disable_percentage", "mirroring", "active", "detail",
			},
			Decoder:    decoder,
			WrapError:  wrapError,
			RetryAfter: retryAfter,
			Invalid:    func(field, problem string) error { return invalid(field, "%s", problem) },
		},
	}
	if err := credentials.apply(config); err != nil {
		return nil, err
	}
	for _, opt := range opts {
		if opt != nil {
			opt(config)
		}
	}
	switch {
	case config.outageLimit < 0:
		return nil, invalid("WithOutageLimit", "must not be negative")
	case config.project < 0:
		return nil, invalid("WithAccountServiceID", "must not be negative")
	case config.account.AccountServiceID != 0 && config.account.AccountServiceID != config.project:
		return nil, invalid("WithAccountServiceID", "must not differ from that of AccessKey")
	}
	t, err := transport.New(config.Config)
	if err != nil {
		return nil, err
	}
	c := &caller{
		Client: t, account: config.account, project: config.project, outageLimit: config.outageLimit,
		sent: &sentSecrets{}, clock: &serviceClock{},
	}
	if id := c.account.AccountServiceID; id != 0 {
		c.accountQuery = url.Values{"accountserviceid": {strconv.FormatInt(id, 10)}}.Encode()
	}
	return clientOf(c), nil
}

func clientOf(c *caller) *Client {
	installs := &ImageInstallsService{client: c}
	return &Client{
		ImageUpdates:  &ImageUpdatesService{client: c},
		ImageDiffs:    &ImageDiffsService{client: c},
		ImageVersions: &ImageVersionsService{client: c},
		ImageInstalls: installs,
		Images:        &ImagesService{client: c, installs: installs},
	}
}

// Environment variables of [FromEnv].
const (
	envEndpoint = "MULTIPLAY_ENDPOINT"
	envASID     = "MULTIPLAY_ACCOUNT_SERVICE_ID"
	envAccess   = "MULTIPLAY_ACCESS_KEY"
	envSecret   = "MULTIPLAY_SECRET_KEY"
	envToken    = "MULTIPLAY_TOKEN"
)

// FromEnv returns a client configured by environment variables:
//
//   - MULTIPLAY_ACCOUNT_SERVICE_ID, MULTIPLAY_ACCESS_KEY and
//     MULTIPLAY_SECRET_KEY are the arguments of [AccessKey].
//   - MULTIPLAY_TOKEN, in place of the keys, is a token for [BearerToken];
//     MULTIPLAY_ACCOUNT_SERVICE_ID is then optional, see [WithAccountServiceID].
//   - MULTIPLAY_ENDPOINT is the base URL; unset means the default of the
//     credentials.
//
// Options take precedence. A missing variable is an [*ArgumentError], as are
// keys beside a token.
func FromEnv(opts ...Option) (*Client, error) {
	env := func(name string) string { return strings.TrimSpace(os.Getenv(name)) }
	var asid int64
	if text := env(envASID); text != "" {
		var err error
		if asid, err = strconv.ParseInt(text, 10, 64); err != nil || asid <= 0 {
			return nil, invalid("FromEnv: "+envASID, "must be a positive number")
		}
	}
	access, secret, token := env(envAccess), env(envSecret), env(envToken)
	var credentials Credentials
	switch {
	case token != "" && (access != "" || secret != ""):
		return nil, invalid("FromEnv: "+envToken, "must not be set with %s or %s", envAccess, envSecret)
	case token != "":
		credentials = BearerToken(StaticToken(token))
		opts = append([]Option{WithAccountServiceID(asid)}, opts...)
	case access == "" && secret == "":
		return nil, invalid("FromEnv: "+envAccess, "must be set, or %s", envToken)
	case access == "":
		return nil, invalid("FromEnv: "+envAccess, "must be set")
	case secret == "":
		return nil, invalid("FromEnv: "+envSecret, "must be set")
	case asid == 0:
		return nil, invalid("FromEnv: "+envASID, "must be set")
	default:
		credentials = AccessKey(asid, access, secret)
	}
	if endpoint := env(envEndpoint); endpoint != "" {
		base := func(c *config) { c.BaseURL, c.BaseURLName = endpoint, "FromEnv: "+envEndpoint }
		opts = append([]Option{base}, opts...)
	}
	return New(credentials, opts...)
}

// caller is what the services share.
type caller struct {
	*transport.Client

	account account
	// accountQuery is the same, encoded once, for calls without another one.
	accountQuery any
	project      int64 // the account service of rollouts, 0 if it is not known
	outageLimit  time.Duration
	sent         *sentSecrets
	clock        *serviceClock
}

// singly returns the services for callers that repeat what fails.
func (c *caller) singly() *Client {
	one := *c
	one.Client = c.SingleAttempts()
	return clientOf(&one)
}

// serviceClock has the newest Date of a response.
type serviceClock struct {
	mu   sync.Mutex
	date string
}

func (c *serviceClock) saw(date string) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.date = date
}

// time returns the service's time of its newest response, zero if it is not
// known.
func (c *serviceClock) time() time.Time {
	c.mu.Lock()
	defer c.mu.Unlock()
	return decode.ParseTime(c.date)
}

// account is the query parameter that all calls of Clanforge but one have, and
// those of its successor do not.
type account struct {
	AccountServiceID int64 `url:"accountserviceid,omitempty"`
}

// readCall returns a call that only reads.
func (c *caller) readCall(operation string, path []string, query any) *transport.Call {
	return c.newCall(operation, transport.Safe, path, query)
}

// changeCall returns a call that changes something. It is a GET all the same,
// as all calls of this service, so only its class shows that it must not be
// sent twice.
func (c *caller) changeCall(operation string, path []string, query any) *transport.Call {
	return c.newCall(operation, transport.Once, path, query)
}

func (c *caller) newCall(operation string, repeat transport.Repeat, path []string, query any) *transport.Call {
	return &transport.Call{
		Operation: operation,
		Method:    http.MethodGet,
		Path:      path,
		Query:     query,
		Repeat:    repeat,
		Secrets:   c.sent.values(),
	}
}

// actionPath is the path of an action on one thing, as in
// cfp/v1/imageupdate/4711/status.
func actionPath(resource string, id int64, action string) []string {
	return []string{"cfp", "v1", resource, strconv.FormatInt(id, 10), action}
}

func createPath(resource string) []string { return []string{"cfp", "v1", resource, "create"} }

// checkID refuses an id that the service cannot have given.
func checkID(field string, id int64) error {
	if id <= 0 {
		return invalid(field, "must be positive")
	}
	return nil
}

// checkProject refuses a rollout without the account service in its path.
func (c *caller) checkProject(operation string) error {
	if c.project == 0 {
		return invalid("WithAccountServiceID", "is required by %s with a BearerToken", operation)
	}
	return nil
}
