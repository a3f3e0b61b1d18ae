package oraclemarket

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"time"
)

// load reads the checkpoint, if there is one for this very file, or makes the
// state of a new upload.
func (u *upload) load(ctx context.Context, fingerprint string) error {
	fresh := &checkpoint{
		Format: checkpointFormat, Kind: checkpointKind,
		BaseURL:     u.service.client.BaseURL(),
		Application: u.req.Application, Version: u.req.Version, OperatingSystem: u.req.OperatingSystem,
		FileName: u.req.FileName, Size: u.req.Size, ModTime: u.req.ModTime.UTC(), Fingerprint: fingerprint,
		ChunkSize: u.req.ChunkSize, FirstChunk: u.service.firstChunk,
		Phase: phaseInitiating,
	}
	if fresh.ChunkSize == 0 {
		fresh.ChunkSize = max(DefaultChunkSize, (u.req.Size-1)/maxChunks+1)
	}
	u.state = fresh
	u.done = newChunkSet(u.chunks())
	if u.req.Checkpoints == nil {
		return nil
	}
	data, err := u.req.Checkpoints.Load(ctx, u.key)
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	if err != nil {
		return u.checkpointError("load", err)
	}
	found, err := decodeCheckpoint(data)
	if err != nil {
		return u.checkpointError("load", err)
	}
	if err := u.sameUpload(found); err != nil {
		return err
	}
	u.state, u.resumed = found, true
	u.done = newChunkSet(u.chunks())
	if err := u.done.addRanges(found.Acknowledged, found.FirstChunk); err != nil {
		return u.checkpointError("load", err)
	}
	return nil
}

// sameUpload refuses a checkpoint of another upload or another file.
func (u *upload) sameUpload(found *checkpoint) error {
	now := u.state
	if found.BaseURL != now.BaseURL || found.Application != now.Application || found.Version != now.Version ||
		found.OperatingSystem != now.OperatingSystem || found.FileName != now.FileName {
		return u.checkpointError("load", invalidCheckpoint("it is of another upload: %s %s %s %s at %s",
			found.Application, found.Version, found.OperatingSystem, found.FileName, found.BaseURL))
	}
	var changed error
	switch {
	case found.Size != now.Size:
		changed = sourceChanged("its size was %d and is %d", found.Size, now.Size)
	case !found.ModTime.Equal(now.ModTime) && !found.ModTime.IsZero() && !now.ModTime.IsZero():
		changed = sourceChanged("its modification time was %s and is %s",
			found.ModTime.Format(time.RFC3339Nano), now.ModTime.Format(time.RFC3339Nano))
	case found.Fingerprint != now.Fingerprint:
		changed = sourceChanged("the fingerprint of its content was %s and is %s", found.Fingerprint, now.Fingerprint)
	case u.req.ChunkSize != 0 && found.ChunkSize != now.ChunkSize:
		changed = sourceChanged("the chunk size was %d and is %d", found.ChunkSize, now.ChunkSize)
	case found.FirstChunk != now.FirstChunk:
		changed = sourceChanged("the first chunk number was %d and is %d", found.FirstChunk, now.FirstChunk)
	}
	if changed == nil {
		if found.ChunkSize < 1 || (found.Size-1)/found.ChunkSize >= maxChunks {
			return u.checkpointError("load", invalidCheckpoint("its chunk size %d cannot be", found.ChunkSize))
		}
		return nil
	}
	back := "bring the old file back"
	if found.Size == now.Size && found.Fingerprint == now.Fingerprint {
		back = "use what it began with"
	}
	return fmt.Errorf("%w; %s to go on, or %s to start over", changed, back, startOver(u.key, found.UploadRequestID))
}

// startOver returns what to do to begin an upload anew.
func startOver(key string, uploadRequestID int64) string {
	if uploadRequestID == 0 {
		return "delete checkpoint " + key
	}
	return fmt.Sprintf("delete checkpoint %s and upload request %d", key, uploadRequestID)
}

func (u *upload) checkpointError(verb string, err error) error {
	return fmt.Errorf("%s: %s checkpoint %s: %w", pkg, verb, u.key, err)
}

// resume asks the service how far the upload is, and believes it.
func (u *upload) resume(ctx context.Context) error {
	if u.state.Phase == phaseInitiating {
		return u.initiate(ctx)
	}
	now, err := u.service.Get(ctx, u.state.UploadRequestID)
	if errors.Is(err, ErrNotFound) {
		u.resumed = false
		u.state.UploadRequestID, u.state.InitiatedAt, u.state.LastInitiateAt = 0, time.Time{}, time.Time{}
		u.done = newChunkSet(u.chunks())
		return u.initiate(ctx)
	}
	if err != nil {
		return err
	}
	switch {
	case now.StatusName.Terminal(), now.StatusName.pastMerge():
		return u.save(ctx, phaseMerged)
	case u.state.Phase == phaseMerged:
		u.mergeUncertain = now.StatusName == StatusInitiated
		return nil
	case now.UploadedChunks < u.done.count:
		// It lost some and cannot say which.
		u.done = newChunkSet(u.chunks())
		return u.save(ctx, phaseUploading)
	}
	return nil
}

func (u *upload) save(ctx context.Context, p phase) error {
	u.state.Phase = p
	u.state.Acknowledged = u.done.ranges(u.state.FirstChunk)
	if u.req.Checkpoints == nil {
		return nil
	}
	data, err := u.state.encode()
	if err != nil {
		return u.checkpointError("save", err)
	}
	if err := u.req.Checkpoints.Save(context.WithoutCancel(ctx), u.key, data); err != nil {
		return u.checkpointError("save", err)
	}
	return nil
}

func (u *upload) forget(ctx context.Context) error {
	if u.req.Checkpoints == nil {
		return nil
	}
	if err := u.req.Checkpoints.Delete(context.WithoutCancel(ctx), u.key); err != nil {
		return u.checkpointError("delete", err)
	}
	return nil
}
