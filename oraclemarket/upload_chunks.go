package oraclemarket

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"runtime"
	"strings"
	"sync"
	"time"

	"golang.org/x/sync/errgroup"

	"github.com/imagejobs/imagejobs-go/internal/transport"
)

func (u *upload) chunks() int {
	return int((u.state.Size-1)/u.state.ChunkSize) + 1
}

// span returns where in the file a chunk is.
func (u *upload) span(i int) (offset, size int64) {
	offset = int64(i) * u.state.ChunkSize
	return offset, min(u.state.ChunkSize, u.state.Size-offset)
}

// sendChunks sends what is not acknowledged, while it proves what is. The first
// error ends it, and wins over the cancellations that it causes.
func (u *upload) sendChunks(ctx context.Context) error {
	group, groupCtx := errgroup.WithContext(ctx)
	u.ramp = newRamp(u.req.Concurrency, u.chooses, u.state.ChunkSize)
	u.begun, u.saveBehind = u.done.count, u.savesBehind(ctx, group)
	if !u.proven {
		if err := u.save(ctx, phaseUploading); err != nil { // now marked as unproven
			return err
		}
	}
	missing, acknowledged, digest, proven := u.done.missing(), u.done.clone(), u.state.Digest, u.proven
	sent := make(chan struct{})
	group.Go(func() error { return u.reportMoving(groupCtx, sent) })
	group.Go(func() error {
		defer close(sent)
		if u.source.sequential != nil {
			return u.sendStream(groupCtx, acknowledged, digest)
		}
		return u.sendMissing(groupCtx, missing)
	})
	if !proven && u.source.sequential == nil {
		group.Go(func() error { return u.prove(groupCtx, acknowledged, digest) })
	}
	err := group.Wait()
	if err == nil {
		err = u.settleConflicts(ctx)
	}
	if err != nil {
		u.saveSent(ctx)
	}
	switch {
	case err != nil:
		return err
	case ctx.Err() != nil: // before the first chunk, or between two
		return transport.ContextErr(ctx)
	case u.done.count+len(u.conflicts) < len(u.done.have) || !u.proven:
		return fmt.Errorf("%s: not all chunks are acknowledged and verified", pkg) // for whatever reason
	}
	return nil
}

// sendMissing sends the chunks, as many at once as the upload may have in
// flight. Where Concurrency is given, they begin in order.
func (u *upload) sendMissing(ctx context.Context, missing []int) error {
	chunks, chunksCtx := errgroup.WithContext(ctx)
	most := u.req.Concurrency
	if u.chooses {
		most++ // one that waits for its turn has its checksum by then
	}
	chunks.SetLimit(most)
	for _, i := range missing {
		if chunksCtx.Err() != nil {
			break
		}
		chunks.Go(func() error { return u.sendChunk(chunksCtx, i, u.source) })
	}
	return chunks.Wait()
}

// prove reads the acknowledged chunks again and compares them with the digest
// of the checkpoint. If they are of another file, they are forgotten, as are
// the chunks sent meanwhile.
func (u *upload) prove(ctx context.Context, acknowledged *chunkSet, want chunkDigest) error {
	group, groupCtx := errgroup.WithContext(ctx)
	group.SetLimit(max(runtime.GOMAXPROCS(0)/2, 1)) // the missing chunks come first
	var mu sync.Mutex
	var have chunkDigest
	for i, there := range acknowledged.have {
		if !there || groupCtx.Err() != nil {
			continue
		}
		group.Go(func() error {
			sum, err := guard(func() (string, error) {
				offset, size := u.span(i)
				return u.source.proof(groupCtx, offset, size)
			})
			mu.Lock()
			defer mu.Unlock()
			have.add(u.state.FirstChunk+i, sum)
			return err
		})
	}
	if err := group.Wait(); err != nil {
		return err
	}
	if ctx.Err() != nil {
		return transport.ContextErr(ctx)
	}
	return u.settleProof(ctx, acknowledged, have, want)
}

func (u *upload) settleProof(ctx context.Context, acknowledged *chunkSet, have, want chunkDigest) error {
	u.mu.Lock()
	if have == want {
		u.proven, u.state.Unproven, u.state.Identity = true, u.tainted, u.source.identity
	} else {
		u.changed, u.done, u.state.Digest = true, acknowledged.clone(), want
	}
	u.mu.Unlock()
	err := u.save(ctx, phaseUploading)
	if have != want {
		err = errors.Join(sourceChanged("the content of the %d chunks sent before", acknowledged.count), err)
	}
	return err
}

// maxResends is how often a chunk is sent that arrives with another checksum.
const maxResends = 3

// sendChunk sends a chunk, which source has. It calls functions of the caller.
func (u *upload) sendChunk(ctx context.Context, i int, source *source) error {
	_, err := guard(func() (struct{}, error) { return struct{}{}, u.sendUntilReceived(ctx, i, source) })
	return err
}

func (u *upload) sendUntilReceived(ctx context.Context, i int, source *source) error {
	offset, size := u.span(i)
	section := io.NewSectionReader(source.file, offset, size)
	chunk := &Chunk{Number: u.state.FirstChunk + i, FileName: u.req.FileName, File: section, Size: size}
	u.mu.Lock()
	u.begun++
	u.mu.Unlock()
	var sent *sentReader
	if u.req.DisableChecksum && (u.req.Checkpoints != nil || u.total > 0) {
		sent = &sentReader{ReaderAt: section}
		chunk.File = sent
	}
	counted := u.counted(i, u.limited(ctx, chunk.File))
	chunk.File = counted
	var sends int
	for attempt := 1; ; attempt++ {
		sum, err := source.checksum(ctx, offset, size)
		if err != nil {
			return err
		}
		if attempt > 1 && sum != chunk.MD5 {
			return sourceChanged("the MD5 of chunk %d was %s and is %s", chunk.Number, chunk.MD5, sum)
		}
		chunk.MD5 = sum
		ack, err := u.sendKnown(ctx, counted, chunk, &sends)
		conflicts := errors.Is(err, ErrConflict)
		if sent != nil {
			sum = sent.sum(size)
		}
		if sent != nil && sum == "" && (err == nil || conflicts) { // it was not read in order
			var readErr error
			if sum, readErr = source.proof(ctx, offset, size); readErr != nil {
				return readErr
			}
		}
		switch {
		case err == nil && (chunk.MD5 == "" || ack.Checksum == "" || strings.EqualFold(chunk.MD5, ack.Checksum)):
			if err := u.sharedWith(ack); err != nil {
				return err
			}
			u.acknowledge(i, sum)
			return u.saveBehind(i)
		case err == nil:
			err = fmt.Errorf("its MD5 is %s, but the service received %s, %d times", sum, ack.Checksum, attempt)
		case conflicts && u.hasOurs(i, sum, sends > 1):
			u.addConflict(conflict{i, sum, u.chunkError(ctx, source, chunk, err)})
			return nil
		case chunk.MD5 == "" || !errors.Is(err, ErrBadRequest):
			return u.chunkError(ctx, source, chunk, err)
		}
		// Another checksum, or a 400, which may be how the service reports one: its
		// documentation has one text for all of them.
		if attempt == maxResends {
			return u.chunkError(ctx, source, chunk, err)
		}
	}
}

// sendKnown sends a chunk as sendPaced does, and again for a while if the service
// does not know the upload request: its machines may lag behind one another.
func (u *upload) sendKnown(ctx context.Context, counted *countingReader, chunk *Chunk, sends *int) (ack *ChunkAcknowledgement, err error) {
	var unknown time.Time // since then
	for {
		err = u.ramp.send(ctx, counted, chunk.Size, func(ctx context.Context) (err error) {
			u.noteSent(chunk)
			ack, err = u.sendPaced(ctx, chunk, sends)
			return err
		})
		if !isGone(err) {
			return ack, err
		}
		if unknown.IsZero() {
			unknown = time.Now()
		}
		took := time.Since(unknown)
		if took >= u.service.lag {
			return nil, err
		}
		if ended := transport.Sleep(ctx, max(u.service.lag/30, took/2)); ended != nil {
			return nil, after(ended, err)
		}
		if now, getErr := u.service.Get(ctx, u.state.UploadRequestID); getErr == nil && now.StatusName.Terminal() {
			return nil, err
		}
	}
}

// sendPaced sends a chunk until it is acknowledged, refused or given up for an
// outage, at the pace that the service lets all chunks of the client through. It
// adds how often it sent the chunk to sends.
func (u *upload) sendPaced(ctx context.Context, chunk *Chunk, sends *int) (ack *ChunkAcknowledgement, err error) {
	err = u.service.gate.Do(ctx, func(ctx context.Context) (retryAfter time.Duration, err error) {
		ack, retryAfter, err = u.service.uploadChunk(ctx, u.state.UploadRequestID, chunk, *sends)
		if failed, ok := errors.AsType[*Error](err); ok {
			*sends += failed.Attempts // 0 if there was no token
		} else {
			*sends++
		}
		return retryAfter, err
	})
	return ack, err
}

// chunkError returns err with the number of its chunk or, if the file has
// become shorter, with that reason.
func (u *upload) chunkError(ctx context.Context, source *source, chunk *Chunk, err error) error {
	if ctx.Err() != nil {
		return err
	}
	if errors.Is(err, io.ErrUnexpectedEOF) { // of the file, or of a response
		var last [1]byte
		offset, size := u.span(chunk.Number - u.state.FirstChunk)
		if readErr := source.read(last[:], offset+size-1); readErr != nil {
			return errors.Join(readErr, err)
		}
	}
	if passed := u.passed(); isTooLarge(err) && passed > 0 {
		err = fmt.Errorf("%w (one of %d bytes passed)", err, passed)
	}
	return fmt.Errorf("chunk %d: %w", chunk.Number, err)
}

// passed returns the size of the largest chunk that was acknowledged.
func (u *upload) passed() (largest int64) {
	u.mu.Lock()
	defer u.mu.Unlock()
	for i, there := range u.done.have {
		if _, size := u.span(i); there {
			largest = max(largest, size)
		}
	}
	return largest
}

// isTooLarge reports whether err means that a request has too many bytes.
func isTooLarge(err error) bool {
	e, ok := errors.AsType[*Error](err)
	return ok && e.StatusCode == http.StatusRequestEntityTooLarge
}

// acknowledge notes that the service has a chunk, unless the chunks before it
// were of another file.
func (u *upload) acknowledge(i int, sum string) {
	u.mu.Lock()
	defer u.mu.Unlock()
	if u.changed {
		return
	}
	u.done.add(i)
	u.state.Digest.add(u.state.FirstChunk+i, sum)
	delete(u.state.Sent, u.state.FirstChunk+i)
}
