package oraclemarket

import (
	"context"
	"io"
	"math"
	"net"
	"sync/atomic"
	"time"
)

// UploadProgress describes how far an upload is. No count shrinks, and nothing
// counts twice.
type UploadProgress struct {
	// UploadRequestID is the id of the upload request.
	UploadRequestID int64
	// Resumed reports whether an earlier call began this upload.
	Resumed bool
	// Bytes is how many of Total bytes the service has acknowledged, Chunks how
	// many of TotalChunks chunks. Both include earlier calls.
	Bytes, Total        int64
	Chunks, TotalChunks int
	// SentBytes adds to Bytes what was sent of the chunks in flight. It runs ahead
	// of the line by what the system buffers, and stays where it is while a chunk
	// that failed is sent again.
	SentBytes int64
	// AbandonedID is an upload request that this one replaces, because its chunks
	// were too large for a proxy. It has no chunks and can be deleted.
	AbandonedID int64
	// BytesPerSecond is the mean rate of SentBytes in the last ten seconds. It is 0
	// while it is not known, in the first second of a call.
	BytesPerSecond float64
}

// TimeLeft returns how long the rest takes at BytesPerSecond. It is not known
// while that is 0, and once all is sent but not acknowledged.
func (p UploadProgress) TimeLeft() (left time.Duration, known bool) {
	switch {
	case p.Bytes >= p.Total:
		return 0, true
	case p.BytesPerSecond <= 0 || p.SentBytes >= p.Total:
		return 0, false
	}
	seconds := float64(p.Total-p.SentBytes) / p.BytesPerSecond
	if seconds >= math.MaxInt64/float64(time.Second) {
		return math.MaxInt64, true
	}
	return time.Duration(seconds * float64(time.Second)), true
}

const (
	// progressInterval is the time between two reports while bytes move.
	progressInterval = 400 * time.Millisecond
	// rateWindow is the time of which BytesPerSecond is the mean, rateKnown the
	// least: what the buffers of a connection take at once is no rate.
	rateWindow = 10 * time.Second
	rateKnown  = time.Second
)

// progress is what was reported last. The upload's mutex guards it.
type progress struct {
	chunks int // of which all are kept
	bytes  int64
	sent   int64
	rate   rateMeter
	flying map[int]*countingReader // chunks in flight
}

// reportAll reports what the checkpoint has.
func (u *upload) reportAll() {
	u.mu.Lock()
	defer u.mu.Unlock()
	u.progress.chunks, u.progress.bytes = u.done.count, u.doneBytes()
	u.progress.flying = map[int]*countingReader{}
	u.report()
}

// reportChunk reports a chunk that was acknowledged, and kept.
func (u *upload) reportChunk(i int) {
	_, size := u.span(i)
	u.mu.Lock()
	defer u.mu.Unlock()
	if u.changed {
		return // with the rest it was forgotten
	}
	delete(u.progress.flying, i)
	u.progress.chunks++
	u.progress.bytes += size
	u.report()
}

// reportMoving reports bytes that move until done is closed.
func (u *upload) reportMoving(ctx context.Context, done <-chan struct{}) error {
	if u.req.Progress == nil {
		return nil
	}
	_, err := guard(func() (struct{}, error) {
		ticker := time.NewTicker(progressInterval)
		defer ticker.Stop()
		for {
			select {
			case <-done:
				return struct{}{}, nil
			case <-ctx.Done(): // for which there is another error
				return struct{}{}, nil
			case <-ticker.C:
				u.reportIfMoved()
			}
		}
	})
	return err
}

func (u *upload) reportIfMoved() {
	u.mu.Lock()
	defer u.mu.Unlock()
	if u.sentBytes() > u.progress.sent || u.progress.rate.last > 0 {
		u.report()
	}
}

// report calls Progress. The caller holds u.mu.
func (u *upload) report() {
	if u.req.Progress == nil {
		return
	}
	p := &u.progress
	p.sent = u.sentBytes()
	u.req.Progress(UploadProgress{
		UploadRequestID: u.state.UploadRequestID,
		Resumed:         u.resumed,
		Bytes:           p.bytes,
		Total:           u.state.Size,
		Chunks:          p.chunks,
		TotalChunks:     len(u.done.have),
		SentBytes:       p.sent,
		AbandonedID:     u.state.abandonedID(),
		BytesPerSecond:  p.rate.add(time.Now(), p.sent, p.chunks == len(u.done.have)),
	})
}

func (u *upload) sentBytes() int64 {
	sent := u.progress.bytes
	for _, chunk := range u.progress.flying {
		sent += chunk.at.Load()
	}
	return max(sent, u.progress.sent)
}

func (u *upload) doneBytes() int64 {
	bytes := int64(u.done.count) * u.state.ChunkSize
	if last := len(u.done.have) - 1; u.done.have[last] {
		bytes -= int64(last+1)*u.state.ChunkSize - u.state.Size
	}
	return bytes
}

// counted returns file such that the bytes read of it are those of chunk i in
// flight.
func (u *upload) counted(i int, file io.ReaderAt) *countingReader {
	u.mu.Lock()
	defer u.mu.Unlock()
	r := &countingReader{ReaderAt: file, ramp: u.ramp}
	u.progress.flying[i] = r
	return r
}

// countingReader knows how far a chunk was read to be sent. One that is sent
// again is read from its start.
type countingReader struct {
	io.ReaderAt

	ramp *ramp
	conn atomic.Pointer[net.Conn] // that it is sent over
	at   atomic.Int64
}

// ReadAt implements [io.ReaderAt].
func (r *countingReader) ReadAt(p []byte, offset int64) (int, error) {
	n, err := r.ReaderAt.ReadAt(p, offset)
	r.at.Store(offset + int64(max(n, 0)))
	r.ramp.moved()
	return n, err
}

// rateMeter is the mean rate of the last rateWindow.
type rateMeter struct {
	samples []rateSample // the first is the only one that may be older
	last    float64
}

type rateSample struct {
	at    time.Time
	bytes int64
}

// add returns the rate now that so many bytes are sent, 0 before it is known. An
// upload whose bytes are all acknowledged has one, however short it was.
func (m *rateMeter) add(now time.Time, bytes int64, complete bool) float64 {
	if n := len(m.samples); n == 0 || now.Sub(m.samples[n-1].at) >= progressInterval {
		m.samples = append(m.samples, rateSample{now, bytes})
	}
	for len(m.samples) > 1 && now.Sub(m.samples[1].at) >= rateWindow {
		m.samples = m.samples[1:]
	}
	m.last = 0
	first := m.samples[0]
	if took := now.Sub(first.at); took >= rateKnown || complete && took > 0 {
		m.last = float64(bytes-first.bytes) / took.Seconds()
	}
	return m.last
}
