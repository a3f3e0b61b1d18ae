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

func (u *upload) addConflict(c conflict) {
	u.mu.Lock()
	defer u.mu.Unlock()
	u.conflicts = append(u.conflicts, c)
}

// settleConflicts acknowledges the chunks that were refused with 409 if the
// service counts all chunks, now that every other one is acknowledged. A count
// may lag.
func (u *upload) settleConflicts(ctx context.Context) error {
	if len(u.conflicts) == 0 {
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
			return nil
		case !time.Now().Before(end):
			return u.conflicts[0].err
		}
		if err := transport.Sleep(ctx, interval); err != nil {
			return after(err, u.conflicts[0].err)
		}
	}
}
