package multiplay

import (
	"cmp"
	"strings"
	"time"
)

// JobState is the state of a job. A value without a constant is kept as the
// service sent it.
//
// Source: [Image job states].
//
// [Image job states]: https://docs.unity.com/en-us/clanforge/api/topics/image-job-states
type JobState string

// States of a job. A job usually passes from JobCreated down to JobCompleted or
// JobFailed; a retry moves it back up.
const (
	// JobCreated is a new job.
	JobCreated JobState = "Created"
	// JobPending is a job that waits to be queued.
	JobPending JobState = "Pending"
	// JobQueued is a job that waits to be processed.
	JobQueued JobState = "Queued"
	// JobRunning is a job under way.
	JobRunning JobState = "Running"
	// JobCompleted is a job that succeeded. The pages spell it "Complete" as
	// well, which is decoded to the same.
	JobCompleted JobState = "Completed"
	// JobFailed is a job that failed.
	JobFailed JobState = "Failed"
	// JobSquashed is a job that a newer one replaced: neither a success nor a
	// failure.
	JobSquashed JobState = "Squashed"
)

// Terminal reports whether a job in this state has ended: completed, failed or
// squashed. Unknown states have not.
func (s JobState) Terminal() bool {
	return s == JobCompleted || s == JobFailed || s == JobSquashed
}

// jobStates has the states by jobstateid, which starts at 1.
func jobStates() [7]JobState {
	return [...]JobState{JobCreated, JobPending, JobQueued, JobRunning, JobCompleted, JobFailed, JobSquashed}
}

// stateNamed returns the constant that the service's name means, or the name.
func stateNamed(name string) JobState {
	trimmed := strings.TrimSpace(name)
	if strings.EqualFold(trimmed, "Complete") { // "Image job states"; elsewhere it is "Completed"
		return JobCompleted
	}
	for _, state := range jobStates() {
		if strings.EqualFold(trimmed, string(state)) {
			return state
		}
	}
	return JobState(name)
}

// Job is what all jobs of the service have in common. Missing fields are zero.
//
// Sources: [Image update status], [Image job fields].
//
// [Image update status]: https://docs.unity.com/en-us/clanforge/api/endpoints/image-update-status
// [Image job fields]: https://docs.unity.com/en-us/clanforge/api/topics/image-job-fields
type Job struct {
	// State follows from StateID, or from the service's name for the state if it
	// sends no id.
	State JobState `json:"jobstatename"`
	// StateID is the service's number for the state, 0 if it sent none.
	StateID int64 `json:"jobstateid,omitempty"`
	// Progress is a percentage, 0 to 100. Programs have seen it stay 0 to the end:
	// show it, but do not rely on it.
	Progress int64 `json:"jobprogress"`
	// Error is why the job failed; empty if the service gives no reason.
	// Credentials in it are not shown.
	Error string `json:"joberror,omitempty"`
	// Failures is a flag on one page and the number of failed runs on another, so
	// a job that completed after a retry may have some. Only State shows whether a
	// job failed.
	Failures int64 `json:"jobfailed"`
	// Created is when the job was created.
	Created time.Time `json:"jobcreated,omitzero"`
	// Started is zero until the job runs.
	Started time.Time `json:"jobstart,omitzero"`
	// Updated is when the job last changed.
	Updated time.Time `json:"jobupdated,omitzero"`
	// ETA is when the service expects the job to end; usually not given.
	ETA time.Time `json:"jobeta,omitzero"`
}

func (j *Job) job() *Job { return j }

// settle makes j of what was decoded. The documents promise a state's name, not
// its id, but of a known id there is only one spelling.
func (j *Job) settle(created time.Time, sent *sentSecrets) {
	states := jobStates()
	if j.StateID >= 1 && j.StateID <= int64(len(states)) {
		j.State = states[j.StateID-1]
	}
	j.Created = cmp.Or(j.Created, created)
	j.Error = sent.hide(j.Error)
}
