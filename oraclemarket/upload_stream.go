package oraclemarket

import (
	"bytes"
	"context"
	"errors"
	"io"

	"golang.org/x/sync/errgroup"

	"github.com/imagejobs/imagejobs-go/internal/transport"
)

// sequential is a source that can be read but once, as the file that it is read
// to: at one offset after the other.
type sequential struct {
	reader io.Reader
	at     int64
	first  []byte // the first chunk, as long as it is needed again
}

// ReadAt reads as much as there is, like an [io.Reader].
func (s *sequential) ReadAt(p []byte, offset int64) (int, error) {
	if offset < int64(len(s.first)) {
		return copy(p, s.first[offset:]), nil
	}
	if offset != s.at {
		return 0, errors.New("the source can be read but once")
	}
	n, err := s.reader.Read(p)
	s.at += int64(max(n, 0))
	return n, err
}

// hold reads the first chunk of a sequential source, which is needed before the
// others and again with them.
func (s *source) hold(ctx context.Context, size int64) error {
	if s.sequential == nil || s.sequential.first != nil {
		return nil
	}
	first, err := s.fill(ctx, nil, 0, size)
	if err == nil {
		s.sequential.first = first
	}
	return err
}

// fill returns a part of the file, in buf if that is large enough.
func (s *source) fill(ctx context.Context, buf []byte, offset, size int64) ([]byte, error) {
	if int64(cap(buf)) < size {
		buf = make([]byte, size)
	}
	buf = buf[:size]
	const step = 128 << 10 // a slow source is left soon after ctx ends
	for at := int64(0); at < size; at += step {
		if ctx.Err() != nil {
			return nil, transport.ContextErr(ctx)
		}
		if err := s.read(buf[at:min(at+step, size)], offset+at); err != nil {
			return nil, err
		}
	}
	return buf, nil
}

// chunk returns a source that has a part of this one, again and again.
func (s *source) chunk(data []byte, offset int64) *source {
	chunk := *s
	chunk.file = &heldChunk{bytes.NewReader(data), offset}
	return &chunk
}

type heldChunk struct {
	data   *bytes.Reader
	offset int64 // in the file
}

// ReadAt implements [io.ReaderAt].
func (c *heldChunk) ReadAt(p []byte, offset int64) (int, error) {
	return c.data.ReadAt(p, offset-c.offset)
}

// sendStream reads a sequential source to its end. It compares what was
// acknowledged, and sends the other chunks, from memory.
func (u *upload) sendStream(ctx context.Context, acknowledged *chunkSet, want chunkDigest) error {
	chunks, ctx := errgroup.WithContext(ctx)
	chunks.Go(func() error {
		_, err := guard(func() (struct{}, error) {
			return struct{}{}, u.readStream(ctx, acknowledged, want, chunks.Go)
		})
		return err
	})
	return chunks.Wait()
}

func (u *upload) readStream(ctx context.Context, acknowledged *chunkSet, want chunkDigest, start func(func() error)) error {
	buffers := make(chan []byte, u.req.Concurrency)
	for range cap(buffers) {
		buffers <- nil
	}
	var have chunkDigest
	unproven := acknowledged.count
	for i, there := range acknowledged.have {
		offset, size := u.span(i)
		if there {
			sum, err := u.source.proof(ctx, offset, size)
			if err != nil {
				return err
			}
			have.add(u.state.FirstChunk+i, sum)
			unproven--
			if unproven == 0 {
				if err := u.settleProof(ctx, acknowledged, have, want); err != nil {
					return err
				}
			}
		} else {
			buf, err := u.readChunk(ctx, buffers, offset, size)
			if err != nil {
				return err
			}
			start(func() error {
				defer func() { buffers <- buf }()
				return u.sendChunk(ctx, i, u.source.chunk(buf, offset))
			})
		}
		if i == 0 {
			u.source.sequential.first = nil
		}
	}
	return nil
}

// readChunk reads a chunk to a buffer, once there is a free one.
func (u *upload) readChunk(ctx context.Context, buffers <-chan []byte, offset, size int64) ([]byte, error) {
	select {
	case buf := <-buffers:
		return u.source.fill(ctx, buf, offset, size)
	case <-ctx.Done():
		return nil, transport.ContextErr(ctx)
	}
}
