package oraclemarket

// smallChunkSize is what passes most proxies that limit the size of requests.
const smallChunkSize = 4 << 20

// canShrink reports whether the upload may begin anew with smaller chunks:
// there is nothing to lose, nobody chose a size, and the file can be read
// again.
func (u *upload) canShrink() bool {
	return u.done.count == 0 && !u.mayExist && u.req.ChunkSize == 0 && u.state.ChunkSize > smallChunkSize &&
		len(u.state.Abandoned) == 0 && u.source.sequential == nil
}

// shrink begins anew with smaller chunks.
func (u *upload) shrink() {
	abandoned := u.state.abandon()
	u.begin(u.state.Fingerprint, smallChunkSize)
	u.state.Abandoned = abandoned
}

// abandon returns the upload requests that another one replaces. The number of
// chunks is part of an upload request. It is not deleted, which might concern
// the image of that path that is there.
func (c *checkpoint) abandon() []int64 {
	if c.UploadRequestID == 0 { // the first chunk, with the initiate call, was too large
		return c.Abandoned
	}
	return append(c.Abandoned, c.UploadRequestID)
}

// abandonedID returns the newest of the upload requests that this one replaces,
// 0 for none.
func (c *checkpoint) abandonedID() int64 {
	if len(c.Abandoned) == 0 {
		return 0
	}
	return c.Abandoned[len(c.Abandoned)-1]
}
