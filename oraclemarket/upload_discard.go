package oraclemarket

import (
	"context"
	"fmt"
	"time"

	"github.com/imagejobs/imagejobs-go/internal/transport"
)

// DiscardUpload deletes what an unfinished upload left, so that the next
// [MachineImagesService.Upload] starts over: its upload request with the chunks
// and its checkpoint. It takes the same request as Upload, without File and Size;
// after UploadFile, FileName is the last element of the path. req.Checkpoints is
// required. Without a checkpoint there is nothing to discard, which is not an
// error.
//
// An upload that was merged is not discarded: the error matches
// [ErrAlreadyMerged], and the same Upload follows it to its end. If the
// response to the first request was lost, its upload request is searched for as
// by Upload. Whether the service deletes an earlier image of the same path with
// an upload request is not documented.
func (s *MachineImagesService) DiscardUpload(ctx context.Context, req *ImageUpload) error {
	_, err := guard(func() (struct{}, error) {
		if err := req.checkNamed(); err != nil {
			return struct{}{}, err
		}
		if req.Checkpoints == nil {
			return struct{}{}, invalid("ImageUpload.Checkpoints", "must not be nil")
		}
		u := s.newUpload(req, nil)
		return struct{}{}, u.locked(ctx, func() error { return u.discard(ctx) })
	})
	return err
}

func (u *upload) discard(ctx context.Context) error {
	found, err := u.find(ctx)
	if found == nil || err != nil {
		return err
	}
	u.state, u.resumed = found, true
	if found.Size < 1 || found.ChunkSize < 1 || (found.Size-1)/found.ChunkSize >= maxChunks {
		return u.checkpointError("load", invalidCheckpoint("its chunk size %d is not possible", found.ChunkSize))
	}
	u.done = newChunkSet(u.chunks())
	if found.Phase == phaseInitiating {
		found.UploadRequestID, err = u.findLost(ctx, u.lastArrival().Add(u.service.lag))
		if err != nil {
			return err
		}
	}
	if found.UploadRequestID != 0 {
		if err := u.discardRequest(ctx); err != nil {
			return err
		}
	}
	return u.forget(ctx)
}

// discardRequest deletes the upload request, unless it is gone or has ended.
func (u *upload) discardRequest(ctx context.Context) error {
	now, _, err := u.known(ctx)
	if now == nil || err != nil {
		return err
	}
	merged := now.StatusName.pastMerge()
	if !merged && u.state.Phase != phaseUploading && u.state.Phase != phaseInitiating {
		if now, err = u.mayMerge(ctx); err != nil {
			return err
		}
		merged = now.StatusName != StatusInitiated && !now.StatusName.failed()
	}
	id := u.state.UploadRequestID
	switch {
	case merged:
		return fmt.Errorf("%s: upload request %d has status %q: %w", pkg, id, now.StatusName, ErrAlreadyMerged)
	case now.StatusName.failed():
		return nil
	}
	err = u.rideOut(ctx, func() error {
		_, err := u.service.DeleteEverywhere(ctx, id)
		return err
	})
	if isGone(err) {
		return nil
	}
	return err
}

// mayMerge returns the upload request once it is not Initiated any more, or
// after as long as its record may lag behind a merge that came through.
func (u *upload) mayMerge(ctx context.Context) (*MachineImageUploadRequest, error) {
	end := time.Now().Add(u.service.lag)
	for interval := u.service.lag / 30; ; interval = min(2*interval, u.service.lag/6) {
		now, err := u.get(ctx)
		if err != nil || now.StatusName != StatusInitiated || !time.Now().Before(end) {
			return now, err
		}
		if err := transport.Sleep(ctx, interval); err != nil {
			return nil, err
		}
	}
}
