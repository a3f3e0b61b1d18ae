package multiplaytest

import (
	"crypto/subtle"
	"fmt"
	"net/http"
	"net/url"
	"strconv"
	"sync"

	"github.com/imagejobs/imagejobs-go/internal/emulator"
	"github.com/imagejobs/imagejobs-go/multiplay"
)

// Server is the service. It is safe for concurrent use.
type Server struct {
	// URL is the address, without a slash at its end.
	URL string
	// AccountServiceID, AccessKey and SecretKey are what a client of the server needs.
	AccountServiceID     int64
	AccessKey, SecretKey string

	config config
	core   *emulator.Server

	mu       sync.Mutex
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

// NewServer starts a server on a free loopback port. Like [net/http/httptest.NewServer] it panics if it cannot.
func NewServer(opts ...Option) *Server {
	s, err := Start("", opts...)
	if err != nil {
		panic(err)
	}
	return s
}

// Start starts a server on the address "host:port"; an empty one means a free loopback port. An address that is in use
// is an error.
func Start(addr string, opts ...Option) (*Server, error) {
	config := newConfig(opts)
	s := &Server{
		AccountServiceID: config.accountServiceID,
		AccessKey:        config.accessKey,
		SecretKey:        config.secretKey,

		config: config,
		lastID: firstID - 1,
		images: map[int64]*image{},
		next:   map[Resource][]Outcome{},
		files:  Files{Modified: []string{"game/server.bin"}},
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

// Close ends the server: it closes all connections, ends stalled requests and waits for them. It may be called more than
// once.
func (s *Server) Close() { s.core.Close() }

// Client is a ready client of the server. It panics if an option is wrong.
func (s *Server) Client(opts ...multiplay.Option) *multiplay.Client {
	opts = append([]multiplay.Option{multiplay.WithBaseURL(s.URL)}, opts...)
	client, err := multiplay.New(multiplay.AccessKey(s.AccountServiceID, s.AccessKey, s.SecretKey), opts...)
	if err != nil {
		panic(err)
	}
	return client
}

// Env are the environment variables, as NAME=value, with which the examples use the server.
func (s *Server) Env() []string {
	return []string{
		"MULTIPLAY_ENDPOINT=" + s.URL,
		"MULTIPLAY_ACCESS_KEY=" + s.AccessKey,
		"MULTIPLAY_SECRET_KEY=" + s.SecretKey,
		"MULTIPLAY_ACCOUNT_SERVICE_ID=" + strconv.FormatInt(s.AccountServiceID, 10),
		"MULTIPLAY_SOURCE_URL=steam://anonymous:@install/740/",
	}
}

// Curl are shell commands that work in their order: what there is, an image update, and its status.
func (s *Server) Curl() []string {
	command := func(call, parameters string) string {
		return fmt.Sprintf("curl --user '%s:%s' '%s/cfp/v1/%s?accountserviceid=%d%s'", s.AccessKey, s.SecretKey, s.URL, call, s.AccountServiceID, parameters)
	}
	return []string{
		command("image/options", ""),
		command("imageupdate/create", fmt.Sprintf("&imageid=%d&machineid=%d&desc=alpha-build&url=%s",
			ImageID, MachineID, url.QueryEscape("s3://myuser:mypassword@bucket/key"))),
		command(fmt.Sprintf("imageupdate/%d/status", firstID), ""),
	}
}

// firstID is the id of the first job.
const firstID = 4711

// The names of the operations, for [Fault].Operation, [Server.Count] and [Server.Processed].
const (
	OpUpdateCreate  = "ImageUpdates.Create"
	OpUpdateStatus  = "ImageUpdates.Status"
	OpUpdateRetry   = "ImageUpdates.Retry"
	OpDiffCreate    = "ImageDiffs.Create"
	OpDiffStatus    = "ImageDiffs.Status"
	OpDiffRetry     = "ImageDiffs.Retry"
	OpDiffReject    = "ImageDiffs.Reject"
	OpVersionCreate = "ImageVersions.Create"
	OpVersionStatus = "ImageVersions.Status"
	OpInstallList   = "ImageInstalls.List"
	OpInstallQueue  = "ImageInstalls.Queue"
	OpImageOptions  = "Images.Options"
	OpSetActive     = "Images.SetActive"
	OpRolloutStatus = "Images.RolloutStatus"
)

func (s *Server) routes() {
	for _, route := range []struct {
		operation, path string
		handle          handler
	}{
		{OpUpdateCreate, "/cfp/v1/imageupdate/create", s.createUpdate},
		{OpUpdateStatus, "/cfp/v1/imageupdate/{id}/status", s.updateStatus},
		{OpUpdateStatus, "/cfp/v1/imageupdate/status", s.updateStatus},
		{OpUpdateRetry, "/cfp/v1/imageupdate/{id}/retry", s.retryUpdate},
		{OpDiffCreate, "/cfp/v1/imagediff/create", s.createDiff},
		{OpDiffStatus, "/cfp/v1/imagediff/{id}/status", s.diffStatus},
		{OpDiffStatus, "/cfp/v1/imagediff/status", s.diffStatus},
		{OpDiffRetry, "/cfp/v1/imagediff/{id}/retry", s.retryDiff},
		{OpDiffReject, "/cfp/v1/imagediff/{id}/reject", s.rejectDiff},
		{OpVersionCreate, "/cfp/v1/imageversion/create", s.createVersion},
		{OpVersionStatus, "/cfp/v1/imageversion/{id}/status", s.versionStatus},
		{OpInstallList, "/cfp/v1/imageinstall/status", s.listInstalls},
		{OpInstallQueue, "/cfp/v1/imageinstall/{id}/queue", s.queueInstall},
		{OpImageOptions, "/cfp/v1/image/options", s.imageOptions},
		{OpSetActive, "/cfp/v1/image/{id}/update", s.setActive},
		{OpRolloutStatus, "/cfp/v2/project/{project}/image/{id}/status", s.rolloutStatus},
	} {
		s.core.Handle(route.operation, "GET "+route.path, s.guarded(route.handle))
	}
}

// handler answers an operation with an object, or refuses.
type handler func(*request) (object, *refusal)

// object is an answer.
type object map[string]any

// refusal is an error of the service.
type refusal struct {
	status int // 0 for one of the present state, not of the request
	text   string
}

func refuse(format string, args ...any) *refusal {
	return &refusal{text: fmt.Sprintf(format, args...)}
}

func badRequest(format string, args ...any) *refusal {
	return &refusal{status: http.StatusBadRequest, text: fmt.Sprintf(format, args...)}
}

// guarded checks keys and account service, and holds the lock around the operation.
func (s *Server) guarded(handle handler) http.HandlerFunc {
	return func(w http.ResponseWriter, r *http.Request) {
		answer, refused := s.answer(handle, r)
		if refused != nil {
			s.writeError(w, r, refused.status, refused.text)
			return
		}
		emulator.WriteJSON(w, http.StatusOK, answer)
	}
}

func (s *Server) answer(handle handler, r *http.Request) (object, *refusal) {
	access, secret, ok := r.BasicAuth()
	if !ok || !equal(access, s.AccessKey) || !equal(secret, s.SecretKey) {
		return nil, &refusal{http.StatusUnauthorized, "Forbidden"}
	}
	in := &request{Request: r, query: r.URL.Query()}
	account := r.PathValue("project")
	if account == "" {
		account = in.query.Get("accountserviceid")
	}
	if account == "" {
		return nil, badRequest("accountserviceid is required")
	}
	if account != strconv.FormatInt(s.AccountServiceID, 10) {
		return nil, &refusal{http.StatusForbidden, "Forbidden"}
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	answer, refused := handle(in)
	if refused == nil {
		refused = in.bad
	}
	return answer, refused
}

func equal(a, b string) bool { return subtle.ConstantTimeCompare([]byte(a), []byte(b)) == 1 }

// writeError writes the only error body that has been seen. A status of 0 is for what the present state does not allow.
func (s *Server) writeError(w http.ResponseWriter, _ *http.Request, status int, text string) {
	switch {
	case s.config.errors == ErrorsIn200, status == 0 && s.config.errors == ErrorsMixed:
		status = http.StatusOK
	case status == 0:
		status = http.StatusBadRequest
	}
	emulator.MarkProcessed(w, false)
	emulator.WriteJSON(w, status, object{
		"messages": []string{}, "error_code": 1, "error_message": text, "_debug": []string{}, "success": false, "error": true,
	})
}

// newID is the next id. Jobs of all kinds share the numbers, so that none passes for another.
func (s *Server) newID() int64 {
	s.lastID++
	return s.lastID
}
