package workflows

import "encoding/json"

// Names of the activities.
const (
	uploadImage   = "UploadImage"
	uploadPart    = "UploadPart"
	finishUpload  = "FinishUpload"
	discardUpload = "DiscardUpload"
	createCopies  = "CreateCopies"
	waitCopies    = "WaitCopies"
	cancelCopies  = "CancelCopies"
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
	// InitiateOnly ends UploadImage once there is an upload request.
	InitiateOnly bool `json:"initiateOnly,omitempty"`
	// Repeat begins another upload even if there is an unfinished one.
	Repeat bool `json:"repeat,omitempty"`
	// First and Count are the chunks of UploadPart, counted from 0.
	First int `json:"first,omitempty"`
	Count int `json:"count,omitempty"`
	// Parts are the results of UploadPart, for FinishUpload to merge.
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
	// ChunkSize and Version are those of an upload in parts. Version changes with
	// the source.
	ChunkSize int64  `json:"chunkSize,omitempty"`
	Version   string `json:"version,omitempty"`
	// Checkpoint is the state that the SDK keeps.
	Checkpoint []byte `json:"checkpoint,omitempty"`
	// Merged reports whether the parts are merged.
	Merged bool `json:"merged,omitempty"`
}

// CopyTask is the input of the activities of a copy.
type CopyTask struct {
	Input    CopyImageInput `json:"input"`
	Progress CopyProgress   `json:"progress"`
}

// CopyProgress is how far the copies are, and the heartbeat of CreateCopies.
type CopyProgress struct {
	Copies []Copy `json:"copies"`
	// Creating is the tenant whose job may be being created, and Before has the
	// jobs from before.
	Creating string   `json:"creating,omitempty"`
	Before   []string `json:"before,omitempty"`
	// Repeat is a tenant that gets a copy even if one is under way.
	Repeat string `json:"repeat,omitempty"`
}

// ReleaseTask is the input of the activities of a release.
type ReleaseTask struct {
	Input    ReleaseImageInput `json:"input"`
	Progress ReleaseProgress   `json:"progress"`
	// DiffOnly ends Release once the diff is complete.
	DiffOnly bool `json:"diffOnly,omitempty"`
}

// ReleaseProgress is how far a release is, and the heartbeat of Release.
type ReleaseProgress struct {
	ReleaseIDs

	// Creating is the step whose job may be being created, and Before has what
	// locked the image before.
	Creating string     `json:"creating,omitempty"`
	Before   ReleaseIDs `json:"before,omitzero"`
	// Retried is how often the newest job was run again.
	Retried int `json:"retried,omitempty"`
	// Machines counts those that have the version.
	Machines int64 `json:"machines,omitempty"`
}
