package oraclemarket

import (
	"cmp"
	"context"
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

// DefaultConcurrency is the largest number of chunks in flight of an
// [ImageUpload] whose Concurrency is 0.
const DefaultConcurrency = 4

const (
	// The default chunk size is this share of the file, in whole MiB, within these
	// bounds.
	defaultChunks   = 64
	minDefaultChunk = 16 << 20
	maxDefaultChunk = 64 << 20
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
	// OverwriteStorageFile is whether to replace a stored file of the same path.
	// nil uses the service's default, which is not documented.
	OverwriteStorageFile *bool
	// FileName is the image's file name. Required. UploadFile defaults to the last
	// element of the path.
	FileName string
	// File is read from offset 0 to Size by several goroutines at once, and each
	// chunk twice: for its checksum and to send it. It is not read after Upload
	// has returned, so a blocked ReadAt blocks Upload.
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

	// ChunkSize is the length in bytes of every chunk but the last. A resumed
	// upload keeps its size, unless ChunkSize is smaller and no chunk was
	// acknowledged.
	//
	// 0 fits the file: a 64th of it, in whole MiB, but 16 to 64, or more if that
	// makes over 1<<20 chunks. An interruption loses about half of each chunk in
	// flight: of an image of 1 GiB at 1 MiB/s, 8 MiB on average, and 44 if its
	// chunks had 64 MiB. Larger chunks wait for fewer responses: where each
	// connection has 64 MiB/s and a round trip of 50 ms, those of 64 MiB are a tenth
	// faster than those of 16. If a proxy refuses the first chunks as too large, the
	// upload begins anew with 4 MiB, unless it has a Reader.
	ChunkSize int64
	// Concurrency is the number of chunks in flight, 1 to 64. A chunk of File takes
	// up to 256 KiB of memory, whatever its size.
	//
	// 0 fits the line, up to [DefaultConcurrency]. An upload begins with one chunk,
	// and has as many in flight as the line carries in ten seconds: on a slow line
	// more are no faster, and all that is in flight is lost in an interruption. For
	// lines on which each connection is slow by itself, it probes with more, and
	// keeps them if they are faster together.
	Concurrency int
	// BytesPerSecond limits the rate of all chunks together. 0 means no limit.
	BytesPerSecond int64
	// NewMD5 returns a hash that computes MD5, for example a faster one. nil means
	// [md5.New].
	NewMD5 func() hash.Hash
	// DisableChecksum neither sends nor compares MD5 checksums. Bytes that change
	// in transit then go unnoticed.
	DisableChecksum bool

	// Checkpoints keeps the state of the upload, so that the same call resumes it
	// after an interruption or a crash. Chunks do not wait for saves: after a
	// crash, up to Concurrency acknowledged chunks are sent again, besides those
	// that were in flight. May be nil. See [FileCheckpoints].
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

// UploadFile calls [MachineImagesService.Upload] with the file at path, a
// regular file or a block device. It sets File and Size, and FileName if req
// has none, in a copy of req, and ignores Reader. Once the merge was requested,
// the file need not exist.
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
// until it is merged. It returns the request's last state; if it ended badly,
// the error is a [*StateError]. Any other failure after the first request is an
// [*UploadError], which names what is left behind.
//
// With req.Checkpoints, the same call resumes an upload that was interrupted:
// only chunks that were not acknowledged are sent. Meanwhile the acknowledged
// ones are read again, unless the file system shows that the file has not
// changed. Nothing is merged until they prove to be of this file; if they are
// not, Upload fails with a [*SourceChangedError]. If another upload uses the
// checkpoint, the error matches [ErrCheckpointLocked]. If the service has not
// known the upload request for half a minute, the upload starts over. The
// checkpoint is deleted when Upload returns without an error or the request has
// ended. [MachineImagesService.DiscardUpload] deletes it together with the
// upload request, to start over.
//
// Once the merge was requested, the same call resumes without the file: File
// and Reader may both be nil then.
//
// If the response to the first request of an upload is lost, even in a crash,
// List is searched for its upload request for half a minute before another is
// made. If several match, the error matches [ErrAmbiguous] and names them.
// Upload may take over an upload request that another [Client] made for the same
// image at the same time, in this process or another, if nothing tells the two
// apart. If that one then sends chunks, the error matches [ErrAmbiguous].
//
// If File, Reader, Checkpoints, NewMD5 or a callback panics or calls
// [runtime.Goexit], Upload returns an error. No chunk of File is held in
// memory. When ctx is done, Upload returns; what was acknowledged stays in the
// checkpoint.
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
	u := s.newUpload(req, source)
	defer u.release()
	var last *MachineImageUploadRequest
	err := u.locked(ctx, func() (err error) {
		last, err = guard(func() (*MachineImageUploadRequest, error) { return u.run(ctx) })
		return u.explain(err)
	})
	return last, err
}

func (s *MachineImagesService) newUpload(req *ImageUpload, source *source) *upload {
	r := *req
	r.Concurrency = cmp.Or(r.Concurrency, DefaultConcurrency)
	if source != nil && source.missing != nil {
		r.Size = 1 // nobody has validated it, and it is not needed
	}
	return &upload{
		saves: newJoinedSaves(), service: s.singly(), req: &r, source: source, key: s.checkpointKey(req),
		firstChunk: s.firstChunk, chooses: req.Concurrency == 0, limiter: newLimiter(r.BytesPerSecond, r.Concurrency),
	}
}

// checkpointKey is the same for the same image of the same account on the same
// service, even if the file has changed, which is worth an error. A part of an
// upload has more parts.
func (s *MachineImagesService) checkpointKey(req *ImageUpload, more ...string) string {
	h := sha256.New()
	parts := []string{s.client.BaseURL(), s.user, req.Application, req.Version, req.OperatingSystem, req.FileName}
	for _, part := range append(parts, more...) {
		fmt.Fprintf(h, "%d:%s", len(part), part)
	}
	return "oraclemarket-" + hex.EncodeToString(h.Sum(nil)[:16])
}

// upload is one call of Upload, UploadRange or MergeRanges.
type upload struct {
	service    *MachineImagesService
	req        *ImageUpload
	source     *source
	key        string
	firstChunk int // its number
	total      int // chunks of the file where this is a part of it, else 0

	limiter  *limiter // nil for none
	chooses  bool     // how many chunks are in flight
	ramp     *ramp
	saves    *joinedSaves
	warnOnce sync.Once
	hung     *hungCall // after which the store is not called again
	// saveBehind saves and reports that a chunk is acknowledged, without delay for
	// the next one.
	saveBehind func(i int) error

	mu             sync.Mutex // over what follows, while chunks are in flight
	state          *checkpoint
	done           *chunkSet
	resumed        bool
	proven         bool           // the acknowledged chunks are of this file
	changed        bool           // they are not: nothing more is acknowledged
	tainted        bool           // an earlier call may have sent chunks of another file
	adopted        bool           // the upload request was found by List
	begun          int            // chunks that may have been sent
	sentBefore     map[int]string // what earlier calls sent, if that is known
	conflicts      []conflict
	mayExist       bool // an upload request whose id is not known
	mergeUncertain bool // an earlier call saw the merge acknowledged, but the service has not merged
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
	if !u.claim(u.state.UploadRequestID) {
		return nil, fmt.Errorf("%s: upload request %d: %w", pkg, u.state.UploadRequestID, ErrCheckpointLocked)
	}
	err = u.send(ctx)
	if isTooLarge(err) && u.canShrink() {
		u.shrink()
		err = u.send(ctx)
	}
	if err != nil {
		return nil, err
	}
	repeated := u.state.Phase == phaseMerging // by an earlier call
	if u.state.Phase == phaseUploading {
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

// send finds or makes the upload request, and sends its chunks unless it is
// past that.
func (u *upload) send(ctx context.Context) (err error) {
	if u.resumed {
		err = u.resume(ctx)
	} else {
		err = u.initiate(ctx)
	}
	if err != nil {
		return err
	}
	u.reportAll()
	if u.state.Phase != phaseUploading {
		return nil
	}
	return u.sendChunks(ctx)
}
