package oraclemarket

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"maps"
	"net/http"
	"time"

	"github.com/imagejobs/imagejobs-go/internal/transport"
)

// load reads the checkpoint, if there is one for this very file, or makes the
// state of a new upload.
func (u *upload) load(ctx context.Context, fingerprint string) error {
	u.begin(fingerprint, u.req.ChunkSize)
	fresh := u.state
	if u.req.Checkpoints == nil {
		return nil
	}
	found, err := u.find(ctx)
	if found == nil || err != nil {
		return err
	}
	if err := u.usable(found); err != nil {
		return u.checkpointError("load", err)
	}
	if found.Phase == phaseUploading && len(found.Acknowledged) == 0 && u.req.ChunkSize > 0 && u.req.ChunkSize < found.ChunkSize {
		u.state.Abandoned = found.abandon()
		return nil
	}
	u.state, u.resumed, u.tainted = found, true, found.Unproven
	u.done = newChunkSet(u.chunks())
	if err := u.done.addRanges(found.Acknowledged, found.FirstChunk); err != nil {
		return u.checkpointError("load", err)
	}
	vouchedFor := found.Identity != "" && found.Identity == u.source.identity
	u.proven = u.done.count == 0 || vouchedFor
	found.Touched = found.Touched || !vouchedFor
	u.sentBefore = maps.Clone(found.Sent)
	if u.source.file == nil {
		return nil
	}
	return u.sameSource(found, fresh)
}

// find returns the checkpoint of this upload, or nil if there is none.
func (u *upload) find(ctx context.Context) (*checkpoint, error) {
	var data []byte
	err := u.callStore(ctx, func(ctx context.Context) (err error) {
		data, err = u.req.Checkpoints.Load(ctx, u.key)
		return err
	}, nil)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, nil
	}
	if err != nil {
		return nil, u.checkpointError("load", err)
	}
	found, err := decodeCheckpoint(data)
	if err == nil && found.Key != u.key {
		err = invalidCheckpoint("it is of another upload or account: %s %s %s %s at %s",
			found.Application, found.Version, found.OperatingSystem, found.FileName, found.BaseURL)
	}
	if err != nil {
		return nil, u.checkpointError("load", err)
	}
	return found, nil
}

// needsFile reports whether anything of the file is still to be sent.
func (u *upload) needsFile() bool {
	return u.state.Phase == phaseInitiating || u.state.Phase == phaseUploading
}

// begin makes the state of a new upload.
func (u *upload) begin(fingerprint string, chunkSize int64) {
	if chunkSize == 0 {
		const mib = 1 << 20
		share := ((u.req.Size-1)/defaultChunks/mib + 1) * mib
		chunkSize = min(max(share, minDefaultChunk), maxDefaultChunk)
	}
	if u.req.ChunkSize == 0 {
		chunkSize = max(chunkSize, (u.req.Size-1)/maxChunks+1)
	}
	u.state = &checkpoint{
		Format: checkpointFormat, Kind: checkpointKind, Key: u.key,
		BaseURL:     u.service.client.BaseURL(),
		Application: u.req.Application, Version: u.req.Version, OperatingSystem: u.req.OperatingSystem, FileName: u.req.FileName,
		Size: u.req.Size, Fingerprint: fingerprint, Identity: u.source.identity,
		ChunkSize: chunkSize, FirstChunk: u.firstChunk, NoChecksum: u.req.DisableChecksum,
		Phase: phaseInitiating,
	}
	u.resumed, u.proven, u.tainted, u.adopted, u.mayExist = false, true, false, false, false
	u.conflicts, u.sentBefore = nil, nil
	u.done = newChunkSet(u.chunks())
}

// usable refuses a checkpoint that this upload cannot resume from.
func (u *upload) usable(found *checkpoint) error {
	switch {
	case found.Size < 1 || found.ChunkSize < 1 || (found.Size-1)/found.ChunkSize >= maxChunks:
		return invalidCheckpoint("its chunk size %d is not possible", found.ChunkSize)
	case found.FirstChunk != u.firstChunk:
		return invalidCheckpoint("its first chunk number is %d, not %d; resume with the value that it began with", found.FirstChunk, u.firstChunk)
	case found.NoChecksum != u.req.DisableChecksum:
		return invalidCheckpoint("its DisableChecksum is %t, not %t; resume with the value that it began with", found.NoChecksum, u.req.DisableChecksum)
	}
	return nil
}

// sameSource finds out most other files before anything is sent.
func (u *upload) sameSource(found, now *checkpoint) error {
	switch {
	case found.Size != now.Size:
		return sourceChanged("its size was %d and is %d", found.Size, now.Size)
	case found.Fingerprint != "" && now.Fingerprint != "" && found.Fingerprint != now.Fingerprint:
		return sourceChanged("the fingerprint of its content was %s and is %s", found.Fingerprint, now.Fingerprint)
	default:
		return nil
	}
}

func (u *upload) checkpointError(verb string, err error) error {
	return fmt.Errorf("%s: %s checkpoint %s: %w", pkg, verb, u.key, err)
}

// resume asks the service how far the upload is.
func (u *upload) resume(ctx context.Context) error {
	if u.state.Phase == phaseInitiating {
		return u.initiate(ctx)
	}
	now, _, err := u.known(ctx)
	switch {
	case err != nil:
		return err
	case now == nil && u.source.missing != nil:
		return u.source.missing
	case now == nil: // forgotten
		u.begin(u.state.Fingerprint, u.state.ChunkSize)
		return u.initiate(ctx)
	case now.StatusName.Terminal(), now.StatusName.pastMerge() && u.state.Phase != phaseUploading:
		// When a service shows which state is not documented: nobody has requested a
		// merge yet, and if somebody has, the merge is refused.
		return u.save(ctx, phaseMerged)
	case u.state.Phase == phaseMerged:
		u.mergeUncertain = now.StatusName == StatusInitiated
	case u.missesChunks(now):
		u.forgetChunks() // the counts do not show which
		return u.save(ctx, phaseUploading)
	}
	return nil
}

// forgetChunks has all chunks sent again.
func (u *upload) forgetChunks() {
	u.done, u.state.Digest = newChunkSet(u.chunks()), chunkDigest{}
	u.proven, u.tainted, u.state.Unproven, u.state.Identity = true, false, false, u.source.identity
}

// known returns the upload request, or the service's response if that has
// forgotten it. A record may lag as a list does: what it lacks is believed only
// when it lacks it for that long, and List as well.
func (u *upload) known(ctx context.Context) (now *MachineImageUploadRequest, gone, err error) {
	var since time.Time // it lacks something
	for interval := u.service.lag / 30; ; interval = min(2*interval, u.service.lag/6) {
		now, err := u.get(ctx)
		lasts := !since.IsZero() && time.Since(since) >= u.service.lag
		switch {
		case err != nil && !isGone(err):
			return nil, nil, err
		case err == nil && (lasts || !u.missesChunks(now) && !u.otherTotal(now)):
			return now, nil, nil
		case lasts:
			if listed, listErr := u.listed(ctx); listed || listErr != nil {
				return nil, nil, errors.Join(listErr, err)
			}
			return nil, err, nil
		case since.IsZero():
			since = time.Now()
		}
		if sleepErr := transport.Sleep(ctx, interval); sleepErr != nil {
			return nil, nil, errors.Join(sleepErr, err)
		}
	}
}

// isGone reports whether err means that the upload request does not exist.
func isGone(err error) bool {
	e, ok := errors.AsType[*Error](err)
	return ok && (e.StatusCode == http.StatusNotFound || e.StatusCode == http.StatusGone)
}

// missesChunks reports whether the service has fewer chunks than it
// acknowledged. It cannot know if both counts are missing.
func (u *upload) missesChunks(now *MachineImageUploadRequest) bool {
	counts := now.UploadedChunks > 0 || now.PendingChunks > 0
	return u.state.Phase == phaseUploading && counts && now.UploadedChunks < u.done.count &&
		!now.StatusName.Terminal() && !now.StatusName.pastMerge()
}

// listed reports whether List has the upload request, not deleted.
func (u *upload) listed(ctx context.Context) (bool, error) {
	newest := ListMachineImagesOptions{OrderBy: OrderByLastUpdateDate, SortOrder: SortDescending}
	all := allPages(0, 0, func(limit, offset int) (*MachineImagePage, error) {
		newest.Limit, newest.Offset = limit, offset
		page, _, err := u.list(ctx, &newest)
		return page, err
	})
	for r, err := range all {
		if err != nil {
			return false, err
		}
		if r.UploadRequestID == u.state.UploadRequestID {
			return r.StatusName != StatusDeleted, nil
		}
	}
	return false, nil
}

func (u *upload) forget(ctx context.Context) error {
	if u.req.Checkpoints == nil {
		return nil
	}
	err := u.callStore(ctx, func(ctx context.Context) error { return u.req.Checkpoints.Delete(ctx, u.key) }, nil)
	if err != nil {
		return u.checkpointError("delete", err)
	}
	return nil
}
