package oraclemarkettest

import (
	"fmt"
	"net/http"
	"strconv"

	"github.com/imagejobs/imagejobs-go/internal/emulator"
)

// uploadChunk accepts one chunk, of any number: a wrong one shows at the merge.
func (s *Server) uploadChunk(w http.ResponseWriter, r *http.Request) error {
	number, err := s.checkChunk(r)
	if err != nil {
		return err
	}
	// The lock is not held while the bytes arrive.
	form, err := s.readUpload(r)
	if err != nil {
		return err
	}
	if form.file == nil {
		return badRequest("the form has no part named file")
	}
	acknowledged, err := s.takeChunk(r, number, form.file)
	if err != nil {
		s.store.remove(form.file)
		return err
	}
	emulator.WriteJSON(w, http.StatusOK, acknowledged)
	return nil
}

// checkChunk checks what can be checked before the chunk is read.
func (s *Server) checkChunk(r *http.Request) (number int, err error) {
	if _, err := fileNameOf(r); err != nil {
		return 0, err
	}
	text := r.Header.Get("X-Chunk-Number")
	if text == "" {
		return 0, badRequest("the X-Chunk-Number header is missing")
	}
	if number, err = chunkNumber(text); err != nil {
		return 0, err
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	_, err = s.findOpen(r)
	return number, err
}

func chunkNumber(text string) (int, error) {
	number, err := strconv.Atoi(text)
	if err != nil || number < 0 {
		return 0, badRequest("X-Chunk-Number %q is not a number", text)
	}
	return number, nil
}

// findOpen returns the upload request that the path names, if it accepts
// chunks. The caller holds s.mu.
func (s *Server) findOpen(r *http.Request) (*upload, error) {
	u, err := s.find(r)
	if err != nil {
		return nil, err
	}
	if status := s.stateOf(u).status; status != Initiated {
		return nil, badRequest("upload request %d accepts no chunks: it is %s", u.id, status)
	}
	return u, nil
}

// takeChunk keeps a chunk that was received to its end.
func (s *Server) takeChunk(r *http.Request, number int, b *blob) (*chunkAcknowledgement, error) {
	if err := s.verify(r, b); err != nil {
		return nil, err
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	u, err := s.findOpen(r) // again: there may have been a merge or a delete
	if err != nil {
		return nil, err
	}
	if err := s.keepChunk(u, number, b); err != nil {
		return nil, err
	}
	return &chunkAcknowledgement{
		UploadRequestID: strconv.FormatInt(u.id, 10),
		Checksum:        b.md5,
		chunkCounts:     s.counts(u, u.uploadedChunks()),
	}, nil
}

// keepChunk adds a chunk, or replaces an earlier one of its number. The caller
// holds s.mu.
func (s *Server) keepChunk(u *upload, number int, b *blob) error {
	name := fmt.Sprintf("%d-%06d", u.id, number)
	if number == unnumbered {
		name = fmt.Sprintf("%d-first", u.id)
	}
	if err := s.store.adopt(b, name); err != nil {
		return err
	}
	u.touched = s.core.Clock().Now()
	if u.chunks[number] == nil {
		u.arrivals = append(u.arrivals, u.touched)
	}
	u.chunks[number] = b
	u.receipts[number]++
	return nil
}
