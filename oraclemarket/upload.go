package oraclemarket

import (
	"context"
	"crypto/md5" //nolint:gosec // the service's checksum, not a protection
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"hash"
	"io"
	"io/fs"
	"net/http"
	"net/url"
	"os"
	"path/filepath"
	"runtime"
	"slices"
	"strings"
	"sync"
	"time"

	"golang.org/x/sync/errgroup"

	"github.com/imagejobs/imagejobs-go/internal/poll"
	"github.com/imagejobs/imagejobs-go/internal/transport"
)

// Defaults of UploadRequest.
const (
	DefaultChunkSize   = 64 << 20
	DefaultConcurrency = 4
)

const (
	// maxChunks keeps the checkpoint and the memory of an upload small.
	maxChunks = 1 << 20
	// maxConcurrency is how many requests a client has under way: more chunks
	// at once would only queue.
	maxConcurrency = 64
)

// UploadRequest is an image for Upload.
type UploadRequest struct {
	// Application, Version and OperatingSystem name the image; required.
	Application     string
	Version         string
	OperatingSystem string
	// OverwriteStorageFile replaces a stored file of the same path.
	OverwriteStorageFile bool
	// FileName is the image's; required, but for UploadFile, which takes the
	// path's last part.
	FileName string
	// File is read from 0 to Size, by several goroutines at once, and twice:
	// for the checksum of a chunk and to send it. Never after Upload returned,
	// so that a ReadAt that hangs keeps it from doing so.
	File io.ReaderAt
	// Size is the file's length in bytes, above 0.
	Size int64
	// ModTime is when the file was last changed. A checkpoint is refused when
	// it differs. Zero if that is not known: then it is not compared.
	ModTime time.Time

	// ChunkSize is the length of a chunk in bytes, the last one aside. 0 is
	// that of the checkpoint, if there is one, else DefaultChunkSize (64 MiB).
	ChunkSize int64
	// Concurrency is how many chunks are under way at once, 1 to 64, default 4.
	// Each takes 256 KiB of memory at most, however large it is.
	Concurrency int
	// NewMD5 is a faster MD5 to use in place of crypto/md5.
	NewMD5 func() hash.Hash
	// DisableChecksum sends no X-MD5-Checksum and compares none. Then nothing
	// notices bytes that change on their way.
	DisableChecksum bool

	// Checkpoints keeps the state, so that the same request, made again after
	// an interruption or a crash, goes on where the first one was. nil for
	// none. See FileCheckpoints.
	Checkpoints CheckpointStore
	// Progress is told when the upload request is known and after each
	// acknowledged chunk, by one goroutine at a time. The upload waits for it.
	Progress func(UploadProgress)
	// StatusChanged is told what Watch yields after the chunks are merged.
	StatusChanged func(*MachineImageUploadRequest)
	// WaitOptions change how often the service is asked after the merge.
	WaitOptions []WaitOption
}

// UploadProgress is how far an upload is. It counts what the service
// acknowledged, never less than before and nothing twice.
type UploadProgress struct {
	UploadRequestID int64
	// Resumed tells that an earlier call began this upload.
	Resumed bool
	// Bytes of Total are with the service, in Chunks of TotalChunks, what
	// earlier calls sent included.
	Bytes, Total        int64
	Chunks, TotalChunks int
	// BytesPerSecond is the mean rate of this call, 0 before its first chunk.
	BytesPerSecond float64
}

// UploadFile is Upload for the file at path. Size and ModTime are those of the
// file; FileName is its name unless req says another.
func (s *MachineImagesService) UploadFile(ctx context.Context, path string, req *UploadRequest) (*MachineImageUploadRequest, error) {
	if req == nil {
		return nil, s.client.Invalid("UploadRequest", "must not be nil")
	}
	info, err := os.Stat(path)
	if err != nil {
		return nil, fmt.Errorf("%s: open image: %w", pkg, err)
	}
	if !info.Mode().IsRegular() { // opening a pipe could wait for ever
		return nil, s.client.Invalid("UploadFile: path", "must be a regular file")
	}
	f, err := os.Open(path)
	if err != nil {
		return nil, fmt.Errorf("%s: open image: %w", pkg, err)
	}
	defer func() { _ = f.Close() }() // only read
	if info, err = f.Stat(); err != nil {
		return nil, fmt.Errorf("%s: open image: %w", pkg, err)
	}
	r := *req
	r.File, r.Size, r.ModTime = f, info.Size(), info.ModTime()
	if r.FileName == "" {
		r.FileName = filepath.Base(path)
	}
	return s.upload(ctx, &r, func() error {
		now, err := f.Stat()
		switch {
		case err != nil:
			return fmt.Errorf("%s: look at image: %w", pkg, err)
		case now.Size() != info.Size():
			return sourceChanged("its size was %d and is %d", info.Size(), now.Size())
		case !now.ModTime().Equal(info.ModTime()):
			return sourceChanged("it was modified at %s", now.ModTime().UTC().Format(time.RFC3339Nano))
		}
		return nil
	})
}

// Upload brings a machine image to the service in parallel chunks, has them
// merged, and follows the upload request until it has ended. It returns the
// request's last state; one that ended badly is a *StateError.
//
// With req.Checkpoints an interrupted upload goes on when it is called again
// with the same request: only what was not acknowledged is sent again. A file
// that is not the same any more is refused with ErrSourceChanged, a checkpoint
// that is in use with ErrCheckpointLocked. An upload that the service does not
// know any more starts over. The checkpoint is deleted when the request has
// ended.
//
// Nor does an image leave two upload requests behind: if the answer to the first
// request of an upload is lost, even by a crash, List is searched for it, for as
// long as a small call may take where the service said nothing. Only if that
// finds several that fit, the error matches ErrAmbiguous and names them. Without
// Checkpoints a call that ends early leaves its upload request behind, which
// Progress and the error name.
//
// No chunk is held in memory. When the context ends, what was acknowledged is
// kept and Upload returns.
func (s *MachineImagesService) Upload(ctx context.Context, req *UploadRequest) (*MachineImageUploadRequest, error) {
	if req == nil {
		return nil, s.client.Invalid("UploadRequest", "must not be nil")
	}
	r := *req
	return s.upload(ctx, &r, func() error { return nil })
}

func (s *MachineImagesService) upload(ctx context.Context, req *UploadRequest, unchanged func() error) (_ *MachineImageUploadRequest, err error) {
	if err := s.checkUpload(req); err != nil {
		return nil, err
	}
	u := &upload{service: s, req: req, unchanged: unchanged, key: s.checkpointKey(req)}
	if req.NewMD5 == nil {
		req.NewMD5 = md5.New
		u.hashing = make(chan struct{}, runtime.GOMAXPROCS(0))
	}
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
	return u.run(ctx)
}

func (s *MachineImagesService) checkUpload(req *UploadRequest) error {
	const name = "UploadRequest"
	if err := s.checkImage(name, req.Application, req.Version, req.OperatingSystem, req.FileName); err != nil {
		return err
	}
	if err := s.checkFile(name, req.File, req.Size, ""); err != nil {
		return err
	}
	switch {
	case req.ChunkSize < 0:
		return s.client.Invalid(name+".ChunkSize", "must be positive, or 0 for the default, not %d", req.ChunkSize)
	case req.ChunkSize > 0 && (req.Size-1)/req.ChunkSize >= maxChunks:
		return s.client.Invalid(name+".ChunkSize", "makes more than %d chunks of %d bytes", maxChunks, req.Size)
	case req.Concurrency < 0:
		return s.client.Invalid(name+".Concurrency", "must be positive, or 0 for the default, not %d", req.Concurrency)
	case req.Concurrency > maxConcurrency:
		return s.client.Invalid(name+".Concurrency", "must be at most %d, not %d", maxConcurrency, req.Concurrency)
	}
	if req.Concurrency == 0 {
		req.Concurrency = DefaultConcurrency
	}
	if req.NewMD5 != nil && !req.DisableChecksum {
		if h := req.NewMD5(); h == nil || h.Size() != md5.Size {
			return s.client.Invalid(name+".NewMD5", "must make hashes of %d bytes", md5.Size)
		}
	}
	return poll.Check(pkg, req.WaitOptions)
}

// checkpointKey is the same for the same image on the same service, whatever
// became of the file: that a file has changed is worth an error.
func (s *MachineImagesService) checkpointKey(req *UploadRequest) string {
	h := sha256.New()
	for _, part := range []string{s.client.BaseURL(), req.Application, req.Version, req.OperatingSystem, req.FileName} {
		fmt.Fprintf(h, "%d:%s", len(part), part)
	}
	return "oraclemarket-" + hex.EncodeToString(h.Sum(nil)[:16])
}

// upload is one call of Upload.
type upload struct {
	service   *MachineImagesService
	req       *UploadRequest
	unchanged func() error // the file is still the one that was opened
	key       string
	// hashing has a place for each chunk that is hashed by crypto/md5, which
	// takes a core: more at once would only delay the first chunk. nil for no
	// limit: others may be faster the more they have.
	hashing chan struct{}

	mu      sync.Mutex // over what follows, while chunks are under way
	state   *checkpoint
	done    *chunkSet
	resumed bool
	doubted bool  // merged, as an earlier call was told, but the service says otherwise
	sent    int64 // acknowledged bytes of this call
	began   time.Time
}

func (u *upload) run(ctx context.Context) (*MachineImageUploadRequest, error) {
	fingerprint, err := u.fingerprint()
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
	u.report()
	asked := u.state.Phase == phaseMerging // by an earlier call
	if u.state.Phase == phaseUploading {
		err := u.sendChunks(ctx)
		if err == nil {
			err = u.checkSource(fingerprint)
		}
		if errors.Is(err, ErrSourceChanged) && u.req.Checkpoints != nil {
			err = fmt.Errorf("%w; %s to upload it as it is now", err, startOver(u.key, u.state.UploadRequestID))
		}
		if err != nil {
			return nil, err
		}
		if err := u.save(ctx, phaseMerging); err != nil {
			return nil, err
		}
	}
	if u.state.Phase == phaseMerging || u.doubted {
		if err := u.merge(ctx, asked || u.doubted); err != nil {
			return nil, err
		}
	}
	return u.wait(ctx)
}

// load gets the checkpoint, if there is one for this very file, or makes the
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
		back = "give what it began with"
	}
	return fmt.Errorf("%w; %s to go on, or %s to start over", changed, back, startOver(u.key, found.UploadRequestID))
}

// startOver is what to do to begin an upload anew.
func startOver(key string, uploadRequestID int64) string {
	if uploadRequestID == 0 {
		return "delete checkpoint " + key
	}
	return fmt.Sprintf("delete checkpoint %s and upload request %d", key, uploadRequestID)
}

func sourceChanged(format string, args ...any) error {
	return fmt.Errorf("%s: %w: %s", pkg, ErrSourceChanged, fmt.Sprintf(format, args...))
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
		u.state.UploadRequestID, u.state.InitiatedAt = 0, time.Time{}
		u.done = newChunkSet(u.chunks())
		return u.initiate(ctx)
	}
	if err != nil {
		return err
	}
	switch {
	case now.StatusName.Terminal(), pastMerge(now.StatusName):
		return u.save(ctx, phaseMerged)
	case u.state.Phase == phaseMerged:
		u.doubted = now.StatusName == StatusInitiated
		return nil
	case now.UploadedChunks < u.done.count:
		// It lost some and cannot say which.
		u.done = newChunkSet(u.chunks())
		return u.save(ctx, phaseUploading)
	}
	return nil
}

// pastMerge tells whether a request in that status was merged. Pending may be
// before or after it; the documentation has no order.
func pastMerge(s Status) bool {
	switch s {
	case StatusInProgress, StatusVirusScanInProgress, StatusCompleted:
		return true
	default:
		return false
	}
}

// initiate gets an upload request and leaves exactly one on the service. The
// checkpoint goes first, so that the next call knows of a request whose answer
// this one did not live to see.
func (u *upload) initiate(ctx context.Context) error {
	lost := u.resumed // an earlier call may have come through
	var lookFor time.Duration
	for try := 1; ; try++ {
		if lost {
			id, err := u.findFor(ctx, lookFor)
			if err != nil {
				return err
			}
			if id != 0 {
				u.state.UploadRequestID = id
				return u.save(ctx, phaseUploading)
			}
		}
		if u.state.InitiatedAt.IsZero() {
			u.state.InitiatedAt = time.Now().UTC()
		}
		if err := u.save(ctx, phaseInitiating); err != nil {
			return err
		}
		ack, err := u.service.Initiate(ctx, &InitiateUploadRequest{
			Application: u.req.Application, Version: u.req.Version, OperatingSystem: u.req.OperatingSystem,
			OverwriteStorageFile: u.req.OverwriteStorageFile, FileName: u.req.FileName,
			NumberOfChunks: u.chunks(),
		})
		switch {
		case err == nil:
			u.resumed = false
			u.state.UploadRequestID = ack.EntityID
			return u.save(ctx, phaseUploading)
		case ctx.Err() != nil:
			return err // the checkpoint stays: the request may have come through
		case !errors.Is(err, ErrAmbiguous) && lost:
			return err // the checkpoint stays: List may have been behind
		case !errors.Is(err, ErrAmbiguous):
			return errors.Join(err, u.forget(ctx))
		case try >= u.service.client.MaxAttempts():
			return err
		}
		lost = true
		var retryAfter time.Duration
		if e, ok := errors.AsType[*Error](err); ok {
			retryAfter = e.RetryAfter
			lookFor = 0
			switch e.StatusCode {
			case 0, http.StatusRequestTimeout, http.StatusBadGateway, http.StatusGatewayTimeout:
				// Not what the service itself says: it may be about to succeed.
				lookFor = u.service.client.TryTimeout()
			}
		}
		again, pauseErr := u.service.client.Pause(ctx, try, retryAfter)
		switch {
		case pauseErr != nil:
			return fmt.Errorf("%w, after: %w", pauseErr, err)
		case !again:
			return err
		}
	}
}

// clockTolerance is how far the clocks of two machines that run one upload one
// after the other may be apart.
const clockTolerance = 2 * time.Minute

// findFor looks for the upload request of an initiate whose answer was lost
// until it is there or so much time has passed; at least once.
func (u *upload) findFor(ctx context.Context, most time.Duration) (int64, error) {
	end := time.Now().Add(most)
	for look := 1; ; look++ {
		id, err := u.find(ctx)
		if err != nil || id != 0 || !time.Now().Before(end) {
			return id, err
		}
		// 1 s, also where tries follow each other at once, and up to 4 s more.
		if _, err := u.service.client.Pause(ctx, min(look, 3), time.Second); err != nil {
			return 0, fmt.Errorf("%s: look for the upload request of a lost answer: %w", pkg, err)
		}
	}
}

// find is one look; 0 means that there is none.
func (u *upload) find(ctx context.Context) (int64, error) {
	since := u.state.InitiatedAt.Add(-clockTolerance)
	opts := ListMachineImagesOptions{OrderBy: OrderByLastUpdateDate, SortOrder: SortDescending}
	var ids []int64
	all := allPages(0, 0, func(limit, offset int) (*MachineImagePage, error) {
		opts.Limit, opts.Offset = limit, offset
		page, resp, err := u.service.list(ctx, &opts)
		if err == nil && offset == 0 {
			// The service's clock made the dates that are compared here.
			if date, err := http.ParseTime(resp.Header.Get("Date")); err == nil {
				since = since.Add(time.Until(date))
				if since.After(date) {
					since = time.Time{} // the clock was ahead then, nobody knows how far
				}
			}
		}
		return page, err
	})
	for r, err := range all {
		if err != nil {
			return 0, fmt.Errorf("%s: look for the upload request of a lost answer: %w", pkg, err)
		}
		old := !r.CreatedDate.IsZero() && r.CreatedDate.Before(since)
		// A request comes twice when others pass it while the pages are read.
		if u.mayBeOurs(r) && !old && !slices.Contains(ids, r.UploadRequestID) {
			ids = append(ids, r.UploadRequestID)
		}
	}
	if len(ids) > 1 {
		return 0, fmt.Errorf("%s: %w: upload requests %v all fit; delete those that are not wanted and try again", pkg, ErrAmbiguous, ids)
	}
	if len(ids) == 1 {
		return ids[0], nil
	}
	return 0, nil
}

// mayBeOurs tells whether r is the same image, in as many chunks, with nothing
// in it yet. What pendingChunks means is not documented: 0 tells nothing.
func (u *upload) mayBeOurs(r *MachineImageUploadRequest) bool {
	return r.Application == u.req.Application && r.Version == u.req.Version && r.OperatingSystem == u.req.OperatingSystem &&
		sameFileName(r.FileName, u.req.FileName) &&
		r.UploadedChunks == 0 && (r.PendingChunks == 0 || r.PendingChunks == u.chunks()) &&
		!r.StatusName.Terminal() && !pastMerge(r.StatusName)
}

// sameFileName compares a name in an answer with ours, which the service may
// have kept as the header had it, or decoded where there was nothing to decode.
func sameFileName(theirs, ours string) bool {
	decoded, err := url.PathUnescape(ours)
	return theirs == ours || theirs == headerFileName(ours) || err == nil && theirs == decoded
}

func (u *upload) chunks() int {
	return int((u.state.Size-1)/u.state.ChunkSize) + 1
}

// sendChunks sends what is not acknowledged. The first error ends it, and wins
// over the cancellations that it causes.
func (u *upload) sendChunks(ctx context.Context) error {
	group, groupCtx := errgroup.WithContext(ctx)
	group.SetLimit(u.req.Concurrency)
	for _, i := range u.done.missing() {
		if groupCtx.Err() != nil {
			break
		}
		group.Go(func() error { return u.sendChunk(groupCtx, i) })
	}
	err := group.Wait()
	if err == nil && ctx.Err() != nil { // before the first chunk, or between two
		err = transport.ContextErr(ctx)
	}
	if err != nil && ctx.Err() != nil {
		return fmt.Errorf("%s: upload request %d interrupted after %d of %d chunks: %w",
			pkg, u.state.UploadRequestID, u.done.count, len(u.done.have), err)
	}
	return err
}

// resends is how often a chunk is sent that arrives with another checksum.
const resends = 3

func (u *upload) sendChunk(ctx context.Context, i int) error {
	offset := int64(i) * u.state.ChunkSize
	section := io.NewSectionReader(u.req.File, offset, min(u.state.ChunkSize, u.state.Size-offset))
	chunk := &Chunk{Number: u.state.FirstChunk + i, FileName: u.req.FileName, File: section, Size: section.Size()}
	for try := 1; ; try++ {
		sum, err := u.checksum(ctx, section)
		if err != nil {
			return err
		}
		if try > 1 && sum != chunk.MD5 {
			return sourceChanged("the MD5 of chunk %d was %s and is %s", chunk.Number, chunk.MD5, sum)
		}
		chunk.MD5 = sum
		ack, err := u.service.UploadChunk(ctx, u.state.UploadRequestID, chunk)
		switch {
		case err == nil && (sum == "" || ack.Checksum == "" || strings.EqualFold(sum, ack.Checksum)):
			return u.acknowledge(ctx, i, chunk.Size)
		case err == nil:
			err = fmt.Errorf("its MD5 is %s, but the service received %s, %d times", sum, ack.Checksum, try)
		case sum == "" || !errors.Is(err, ErrBadRequest):
			return u.chunkError(ctx, chunk, section, err)
		}
		// Another checksum, or a 400, which may be how the service says so: its
		// documentation has one text for all of them.
		if try == resends {
			return u.chunkError(ctx, chunk, section, err)
		}
	}
}

// chunkError says that the file changed where that is why a chunk failed.
func (u *upload) chunkError(ctx context.Context, chunk *Chunk, section *io.SectionReader, err error) error {
	if ctx.Err() != nil {
		return err
	}
	if errors.Is(err, io.ErrUnexpectedEOF) { // of the file, or of an answer
		var last [1]byte
		if n, readErr := section.ReadAt(last[:], section.Size()-1); n == 0 {
			return errors.Join(u.readError(readErr), err)
		}
	}
	return fmt.Errorf("%s: chunk %d of upload request %d: %w", pkg, chunk.Number, u.state.UploadRequestID, err)
}

// hashBuffers are used again, or an upload of many chunks would leave that much
// garbage for each.
var hashBuffers = sync.Pool{New: func() any { return new([128 << 10]byte) }}

// checksum is the MD5 of a chunk, or nothing when checksums are off.
func (u *upload) checksum(ctx context.Context, section *io.SectionReader) (string, error) {
	if u.req.DisableChecksum {
		return "", nil
	}
	if u.hashing != nil {
		select {
		case u.hashing <- struct{}{}:
			defer func() { <-u.hashing }()
		case <-ctx.Done():
			return "", transport.ContextErr(ctx)
		}
	}
	h := u.req.NewMD5()
	kept := hashBuffers.Get().(*[128 << 10]byte) //nolint:errcheck // nothing else is in there
	defer hashBuffers.Put(kept)
	buf := kept[:min(int64(len(kept)), section.Size())]
	for offset := int64(0); offset < section.Size(); {
		if ctx.Err() != nil {
			return "", transport.ContextErr(ctx)
		}
		n, err := section.ReadAt(buf, offset)
		_, _ = h.Write(buf[:n])
		offset += int64(n)
		if err != nil && offset < section.Size() {
			return "", u.readError(err)
		}
	}
	return hex.EncodeToString(h.Sum(nil)), nil
}

func (u *upload) readError(err error) error {
	if changed := u.unchanged(); errors.Is(changed, ErrSourceChanged) {
		return changed
	}
	if errors.Is(err, io.EOF) || errors.Is(err, io.ErrUnexpectedEOF) {
		return sourceChanged("it is shorter than its size of %d", u.state.Size)
	}
	return fmt.Errorf("%s: read image: %w", pkg, err)
}

// acknowledge keeps what the service has. It does so even when the upload is
// being cancelled: an acknowledged chunk is never sent again.
func (u *upload) acknowledge(ctx context.Context, i int, size int64) error {
	u.mu.Lock()
	defer u.mu.Unlock()
	u.done.add(i)
	u.sent += size
	if err := u.save(ctx, phaseUploading); err != nil {
		return err
	}
	u.report()
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

func (u *upload) report() {
	if u.req.Progress == nil {
		return
	}
	p := UploadProgress{
		UploadRequestID: u.state.UploadRequestID,
		Resumed:         u.resumed,
		Bytes:           u.doneBytes(),
		Total:           u.state.Size,
		Chunks:          u.done.count,
		TotalChunks:     len(u.done.have),
	}
	if took := time.Since(u.began); took > 0 {
		p.BytesPerSecond = float64(u.sent) / took.Seconds()
	}
	u.req.Progress(p)
}

func (u *upload) doneBytes() int64 {
	bytes := int64(u.done.count) * u.state.ChunkSize
	if last := len(u.done.have) - 1; u.done.have[last] {
		bytes -= int64(last+1)*u.state.ChunkSize - u.state.Size
	}
	return bytes
}

const fingerprintSpan = 1 << 20

// fingerprint is the MD5 of the file's first and last MiB.
func (u *upload) fingerprint() (string, error) {
	h := md5.New() //nolint:gosec // tells files apart, protects nothing
	head := io.NewSectionReader(u.req.File, 0, min(fingerprintSpan, u.req.Size))
	tail := io.NewSectionReader(u.req.File, max(0, u.req.Size-fingerprintSpan), min(fingerprintSpan, u.req.Size))
	for _, part := range []*io.SectionReader{head, tail} {
		n, err := io.Copy(h, part)
		if err == nil && n < part.Size() {
			err = io.ErrUnexpectedEOF
		}
		if errors.Is(err, io.ErrUnexpectedEOF) {
			return "", sourceChanged("it is shorter than its size of %d", u.req.Size)
		}
		if err != nil {
			return "", fmt.Errorf("%s: read image: %w", pkg, err)
		}
	}
	return hex.EncodeToString(h.Sum(nil)), nil
}

// checkSource looks at the file once more before the chunks become an image.
func (u *upload) checkSource(fingerprint string) error {
	if err := u.unchanged(); err != nil {
		return err
	}
	now, err := u.fingerprint()
	if err != nil {
		return err
	}
	if now != fingerprint {
		return sourceChanged("the fingerprint of its content was %s and is %s", fingerprint, now)
	}
	return nil
}

// merge asks for the merge, again if it was asked for before. A repeated merge
// may be refused because the first one came through, so a refusal counts only
// if the service has not gone on, and not where the status may be late.
func (u *upload) merge(ctx context.Context, repeated bool) error {
	id := u.state.UploadRequestID
	if _, err := u.service.Merge(ctx, id); err != nil {
		if ctx.Err() != nil {
			return err
		}
		e, _ := errors.AsType[*Error](err)
		repeated = repeated || e != nil && e.Attempts > 1
		refused := errors.Is(err, ErrBadRequest) || errors.Is(err, ErrConflict)
		now, getErr := u.service.Get(ctx, id)
		if getErr != nil {
			return err
		}
		late := repeated && refused && (now.StatusName == StatusPending || u.doubted)
		if !now.StatusName.Terminal() && !pastMerge(now.StatusName) && !late {
			return err
		}
	}
	return u.save(ctx, phaseMerged)
}

// wait follows the request to its end, with which the checkpoint ends, too.
func (u *upload) wait(ctx context.Context) (*MachineImageUploadRequest, error) {
	var last *MachineImageUploadRequest
	for now, err := range u.service.Watch(ctx, u.state.UploadRequestID, u.req.WaitOptions...) {
		if err != nil {
			if _, ended := errors.AsType[*StateError](err); ended {
				err = errors.Join(err, u.forget(ctx))
			}
			return last, err
		}
		last = now
		if u.req.StatusChanged != nil {
			u.req.StatusChanged(now)
		}
	}
	return last, u.forget(ctx)
}
