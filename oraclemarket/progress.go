package oraclemarket

import "time"

// UploadProgress describes how far an upload is. It counts what the service has
// acknowledged: no count shrinks, and nothing counts twice.
type UploadProgress struct {
	// UploadRequestID is the id of the upload request.
	UploadRequestID int64
	// Resumed reports whether an earlier call began this upload.
	Resumed bool
	// Bytes is how many of Total bytes are acknowledged, Chunks how many of
	// TotalChunks chunks. Both include earlier calls.
	Bytes, Total        int64
	Chunks, TotalChunks int
	// AbandonedID is an upload request that this one replaces, because its chunks
	// were too large for a proxy. It has no chunks and can be deleted.
	AbandonedID int64
	// BytesPerSecond is the mean rate of this call, 0 before its first chunk.
	BytesPerSecond float64
}

// reportAll reports what the checkpoint has.
func (u *upload) reportAll() {
	u.told, u.toldBytes = u.done.count, u.doneBytes()
	u.report()
}

func (u *upload) report() {
	if u.req.Progress == nil {
		return
	}
	p := UploadProgress{
		UploadRequestID: u.state.UploadRequestID,
		Resumed:         u.resumed,
		Bytes:           u.toldBytes,
		Total:           u.state.Size,
		Chunks:          u.told,
		TotalChunks:     len(u.done.have),
		AbandonedID:     u.abandoned,
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
