package oraclemarkettest

import (
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"strconv"
	"strings"

	"github.com/imagejobs/imagejobs-go/internal/emulator"
)

// unnumbered stands in for the number of a chunk that came with the initiate
// call without an X-Chunk-Number: whether it is 0 or 1 shows once the others
// are there.
const unnumbered = -1

// create is the whole-file upload and the initiate call.
func (s *Server) create(w http.ResponseWriter, r *http.Request) error {
	fileName, err := fileNameOf(r)
	if err != nil {
		return err
	}
	announced, first, err := chunkHeaders(r)
	if err != nil {
		return err
	}
	form, err := s.readUpload(r)
	if err != nil {
		return err
	}
	spec, err := s.checkForm(form, announced)
	if err == nil {
		err = s.verify(r, form.file)
	}
	if err != nil {
		s.store.remove(form.file)
		return err
	}

	s.mu.Lock()
	defer s.mu.Unlock()
	now := s.core.Clock().Now()
	u := &upload{
		spec: spec, fileName: fileName, user: r.Header.Get("X-Oracle-UserId"), created: now, touched: now, announced: announced,
	}
	if err := s.checkOverwrite(u); err != nil {
		s.store.remove(form.file)
		return err
	}
	u.outcome = s.outcomes.take()
	s.newUpload(u)
	switch {
	case form.file == nil:
	case announced > 0:
		err = s.keepChunk(u, first, form.file)
	default:
		err = s.store.adopt(form.file, fmt.Sprintf("%d-whole", u.id))
		u.order = []*blob{form.file}
		u.started = now
	}
	if err != nil {
		delete(s.uploads, u.id)
		s.store.remove(form.file)
		return err
	}
	s.respondCreated(w, r, u)
	return nil
}

// chunkHeaders returns how many chunks a create or initiate call announces, and
// the number of the one that comes with it.
func chunkHeaders(r *http.Request) (announced, first int, err error) {
	if text := r.Header.Get("X-Number-Of-Chunks"); text != "" {
		if announced, err = strconv.Atoi(text); err != nil || announced < 1 {
			return 0, 0, badRequest("X-Number-Of-Chunks %q is not a positive number", text)
		}
	}
	first = unnumbered
	if text := r.Header.Get("X-Chunk-Number"); text != "" {
		first, err = chunkNumber(text)
	}
	return announced, first, err
}

// respondCreated responds as the dialect has it.
func (s *Server) respondCreated(w http.ResponseWriter, r *http.Request, u *upload) {
	if !s.config.dialect.Created {
		acknowledge(w, u.id, "OK")
		return
	}
	w.Header().Set("Location", fmt.Sprintf("http://%s%s/machineimages/%d", r.Host, prefix, u.id))
	emulator.WriteJSON(w, http.StatusCreated, struct {
		Application     string `json:"application"`
		Version         string `json:"version"`
		OperatingSystem string `json:"operatingSystem"`
	}{u.spec.Application, u.spec.Version, u.spec.OperatingSystem})
}

// checkOverwrite refuses an upload to the path of a file that is stored, or on
// its way there, unless it is to overwrite it. The caller holds s.mu.
func (s *Server) checkOverwrite(u *upload) error {
	if u.spec.OverwriteStorageFile {
		return nil
	}
	for _, other := range s.uploads {
		if other.hidden || other.imagePath() != u.imagePath() {
			continue
		}
		switch status := s.stateOf(other).status; status {
		case Pending, InProgress, VirusScanInProgress, Completed, DeletionFailed:
			return badRequest("the file %s is %s in upload request %d, and overwriteStorageFile is not true", u.imagePath(), status, other.id)
		case Initiated, Failed, Rejected, Deleted: // no file
		}
	}
	return nil
}

// uploadForm is a form of the create and chunk calls.
type uploadForm struct {
	json       []byte
	uploadType *string
	file       *blob
}

// readUpload reads a form and puts its file, if any, into the store.
func (s *Server) readUpload(r *http.Request) (*uploadForm, error) {
	form := &uploadForm{}
	err := emulator.ReadForm(r, func(part emulator.FormPart) (err error) {
		// The documentation prints the field as "uploadType : {Chunk}".
		switch strings.TrimRight(part.Name, " :") {
		case "json":
			form.json, err = readField(part)
		case "uploadType":
			var text []byte
			text, err = readField(part)
			value := strings.Trim(string(text), " \t\r\n:{}\"")
			form.uploadType = &value
		case "file":
			if form.file != nil {
				return badRequest("the form has two parts named file")
			}
			form.file, err = s.store.receive(part)
		}
		return err
	})
	if err != nil {
		s.store.remove(form.file)
		return nil, formError(err)
	}
	return form, nil
}

// formError adds a status to an error of [emulator.ReadForm].
func formError(err error) error {
	var f *failure
	switch {
	case errors.As(err, &f):
		return f
	case errors.Is(err, emulator.ErrNotForm):
		return fail(http.StatusUnsupportedMediaType, "%v", err)
	}
	return badRequest("%v", err)
}

// checkForm checks that a form is what the headers announce, and returns its
// JSON.
func (s *Server) checkForm(f *uploadForm, announced int) (spec, error) {
	parsed, err := parseSpec(f.json)
	if err != nil {
		return spec{}, err
	}
	fileRequired := announced == 0 || s.config.dialect.FirstChunkInInitiate
	switch {
	case f.uploadType != nil && !strings.EqualFold(*f.uploadType, "Chunk"):
		return spec{}, badRequest("uploadType %q is not Chunk", *f.uploadType)
	case f.uploadType != nil && announced == 0:
		return spec{}, badRequest("the X-Number-Of-Chunks header is missing")
	case f.uploadType == nil && announced > 0:
		return spec{}, badRequest("the form has no field named uploadType")
	case fileRequired && f.file == nil:
		return spec{}, badRequest("the form has no part named file")
	}
	return parsed, nil
}

// parseSpec reads the form field json. The documentation does not say which
// members are mandatory; here it is the three that make up the path of the
// stored image.
func parseSpec(text []byte) (spec, error) {
	if text == nil {
		return spec{}, badRequest("the form has no field named json")
	}
	var parsed spec
	err := decode(text, map[string]any{
		"application": &parsed.Application, "version": &parsed.Version, "operatingSystem": &parsed.OperatingSystem,
		"overwriteStorageFile": &parsed.OverwriteStorageFile,
	})
	if err != nil {
		return spec{}, badRequest("the form field json cannot be read: %v", err)
	}
	for _, field := range []struct{ name, value string }{
		{"application", parsed.Application}, {"version", parsed.Version}, {"operatingSystem", parsed.OperatingSystem},
	} {
		if field.value == "" {
			return spec{}, badRequest("the form field json has no %s", field.name)
		}
	}
	return parsed, nil
}

// fileNameOf returns the file name from the header. A name that a header cannot
// hold is percent-encoded.
func fileNameOf(r *http.Request) (string, error) {
	name := r.Header.Get("X-File-Name")
	if name == "" {
		return "", badRequest("the X-File-Name header is missing")
	}
	if decoded, err := url.PathUnescape(name); err == nil {
		return decoded, nil
	}
	return name, nil // a name with a percent sign
}

// verify compares a received blob with the checksum that the client sent, if
// any.
func (s *Server) verify(r *http.Request, b *blob) error {
	want := strings.TrimSpace(r.Header.Get("X-MD5-Checksum"))
	if want == "" || b == nil || strings.EqualFold(want, b.md5) {
		return nil
	}
	return badRequest("X-MD5-Checksum is %s, but the %d bytes received have %s", want, b.size, b.md5)
}
