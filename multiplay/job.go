package multiplay

import (
	"cmp"
	"strings"
	"time"

	"github.com/imagejobs/imagejobs-go/internal/lenient"
)

// JobState is where a job is. A state that is not among the constants is kept
// as the service spells it, and does not count as an end. Source: "Image job
// states".
type JobState string

// The states of a job. The usual way is from JobCreated down to JobCompleted
// or JobFailed; a retry goes back up.
const (
	JobCreated JobState = "Created"
	JobPending JobState = "Pending" // waiting to be queued
	JobQueued  JobState = "Queued"  // waiting to be processed
	JobRunning JobState = "Running"
	// JobCompleted is success. The pages spell it "Complete" as well, which is
	// decoded to the same.
	JobCompleted JobState = "Completed"
	JobFailed    JobState = "Failed"
	// JobSquashed is the end of a job that a newer one took the place of:
	// neither success nor failure.
	JobSquashed JobState = "Squashed"
)

// Terminal tells whether a job in that state has ended.
func (s JobState) Terminal() bool {
	return s == JobCompleted || s == JobFailed || s == JobSquashed
}

// stateOf is the state that the id says or, where there is none or an unknown
// one, the name: the documents promise the name alone.
func stateOf(id int64, name string) JobState {
	byID := [...]JobState{JobCreated, JobPending, JobQueued, JobRunning, JobCompleted, JobFailed, JobSquashed}
	if id >= 1 && id <= int64(len(byID)) {
		return byID[id-1]
	}
	trimmed := strings.TrimSpace(name)
	if strings.EqualFold(trimmed, "Complete") { // "Image job states"; elsewhere it is "Completed"
		return JobCompleted
	}
	for _, state := range byID {
		if strings.EqualFold(trimmed, string(state)) {
			return state
		}
	}
	return JobState(name)
}

// Job is what all jobs of the service have in common. Sources: "Image update
// status" and "Image job fields".
type Job struct {
	// State is the state by StateID, or by the service's name for it where it
	// leaves the id out.
	State JobState `json:"jobstatename"`
	// StateID is the service's number for the state, 0 when it sent none.
	StateID int64 `json:"jobstateid,omitempty"`
	// Progress is a percentage, 0 to 100. Programs have seen it stay 0 to the
	// end: show it, but do not build on it.
	Progress int64 `json:"jobprogress"`
	// Error is why the job failed; empty when the service gives no reason. A
	// source URL in it shows without credentials.
	Error string `json:"joberror,omitempty"`
	// Failures is a flag in one document and the number of failed runs in
	// another, so that a job which completed after a retry may have some. Only
	// State tells whether a job failed.
	Failures int64 `json:"jobfailed"`
	// Created, Started and Updated are zero when not given, Started until the
	// job runs. ETA is when the service expects the job to end, usually not given.
	Created time.Time `json:"jobcreated,omitzero"`
	Started time.Time `json:"jobstart,omitzero"`
	Updated time.Time `json:"jobupdated,omitzero"`
	ETA     time.Time `json:"jobeta,omitzero"`
}

func (j *Job) job() *Job { return j }

// wireJob is Job as it may come: each time as number, string, "", null or not
// at all.
type wireJob struct {
	StateName loose        `json:"jobstatename"`
	StateID   lenient.Int  `json:"jobstateid"`
	Progress  lenient.Int  `json:"jobprogress"`
	Error     loose        `json:"joberror"`
	Failures  lenient.Int  `json:"jobfailed"`
	Created   lenient.Time `json:"jobcreated"`
	Create    lenient.Time `json:"jobcreate"` // its name in "Image job fields"
	Started   lenient.Time `json:"jobstart"`
	Updated   lenient.Time `json:"jobupdated"`
	ETA       lenient.Time `json:"jobeta"`
}

// wireStatus is the status of a job with what stands around it.
type wireStatus struct {
	envelope
	wireJob
}

// refusal is nil for a job that ended badly: programs have taken success for
// that of the job, against its documented meaning, so that the status of such a
// job may carry "success": false.
func (w *wireStatus) refusal() error {
	state := stateOf(int64(w.StateID), string(w.StateName))
	if w.failed() || w.ErrorMessage != "" || state != JobFailed && state != JobSquashed {
		return w.envelope.refusal()
	}
	return nil
}

func (w *wireJob) job() Job {
	return Job{
		State:    stateOf(int64(w.StateID), string(w.StateName)),
		StateID:  int64(w.StateID),
		Progress: int64(w.Progress),
		Error:    withoutSources(string(w.Error)),
		Failures: int64(w.Failures),
		Created:  cmp.Or(w.Created.Time, w.Create.Time),
		Started:  w.Started.Time,
		Updated:  w.Updated.Time,
		ETA:      w.ETA.Time,
	}
}
