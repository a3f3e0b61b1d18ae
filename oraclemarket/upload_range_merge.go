package oraclemarket

import (
	"cmp"
	"context"
	"fmt"
	"slices"
	"strconv"
)

// MergeRanges merges the chunks that [MachineImagesService.UploadRange] has sent,
// and follows the upload request as Upload does. ranges must have each chunk of
// the file exactly once, in any order. MergeRanges may be called again after any
// failure: before it requests the merge again, it finds out whether the service
// merged the first time, even after a crash if req.Checkpoints is set.
//
// All ranges must be of files of the same size with the same first and last MiB,
// and the service must have all chunks, if it shows how many it has. If req.File
// or req.Reader is set, it is read and compared with what the ranges sent before
// anything is merged. Otherwise a file that changed between two ranges goes
// unnoticed: have all machines read the same immutable version of it. If
// something differs, the error is a [*SourceChangedError].
//
// If req.Size is 0, it is that of the ranges. ChunkSize, Concurrency,
// BytesPerSecond, DisableChecksum and Progress are not used.
func (s *MachineImagesService) MergeRanges(ctx context.Context, req *ImageUpload, ranges []UploadedRange) (*MachineImageUploadRequest, error) {
	return guard(func() (*MachineImageUploadRequest, error) {
		if err := req.checkNamed(); err != nil {
			return nil, err
		}
		all, err := joinRanges(ranges)
		if err != nil {
			return nil, err
		}
		r := *req
		r.ChunkSize, r.DisableChecksum, r.Progress = all.ChunkSize, all.sha256, nil
		if r.Size = cmp.Or(r.Size, all.Size); r.Size != all.Size {
			return nil, all.changed("its size was %d and is %d", all.Size, r.Size)
		}
		if r.File != nil || r.Reader != nil {
			if err := r.Validate(); err != nil {
				return nil, err
			}
		}
		u := s.newUpload(&r, newSource(&r))
		u.key = s.checkpointKey(&r, "merge", strconv.FormatInt(all.UploadRequestID, 10))
		u.total = all.Count
		var last *MachineImageUploadRequest
		err = u.locked(ctx, func() (err error) {
			last, err = guard(func() (*MachineImageUploadRequest, error) { return u.mergeRanges(ctx, all) })
			return u.explain(err)
		})
		if err == nil && r.Checkpoints != nil {
			err = u.forgetRanges(ctx, ranges)
		}
		return last, err
	})
}

// joinedRanges is a range of all chunks.
type joinedRanges struct {
	UploadedRange

	digest chunkDigest
	sha256 bool // what the digest is made of
}

func joinRanges(ranges []UploadedRange) (*joinedRanges, error) {
	if len(ranges) == 0 {
		return nil, invalid("ranges", "must not be empty")
	}
	sorted := slices.SortedFunc(slices.Values(ranges), func(a, b UploadedRange) int { return cmp.Compare(a.First, b.First) })
	all := &joinedRanges{UploadedRange: sorted[0]}
	if all.Size < 1 || all.ChunkSize < 1 || (all.Size-1)/all.ChunkSize >= maxChunks {
		return nil, invalid("ranges", "have a chunk size of %d for %d bytes", all.ChunkSize, all.Size)
	}
	total := int((all.Size-1)/all.ChunkSize) + 1
	all.First, all.Count, all.Conflicts = 0, 0, 0
	for i, r := range sorted {
		if err := all.add(r, i == 0, total); err != nil {
			return nil, err
		}
	}
	if all.Count != total {
		return nil, invalid("ranges", "lack chunk %d of %d, counted from 0", all.Count, total)
	}
	return all, nil
}

func (j *joinedRanges) add(r UploadedRange, first bool, total int) error {
	digest, sha, err := parseDigest(r.Digest)
	switch {
	case err != nil:
		return invalid("ranges", "have an invalid digest: %v", err)
	case r.UploadRequestID != j.UploadRequestID:
		return invalid("ranges", "are of upload requests %d and %d", j.UploadRequestID, r.UploadRequestID)
	case r.Size != j.Size:
		return j.changed("its size was %d and is %d", j.Size, r.Size)
	case r.ChunkSize != j.ChunkSize:
		return invalid("ranges", "have chunk sizes %d and %d", j.ChunkSize, r.ChunkSize)
	case !first && sha != j.sha256:
		return invalid("ranges", "were sent with DisableChecksum and without")
	case r.Fingerprint != j.Fingerprint:
		return j.changed("the fingerprint of its content was %s and is %s", j.Fingerprint, r.Fingerprint)
	case r.First < j.Count:
		return invalid("ranges", "have chunk %d twice, counted from 0", r.First)
	case r.First > j.Count:
		return invalid("ranges", "lack chunk %d of %d, counted from 0", j.Count, total)
	}
	if err := r.check(total); err != nil {
		return err
	}
	j.digest.sum(digest)
	j.sha256 = sha
	j.Count += r.Count
	j.Conflicts += r.Conflicts
	return nil
}

func (j *joinedRanges) changed(format string, args ...any) error {
	return &SourceChangedError{Change: fmt.Sprintf(format, args...), UploadRequestID: j.UploadRequestID}
}

// mergeRanges continues an upload all of whose chunks were acknowledged.
func (u *upload) mergeRanges(ctx context.Context, all *joinedRanges) (*MachineImageUploadRequest, error) {
	fingerprint, err := u.source.fingerprint(ctx)
	if err != nil {
		return nil, err
	}
	u.begin(all.Fingerprint, all.ChunkSize)
	u.state.UploadRequestID, u.state.Phase, u.state.Digest = all.UploadRequestID, phaseUploading, all.digest
	if fingerprint != "" && fingerprint != all.Fingerprint {
		return nil, sourceChanged("the fingerprint of its content was %s and is %s", all.Fingerprint, fingerprint)
	}
	for i := range u.done.have {
		u.done.add(i)
	}
	var before phase
	if u.req.Checkpoints != nil {
		found, err := u.find(ctx)
		if err != nil {
			return nil, err
		}
		if found != nil {
			before = found.Phase
		}
	}
	now, err := u.knownRange(ctx)
	if err != nil {
		return nil, err
	}
	if now.StatusName.Terminal() || now.StatusName.pastMerge() {
		return u.wait(ctx)
	}
	if u.missesChunks(now) || all.Conflicts > 0 && now.UploadedChunks < u.total {
		return nil, fmt.Errorf("%s: the service has %d of %d chunks, and refused to take %d again", pkg, now.UploadedChunks, u.total, all.Conflicts)
	}
	requested := before == phaseMerging || before == phaseMerged // by an earlier call, which has proven them
	u.proven = u.source.file == nil || requested
	if err := u.sendChunks(ctx); err != nil { // it has none to send, but to prove
		return nil, err
	}
	u.mergeUncertain = before == phaseMerged
	if err := u.save(ctx, phaseMerging); err != nil {
		return nil, err
	}
	if err := u.merge(ctx, requested || now.StatusName != StatusInitiated); err != nil {
		return nil, err
	}
	return u.wait(ctx)
}

// forgetRanges deletes the checkpoints that this store has of the ranges.
func (u *upload) forgetRanges(ctx context.Context, ranges []UploadedRange) error {
	for _, r := range ranges {
		u.key = u.service.rangeKey(u.req, r.ChunkRange, r.ChunkSize)
		if err := u.forget(ctx); err != nil {
			return err
		}
	}
	return nil
}
