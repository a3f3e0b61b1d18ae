package oraclemarket

import "context"

// smallChunkSize is what passes most proxies that limit the size of requests.
const smallChunkSize = 4 << 20

// canShrink reports whether the upload may begin anew with smaller chunks:
// there is nothing to lose, nobody chose a size, and the file can be read
// again.
func (u *upload) canShrink() bool {
	return u.done.count == 0 && u.req.ChunkSize == 0 && u.state.ChunkSize > smallChunkSize && u.abandoned == 0 &&
		u.source.sequential == nil
}

// shrink begins anew with smaller chunks. The number of chunks is part of an
// upload request, so it takes another one; the one before is not deleted, which
// might concern the image of that path that is there.
func (u *upload) shrink(ctx context.Context) error {
	abandoned := u.state.UploadRequestID
	u.begin(u.state.Fingerprint, smallChunkSize)
	u.abandoned = abandoned
	if err := u.initiate(ctx); err != nil {
		return err
	}
	u.reportAll()
	return u.sendChunks(ctx)
}
