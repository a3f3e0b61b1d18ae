package oraclemarkettest

import (
	"crypto/sha256"
	"fmt"
	"net/http"
	"strings"

	"github.com/imagejobs/imagejobs-go/internal/emulator"
)

// get returns the details of an upload request.
func (s *Server) get(w http.ResponseWriter, r *http.Request) error {
	s.mu.Lock()
	u, err := s.findShown(r)
	if err != nil {
		s.mu.Unlock()
		return err
	}
	record := s.record(u)
	checkSum := s.config.dialect.CheckSum && s.stateOf(u).status == Completed
	s.mu.Unlock()

	if checkSum {
		// One that cannot be known is left out, as it is by default.
		record.CheckSum, _ = s.sum(record.UploadRequestID)
	}
	emulator.WriteJSON(w, http.StatusOK, record)
	return nil
}

// findShown returns the upload request that the path names, if reads show it
// yet. The caller holds s.mu.
func (s *Server) findShown(r *http.Request) (*upload, error) {
	u, err := s.find(r)
	if err != nil {
		return nil, err
	}
	if s.core.Clock().Now().Before(u.created.Add(s.config.getLag)) {
		return nil, fail(http.StatusNotFound, "there is no upload request %d", u.id)
	}
	return u, nil
}

// head returns the state of an upload request in headers.
func (s *Server) head(w http.ResponseWriter, r *http.Request) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	u, err := s.findShown(r)
	if err != nil {
		return err
	}
	header := w.Header()
	header.Set("Content-Type", "application/json; qs=1")
	header.Set("X-Upload-Status", s.spell(s.stateOf(u).status))
	header.Set("X-Upload-File-Path", headerText(container+"/mi/"+u.fileName))
	header.Set("X-Created-By", userUUID(u.user))
	header.Set("X-Created-Date", headerDate(u.created))
	header.Set("X-Last-Modified-By", headerText(u.modifiedBy()))
	header.Set("X-Last-Modified-Date", headerDate(s.modified(u)))
	w.WriteHeader(http.StatusOK)
	return nil
}

// userUUID returns what the HEAD response shows in place of a user's name.
func userUUID(user string) string {
	sum := sha256.Sum256([]byte(user))
	sum[6] = sum[6]&0x0f | 0x80 // version 8: custom
	sum[8] = sum[8]&0x3f | 0x80
	return fmt.Sprintf("%x-%x-%x-%x-%x", sum[0:4], sum[4:6], sum[6:8], sum[8:10], sum[10:16])
}

// headerText percent-encodes what a header cannot hold.
func headerText(text string) string {
	var b strings.Builder
	for _, c := range []byte(text) {
		if c < ' ' || c > '~' {
			fmt.Fprintf(&b, "%%%02X", c)
		} else {
			b.WriteByte(c)
		}
	}
	return b.String()
}
