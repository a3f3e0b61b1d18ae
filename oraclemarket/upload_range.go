package oraclemarket

import (
	"cmp"
	"context"
	"fmt"
	"io"
	"strconv"
)

// ChunkRange is a part of the chunks of an upload request.
type ChunkRange struct {
	// UploadRequestID is the id of the upload request, the EntityID that
	// [MachineImagesService.Initiate] returned.
	UploadRequestID int64 `json:"uploadRequestId"`
	// First is the index of the first chunk, from 0, whatever
	// [WithFirstChunkNumber] says. Count is how many chunks there are, at least 1.
	First int `json:"first"`
	Count int `json:"count"`
}

// UploadedRange describes chunks that the service has, for
// [MachineImagesService.MergeRanges]. It is plain data without a secret, which
// survives JSON unchanged.
type UploadedRange struct {
	ChunkRange

	// Size is the length of the whole file in bytes, ChunkSize that of its chunks.
	Size      int64 `json:"size"`
	ChunkSize int64 `json:"chunkSize"`
	// Fingerprint is a hash of the file's first and last MiB.
	Fingerprint string `json:"fingerprint"`
	// Digest is a digest over the chunks that does not depend on their order: those
	// of all ranges add up to that of the file.
	Digest string `json:"digest"`
	// Conflicts is how many of the chunks were sent again and then refused with 409.
	// MergeRanges accepts them if the service counts all chunks of the file.
	Conflicts int `json:"conflicts,omitempty"`
}

// UploadRange sends a part of the chunks of an upload request, so that several
// machines can share a large image: [MachineImagesService.Initiate] is called
// once with the number of chunks, each range is sent by any machine that can
// read the file, and [MachineImagesService.MergeRanges] is called once with all
// results.
//
// It takes the request of an Upload, with the File and Size of the whole file
// and the ChunkSize of all ranges, which must not be 0. Reader must be nil.
// OverwriteStorageFile, NoWait, StatusChanged and WaitOptions are not used.
// Concurrency and BytesPerSecond are those of this call. Progress, and an
// [*UploadError], count the bytes and chunks of the range alone.
//
// With req.Checkpoints, the same call resumes a range that was interrupted, also
// on another machine, as Upload does. The checkpoint stays when the range is
// complete, so that a repeated call sends nothing; MergeRanges deletes it.
// Without Checkpoints, all chunks of the range are sent again, and a 409 for one
// that an earlier call has sent is an error.
//
// If the service has not known the upload request for half a minute, the error
// matches [ErrNotFound]; if it was merged, [ErrAlreadyMerged]; if it ended badly,
// the error is a [*StateError]. An upload request for another image, or for
// another number of chunks if the service shows that, is refused before anything
// is sent.
func (s *MachineImagesService) UploadRange(ctx context.Context, req *ImageUpload, chunks ChunkRange) (*UploadedRange, error) {
	return guard(func() (*UploadedRange, error) {
		if err := req.checkRange(chunks); err != nil {
			return nil, err
		}
		whole, section := newSource(req), *req
		offset := int64(chunks.First) * req.ChunkSize
		section.Size = min(int64(chunks.Count)*req.ChunkSize, req.Size-offset)
		section.File = io.NewSectionReader(req.File, offset, section.Size)
		source := newSource(&section)
		source.size = whole.size
		u := s.newUpload(&section, source)
		u.key = s.rangeKey(req, chunks, req.ChunkSize)
		u.firstChunk += chunks.First
		u.total = req.chunks()
		var sent *UploadedRange
		err := u.locked(ctx, func() (err error) {
			sent, err = guard(func() (*UploadedRange, error) { return u.runRange(ctx, chunks, whole) })
			return u.explain(err)
		})
		return sent, err
	})
}

func (r *ImageUpload) checkRange(chunks ChunkRange) error {
	switch err := r.Validate(); {
	case err != nil:
		return err
	case r.Reader != nil:
		return invalid("ImageUpload.Reader", "must be nil for a range of chunks")
	case r.ChunkSize == 0:
		return invalid("ImageUpload.ChunkSize", "must be positive for a range of chunks")
	}
	return chunks.check(r.chunks())
}

// chunks returns how many chunks the file has.
func (r *ImageUpload) chunks() int { return int((r.Size-1)/r.ChunkSize) + 1 }

func (c ChunkRange) check(total int) error {
	switch {
	case c.UploadRequestID < 1:
		return invalid("ChunkRange.UploadRequestID", "must be positive, not %d", c.UploadRequestID)
	case c.First < 0 || c.First >= total:
		return invalid("ChunkRange.First", "must be 0 to %d, as there are %d chunks, not %d", total-1, total, c.First)
	case c.Count < 1 || c.Count > total-c.First:
		return invalid("ChunkRange.Count", "must be 1 to %d, as there are %d chunks, not %d", total-c.First, total, c.Count)
	}
	return nil
}

func (s *MachineImagesService) rangeKey(req *ImageUpload, c ChunkRange, chunkSize int64) string {
	return s.checkpointKey(req, strconv.FormatInt(c.UploadRequestID, 10), strconv.FormatInt(chunkSize, 10),
		strconv.Itoa(c.First), strconv.Itoa(c.Count))
}

// runRange sends the range as an upload of a section of the file, whose chunks
// have other numbers.
func (u *upload) runRange(ctx context.Context, chunks ChunkRange, whole *source) (*UploadedRange, error) {
	fingerprint, err := whole.fingerprint(ctx)
	if err != nil {
		return nil, err
	}
	if err := u.load(ctx, fingerprint); err != nil {
		return nil, err
	}
	u.state.UploadRequestID, u.state.Phase = chunks.UploadRequestID, phaseUploading
	now, err := u.knownRange(ctx)
	if err != nil {
		return nil, err
	}
	merged := now.StatusName.pastMerge()
	switch {
	case now.StatusName.failed():
		return nil, stateError(now)
	case merged && u.done.count < len(u.done.have):
		return nil, fmt.Errorf("%s: upload request %d has status %q: %w", pkg, now.UploadRequestID, now.StatusName, ErrAlreadyMerged)
	case u.missesChunks(now):
		u.forgetChunks()
	}
	if !merged {
		u.reportAll()
		if err := u.sendChunks(ctx); err != nil {
			return nil, err
		}
		if err := whole.check(ctx, fingerprint); err != nil {
			return nil, err
		}
	}
	digest := u.state.Digest
	for _, c := range u.conflicts {
		digest.add(u.state.FirstChunk+c.chunk, c.sum)
	}
	return &UploadedRange{
		ChunkRange: chunks, Size: whole.size, ChunkSize: u.state.ChunkSize, Fingerprint: fingerprint,
		Digest: digest.label(u.req.DisableChecksum), Conflicts: len(u.conflicts),
	}, nil
}

// knownRange returns the upload request that the ranges are of.
func (u *upload) knownRange(ctx context.Context) (*MachineImageUploadRequest, error) {
	now, gone, err := u.known(ctx)
	switch {
	case err != nil:
		return nil, err
	case now == nil:
		return nil, gone
	case !u.mayBeOf(now):
		return nil, fmt.Errorf("%s: upload request %d is of another image: %s %s %s %s",
			pkg, now.UploadRequestID, now.Application, now.Version, now.OperatingSystem, now.FileName)
	case u.otherTotal(now):
		return nil, fmt.Errorf("%s: upload request %d has another number of chunks than %d: %d uploaded, %d pending",
			pkg, now.UploadRequestID, u.total, now.UploadedChunks, now.PendingChunks)
	}
	return now, nil
}

// mayBeOf reports whether nothing in now is of another image than the ranges.
func (u *upload) mayBeOf(now *MachineImageUploadRequest) bool {
	given := *now // missing names are those of the ranges
	given.Application, given.Version = cmp.Or(now.Application, u.req.Application), cmp.Or(now.Version, u.req.Version)
	given.OperatingSystem, given.FileName = cmp.Or(now.OperatingSystem, u.req.OperatingSystem), cmp.Or(now.FileName, u.req.FileName)
	return u.sameImage(&given)
}

// otherTotal reports whether the counts show that the upload request was begun
// with another number of chunks. What pendingChunks means is not documented: 0
// means nothing.
func (u *upload) otherTotal(now *MachineImageUploadRequest) bool {
	pending := now.PendingChunks
	return u.total > 0 && !now.StatusName.Terminal() && !now.StatusName.pastMerge() &&
		(now.UploadedChunks > u.total || pending != 0 && pending != u.total && pending != u.total-now.UploadedChunks)
}
