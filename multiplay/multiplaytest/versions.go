package multiplaytest

import (
	"slices"
	"strconv"
	"time"

	"github.com/imagejobs/imagejobs-go/multiplay"
)

// ImageVersion is a version that was asked for.
type ImageVersion struct {
	ID        int64
	ImageID   int64
	DiffID    int64
	Full      bool
	Restart   bool
	Force     bool
	GameBuild string
	InstallAt string // as it was sent
	State     multiplay.JobState
}

type version struct {
	job
	ImageVersion
	installs []*install
}

// install is the job that puts a version onto one machine.
type install struct {
	job
	machine int
	version *version
}

// SetAllocations says how many servers of an image are in use: with any, a version needs force=1.
func (s *Server) SetAllocations(imageID int64, n int) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if image := s.images[imageID]; image != nil {
		image.allocations = n
	}
}

// Versions are all versions as they are now, in the order of their creation.
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
	r.optional("disable_timeout")
	if percentage := r.query.Get("disable_percentage"); percentage != "" {
		if p, err := strconv.ParseFloat(percentage, 64); err != nil || p < 0 || p > 100 {
			r.fail("disable_percentage must be 0.00 to 100.00")
		}
	}
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
		s.install(v, latest, at)
	}
	return s.encode(&v.job, "imageversionid"), nil
}

// install plans the installs of a version that completes at that moment. Each machine takes a little longer than the
// one before.
func (s *Server) install(v, before *version, at time.Time) {
	if before != nil {
		for _, i := range before.installs {
			i.squashed = at
		}
	}
	for n := range s.config.gameMachines {
		i := &install{job: s.newJob(Install), machine: n + 1, version: v}
		i.created, i.started = at, at
		i.took = s.config.jobTime/2 + s.config.jobTime*time.Duration(n)/8
		v.installs = append(v.installs, i)
	}
}

// latest is the newest version of an image that completes.
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

// incomplete are the installs that have begun and not ended.
func (s *Server) incomplete() []*install {
	var all []*install
	now := s.core.Clock().Now()
	for _, v := range s.versions {
		for _, i := range v.installs {
			if !now.Before(i.created) && !s.ended(&i.job) {
				all = append(all, i)
			}
		}
	}
	return all
}

func (s *Server) listInstalls(*request) (object, *refusal) {
	list := []object{}
	for _, i := range s.incomplete() {
		answer := s.encode(&i.job, "jobid")
		delete(answer, "success") // not shown
		answer["mirroring"] = false
		answer["restart"] = i.version.Restart
		answer["location"] = "Amsterdam"
		answer["machine"] = "machine-" + strconv.Itoa(i.machine)
		answer["imagepath"] = "/images/" + strconv.FormatInt(i.version.ImageID, 10)
		answer["install_at"] = nil
		answer["mirror"] = nil
		answer["target_imageversionid"] = i.version.id
		list = append(list, answer)
	}
	return object{"installs": list}, nil
}

func (s *Server) queueInstall(r *request) (object, *refusal) {
	id := r.id("jobid")
	r.text("mirroring")
	mirroring := r.word("mirroring")
	if r.bad != nil {
		return nil, r.bad
	}
	i, refused := find(s.incomplete(), id)
	if refused != nil {
		return nil, refused
	}
	i.started = s.core.Clock().Now()
	if mirroring {
		answer := s.encode(&i.job, "versionmirrorid")
		delete(answer, "success") // not in the example
		return answer, nil
	}
	answer := s.encode(&i.job, "machinejobid")
	answer["installs_squashed"] = []int64{}
	return answer, nil
}

func (s *Server) rolloutStatus(r *request) (object, *refusal) {
	detail := r.word("detail")
	image, refused := s.image(r.id("imageid"))
	if refused != nil {
		return nil, refused
	}
	counts := s.counts(image.ID)
	if !detail {
		return counts, nil
	}
	region := object{"name": "Europe"}
	fleet := object{"regions": object{"55a7d5b3-4a8c-4f5b-9a55-1e3f0c2b7d10": region}}
	for name, count := range counts {
		region[name], fleet[name] = count, count
	}
	counts["fleets"] = object{"0d9b5c9e-63f1-4f0e-8f7c-2f5a1d3c9b42": fleet}
	return counts, nil
}

// counts are the machines of an image by how far they are with its latest complete version. Before the first version
// all of them are.
func (s *Server) counts(imageID int64) object {
	pending, failed, completed := 0, 0, s.config.gameMachines
	for _, v := range s.versions {
		if state, _ := s.state(&v.job); v.ImageID != imageID || state != multiplay.JobCompleted {
			continue
		}
		pending, failed, completed = 0, 0, 0
		for _, i := range v.installs {
			switch state, _ := s.state(&i.job); state {
			case multiplay.JobCompleted:
				completed++
			case multiplay.JobFailed:
				failed++
			default:
				pending++
			}
		}
	}
	return object{"pending_machines": pending, "failed_machines": failed, "completed_machines": completed}
}
