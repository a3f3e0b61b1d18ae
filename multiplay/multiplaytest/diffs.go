package multiplaytest

import (
	"fmt"
	"slices"

	"github.com/imagejobs/imagejobs-go/multiplay"
)

// Files are the paths that a diff finds; see [Server.SetFiles].
type Files struct {
	Added    []string // only on the build machine
	Modified []string // on both, but different
	Removed  []string // only in the image
}

func (f *Files) empty() bool { return len(f.Added)+len(f.Modified)+len(f.Removed) == 0 }

type diff struct {
	job
	imageID, machineID int64
	files              Files
	accepted, rejected bool
}

// SetFiles sets what future diffs find: one modified file by default, nothing
// if files is empty.
func (s *Server) SetFiles(files Files) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.files = files
}

// LockImage adds a completed diff of an image, as if another client had made
// it, and returns its id.
func (s *Server) LockImage(imageID int64) (diffID int64) {
	s.mu.Lock()
	defer s.mu.Unlock()
	d := &diff{job: s.newJob(Diff), imageID: imageID, machineID: MachineID, files: s.files}
	d.took = 0
	s.diffs = append(s.diffs, d)
	return d.id
}

// lock returns the diff that locks an image, nil if none does.
func (s *Server) lock(imageID int64) *diff {
	for _, d := range s.diffs {
		if d.imageID == imageID && !d.accepted && !d.rejected {
			return d
		}
	}
	return nil
}

// locked refuses what must not be done while a diff or a running update locks
// the image.
func (s *Server) locked(imageID int64) *refusal {
	if d := s.lock(imageID); d != nil {
		return refuse("image locked by diffid: %d", d.id)
	}
	if u := s.running(imageID); u != nil {
		return refuse("image locked by updateid: %d", u.id)
	}
	return nil
}

func (s *Server) createDiff(r *request) (object, *refusal) {
	imageID, machineID, again := r.number("imageid"), r.number("machineid"), r.optional("diffid")
	if r.bad != nil {
		return nil, r.bad
	}
	if _, refused := s.target(imageID, machineID); refused != nil {
		return nil, refused
	}
	if again != 0 {
		return s.diffAgain(again)
	}
	if refused := s.locked(imageID); refused != nil {
		return nil, refused
	}
	d := &diff{job: s.newJob(Diff), imageID: imageID, machineID: machineID, files: s.files}
	s.diffs = append(s.diffs, d)
	return s.encode(&d.job, "diffid"), nil
}

func (s *Server) diffStatus(r *request) (object, *refusal) {
	info := r.flag("diff_info")
	d, refused := find(s.diffs, r.id("diffid"))
	if refused != nil {
		return nil, refused
	}
	response := s.encode(&d.job, "diffid")
	if !info {
		return response, nil
	}
	files := Files{}
	if state, _ := s.state(&d.job); state == multiplay.JobCompleted {
		files = d.files
	}
	response["added"] = s.fileMap(files.Added)
	response["modified"] = s.fileMap(files.Modified)
	response["removed"] = s.fileMap(files.Removed)
	response["image"] = object{"imageid": d.imageID}
	response["machine"] = object{"machineid": d.machineID}
	response["game"] = object{}
	if image := s.images[d.imageID]; image != nil {
		response["game"] = object{"gameid": image.GameID}
	}
	return response, nil
}

func (s *Server) fileMap(paths []string) any {
	if len(paths) == 0 && s.config.dialect.EmptyArrays {
		return []string{}
	}
	files := object{}
	for _, path := range paths {
		files[path] = object{"path": path}
	}
	return files
}

func (s *Server) retryDiff(r *request) (object, *refusal) {
	response, refused := s.diffAgain(r.id("diffid"))
	delete(response, "success") // not in the table
	return response, refused
}

func (s *Server) diffAgain(id int64) (object, *refusal) {
	d, refused := s.outstanding(id)
	if refused != nil {
		return nil, refused
	}
	s.rerun(&d.job, Diff)
	d.files = s.files
	return s.encode(&d.job, "diffid"), nil
}

func (s *Server) rejectDiff(r *request) (object, *refusal) {
	reinstall := r.flag("reinstall")
	r.text("reinstall")
	if r.bad != nil {
		return nil, r.bad
	}
	// A squashed diff would lock the image for good otherwise.
	d, refused := s.outstanding(r.id("diffid"), multiplay.JobSquashed)
	if refused != nil {
		return nil, refused
	}
	d.rejected = true
	if !reinstall {
		return object{"diffid": d.id}, nil
	}
	uninstall := s.newJob(Install)
	response := s.encode(&uninstall, "uninstalljobid")
	delete(response, "success") // not in the table
	return response, nil
}

// outstanding returns a diff that has completed or failed, or is in one of the
// other given states, and is neither rejected nor made a version.
func (s *Server) outstanding(id int64, also ...multiplay.JobState) (*diff, *refusal) {
	d, refused := find(s.diffs, id)
	if refused != nil {
		return nil, refused
	}
	var why string
	switch state, _ := s.state(&d.job); {
	case d.rejected:
		why = "is rejected"
	case d.accepted:
		why = "has become a version"
	case state != multiplay.JobCompleted && state != multiplay.JobFailed && !slices.Contains(also, state):
		why = fmt.Sprintf("is %s, not complete or failed", state)
	default:
		return d, nil
	}
	return nil, refuse("image diff %d %s", id, why)
}
