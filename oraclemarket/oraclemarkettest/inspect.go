package oraclemarkettest

import (
	"crypto/md5" //nolint:gosec // the service's checksum
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"maps"
	"time"

	"github.com/imagejobs/imagejobs-go/internal/emulator"
)

// Request is one entry of the request log: what came in and what became of it.
//
// Seq numbers the requests in the order of their arrival. Operation is one of the Op constants, or empty for a path or
// method that the service does not have. Method, Path, RawQuery, Header, ContentLength (-1 if the client announced none)
// and TransferEncoding are the request's. BodyBytes is how much of its body was read, Parts are the parts of its form.
// Status is the status that was answered, 0 if none was or not yet. Processed says that the request took effect, whether
// or not the client was told; Faulted says that an injected [Fault] was used on it. Maps and slices are to be read only.
type Request = emulator.Request

// Part is one part of a multipart form in the request log: its Name, FileName and Size.
type Part = emulator.Part

// Requests returns the request log, oldest first, including requests that are still being answered. It holds the newest
// 100,000, but see [WithRequestLogLimit].
func (s *Server) Requests() []Request { return s.core.Requests() }

// RequestsDropped says how many requests are no longer in the log because it was full.
func (s *Server) RequestsDropped() int { return s.core.Dropped() }

// Count says how many requests of an operation have arrived, whatever became of them.
func (s *Server) Count(operation string) int { return s.core.Count(operation) }

// Processed says how many requests of an operation took effect, whether or not the client was told.
func (s *Server) Processed(operation string) int { return s.core.Processed(operation) }

// Upload is an upload request as the server has it at one moment.
type Upload struct {
	ID      int64
	User    string // the X-Oracle-UserId it was made with
	Created time.Time
	Status  Status

	Application          string
	Version              string
	OperatingSystem      string
	OverwriteStorageFile bool
	FileName             string

	// NumberOfChunks is how many chunks were announced, 0 for a whole-file upload.
	NumberOfChunks int
	// Chunks are the chunks that the server has, by number; but see [FirstChunk].
	Chunks map[int]Chunk
	// Receipts says how often each chunk was received completely and kept, by number. More than 1 means that a chunk was
	// sent again although the server had it, which is right if the answer was lost and wrong if it was not.
	Receipts map[int]int
	// Bytes is the size of the image so far.
	Bytes int64

	server *Server
}

// Chunk is a chunk that the server has.
type Chunk struct {
	Size int64
	MD5  string // in hex
}

// Uploads returns all upload requests that were made to this server or added to it, by id.
func (s *Server) Uploads() []Upload {
	s.mu.Lock()
	defer s.mu.Unlock()
	all := []Upload{}
	for _, u := range s.inOrder() {
		if !u.hidden {
			all = append(all, s.inspect(u))
		}
	}
	return all
}

// Upload returns an upload request and whether there is one with that id.
func (s *Server) Upload(id int64) (Upload, bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	u, ok := s.uploads[id]
	if !ok {
		return Upload{}, false
	}
	return s.inspect(u), true
}

// inspect makes the copy of an upload request that may be handed out. The caller holds s.mu.
func (s *Server) inspect(u *upload) Upload {
	copied := Upload{
		ID:                   u.id,
		User:                 u.user,
		Created:              u.created,
		Status:               s.stateOf(u).status,
		Application:          u.spec.Application,
		Version:              u.spec.Version,
		OperatingSystem:      u.spec.OperatingSystem,
		OverwriteStorageFile: u.spec.OverwriteStorageFile,
		FileName:             u.fileName,
		NumberOfChunks:       u.announced,
		Chunks:               map[int]Chunk{},
		Receipts:             maps.Clone(u.receipts),
		Bytes:                u.size(),
		server:               s,
	}
	for number, b := range u.chunks {
		copied.Chunks[number] = Chunk{Size: b.size, MD5: b.md5}
	}
	return copied
}

// MD5 is the MD5 of the image in hex: of its chunks put together in order, or of the whole file. It is an error before
// the merge, after a delete, and for an image in chunks with [WithDiscard]. The first call for an image in several chunks
// reads all of it.
func (u Upload) MD5() (string, error) { return u.server.sum(u.ID) }

// Open reads the image. It is an error before the merge, after a delete and with [WithDiscard].
func (u Upload) Open() (io.ReadCloser, error) {
	blobs, _, err := u.server.image(u.ID)
	if err != nil {
		return nil, err
	}
	for _, b := range blobs {
		if b.path == "" {
			return nil, fmt.Errorf("%w of upload request %d", errNotKept, u.ID)
		}
	}
	return &blobReader{rest: blobs}, nil
}

var errNotKept = errors.New("oraclemarkettest: the server has not kept the bytes")

// image returns what an image consists of, and its MD5 if that is known already.
func (s *Server) image(id int64) ([]*blob, string, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	u, ok := s.uploads[id]
	switch {
	case !ok:
		return nil, "", fmt.Errorf("oraclemarkettest: there is no upload request %d", id)
	case u.preset != nil:
		return nil, "", fmt.Errorf("%w of upload request %d", errNotKept, id)
	case u.order == nil:
		return nil, "", fmt.Errorf("oraclemarkettest: upload request %d is not merged", id)
	case s.stateOf(u).status == Deleted:
		return nil, "", fmt.Errorf("oraclemarkettest: upload request %d is deleted", id)
	case len(u.order) == 1 && u.order[0].md5 != "":
		return u.order, u.order[0].md5, nil
	}
	return u.order, u.sum, nil
}

// sum computes the MD5 of an image once. The lock is not held meanwhile; after the merge the bytes do not change.
func (s *Server) sum(id int64) (string, error) {
	_, known, err := s.image(id)
	if err != nil || known != "" {
		return known, err
	}
	image, err := Upload{ID: id, server: s}.Open()
	if err != nil {
		return "", err
	}
	hash := md5.New() //nolint:gosec // the service's checksum
	_, err = io.CopyBuffer(hash, image, make([]byte, receiveBuffer))
	if err = errors.Join(err, image.Close()); err != nil {
		return "", fmt.Errorf("oraclemarkettest: %w", err)
	}
	sum := hex.EncodeToString(hash.Sum(nil))

	s.mu.Lock()
	defer s.mu.Unlock()
	s.uploads[id].sum = sum
	return sum, nil
}
