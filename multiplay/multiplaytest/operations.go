package multiplaytest

import (
	"fmt"
	"net/http"

	"github.com/imagejobs/imagejobs-go/internal/emulator"
)

// The names of the operations, for [Fault.Operation], [Server.Count] and
// [Server.Processed].
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

// handler handles an operation: it returns the response, or a refusal. s.mu is
// held.
type handler func(*request) (object, *refusal)

// object is the JSON object of a response.
type object map[string]any

// refusal is an error of the service.
type refusal struct {
	status int // 0 if the present state forbids it
	text   string
}

func refuse(format string, args ...any) *refusal {
	return &refusal{text: fmt.Sprintf(format, args...)}
}

func badRequest(format string, args ...any) *refusal {
	return &refusal{status: http.StatusBadRequest, text: fmt.Sprintf(format, args...)}
}

// guarded checks the credentials and holds the lock during the operation.
func (s *Server) guarded(handle handler) http.HandlerFunc {
	return func(w http.ResponseWriter, r *http.Request) {
		response, refused := s.respond(handle, &request{Request: r, query: r.URL.Query()})
		if refused != nil {
			s.writeError(w, r, refused.status, refused.text)
			return
		}
		emulator.WriteJSON(w, http.StatusOK, response)
	}
}

func (s *Server) respond(handle handler, r *request) (object, *refusal) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if refused := s.authorize(r); refused != nil {
		return nil, refused
	}
	response, refused := handle(r)
	if refused == nil {
		refused = r.bad
	}
	return response, refused
}

// writeError writes the only error body that was observed. A status of 0 is for
// what the present state forbids.
func (s *Server) writeError(w http.ResponseWriter, _ *http.Request, status int, text string) {
	style := s.config.dialect.Errors
	switch {
	case style == ErrorsIn200, status == 0 && style == ErrorsMixed:
		status = http.StatusOK
	case status == 0:
		status = http.StatusBadRequest
	}
	emulator.MarkProcessed(w, false)
	emulator.WriteJSON(w, status, object{
		"messages": []string{}, "error_code": 1, "error_message": text, "_debug": []string{}, "success": false, "error": true,
	})
}
