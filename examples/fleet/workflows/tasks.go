package workflows

import "encoding/json"

// Names of the activities.
const (
	uploadImage   = "UploadImage"
	uploadPart    = "UploadPart"
	finishUpload  = "FinishUpload"
	discardUpload = "DiscardUpload"
	copyImage     = "CopyImage"
	release       = "Release"
	rejectDiff    = "RejectDiff"
	followRun     = "FollowRun"
	lastHeartbeat = "LastHeartbeat"
)

// UploadTask is the input of the activities of an upload.
type UploadTask struct {
	Input UploadImageInput `json:"input"`
	// Progress is how far earlier activities came.
	Progress UploadProgress `json:"progress,omitzero"`
	// Repeat begins another upload even if there is an unfinished one.
	Repeat bool `json:"repeat,omitempty"`
	// Adopted sends all chunks to the upload request that Progress names.
	Adopted bool `json:"adopted,omitempty"`
	// Part is the one to upload, counted from 0.
	Part int `json:"part,omitempty"`
	// Parts are those uploaded, for FinishUpload to merge.
	Parts []json.RawMessage `json:"parts,omitempty"`
}

// UploadProgress is how far an upload is. As the heartbeat of an activity it is
// what the next attempt resumes from, and Temporal shows it.
type UploadProgress struct {
	UploadRequestID int64 `json:"uploadRequestId,omitempty"`
	Bytes           int64 `json:"bytes"`
	Total           int64 `json:"total"`
	Chunks          int   `json:"chunks"`
	TotalChunks     int   `json:"totalChunks"`
	// Version is that of the source of an upload in parts.
	Version string `json:"version,omitempty"`
	// Checkpoint is what the SDK keeps, by its keys.
	Checkpoint map[string][]byte `json:"checkpoints,omitempty"`
	// Part is a part that is uploaded, and Merged whether all are merged.
	Part   json.RawMessage `json:"part,omitempty"`
	Merged bool            `json:"merged,omitempty"`
}

// Creation is a create call that may be under way, or lost with its worker.
type Creation struct {
	// Creating is what it creates: the tenant of a copy, or the step of a release.
	Creating string `json:"creating,omitempty"`
	// Before has the ids of the jobs that there were before, which it has not made.
	Before []string `json:"before,omitempty"`
}

// CopyTask is the input of the activity of a copy.
type CopyTask struct {
	Input    CopyImageInput `json:"input"`
	Progress CopyProgress   `json:"progress"`
	// Cancel cancels the jobs under way, and creates none.
	Cancel bool `json:"cancel,omitempty"`
}

// CopyProgress is how far the copies are, and the heartbeat of their activity.
type CopyProgress struct {
	Creation

	Copies []Copy `json:"copies"`
	// Repeat is a tenant that gets a copy even if one is under way.
	Repeat string `json:"repeat,omitempty"`
}

// ReleaseTask is the input of Release.
type ReleaseTask struct {
	Input    ReleaseImageInput `json:"input"`
	Progress ReleaseProgress   `json:"progress"`
	// DiffOnly ends Release once the diff is complete.
	DiffOnly bool `json:"diffOnly,omitempty"`
}

// ReleaseProgress is how far a release is, and the heartbeat of Release.
type ReleaseProgress struct {
	Creation
	ReleaseIDs

	// Retried is how often the newest job was run again.
	Retried int `json:"retried,omitempty"`
	// Machines counts those that have the version.
	Machines int64 `json:"machines,omitempty"`
}

// Set adds the job of a step.
func (p *ReleaseProgress) Set(step string, id int64) {
	switch step {
	case "update":
		p.UpdateID = id
	case "diff":
		p.DiffID = id
	case "version":
		p.ImageVersionID = id
	}
	p.Creation, p.Retried = Creation{}, 0
}
