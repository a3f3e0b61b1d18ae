package oraclemarket

import (
	"context"
	"time"

	"github.com/imagejobs/imagejobs-go/internal/transport"
)

// conflict is a chunk that was sent again and refused with 409: the service may
// have it already.
type conflict struct {
	chunk int
	sum   string
	err   error
}

// noteSent keeps what a chunk is that may arrive. Of two different ones nobody
// knows which the service has.
func (u *upload) noteSent(chunk *Chunk) {
	if chunk.MD5 == "" {
		return
	}
	u.mu.Lock()
	defer u.mu.Unlock()
	if u.state.Sent == nil {
		u.state.Sent = map[int]string{}
	}
	if was, ok := u.state.Sent[chunk.Number]; ok && was != chunk.MD5 {
		u.state.Sent[chunk.Number] = eitherOf
		return
	}
	u.state.Sent[chunk.Number] = chunk.MD5
}

// eitherOf is in place of the MD5 of a chunk that is one of several.
const eitherOf = "?"

// saveSent saves the chunks that may have arrived, at the end of a call that
// fails. Where it cannot, a 409 shows nothing of them: no other harm is done.
func (u *upload) saveSent(ctx context.Context) {
	u.mu.Lock()
	sent := len(u.state.Sent)
	u.mu.Unlock()
	if sent > 0 {
		_ = u.save(ctx, phaseUploading)
	}
}

// hasOurs reports whether a service that refuses chunk i with 409 may have it as
// it is now: from this call, which sent it again, from an earlier one, or from
// the initiate call. What is of another file must not become a part of this one.
func (u *upload) hasOurs(i int, sum string, again bool) bool {
	if u.tainted {
		return false
	}
	if i == 0 && u.state.First != "" {
		return u.state.First == sum
	}
	if was, known := u.sentBefore[u.state.FirstChunk+i]; known {
		return was == sum
	}
	initiated := i == 0 && u.total > 0 && u.firstChunk == u.service.firstChunk // by another call
	return again || initiated || u.resumed && !u.state.Touched
}

func (u *upload) addConflict(c conflict) {
	u.mu.Lock()
	defer u.mu.Unlock()
	u.conflicts = append(u.conflicts, c)
}

// settleConflicts acknowledges the chunks that were refused with 409 if the
// service counts all chunks, now that every other one is acknowledged. A count
// may lag. Those of a range are left to the merge.
func (u *upload) settleConflicts(ctx context.Context) error {
	if len(u.conflicts) == 0 || u.total > 0 {
		return nil
	}
	var end time.Time
	for interval := u.service.lag / 30; ; interval = min(2*interval, u.service.lag/6) {
		now, err := u.get(ctx)
		if end.IsZero() {
			end = time.Now().Add(u.service.lag)
		}
		switch {
		case err != nil:
			return after(err, u.conflicts[0].err)
		case now.UploadedChunks >= len(u.done.have):
			for _, c := range u.conflicts {
				u.acknowledge(c.chunk, c.sum)
				if err := u.saveAcknowledged(ctx, c.chunk); err != nil {
					return err
				}
			}
			u.conflicts = nil
			return nil
		case !time.Now().Before(end):
			return u.conflicts[0].err
		}
		if err := transport.Sleep(ctx, interval); err != nil {
			return after(err, u.conflicts[0].err)
		}
	}
}
