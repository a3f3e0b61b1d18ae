package oraclemarket

import (
	"context"
	"crypto/md5" //nolint:gosec // the service's checksum, not a protection
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"hash"
	"io"
	"sync"
	"time"
)

// Defaults of [ImageUpload].
const (
	// DefaultChunkSize is 64 MiB.
	DefaultChunkSize = 64 << 20
	// DefaultConcurrency is 4 chunks at once.
	DefaultConcurrency = 4
)

const (
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
	// Size is the file's length in bytes, above 0.
	Size int64

	// ChunkSize is the length of a chunk in bytes, the last one aside. An upload
	// that is resumed keeps the size that it began with, unless this one is
	// smaller and no chunk was acknowledged. 0 is [DefaultChunkSize], or 4 MiB
	// where a proxy finds the first chunks too large: then the upload begins anew.
	ChunkSize int64
	// Concurrency is the number of chunks in flight, 1 to 64. 0 is
	// [DefaultConcurrency]. A chunk takes up to 256 KiB of memory, whatever its
	// size.
	Concurrency int
	// NewMD5 returns a faster MD5 than crypto/md5. nil for crypto/md5.
	NewMD5 func() hash.Hash
	// DisableChecksum sends no X-MD5-Checksum and compares none. Then nothing
	// notices bytes that change on their way.
	DisableChecksum bool

	// Checkpoints keeps the state of the upload, so that the same call resumes
	// it after an interruption or a crash. nil for none. See [FileCheckpoints].
	Checkpoints CheckpointStore
	// Progress is called once the upload request is known and after each
	// acknowledged chunk, by one goroutine at a time. The upload waits for it.
	Progress func(UploadProgress)
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
	if err := r.checkSettings(); err != nil {
		return err
	}
	if err := checkFileName("ImageUpload", r.FileName); err != nil {
		return err
	}
	if err := checkFile("ImageUpload", r.File, r.Size, ""); err != nil {
		return err
	}
	if r.ChunkSize > 0 && (r.Size-1)/r.ChunkSize >= maxChunks {
		return invalid("ImageUpload.ChunkSize", "makes more than %d chunks of %d bytes", maxChunks, r.Size)
	}
	return nil
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
// FileName is its name unless req has another; File and Size are ignored.
func (s *MachineImagesService) UploadFile(ctx context.Context, path string, req *ImageUpload) (*MachineImageUploadRequest, error) {
	return guard(func() (*MachineImageUploadRequest, error) {
		if err := req.checkSettings(); err != nil {
			return nil, err
		}
		r := *req
		source, err := openSource(path, &r)
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
// merged, and follows the upload request until it has ended. It returns the
// request's last state; one that ended badly is a [*StateError]. Any other
// failure after the first request is an [*UploadError], which names what is left
// behind.
//
// With req.Checkpoints, the same call resumes an upload that was interrupted:
// only chunks that were not acknowledged are sent. The acknowledged ones are
// read again meanwhile, unless the file system vouches for the file, and nothing
// is merged before they proved to be of this file: another one fails with a
// [*SourceChangedError]. A checkpoint in use fails with [ErrCheckpointLocked].
// An upload that the service has forgotten for half a minute starts over. The
// checkpoint is deleted when the request has ended.
//
// If the response to the first request of an upload is lost, even by a crash,
// List is searched for half a minute for its upload request before there is
// another. If several fit, the error matches [ErrAmbiguous] and names them. If
// one fits that another process made of the same image in the same minutes, and
// neither its dates nor its creator nor its chunks differ, it is taken over; if
// that process sends chunks, the error matches [ErrAmbiguous].
//
// A panic of File, Checkpoints, NewMD5 or a callback ends the upload with an
// error, as does runtime.Goexit. No chunk is held in memory. When ctx ends,
// Upload returns, and what was acknowledged is kept.
func (s *MachineImagesService) Upload(ctx context.Context, req *ImageUpload) (*MachineImageUploadRequest, error) {
	return guard(func() (*MachineImageUploadRequest, error) {
		if err := req.Validate(); err != nil {
			return nil, err
		}
		r := *req
		return s.upload(ctx, &r, newSource(&r))
	})
}

func (s *MachineImagesService) upload(ctx context.Context, req *ImageUpload, source *source) (_ *MachineImageUploadRequest, err error) {
	if req.Concurrency == 0 {
		req.Concurrency = DefaultConcurrency
	}
	u := &upload{saves: newJoinedSaves(), service: s.singly(), req: req, source: source, key: s.checkpointKey(req)}
	if locker, ok := req.Checkpoints.(CheckpointLocker); ok {
		unlock, err := locker.Lock(ctx, u.key)
		if err != nil {
			return nil, u.checkpointError("lock", err)
		}
		defer func() {
			if unlockErr := unlock(); unlockErr != nil && err == nil {
				err = u.checkpointError("unlock", unlockErr)
			}
		}()
	}
	last, err := guard(func() (*MachineImageUploadRequest, error) { return u.run(ctx) })
	return last, u.explain(err)
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
	sent           int64 // acknowledged bytes of this call
	told           int   // chunks that Progress knows of: all of them are kept
	toldBytes      int64
	began          time.Time
}

func (u *upload) run(ctx context.Context) (*MachineImageUploadRequest, error) {
	fingerprint, err := u.source.fingerprint(ctx)
	if err != nil {
		return nil, err
	}
	if err := u.load(ctx, fingerprint); err != nil {
		return nil, err
	}
	if u.resumed {
		err = u.resume(ctx)
	} else {
		err = u.initiate(ctx)
	}
	if err != nil {
		return nil, err
	}
	u.began = time.Now()
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
