package multiplay

import (
	"net/http"
	"net/url"
	"strconv"
	"strings"
	"time"

	"github.com/imagejobs/imagejobs-go/internal/auth"
	"github.com/imagejobs/imagejobs-go/internal/decode"
	"github.com/imagejobs/imagejobs-go/internal/transport"
)

const pkg = "multiplay"

// DefaultBaseURL is the host that the documentation names.
const DefaultBaseURL = "https://api.multiplay.co.uk"

// decoder reads the service's JSON. Of some fields no page says what they hold.
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
	// Images lists what there is, what is locked and how far a rollout is.
	Images *ImagesService
}

// New returns a client for one account service (the ASID, which goes out as
// accountserviceid with each call) and a pair of keys that has access to it,
// from the page "Auth Keys" of the Clanforge panel. The keys go out as Basic
// authentication.
//
// New sends no request. A wrong argument or option is an [*ArgumentError].
func New(accountServiceID int64, accessKey, secretKey string, opts ...Option) (*Client, error) {
	switch {
	case accountServiceID <= 0:
		return nil, invalid("New: accountServiceID", "must be positive")
	case accessKey == "":
		return nil, invalid("New: accessKey", "must not be empty")
	case strings.Contains(accessKey, ":"):
		return nil, invalid("New: accessKey", "must not contain a colon, which ends it in Basic authentication")
	case secretKey == "":
		return nil, invalid("New: secretKey", "must not be empty")
	}
	config := &config{
		Config: transport.Config{
			Package:     pkg,
			BaseURL:     DefaultBaseURL,
			Credentials: auth.Basic(accessKey, secretKey),
			// The documents ask for it, although there is no body whose type it could be.
			Header: map[string]string{"Content-Type": "application/x-www-form-urlencoded"},
			// Never url, whose value holds credentials, nor desc, which is free text.
			PublicQuery: []string{
				"accountserviceid", "imageid", "machineid", "diffid", "gameid", "diff_info", "reinstall",
				"restart", "full", "force", "mirroring", "active", "detail",
			},
			Decoder:   decoder,
			WrapError: wrapError,
			Invalid:   func(field, problem string) error { return invalid(field, "%s", problem) },
		},
	}
	for _, opt := range opts {
		if opt != nil {
			opt(config)
		}
	}
	if config.outageLimit < 0 {
		return nil, invalid("WithOutageLimit", "must not be negative")
	}
	t, err := transport.New(config.Config)
	if err != nil {
		return nil, err
	}
	c := &caller{Client: t, account: account{accountServiceID}, outageLimit: config.outageLimit}
	c.accountQuery = url.Values{"accountserviceid": {strconv.FormatInt(accountServiceID, 10)}}.Encode()
	installs := &ImageInstallsService{client: c}
	return &Client{
		ImageUpdates:  &ImageUpdatesService{client: c},
		ImageDiffs:    &ImageDiffsService{client: c},
		ImageVersions: &ImageVersionsService{client: c},
		ImageInstalls: installs,
		Images:        &ImagesService{client: c, installs: installs},
	}, nil
}

// caller is what the services share.
type caller struct {
	*transport.Client

	account account
	// accountQuery is the same, encoded once, for calls without another one.
	accountQuery any
	outageLimit  time.Duration
	sent         sentSecrets
}

// account is the query parameter that all calls but one have.
type account struct {
	AccountServiceID int64 `url:"accountserviceid"`
}

// readCall returns a call that only reads.
func (c *caller) readCall(operation string, path []string, query any) *transport.Call {
	return c.newCall(operation, transport.Safe, path, query)
}

// changeCall returns a call that changes something. It is a GET all the same, as
// all calls of this service, so nothing about it but its class says that it must
// not be sent twice.
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
