package imagereplicatortest

import (
	"fmt"
	"net/http"
	"strings"
	"sync"

	"github.com/imagejobs/imagejobs-go/imagereplicator"
	"github.com/imagejobs/imagejobs-go/internal/emulator"
)

// Server is the service as a local HTTP server. It is safe for concurrent use.
type Server struct {
	// URL is the image storage endpoint of all regions, without a trailing
	// slash.
	URL string
	// AuthURL is the address of Keystone.
	AuthURL string
	// APIKey and APISecret are the user name and password that get a token.
	APIKey, APISecret string
	// ApplicationCredentialID and ApplicationCredentialSecret get a token of
	// [TenantID].
	ApplicationCredentialID, ApplicationCredentialSecret string

	config config
	core   *emulator.Server
	tokens *tokens

	mu   sync.Mutex
	jobs []*job // in the order of their creation
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
	config.server.Addr = addr
	config.server.Error = writeError
	s := &Server{
		APIKey:                      config.apiKey,
		APISecret:                   config.apiSecret,
		ApplicationCredentialID:     config.appID,
		ApplicationCredentialSecret: config.appSecret,

		config: config,
		core:   emulator.New(config.server),
		tokens: newTokens(config),
	}
	s.addSample()
	s.routes()
	if err := s.core.Start(); err != nil {
		return nil, fmt.Errorf("imagereplicatortest: %w", err)
	}
	s.URL = s.core.URL()
	s.AuthURL = s.URL + "/v3"
	return s, nil
}

// Close stops the server: it closes all connections, ends stalled requests and
// waits for them. It may be called more than once.
func (s *Server) Close() { s.core.Close() }

// Client returns a client of the server that gets its tokens from
// [Server.TokenSource]. It panics if [imagereplicator.New] refuses an option.
func (s *Server) Client(opts ...imagereplicator.Option) *imagereplicator.Client {
	client, err := imagereplicator.New(s.URL, s.TokenSource(), opts...)
	if err != nil {
		panic(err)
	}
	return client
}

// Env returns the environment variables, as NAME=value, that make OpenStack
// programs log in at the server.
func (s *Server) Env() []string {
	return []string{
		"OS_AUTH_URL=" + s.AuthURL,
		"OS_USERNAME=" + s.APIKey,
		"OS_PASSWORD=" + s.APISecret,
		"OS_USER_DOMAIN_ID=default",
		"OS_PROJECT_ID=" + TenantID,
		"OS_REGION_NAME=" + Region,
	}
}

// Curl returns shell commands that work in any order: the request of the API
// reference's execution example, the list, a copy, and a login at Keystone.
func (s *Server) Curl() []string {
	auth := fmt.Sprintf(`-H "X-Auth-Token: %s"`, Token)
	const asJSON = `-H "Content-Type: application/json"`
	return []string{
		fmt.Sprintf(`curl %s "%s%s/%s"`, auth, s.URL, jobsPath, JobID),
		fmt.Sprintf(`curl %s "%s%s"`, auth, s.URL, jobsPath),
		fmt.Sprintf(`curl -X POST %s %s -d '{"image_id": %s, "tenant_id_dst": %s}' "%s%s"`,
			auth, asJSON, quote(ImageID), quote(DestinationTenantID), s.URL, jobsPath),
		fmt.Sprintf(`curl -X POST %s -d '{"auth": {"identity": {"methods": ["password"], "password": {"user": `+
			`{"domain": {"id": "default"}, "name": %s, "password": %s}}}, "scope": {"project": {"id": %s}}}}' "%s%s"`,
			asJSON, quote(s.APIKey), quote(s.APISecret), quote(TenantID), s.URL, tokensPath),
	}
}

// The names of the operations, for [Fault.Operation], [Server.Count] and
// [Server.Processed].
const (
	OpCreate = "Jobs.Create"
	OpGet    = "Jobs.Get"
	OpList   = "Jobs.List"
	OpCancel = "Jobs.Cancel"

	OpIssueToken    = "Tokens.Create"
	OpValidateToken = "Tokens.Get"
)

const (
	jobsPath   = "/v2/extension/image_replicator/jobs"
	tokensPath = "/v3/auth/tokens" //nolint:gosec // a path, no credential
)

func (s *Server) routes() {
	s.guarded(OpCreate, "POST "+jobsPath, s.create)
	s.guarded(OpList, "GET "+jobsPath, s.list)
	s.guarded(OpGet, "GET "+jobsPath+"/{id}", s.get)
	s.guarded(OpCancel, "DELETE "+jobsPath+"/{id}", s.cancel)

	s.core.Handle(OpIssueToken, "POST "+tokensPath, s.issueToken)
	s.core.Handle(OpValidateToken, "GET "+tokensPath, s.validateToken)
}

// guarded registers an operation that needs a token.
func (s *Server) guarded(operation, pattern string, h func(w http.ResponseWriter, r *http.Request, tenant string)) {
	s.core.Handle(operation, pattern, func(w http.ResponseWriter, r *http.Request) {
		token, ok := s.tokens.find(r.Header.Get("X-Auth-Token"), s.core.Clock().Now())
		if !ok {
			writeError(w, r, http.StatusUnauthorized, "")
			return
		}
		h(w, r, token.tenant)
	})
}

// writeError writes the error response of Keystone or of the replicator.
func writeError(w http.ResponseWriter, r *http.Request, status int, text string) {
	switch {
	case strings.HasPrefix(r.URL.Path, "/v3"):
		writeKeystoneError(w, r, status, text)
	case status == http.StatusUnauthorized:
		writeUnauthorized(w)
	default:
		writeWebob(w, r, status, text)
	}
}
