package oraclemarkettest

import (
	"errors"
	"fmt"
	"io"
	"maps"
	"time"
)

// Upload is a snapshot of an upload request.
type Upload struct {
	// ID is the upload request's id.
	ID int64
	// User is the X-Oracle-UserId that created it.
	User string
	// Created is when it was created.
	Created time.Time
	// Status is its state when the snapshot was taken.
	Status Status

	// Application, Version and OperatingSystem name the image. They and
	// OverwriteStorageFile are those of the form field json.
	Application          string
	Version              string
	OperatingSystem      string
	OverwriteStorageFile bool
	// FileName is the decoded X-File-Name.
	FileName string

	// NumberOfChunks is how many chunks were announced, 0 for a whole file.
	NumberOfChunks int
	// Chunks are the chunks that the server has, by number. One that came with
	// the initiate call without a number is under -1.
	Chunks map[int]Chunk
	// Receipts is how often each chunk was received to its end and kept, by
	// number. More than 1 means that a chunk was sent again although the server
	// had it: right if the response was lost, wrong otherwise.
	Receipts map[int]int
	// Bytes is the size of the image so far.
	Bytes int64

	server *Server
}

// Chunk is a chunk that the server has.
type Chunk struct {
	Size int64  // in bytes
	MD5  string // in hex
}

// Uploads returns all upload requests that were made or added, in the order of
// their ids.
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

// Upload returns an upload request and whether it exists.
func (s *Server) Upload(id int64) (Upload, bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	u, ok := s.uploads[id]
	if !ok {
		return Upload{}, false
	}
	return s.inspect(u), true
}

// inspect returns a snapshot of an upload request. The caller holds s.mu.
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

// MD5 returns the MD5 of the image in hex: of its chunks joined in order, or of
// the whole file. It returns an error before the merge, after a delete, and
// with [WithDiscard] for an image in several chunks. The first call for such an
// image reads all of it.
func (u Upload) MD5() (string, error) { return u.server.sum(u.ID) }

// Open returns a reader of the image. It returns an error before the merge,
// after a delete and with [WithDiscard].
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

var errNotKept = errors.New("oraclemarkettest: the server did not keep the bytes")

// image returns the blobs of an image, and its MD5 if that is known.
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

// sum computes the MD5 of an image once. The lock is not held meanwhile: after
// the merge the bytes do not change.
func (s *Server) sum(id int64) (string, error) {
	_, known, err := s.image(id)
	if err != nil || known != "" {
		return known, err
	}
	image, err := Upload{ID: id, server: s}.Open()
	if err != nil {
		return "", err
	}
	c := newChecksum()
	_, err = io.CopyBuffer(c, image, make([]byte, receiveBuffer))
	if err = errors.Join(err, image.Close()); err != nil {
		return "", fmt.Errorf("oraclemarkettest: %w", err)
	}
	sum := c.hex()

	s.mu.Lock()
	defer s.mu.Unlock()
	s.uploads[id].sum = sum
	return sum, nil
}
