package oraclemarkettest

import (
	"fmt"
	"net/http"
	"sync"

	"github.com/imagejobs/imagejobs-go/internal/emulator"
)

// Server is the service as a local HTTP server. It is safe for concurrent use.
type Server struct {
	// URL is the server's base URL, without a trailing slash.
	URL string
	// ClientID and ClientSecret are the client credentials that get a token.
	ClientID, ClientSecret string
	// User is the first user of the account; empty if [WithUsers] set none.
	User string
	// Token is a bearer token that is valid without a login and never expires;
	// empty if [WithStaticTokens] set none.
	Token string

	config config
	core   *emulator.Server
	tokens tokens
	store  *store

	mu       sync.Mutex
	uploads  map[int64]*upload
	lastID   int64
	outcomes outcomes
}

// firstID is the id in the documentation's sample of a new upload request.
const firstID = 7934470

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
	config.server.Refine = refine
	store, err := newStore(config)
	if err != nil {
		return nil, fmt.Errorf("oraclemarkettest: %w", err)
	}
	s := &Server{
		ClientID:     config.clientID,
		ClientSecret: config.clientSecret,
		config:       config,
		core:         emulator.New(config.server),
		tokens:       newTokens(config),
		store:        store,
		uploads:      map[int64]*upload{},
		lastID:       firstID - 1,
		outcomes:     outcomes{usual: config.outcome},
	}
	if len(config.users) > 0 {
		s.User = config.users[0]
	}
	if len(config.staticTokens) > 0 {
		s.Token = config.staticTokens[0]
	}
	s.addSample()
	s.routes()
	if err := s.core.Start(); err != nil {
		_ = store.close()
		return nil, fmt.Errorf("oraclemarkettest: %w", err)
	}
	s.URL = s.core.URL()
	return s, nil
}

// Close stops the server: it closes all connections, ends stalled requests and
// waits for them. It removes the uploaded bytes unless [WithDir] is used. It
// may be called more than once.
func (s *Server) Close() {
	s.core.Close()
	// What is left behind is in the system's folder for temporary files.
	_ = s.store.close()
}

// The names of the operations, for [Fault.Operation], [Server.Count] and
// [Server.Processed].
const (
	OpAuthenticate = "Authenticate" // a login at the API's host
	OpOAMToken     = "OAMToken"     // a login at the older token endpoint

	OpCreate      = "MachineImages.Create"
	OpInitiate    = "MachineImages.Initiate" // a create with X-Number-Of-Chunks
	OpUploadChunk = "MachineImages.UploadChunk"
	OpMerge       = "MachineImages.Merge"
	OpGet         = "MachineImages.Get"
	OpHead        = "MachineImages.Head"
	OpDelete      = "MachineImages.Delete"
	OpList        = "MachineImages.List"

	OpStorageList = "StorageImages.List"
	OpStorageGet  = "StorageImages.Get"
	OpStorageCopy = "StorageImages.Copy"
)

const prefix = "/appstore/publisher/v1"

func (s *Server) routes() {
	s.open(OpAuthenticate, "GET "+prefix+"/authenticate", s.authenticate)
	s.open(OpOAMToken, "POST /oam/oauth2/tokens", s.oamToken)

	s.guarded(OpCreate, "POST "+prefix+"/machineimages", s.create)
	s.guarded(OpUploadChunk, "POST "+prefix+"/machineimages/{id}/chunk", s.uploadChunk)
	s.guarded(OpMerge, "PATCH "+prefix+"/machineimages/{id}", s.merge)
	s.guarded(OpGet, "GET "+prefix+"/machineimages/{id}", s.get)
	s.guarded(OpHead, "HEAD "+prefix+"/machineimages/{id}", s.head)
	s.guarded(OpDelete, "DELETE "+prefix+"/machineimages/{id}", s.delete)
	s.guarded(OpList, "GET "+prefix+"/machineimages", s.list)

	s.guarded(OpStorageList, "GET "+prefix+"/storageimages", s.storageList)
	s.guarded(OpStorageGet, "GET "+prefix+"/storageimages/{path...}", s.storageGet)
	s.guarded(OpStorageCopy, "POST "+prefix+"/storageimages/{path...}", s.storageCopy)
}

// refine distinguishes the two operations that share a path and a method.
func refine(operation string, r *http.Request) string {
	if operation == OpCreate && r.Header.Get("X-Number-Of-Chunks") != "" {
		return OpInitiate
	}
	return operation
}

// handler handles a request, or returns the error to respond with.
type handler func(w http.ResponseWriter, r *http.Request) error

// open registers an operation that needs no token.
func (s *Server) open(operation, pattern string, h handler) {
	s.core.Handle(operation, pattern, func(w http.ResponseWriter, r *http.Request) {
		if err := h(w, r); err != nil {
			writeFailure(w, r, err)
		}
	})
}

// guarded registers an operation that needs a token.
func (s *Server) guarded(operation, pattern string, h handler) {
	s.open(operation, pattern, func(w http.ResponseWriter, r *http.Request) error {
		if err := s.admit(r); err != nil {
			return err
		}
		return h(w, r)
	})
}

// Env returns the environment variables, as NAME=value, that make the examples
// of this module use the server.
func (s *Server) Env() []string {
	return []string{
		"ORACLE_MARKETPLACE_ENDPOINT=" + s.URL,
		"ORACLE_MARKETPLACE_USER=" + s.User,
		"ORACLE_MARKETPLACE_CLIENT_ID=" + s.ClientID,
		"ORACLE_MARKETPLACE_CLIENT_SECRET=" + s.ClientSecret,
	}
}

// Curl returns the documentation's shell commands for this server: the status
// of its sample, an upload of the file image.tar.gz in one piece, and the start
// of one in chunks.
func (s *Server) Curl() []string {
	images := s.URL + prefix + "/machineimages"
	auth := fmt.Sprintf(`-H "X-Oracle-UserId: %s" -H "Authorization: Bearer %s"`, s.User, s.Token)
	const (
		whole  = `-F 'json={"application":"My_Machine_Image","version":"1.0","operatingSystem":"linux","overwriteStorageFile":true}'`
		chunks = `-F 'json={"application":"My_Machine_Image_chunk","version":"1.0","operatingSystem":"linux"}'`
	)
	return []string{
		fmt.Sprintf(`curl -X GET %s "%s/%d"`, auth, images, SampleID),
		fmt.Sprintf(`curl -X POST %s -H "X-File-Name: image.tar.gz" %s -F "file=@image.tar.gz" %s`, auth, whole, images),
		fmt.Sprintf(`curl -X POST %s -H "X-File-Name: image.tar.gz" -H "X-Number-Of-Chunks: 3" %s -F "uploadType=Chunk" %s`, auth, chunks, images),
	}
}
