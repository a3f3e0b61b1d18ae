package multiplaytest

import (
	"net/http"
	"slices"
	"strconv"
	"time"

	"github.com/imagejobs/imagejobs-go/internal/emulator"
	"github.com/imagejobs/imagejobs-go/multiplay"
)

// Resource is a kind of job.
type Resource string

// The kinds of jobs.
const (
	Update  Resource = "update"
	Diff    Resource = "diff"
	Version Resource = "version"
	Install Resource = "install"
)

// An Outcome is how a job ends.
type Outcome struct {
	// State is JobCompleted (if empty), JobFailed or JobSquashed. A job stays in
	// any other state.
	State multiplay.JobState
	// Error is the joberror of a failed job.
	Error string
}

// Next sets how the next jobs of that kind end, in order. A retried job counts
// as a new one, and a version makes one install per game machine and then one
// per mirror. Later jobs complete.
func (s *Server) Next(kind Resource, outcomes ...Outcome) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.next[kind] = append(s.next[kind], outcomes...)
}

// outcome returns the outcome of a new job.
func (s *Server) outcome(kind Resource) Outcome {
	queue := s.next[kind]
	if len(queue) == 0 {
		return Outcome{State: multiplay.JobCompleted}
	}
	s.next[kind] = queue[1:]
	if queue[0].State == "" {
		queue[0].State = multiplay.JobCompleted
	}
	return queue[0]
}

// job is what updates, diffs, versions and installs have in common. Its state
// follows from the clock.
type job struct {
	id       int64
	created  time.Time
	started  time.Time // of the present run; may be in the future
	held     bool      // waits to be queued
	squashed time.Time // when a newer one replaced it, zero for never
	failures int       // of earlier runs
	took     time.Duration
	outcome  Outcome
}

func (s *Server) newJob(kind Resource) job {
	now := s.core.Clock().Now()
	return job{id: s.newID(), created: now, started: now, took: s.config.jobTime, outcome: s.outcome(kind)}
}

// rerun starts a job again.
func (s *Server) rerun(j *job, kind Resource) {
	if state, _ := s.state(j); state == multiplay.JobFailed {
		j.failures++
	}
	j.started, j.squashed = s.core.Clock().Now(), time.Time{}
	j.outcome = s.outcome(kind)
}

func (j *job) timeline() emulator.Timeline[multiplay.JobState] {
	return emulator.Timeline[multiplay.JobState]{
		{State: multiplay.JobCreated, For: j.took / 20},
		{State: multiplay.JobPending, For: j.took / 20},
		{State: multiplay.JobQueued, For: j.took / 10},
		{State: multiplay.JobRunning, For: j.took - j.took/20*2 - j.took/10},
		{State: j.outcome.State},
	}
}

// state returns the state of a job, and since when it is in it.
func (s *Server) state(j *job) (state multiplay.JobState, since time.Time) {
	clock := s.core.Clock()
	if j.held || clock.Now().Before(j.started) {
		state, since = multiplay.JobPending, j.created
	} else {
		var ran time.Duration
		state, ran = j.timeline().At(clock.Since(j.started))
		since = clock.At(j.started, ran)
	}
	if !j.squashed.IsZero() && !clock.Now().Before(j.squashed) && !state.Terminal() {
		return multiplay.JobSquashed, j.squashed
	}
	return state, since
}

func (s *Server) ended(j *job) bool {
	state, _ := s.state(j)
	return state.Terminal()
}

// completedAt returns when the job completes, if it does.
func (s *Server) completedAt(j *job) (time.Time, bool) {
	return s.core.Clock().At(j.started, j.took), j.outcome.State == multiplay.JobCompleted
}

// stateID returns the number of a state, 0 if it has none.
func stateID(state multiplay.JobState) int {
	return 1 + slices.Index([]multiplay.JobState{
		multiplay.JobCreated, multiplay.JobPending, multiplay.JobQueued, multiplay.JobRunning,
		multiplay.JobCompleted, multiplay.JobFailed, multiplay.JobSquashed,
	}, state)
}

// encode returns a job as responses show it.
func (s *Server) encode(j *job, idField string) object {
	clock := s.core.Clock()
	state, since := s.state(j)
	response := object{
		idField:        j.id,
		"jobcreated":   j.created.Unix(),
		"joberror":     nil,
		"jobeta":       nil,
		"jobfailed":    j.failures,
		"jobprogress":  0,
		"jobstart":     nil,
		"jobstatename": state,
		"jobupdated":   since.Unix(),
		"success":      true,
	}
	if id := stateID(state); id != 0 && !s.config.dialect.OmitStateID {
		response["jobstateid"] = id
	}
	running := j.took / 5 // in job time, when it starts to run
	if state == multiplay.JobRunning || state == multiplay.JobCompleted || state == multiplay.JobFailed {
		start := clock.At(j.started, running).Unix()
		response["jobstart"] = strconv.FormatInt(start, 10)
		if s.config.dialect.NumericJobStart {
			response["jobstart"] = start
		}
	}
	switch state {
	case multiplay.JobRunning:
		response["jobprogress"] = emulator.Percent(clock.Since(j.started)-running, j.took-running)
		response["jobeta"] = clock.At(j.started, j.took).Unix()
	case multiplay.JobCompleted:
		response["jobprogress"] = 100
		if s.config.dialect.Complete {
			response["jobstatename"] = "Complete"
		}
	case multiplay.JobFailed:
		response["jobfailed"] = j.failures + 1
		response["joberror"] = j.outcome.Error
	default:
	}
	return response
}

// find returns the job of one kind with that id.
func find[T interface{ base() *job }](list []T, id int64) (found T, refused *refusal) {
	for _, one := range list {
		if one.base().id == id {
			return one, nil
		}
	}
	return found, &refusal{http.StatusNotFound, "not found: " + strconv.FormatInt(id, 10)}
}

func (j *job) base() *job { return j }
