package multiplaytest

import (
	"slices"
	"strconv"

	"github.com/imagejobs/imagejobs-go/multiplay"
)

// ImageVersion is a snapshot of an image version.
type ImageVersion struct {
	// ID is the imageversionid.
	ID int64
	// ImageID is the image, and DiffID the diff that the version was made from.
	ImageID int64
	DiffID  int64
	// Full, Restart, Force, GameBuild and InstallAt are as requested. InstallAt
	// is empty, NOW() or a Unix time.
	Full      bool
	Restart   bool
	Force     bool
	GameBuild string
	InstallAt string
	// State is the job's state when the snapshot was taken.
	State multiplay.JobState
}

type version struct {
	job
	ImageVersion
	installs []*install
}

// SetAllocations sets how many servers of an image are allocated. While any is,
// a version requires force=1.
func (s *Server) SetAllocations(imageID int64, n int) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if image := s.images[imageID]; image != nil {
		image.allocations = n
	}
}

// Versions returns all versions in the order of their creation.
func (s *Server) Versions() []ImageVersion {
	s.mu.Lock()
	defer s.mu.Unlock()
	all := make([]ImageVersion, len(s.versions))
	for i, v := range s.versions {
		all[i] = v.ImageVersion
		all[i].ID = v.id
		all[i].State, _ = s.state(&v.job)
	}
	return all
}

func (s *Server) createVersion(r *request) (object, *refusal) {
	asked := ImageVersion{
		DiffID:    r.number("diffid"),
		Full:      r.flag("full"),
		Restart:   r.flag("restart"),
		Force:     r.flag("force"),
		GameBuild: r.query.Get("game_build"),
		InstallAt: r.query.Get("install_at"),
	}
	start := s.installStart(r, asked.InstallAt)
	checkDisabling(r)
	if r.bad != nil {
		return nil, r.bad
	}
	d, refused := s.outstanding(asked.DiffID)
	if refused != nil {
		return nil, refused
	}
	asked.ImageID = d.imageID
	if state, _ := s.state(&d.job); state != multiplay.JobCompleted {
		return nil, refuse("image diff %d is %s, not complete", d.id, state)
	}
	image, refused := s.image(d.imageID)
	if refused != nil {
		return nil, refused
	}
	latest := s.latest(d.imageID)
	switch {
	case d.files.empty() && !asked.Full:
		return nil, refuse("image diff %d is empty: full must be 1", d.id)
	case d.files.empty() && latest != nil && latest.Full:
		return nil, refuse("image diff %d is empty and the version before is full as well", d.id)
	case image.allocations > 0 && !asked.Force:
		return nil, refuse("there are %d active allocations", image.allocations)
	}
	d.accepted = true
	v := &version{job: s.newJob(Version), ImageVersion: asked}
	s.versions = append(s.versions, v)
	if at, ok := s.completedAt(&v.job); ok {
		s.install(v, latest, at, start)
	}
	return s.encode(&v.job, "imageversionid"), nil
}

// checkDisabling checks the parameters that disable machines.
func checkDisabling(r *request) {
	percentage := r.query.Get("disable_percentage")
	if (r.optional("disable_timeout") == 0) != (percentage == "") {
		r.fail("disable_timeout and disable_percentage must be given together")
	}
	if percentage == "" {
		return
	}
	if p, err := strconv.ParseFloat(percentage, 64); err != nil || p < 0 || p > 100 {
		r.fail("disable_percentage must be 0.00 to 100.00")
	}
}

// latest returns the newest version of an image that completes.
func (s *Server) latest(imageID int64) *version {
	for _, v := range slices.Backward(s.versions) {
		if _, ok := s.completedAt(&v.job); ok && v.ImageID == imageID {
			return v
		}
	}
	return nil
}

func (s *Server) versionStatus(r *request) (object, *refusal) {
	v, refused := find(s.versions, r.id("imageversionid"))
	if refused != nil {
		return nil, refused
	}
	return s.encode(&v.job, "imageversionid"), nil
}
