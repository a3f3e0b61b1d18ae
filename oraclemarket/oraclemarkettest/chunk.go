package oraclemarkettest

import (
	"fmt"
	"mime"
	"net/http"
	"net/url"
	"slices"
	"strconv"
	"strings"

	"github.com/imagejobs/imagejobs-go/internal/emulator"
)

// uploadChunk takes one chunk. Its number may be any: a wrong one only shows at the merge.
func (s *Server) uploadChunk(w http.ResponseWriter, r *http.Request) error {
	number, err := s.checkChunk(r)
	if err != nil {
		return err
	}
	// The lock is not held while the bytes come in.
	form, err := s.readUpload(r)
	if err != nil {
		return err
	}
	if form.file == nil {
		return badRequest("the form has no part named file")
	}
	answer, err := s.takeChunk(r, number, form.file)
	if err != nil {
		s.store.remove(form.file)
		return err
	}
	emulator.WriteJSON(w, http.StatusOK, answer)
	return nil
}

// checkChunk refuses what can be refused without reading the chunk.
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

// findOpen returns the upload request that a path names if it takes chunks. The caller holds s.mu.
func (s *Server) findOpen(r *http.Request) (*upload, error) {
	u, err := s.find(r)
	if err != nil {
		return nil, err
	}
	if status := s.stateOf(u).status; status != Initiated {
		return nil, badRequest("upload request %d takes no chunks: it is %s", u.id, status)
	}
	return u, nil
}

// takeChunk files a chunk that was received completely.
func (s *Server) takeChunk(r *http.Request, number int, b *blob) (*chunkAcknowledgement, error) {
	if err := s.verify(r, b); err != nil {
		return nil, err
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	u, err := s.findOpen(r) // again: a merge or a delete may have come in between
	if err != nil {
		return nil, err
	}
	if err := s.keepChunk(u, number, b); err != nil {
		return nil, err
	}
	return &chunkAcknowledgement{
		UploadRequestID: strconv.FormatInt(u.id, 10),
		Checksum:        b.md5,
		UploadedChunks:  u.uploadedChunks(),
		PendingChunks:   u.pendingChunks(),
	}, nil
}

// keepChunk puts a chunk in its place, or in that of an earlier one with its number. The caller holds s.mu.
func (s *Server) keepChunk(u *upload, number int, b *blob) error {
	name := fmt.Sprintf("%d-%06d", u.id, number)
	if number == FirstChunk {
		name = fmt.Sprintf("%d-first", u.id)
	}
	if err := s.store.adopt(b, name); err != nil {
		return err
	}
	u.chunks[number] = b
	u.receipts[number]++
	u.touched = s.core.Clock().Now()
	return nil
}

// merge puts the chunks together and starts the job. Asked again, it acknowledges again.
func (s *Server) merge(w http.ResponseWriter, r *http.Request) error {
	action, err := readAction(r)
	if err != nil {
		return err
	}
	if action != "upload" {
		return badRequest("action %q is not upload", action)
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	u, err := s.find(r)
	if err != nil {
		return err
	}
	switch {
	case !u.deleted.IsZero():
		return badRequest("upload request %d is deleted", u.id)
	case u.announced == 0:
		return badRequest("upload request %d is not one in chunks", u.id)
	case u.preset == nil && u.started.IsZero():
		if u.order, err = assemble(u.chunks, u.announced, s.config.firstChunk); err != nil {
			return err
		}
		u.started = s.core.Clock().Now()
		u.touched = u.started
	}
	acknowledge(w, u.id, "OK")
	return nil
}

// assemble returns the chunks in order if they are as many as announced and numbered without a gap from 0 or from 1; from
// first, if that is not -1. A chunk without a number can only be the first.
func assemble(chunks map[int]*blob, announced, first int) ([]*blob, error) {
	if len(chunks) != announced {
		return nil, badRequest("%d chunks were announced in X-Number-Of-Chunks, but %d received; the numbers are %s",
			announced, len(chunks), ranges(chunks))
	}
	bases := []int{0, 1}
	if first >= 0 {
		bases = []int{first}
	}
	for _, base := range bases {
		order := make([]*blob, 0, announced)
		for i := range announced {
			b := chunks[base+i]
			if b == nil && i == 0 {
				b = chunks[FirstChunk]
			}
			if b == nil {
				break
			}
			order = append(order, b)
		}
		if len(order) == announced {
			return order, nil
		}
	}
	return nil, badRequest("the chunk numbers are wrong: they are %s, and should count %d from %s", ranges(chunks), announced,
		strings.ReplaceAll(strings.Trim(fmt.Sprint(bases), "[]"), " ", " or from "))
}

// ranges prints chunk numbers like 1-3,5.
func ranges(chunks map[int]*blob) string {
	numbers := make([]int, 0, len(chunks))
	for number := range chunks {
		numbers = append(numbers, number)
	}
	slices.Sort(numbers)
	var text []string
	for i := 0; i < len(numbers); {
		end := i
		for end+1 < len(numbers) && numbers[end+1] == numbers[end]+1 {
			end++
		}
		switch {
		case numbers[i] == FirstChunk: // has no number
			text = append(text, "(first)")
			end = i
		case i == end:
			text = append(text, strconv.Itoa(numbers[i]))
		default:
			text = append(text, fmt.Sprintf("%d-%d", numbers[i], numbers[end]))
		}
		i = end + 1
	}
	if text == nil {
		return "none"
	}
	return strings.Join(text, ",")
}

// readAction reads the body of the merge call. The documentation shows a form but names no media type.
func readAction(r *http.Request) (action string, err error) {
	mediaType, _, err := mime.ParseMediaType(r.Header.Get("Content-Type"))
	if err != nil && r.ContentLength != 0 {
		return "", fail(http.StatusUnsupportedMediaType, "the body has no media type")
	}
	if mediaType == "multipart/form-data" {
		err := emulator.ReadForm(r, func(part emulator.FormPart) error {
			if part.Name != "action" {
				return nil
			}
			text, err := readField(part)
			action = strings.TrimSpace(string(text))
			return err
		})
		if err != nil {
			return "", formError(err)
		}
		return action, nil
	}
	text, err := readField(r.Body)
	if err != nil {
		return "", err
	}
	switch mediaType {
	case "application/x-www-form-urlencoded":
		form, err := url.ParseQuery(string(text))
		if err != nil {
			return "", badRequest("the form cannot be read: %v", err)
		}
		return form.Get("action"), nil
	case "application/json":
		if err := decode(text, map[string]any{"action": &action}); err != nil {
			return "", badRequest("the JSON body cannot be read: %v", err)
		}
		return action, nil
	case "":
		return "", nil
	}
	return "", fail(http.StatusUnsupportedMediaType, "the merge call takes a form or JSON, not %s", mediaType)
}
