package oraclemarket

import (
	"context"
	"errors"
	"fmt"
	"io"
	"strings"

	"golang.org/x/sync/errgroup"

	"github.com/imagejobs/imagejobs-go/internal/transport"
)

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

// maxResends is how often a chunk is sent that arrives with another checksum.
const maxResends = 3

func (u *upload) sendChunk(ctx context.Context, i int) error {
	offset := int64(i) * u.state.ChunkSize
	section := io.NewSectionReader(u.source.file, offset, min(u.state.ChunkSize, u.state.Size-offset))
	chunk := &Chunk{Number: u.state.FirstChunk + i, FileName: u.req.FileName, File: section, Size: section.Size()}
	for attempt := 1; ; attempt++ {
		sum, err := u.source.checksum(ctx, section)
		if err != nil {
			return err
		}
		if attempt > 1 && sum != chunk.MD5 {
			return sourceChanged("the MD5 of chunk %d was %s and is %s", chunk.Number, chunk.MD5, sum)
		}
		chunk.MD5 = sum
		ack, err := u.service.UploadChunk(ctx, u.state.UploadRequestID, chunk)
		switch {
		case err == nil && (sum == "" || ack.Checksum == "" || strings.EqualFold(sum, ack.Checksum)):
			return u.acknowledge(ctx, i, chunk.Size)
		case err == nil:
			err = fmt.Errorf("its MD5 is %s, but the service received %s, %d times", sum, ack.Checksum, attempt)
		case sum == "" || !errors.Is(err, ErrBadRequest):
			return u.chunkError(ctx, chunk, section, err)
		}
		// Another checksum, or a 400, which may be how the service says so: its
		// documentation has one text for all of them.
		if attempt == maxResends {
			return u.chunkError(ctx, chunk, section, err)
		}
	}
}

// chunkError says that the file changed where that is why a chunk failed.
func (u *upload) chunkError(ctx context.Context, chunk *Chunk, section *io.SectionReader, err error) error {
	if ctx.Err() != nil {
		return err
	}
	if errors.Is(err, io.ErrUnexpectedEOF) { // of the file, or of a response
		var last [1]byte
		if n, readErr := section.ReadAt(last[:], section.Size()-1); n == 0 {
			return errors.Join(u.source.readError(readErr), err)
		}
	}
	return fmt.Errorf("%s: chunk %d of upload request %d: %w", pkg, chunk.Number, u.state.UploadRequestID, err)
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
