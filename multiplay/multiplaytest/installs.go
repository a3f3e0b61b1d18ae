package multiplaytest

import (
	"strconv"
	"time"

	"github.com/imagejobs/imagejobs-go/multiplay"
)

// install is the job that installs a version on one machine or one mirror.
type install struct {
	job
	machine, mirror int // the other is 0
	version         *version
	listed          bool
}

// installStart is when installs start.
type installStart struct {
	byHand bool
	at     time.Time // zero for at once
}

// installStart reads the parameter install_at.
func (s *Server) installStart(r *request, text string) installStart {
	if text == "" {
		return installStart{byHand: !s.config.dialect.StartInstalls}
	}
	if text == "NOW()" {
		return installStart{}
	}
	seconds, err := strconv.ParseInt(text, 10, 64)
	if err != nil || seconds <= 0 {
		r.fail("install_at must be a Unix time or NOW()")
	}
	return installStart{at: time.Unix(seconds, 0)}
}

// install adds the installs of a version that completes at that moment. Each
// machine takes a little longer than the one before, a mirror as long as the
// first.
func (s *Server) install(v, before *version, at time.Time, start installStart) {
	if before != nil {
		for _, i := range before.installs {
			i.squashed = at
		}
	}
	for n := range s.config.gameMachines + s.config.mirrors {
		i := &install{job: s.newJob(Install), version: v}
		i.created, i.started, i.held = at, at, start.byHand
		if start.at.After(at) {
			i.started = start.at
		}
		i.took = s.config.jobTime / 2
		if mirror := n - s.config.gameMachines; mirror >= 0 {
			i.mirror = mirror + 1
		} else {
			i.machine = n + 1
			i.took += s.config.jobTime * time.Duration(n) / 8
		}
		v.installs = append(v.installs, i)
	}
}

// incomplete returns the installs that exist and have not ended.
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

// unlisted returns the installs that took no time and that no list has shown. They
// are shown once, as ended, so that who polls sees that there was a rollout.
func (s *Server) unlisted() []*install {
	var all []*install
	now := s.core.Clock().Now()
	for _, v := range s.versions {
		for _, i := range v.installs {
			if i.took == 0 && !i.listed && !now.Before(i.created) && s.ended(&i.job) {
				all = append(all, i)
			}
		}
	}
	return all
}

func (s *Server) listInstalls(*request) (object, *refusal) {
	list := []object{}
	for _, i := range append(s.incomplete(), s.unlisted()...) {
		i.listed = s.ended(&i.job)
		response := s.encode(&i.job, "jobid")
		delete(response, "success") // not shown
		response["mirroring"] = i.mirror > 0
		response["restart"] = i.version.Restart
		response["location"] = "Amsterdam"
		response["machine"], response["mirror"] = nil, nil
		if i.mirror > 0 {
			response["mirror"] = "mirror-" + strconv.Itoa(i.mirror)
		} else {
			response["machine"] = "machine-" + strconv.Itoa(i.machine)
		}
		response["imagepath"] = "/images/" + strconv.FormatInt(i.version.ImageID, 10)
		response["install_at"] = nil
		if i.version.InstallAt != "" {
			response["install_at"] = i.started.Unix()
		}
		response["target_imageversionid"] = i.version.id
		list = append(list, response)
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
	if mirroring != (i.mirror > 0) {
		return nil, badRequest("mirroring must be %t for install %d", i.mirror > 0, i.id)
	}
	i.started, i.held = s.core.Clock().Now(), false
	if mirroring {
		response := s.encode(&i.job, "versionmirrorid")
		delete(response, "success") // not in the example
		return response, nil
	}
	response := s.encode(&i.job, "machinejobid")
	response["installs_squashed"] = []int64{}
	return response, nil
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

// counts returns how many machines have, lack or failed to install the latest
// completed version of an image. Before the first version all have it.
func (s *Server) counts(imageID int64) object {
	pending, failed, completed := 0, 0, s.config.gameMachines
	for _, v := range s.versions {
		if state, _ := s.state(&v.job); v.ImageID != imageID || state != multiplay.JobCompleted {
			continue
		}
		pending, failed, completed = 0, 0, 0
		for _, i := range v.installs {
			if i.mirror > 0 {
				continue
			}
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
