package multiplay

import (
	"net/http"
	"net/url"
	"strconv"
	"strings"

	"github.com/imagejobs/imagejobs-go/internal/auth"
	"github.com/imagejobs/imagejobs-go/internal/transport"
)

const pkg = "multiplay"

// DefaultBaseURL is the host that the documentation names.
const DefaultBaseURL = "https://api.multiplay.co.uk"

// Client calls the Multiplay Clanforge game image API. Make it with New. It is
// safe for concurrent use.
type Client struct {
	// ImageUpdates fetch the files of a new image onto a build machine.
	ImageUpdates *ImageUpdatesService
	// ImageDiffs compare that machine with the image's latest version.
	ImageDiffs *ImageDiffsService
	// ImageVersions make a version of a diff, which rolls it out.
	ImageVersions *ImageVersionsService
	// ImageInstalls are the machines' installs of versions.
	ImageInstalls *ImageInstallsService
	// Images tells what there is, what is locked and how far a rollout is.
	Images *ImagesService
}

// New makes a client for one account service (the ASID that goes out as
// accountserviceid with each call) and a pair of keys that has access to it,
// from the page "Auth Keys" of the Clanforge panel. The keys go out as Basic
// authentication.
//
// No request is sent. A wrong argument or option is an error that names it and
// matches ErrInvalidArgument.
func New(accountServiceID int64, accessKey, secretKey string, opts ...Option) (*Client, error) {
	switch {
	case accountServiceID <= 0:
		return nil, transport.Invalid(pkg, "New: accountServiceID", "must be positive")
	case accessKey == "":
		return nil, transport.Invalid(pkg, "New: accessKey", "must not be empty")
	case strings.Contains(accessKey, ":"):
		return nil, transport.Invalid(pkg, "New: accessKey", "must not contain a colon, which ends it in Basic authentication")
	case secretKey == "":
		return nil, transport.Invalid(pkg, "New: secretKey", "must not be empty")
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
			WrapError: wrapError,
		},
	}
	for _, opt := range opts {
		opt(config)
	}
	t, err := transport.New(config.Config)
	if err != nil {
		return nil, err
	}
	c := &caller{Client: t, account: account{accountServiceID}}
	c.accountQuery = url.Values{"accountserviceid": {strconv.FormatInt(accountServiceID, 10)}}.Encode()
	images := &ImagesService{client: c}
	installs := &ImageInstallsService{client: c}
	images.installs = installs
	return &Client{
		ImageUpdates:  &ImageUpdatesService{client: c},
		ImageDiffs:    &ImageDiffsService{client: c},
		ImageVersions: &ImageVersionsService{client: c},
		ImageInstalls: installs,
		Images:        images,
	}, nil
}

// caller is what the services share.
type caller struct {
	*transport.Client

	account account
	// accountQuery is the same, encoded once, for calls without another one.
	accountQuery any
}

// account is the query parameter that all calls but one have.
type account struct {
	AccountServiceID int64 `url:"accountserviceid"`
}

// read is a call that only looks.
func read(operation string, path []string, query any) *transport.Call {
	return newCall(operation, transport.Safe, path, query)
}

// change is a call that changes something. It is a GET all the same, as all
// calls of this service, so nothing about it but its class says that it must
// not be sent twice.
func change(operation string, path []string, query any) *transport.Call {
	return newCall(operation, transport.Once, path, query)
}

func newCall(operation string, repeat transport.Repeat, path []string, query any) *transport.Call {
	return &transport.Call{
		Operation: operation,
		Method:    http.MethodGet,
		Path:      path,
		Query:     query,
		Repeat:    repeat,
		Check:     checkEnvelope,
	}
}

// on is the path of an action on one thing, as in cfp/v1/imageupdate/4711/status.
func on(resource string, id int64, action string) []string {
	return []string{"cfp", "v1", resource, strconv.FormatInt(id, 10), action}
}

// checkID refuses an id that the service cannot have given.
func checkID(field string, id int64) error {
	if id <= 0 {
		return transport.Invalid(pkg, field, "must be positive")
	}
	return nil
}
