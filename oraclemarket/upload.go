package oraclemarket

import (
	"cmp"
	"context"
	"crypto/md5" //nolint:gosec // the service's checksum, not a protection
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"hash"
	"io"
	"io/fs"
	"path/filepath"
	"sync"
)

// DefaultConcurrency is that of [ImageUpload]: 4 chunks at once.
const DefaultConcurrency = 4

const (
	// minDefaultChunk and maxDefaultChunk bound the default chunk size: smaller
	// chunks cost a round trip more often, of larger ones an interruption loses
	// more.
	minDefaultChunk = 16 << 20
	maxDefaultChunk = 64 << 20
	// defaultChunks is how many chunks a file has between them.
	defaultChunks = 16
	// maxChunks keeps the checkpoint and the memory of an upload small.
	maxChunks = 1 << 20
	// maxConcurrency is how many requests a client has in flight: more chunks
	// at once would only queue.
	maxConcurrency = 64
)

// ImageUpload is a machine image for [MachineImagesService.Upload].
type ImageUpload struct {
	// Application, Version and OperatingSystem name the image. Required.
	Application     string
	Version         string
	OperatingSystem string
	// OverwriteStorageFile says whether to replace a stored file of the same
	// path. nil leaves that to the service, whose default is not documented.
	OverwriteStorageFile *bool
	// FileName is the image's file name. Required, but for UploadFile, which
	// takes the last part of the path.
	FileName string
	// File is read from 0 to Size, by several goroutines at once, and twice:
	// for the checksum of a chunk and to send it. It is not read after Upload
	// has returned: a ReadAt that blocks blocks Upload.
	File io.ReaderAt
	// Reader is read once, from its start up to Size, in place of File: standard
	// input, a pipe, or an [io.SectionReader] of a file that is expensive to read
	// twice. Each chunk that is read ahead or in flight is held in memory, at most
	// Concurrency times ChunkSize in all, and once more where the service wants
	// the first chunk before there is an upload request. A resumed upload reads
	// from the start, too, and compares what was acknowledged. A Read that blocks
	// blocks Upload.
	Reader io.Reader
	// Size is the file's length in bytes, above 0.
	Size int64

	// ChunkSize is the length of a chunk in bytes, the last one aside. An upload
	// that is resumed keeps the size that it began with, unless this one is
	// smaller and no chunk was acknowledged.
	//
	// 0 fits the file: a sixteenth of it, from 16 to 64 MiB, and more where that
	// makes over 1<<20 chunks. Smaller chunks would be slower on a line with a
	// long way, and larger ones lose more in an interruption. Where a proxy finds
	// the first chunks too large, 0 begins anew with 4 MiB, but not with Reader.
	ChunkSize int64
	// Concurrency is the number of chunks in flight, 1 to 64. 0 is
	// [DefaultConcurrency]. A chunk of File takes up to 256 KiB of memory, whatever
	// its size.
	Concurrency int
	// BytesPerSecond limits how fast all chunks together are sent. 0 for no limit.
	BytesPerSecond int64
	// NewMD5 returns a faster MD5 than crypto/md5. nil for crypto/md5.
	NewMD5 func() hash.Hash
	// DisableChecksum sends no X-MD5-Checksum and compares none. Then nothing
	// notices bytes that change on their way.
	DisableChecksum bool

	// Checkpoints keeps the state of the upload, so that the same call resumes
	// it after an interruption or a crash. nil for none. See [FileCheckpoints].
	Checkpoints CheckpointStore
	// Progress is called once the upload request is known, after each acknowledged
	// chunk, and more than twice a second while bytes move, by one goroutine at a
	// time. The upload waits for it.
	Progress func(UploadProgress)
	// NoWait ends the upload once it is merged, with the first state that the
	// service shows then. [MachineImagesService.Wait] follows it to its end.
	NoWait bool
	// StatusChanged is called with what [MachineImagesService.Watch] yields
	// once the chunks are merged.
	StatusChanged func(*MachineImageUploadRequest)
	// WaitOptions configure the polls after the merge.
	WaitOptions []WaitOption
}

// Validate returns the [*ArgumentError] that [MachineImagesService.Upload]
// would, so that a pipeline can fail before it builds the image.
// [MachineImagesService.UploadFile] fills in FileName, File and Size itself.
func (r *ImageUpload) Validate() error {
	if err := r.checkNamed(); err != nil {
		return err
	}
	if err := r.checkSource(); err != nil {
		return err
	}
	if r.ChunkSize > 0 && (r.Size-1)/r.ChunkSize >= maxChunks {
		return invalid("ImageUpload.ChunkSize", "makes more than %d chunks of %d bytes", maxChunks, r.Size)
	}
	return nil
}

func (r *ImageUpload) checkSource() error {
	switch {
	case r.Reader == nil:
		return checkFile("ImageUpload", r.File, r.Size, "")
	case r.File != nil:
		return invalid("ImageUpload.Reader", "must be nil where File is set")
	default:
		return checkSize("ImageUpload", r.Size)
	}
}

// checkNamed validates all but the file itself.
func (r *ImageUpload) checkNamed() error {
	if err := r.checkSettings(); err != nil {
		return err
	}
	return checkFileName("ImageUpload", r.FileName)
}

// checkSettings validates what does not concern the file.
func (r *ImageUpload) checkSettings() error {
	const name = "ImageUpload"
	if r == nil {
		return invalid(name, "must not be nil")
	}
	if err := checkImageName(name, r.Application, r.Version, r.OperatingSystem); err != nil {
		return err
	}
	switch {
	case r.ChunkSize < 0:
		return invalid(name+".ChunkSize", "must be positive, or 0 for the default, not %d", r.ChunkSize)
	case r.Concurrency < 0:
		return invalid(name+".Concurrency", "must be positive, or 0 for the default, not %d", r.Concurrency)
	case r.Concurrency > maxConcurrency:
		return invalid(name+".Concurrency", "must be at most %d, not %d", maxConcurrency, r.Concurrency)
	case r.BytesPerSecond < 0:
		return invalid(name+".BytesPerSecond", "must be positive, or 0 for no limit, not %d", r.BytesPerSecond)
	}
	if err := r.checkHash(); err != nil {
		return err
	}
	_, err := pollOptions(r.WaitOptions)
	return err
}

func (r *ImageUpload) checkHash() error {
	if r.DisableChecksum {
		return nil
	}
	newMD5 := r.NewMD5
	if newMD5 == nil {
		newMD5 = md5.New
	}
	h := newMD5()
	if h == nil || h.Size() != md5.Size {
		return invalid("ImageUpload.NewMD5", "must return hashes of %d bytes", md5.Size)
	}
	defer closeHash(h)
	if _, err := h.Write(nil); err != nil { // as with GODEBUG=fips140=only
		return invalid("ImageUpload.DisableChecksum", "must be true: %v", err)
	}
	return nil
}

// UploadFile is Upload for the file at path, a regular file or a block device.
// FileName is its name unless req has another; File, Reader and Size are ignored.
// An upload whose merge was requested goes on without the file.
func (s *MachineImagesService) UploadFile(ctx context.Context, path string, req *ImageUpload) (*MachineImageUploadRequest, error) {
	return guard(func() (*MachineImageUploadRequest, error) {
		if err := req.checkSettings(); err != nil { // that req is not nil
			return nil, err
		}
		r := *req
		r.FileName, r.Reader = cmp.Or(r.FileName, filepath.Base(path)), nil
		if err := r.checkNamed(); err != nil {
			return nil, err
		}
		source, err := openSource(path, &r)
		if err != nil && r.Checkpoints != nil && errors.Is(err, fs.ErrNotExist) {
			return s.upload(ctx, &r, missingSource(err))
		}
		if err != nil {
			return nil, err
		}
		defer source.close()
		if err := r.Validate(); err != nil {
			return nil, err
		}
		return s.upload(ctx, &r, source)
	})
}

// Upload sends a machine image to the service in parallel chunks, has them
// merged, and follows the upload request until it has ended, or with req.NoWait
// until it is merged. It returns the request's last state; one that ended badly is a [*StateError]. Any other
// failure after the first request is an [*UploadError], which names what is left
// behind.
//
// With req.Checkpoints, the same call resumes an upload that was interrupted:
// only chunks that were not acknowledged are sent. The acknowledged ones are
// read again meanwhile, unless the file system vouches for the file, and nothing
// is merged before they proved to be of this file: another one fails with a
// [*SourceChangedError]. A checkpoint in use fails with [ErrCheckpointLocked].
// An upload that the service has forgotten for half a minute starts over. The
// checkpoint is deleted when Upload has returned the request. Once the merge was requested,
// the file is not needed any more, and may be nil.
//
// To start over, call [MachineImagesService.DiscardUpload] first.
//
// If the response to the first request of an upload is lost, even by a crash,
// List is searched for half a minute for its upload request before there is
// another. If several fit, the error matches [ErrAmbiguous] and names them. If
// one fits that another process made of the same image in the same minutes, and
// neither its dates nor its creator nor its chunks differ, it is taken over; if
// that process sends chunks, the error matches [ErrAmbiguous].
//
// A panic of File, Reader, Checkpoints, NewMD5 or a callback ends the upload with an
// error, as does runtime.Goexit. No chunk of File is held in memory. When ctx
// ends, Upload returns, and what was acknowledged is kept.
func (s *MachineImagesService) Upload(ctx context.Context, req *ImageUpload) (*MachineImageUploadRequest, error) {
	return guard(func() (*MachineImageUploadRequest, error) {
		err := req.Validate()
		if err != nil && (req.checkNamed() != nil || req.File != nil || req.Reader != nil || req.Checkpoints == nil) {
			return nil, err
		}
		r := *req
		if err != nil {
			return s.upload(ctx, &r, missingSource(err))
		}
		return s.upload(ctx, &r, newSource(&r))
	})
}

func (s *MachineImagesService) upload(ctx context.Context, req *ImageUpload, source *source) (*MachineImageUploadRequest, error) {
	if req.Concurrency == 0 {
		req.Concurrency = DefaultConcurrency
	}
	u := s.newUpload(req, source)
	u.limiter = newLimiter(req.BytesPerSecond, req.Concurrency)
	var last *MachineImageUploadRequest
	err := u.locked(ctx, func() (err error) {
		last, err = guard(func() (*MachineImageUploadRequest, error) { return u.run(ctx) })
		return u.explain(err)
	})
	return last, err
}

func (s *MachineImagesService) newUpload(req *ImageUpload, source *source) *upload {
	return &upload{saves: newJoinedSaves(), service: s, req: req, source: source, key: s.checkpointKey(req)}
}

// checkpointKey is the same for the same image of the same account on the same
// service, whatever became of the file: that a file has changed is worth an
// error.
func (s *MachineImagesService) checkpointKey(req *ImageUpload) string {
	h := sha256.New()
	for _, part := range []string{s.client.BaseURL(), s.user, req.Application, req.Version, req.OperatingSystem, req.FileName} {
		fmt.Fprintf(h, "%d:%s", len(part), part)
	}
	return "oraclemarket-" + hex.EncodeToString(h.Sum(nil)[:16])
}

// upload is one call of Upload.
type upload struct {
	service *MachineImagesService
	req     *ImageUpload
	source  *source
	key     string

	limiter  *limiter // nil for none
	saves    *joinedSaves
	warnOnce sync.Once

	mu             sync.Mutex // over what follows, while chunks are in flight
	state          *checkpoint
	done           *chunkSet
	resumed        bool
	proven         bool // the acknowledged chunks are of this file
	changed        bool // they are not: nothing more is acknowledged
	tainted        bool // an earlier call may have sent chunks of another file
	adopted        bool // the upload request was found by List
	begun          int  // chunks that may have been sent
	conflicts      []conflict
	abandoned      int64 // the upload request before this one, whose chunks were too large
	mayExist       bool  // an upload request whose id is not known
	mergeUncertain bool  // an earlier call saw the merge acknowledged, but the service has not merged
	progress       progress
}

func (u *upload) run(ctx context.Context) (*MachineImageUploadRequest, error) {
	fingerprint, err := u.source.fingerprint(ctx)
	if err != nil {
		return nil, err
	}
	if err := u.load(ctx, fingerprint); err != nil {
		return nil, err
	}
	if u.needsFile() && u.source.missing != nil {
		return nil, u.source.missing
	}
	if u.resumed {
		err = u.resume(ctx)
	} else {
		err = u.initiate(ctx)
	}
	if err != nil {
		return nil, err
	}
	u.reportAll()
	repeated := u.state.Phase == phaseMerging // by an earlier call
	if u.state.Phase == phaseUploading {
		err := u.sendChunks(ctx)
		if isTooLarge(err) && u.canShrink() {
			err = u.shrink(ctx)
		}
		if err != nil {
			return nil, err
		}
		if err := u.source.check(ctx, fingerprint); err != nil {
			return nil, err
		}
		if err := u.save(ctx, phaseMerging); err != nil {
			return nil, err
		}
	}
	if u.state.Phase == phaseMerging || u.mergeUncertain {
		if err := u.merge(ctx, repeated || u.mergeUncertain); err != nil {
			return nil, err
		}
	}
	return u.wait(ctx)
}
