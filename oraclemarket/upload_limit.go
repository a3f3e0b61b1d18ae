package oraclemarket

import (
	"context"
	"io"
	"time"

	"golang.org/x/time/rate"

	"github.com/imagejobs/imagejobs-go/internal/transport"
)

// limiter limits the bytes that the chunks of an upload send together.
type limiter struct {
	*rate.Limiter

	piece int // the most to send at once
}

const (
	// maxPiece is the most that is sent at once, however fast.
	maxPiece = 64 << 10
	// turns is how many pieces each chunk sends a second, if not larger ones: a
	// chunk that waits for its turn must not look as if it had stalled.
	turns = 4
)

// newLimiter returns nil for no limit.
func newLimiter(bytesPerSecond int64, chunks int) *limiter {
	if bytesPerSecond == 0 {
		return nil
	}
	piece := int(min(max(bytesPerSecond/int64(turns*chunks), 1), maxPiece))
	burst := max(piece, int(min(bytesPerSecond/20, 1<<30))) // makes up for timers that fire late
	return &limiter{rate.NewLimiter(rate.Limit(bytesPerSecond), burst), piece}
}

// limited returns file such that it is read no faster than the upload may send.
func (u *upload) limited(ctx context.Context, file io.ReaderAt) io.ReaderAt {
	if u.limiter == nil {
		return file
	}
	return &limitedReader{file, ctx, u.limiter}
}

type limitedReader struct {
	io.ReaderAt

	ctx     context.Context //nolint:containedctx // a ReadAt has none
	limiter *limiter
}

// ReadAt reads a piece of p at most, without an error, which is not what an
// [io.ReaderAt] does but what the body of a request takes: it has to move while
// it waits.
func (r *limitedReader) ReadAt(p []byte, offset int64) (int, error) {
	p = p[:min(len(p), r.limiter.piece)]
	turn := r.limiter.ReserveN(time.Now(), len(p))
	// Not WaitN, which fails early where ctx has a deadline before its turn.
	if err := transport.Sleep(r.ctx, turn.Delay()); err != nil {
		turn.Cancel()
		return 0, err
	}
	return r.ReaderAt.ReadAt(p, offset)
}
