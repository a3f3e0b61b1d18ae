package oraclemarket

import (
	"errors"
	"fmt"
)

// Sentinel errors of uploads.
var (
	// ErrSourceChanged matches every [*SourceChangedError].
	ErrSourceChanged = errors.New("the source changed since the upload began")
	// ErrCheckpointInvalid matches a checkpoint that is corrupt, of another
	// upload, or written by another version of this package.
	ErrCheckpointInvalid = errors.New("the checkpoint cannot be used")
	// ErrCheckpointLocked matches an upload that another call, in this or
	// another process, is working on.
	ErrCheckpointLocked = errors.New("another upload uses this checkpoint")
	// ErrAlreadyMerged matches a [MachineImagesService.DiscardUpload] or UploadRange
	// that is too late: the chunks have become an image, or are about to.
	ErrAlreadyMerged = errors.New("the upload was merged already")
)

// UploadError reports an upload that ended early and what it leaves behind. Err
// says why.
type UploadError struct {
	// UploadRequestID is the upload request that is left unfinished. It is 0 if
	// the response that names it was lost: then one may exist; see
	// [MachineImagesService.List].
	UploadRequestID int64
	// AbandonedID is an upload request that this one replaces, because its chunks
	// were too large for a proxy. It has no chunks and can be deleted. 0 means none.
	AbandonedID int64
	// CheckpointKey is the key of the checkpoint with which the same call
	// resumes, empty without Checkpoints.
	CheckpointKey string
	// Chunks is how many of TotalChunks chunks are acknowledged, of the file or of
	// the range.
	Chunks, TotalChunks int
	// Err is the reason.
	Err error
}

// Error implements error.
func (e *UploadError) Error() string {
	what := "upload interrupted, its upload request may exist"
	if e.UploadRequestID != 0 {
		what = fmt.Sprintf("upload request %d interrupted after %d of %d chunks", e.UploadRequestID, e.Chunks, e.TotalChunks)
	}
	if e.AbandonedID != 0 {
		what += fmt.Sprintf(", in place of upload request %d, which is left", e.AbandonedID)
	}
	return fmt.Sprintf("%s: %s: %v", pkg, what, e.Err)
}

// Unwrap returns e.Err.
func (e *UploadError) Unwrap() error { return e.Err }

// SourceChangedError reports an upload whose file differs from the one that its
// checkpoint describes, or changed during the upload. Nothing was merged. It
// matches [ErrSourceChanged].
type SourceChangedError struct {
	// Change says what differs, such as "its size was 9000 and is 8999".
	Change string
	// CheckpointKey is the key of the checkpoint, empty without Checkpoints.
	CheckpointKey string
	// UploadRequestID is the upload request that has chunks of the old content,
	// 0 if there is none yet.
	UploadRequestID int64
}

// Error implements error.
func (e *SourceChangedError) Error() string {
	text := fmt.Sprintf("%s: %v: %s", pkg, ErrSourceChanged, e.Change)
	switch {
	case e.CheckpointKey == "" && e.UploadRequestID == 0:
		return text
	case e.CheckpointKey == "":
		return fmt.Sprintf("%s; delete upload request %d", text, e.UploadRequestID)
	case e.UploadRequestID == 0:
		return fmt.Sprintf("%s; restore the old file to resume, or delete checkpoint %s to start over", text, e.CheckpointKey)
	default:
		return fmt.Sprintf("%s; restore the old file to resume, or delete checkpoint %s and upload request %d to start over",
			text, e.CheckpointKey, e.UploadRequestID)
	}
}

// Is reports whether target is [ErrSourceChanged].
func (e *SourceChangedError) Is(target error) bool { return target == ErrSourceChanged }

func sourceChanged(format string, args ...any) error {
	return &SourceChangedError{Change: fmt.Sprintf(format, args...)}
}

// explain adds to err what the upload leaves behind.
func (u *upload) explain(err error) error {
	if err == nil || u.state == nil {
		return err
	}
	key := ""
	if u.req.Checkpoints != nil {
		key = u.key
	}
	if changed, ok := errors.AsType[*SourceChangedError](err); ok {
		changed.CheckpointKey, changed.UploadRequestID = key, u.state.UploadRequestID
		return err
	}
	_, ended := errors.AsType[*StateError](err)
	id, abandoned := u.state.UploadRequestID, u.state.abandonedID()
	if id == 0 && !u.mayExist {
		id, abandoned = abandoned, 0
	}
	if ended || id == 0 && !u.mayExist {
		return err
	}
	return &UploadError{
		UploadRequestID: id, AbandonedID: abandoned, CheckpointKey: key,
		Chunks: u.done.count, TotalChunks: len(u.done.have), Err: err,
	}
}
