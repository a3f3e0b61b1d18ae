package multiplaytest

import (
	"fmt"
	"net/url"
	"slices"
	"strconv"
	"sync"

	"github.com/imagejobs/imagejobs-go/internal/emulator"
)

// Server is the service as a local HTTP server. It is safe for concurrent use.
type Server struct {
	// URL is the server's base URL, without a trailing slash.
	URL string
	// AccountServiceID is the account service that the credentials belong to.
	AccountServiceID int64
	// AccessKey and SecretKey are the accepted keys; empty with
	// [WithBearerTokens].
	AccessKey, SecretKey string
	// Token is the first of [WithBearerTokens]; empty without it.
	Token string

	config config
	core   *emulator.Server

	mu       sync.Mutex
	tokens   []string
	lastID   int64
	updates  []*update
	diffs    []*diff
	versions []*version
	images   map[int64]*image
	next     map[Resource][]Outcome
	files    Files // of diffs to come
}

// image is an image and what changes about it.
type image struct {
	Image
	active      bool
	allocations int
}

// NewServer starts a server on a free loopback port. Like
// [net/http/httptest.NewServer] it panics if it cannot.
func NewServer(opts ...Option) *Server {
	s, err := Start("", opts...)
	if err != nil {
		panic(err)
	}
	return s
}

// Start starts a server on the address "host:port"; empty means a free loopback
// port. It returns an error if the address is in use.
func Start(addr string, opts ...Option) (*Server, error) {
	config := newConfig(opts)
	s := &Server{
		AccountServiceID: config.accountServiceID,

		config: config,
		tokens: slices.Clone(config.bearerTokens),
		lastID: firstID - 1,
		images: map[int64]*image{},
		next:   map[Resource][]Outcome{},
		files:  Files{Modified: []string{"game/server.bin"}},
	}
	if len(s.tokens) > 0 {
		s.Token = s.tokens[0]
	} else {
		s.AccessKey, s.SecretKey = config.accessKey, config.secretKey
	}
	for _, i := range config.images {
		s.images[i.ID] = &image{Image: i, active: true}
	}
	config.server.Addr = addr
	config.server.Error = s.writeError
	s.core = emulator.New(config.server)
	s.routes()
	if err := s.core.Start(); err != nil {
		return nil, fmt.Errorf("multiplaytest: %w", err)
	}
	s.URL = s.core.URL()
	return s, nil
}

// Close stops the server: it closes all connections, ends stalled requests and
// waits for them. It may be called more than once.
func (s *Server) Close() { s.core.Close() }

// Env returns the environment variables, as NAME=value, that make the examples
// of this module use the server.
func (s *Server) Env() []string {
	credentials := []string{"MULTIPLAY_TOKEN=" + s.Token}
	if s.Token == "" {
		credentials = []string{"MULTIPLAY_ACCESS_KEY=" + s.AccessKey, "MULTIPLAY_SECRET_KEY=" + s.SecretKey}
	}
	return slices.Concat([]string{"MULTIPLAY_ENDPOINT=" + s.URL}, credentials, []string{
		"MULTIPLAY_ACCOUNT_SERVICE_ID=" + strconv.FormatInt(s.AccountServiceID, 10),
		"MULTIPLAY_SOURCE_URL=steam://anonymous:@install/740/",
	})
}

// Curl returns shell commands that work in their order: the image options, an
// image update, and its status.
func (s *Server) Curl() []string {
	credentials := fmt.Sprintf("--header 'Authorization: Bearer %s'", s.Token)
	if s.Token == "" {
		credentials = fmt.Sprintf("--user '%s:%s'", s.AccessKey, s.SecretKey)
	}
	command := func(call string, query url.Values) string {
		if s.Token == "" {
			query.Set("accountserviceid", strconv.FormatInt(s.AccountServiceID, 10))
		}
		return fmt.Sprintf("curl %s '%s/cfp/v1/%s?%s'", credentials, s.URL, call, query.Encode())
	}
	return []string{
		command("image/options", url.Values{}),
		command("imageupdate/create", url.Values{
			"imageid": {strconv.Itoa(ImageID)}, "machineid": {strconv.Itoa(MachineID)},
			"desc": {"alpha-build"}, "url": {"s3://myuser:mypassword@bucket/key"},
		}),
		command(fmt.Sprintf("imageupdate/%d/status", firstID), url.Values{}),
	}
}

// firstID is the id of the first job.
const firstID = 4711

// newID returns the next id. Jobs of all kinds share the numbers, so that the
// id of one never names another.
func (s *Server) newID() int64 {
	s.lastID++
	return s.lastID
}
