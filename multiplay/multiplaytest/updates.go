package multiplaytest

import (
	"net/http"
	"slices"
	"strings"

	"github.com/imagejobs/imagejobs-go/multiplay"
)

// ImageUpdate is a snapshot of an image update.
type ImageUpdate struct {
	// ID is the updateid.
	ID int64
	// ImageID, MachineID and Description are as requested.
	ImageID     int64
	MachineID   int64
	Description string
	// SourceURL is the parameter url, decoded once: credentials in it are still
	// percent-encoded.
	SourceURL string
	// Runs is how often the job was started.
	Runs int
	// State is the job's state when the snapshot was taken.
	State multiplay.JobState
}

// sourceSchemes are the schemes of source URLs.
var sourceSchemes = []string{"s3", "gs", "steam", "cos"}

type update struct {
	job
	ImageUpdate
}

// Updates returns all image updates in the order of their creation.
func (s *Server) Updates() []ImageUpdate {
	s.mu.Lock()
	defer s.mu.Unlock()
	all := make([]ImageUpdate, len(s.updates))
	for i, u := range s.updates {
		all[i] = u.ImageUpdate
		all[i].ID = u.id
		all[i].State, _ = s.state(&u.job)
	}
	return all
}

func (s *Server) createUpdate(r *request) (object, *refusal) {
	asked := ImageUpdate{
		ImageID:     r.number("imageid"),
		MachineID:   r.number("machineid"),
		Description: r.text("desc"),
		SourceURL:   r.query.Get("url"),
		Runs:        1,
	}
	if r.bad != nil {
		return nil, r.bad
	}
	image, refused := s.target(asked.ImageID, asked.MachineID)
	if refused != nil {
		return nil, refused
	}
	if asked.SourceURL == "" {
		asked.SourceURL = image.UpdateURL
	}
	if asked.SourceURL == "" {
		return nil, badRequest("url is required: the image has no update_url")
	}
	if scheme, _, _ := strings.Cut(asked.SourceURL, "://"); !slices.Contains(sourceSchemes, scheme) {
		return nil, badRequest("url must be an s3, gs, steam or cos URL")
	}
	if refused := s.locked(asked.ImageID); refused != nil {
		return nil, refused
	}
	u := &update{job: s.newJob(Update), ImageUpdate: asked}
	s.updates = append(s.updates, u)
	return s.encode(&u.job, "updateid"), nil
}

func (s *Server) updateStatus(r *request) (object, *refusal) {
	u, refused := find(s.updates, r.id("updateid"))
	if refused != nil {
		return nil, refused
	}
	return s.encode(&u.job, "updateid"), nil
}

func (s *Server) retryUpdate(r *request) (object, *refusal) {
	u, refused := find(s.updates, r.id("updateid"))
	if refused != nil {
		return nil, refused
	}
	if state, _ := s.state(&u.job); state != multiplay.JobFailed && state != multiplay.JobSquashed {
		return nil, refuse("image update %d is %s, only a failed one can be retried", u.id, state)
	}
	s.rerun(&u.job, Update)
	u.Runs++
	return s.encode(&u.job, "updateid"), nil
}

// running returns the update that is under way for an image, nil if none is.
func (s *Server) running(imageID int64) *update {
	for _, u := range s.updates {
		if u.ImageID == imageID && !s.ended(&u.job) {
			return u
		}
	}
	return nil
}

// target returns the image if both it and the machine exist.
func (s *Server) target(imageID, machineID int64) (*image, *refusal) {
	image, refused := s.image(imageID)
	if refused != nil {
		return nil, refused
	}
	if !slices.Contains(s.config.buildMachines, machineID) {
		return nil, &refusal{http.StatusNotFound, "unknown machine"}
	}
	return image, nil
}
