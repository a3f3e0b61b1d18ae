package oracle

import (
	"context"
	"errors"
	"fmt"

	"github.com/imagejobs/imagejobs-go/examples/internal/cli"
	"github.com/imagejobs/imagejobs-go/oraclemarket"
)

// Upload shows an upload: its id, the bytes, and then the state of the image.
type Upload struct {
	Out *cli.Output

	id   int64
	sent *cli.Bar
	wait *cli.Bar
}

// IDs returns the id of the upload request, if there is one.
func (u *Upload) IDs() cli.IDs {
	if u.id == 0 {
		return cli.IDs{}
	}
	return cli.IDs{"uploadRequestId": u.id}
}

// Begin shows and keeps the id of the upload request.
func (u *Upload) Begin(id int64, format string, args ...any) {
	u.id = id
	u.Out.Emit(cli.Event{Event: cli.Started, IDs: u.IDs()}, format, args...)
	u.keep("")
}

// keep keeps the id as soon as it is known. The last call reports whether
// the file could be written.
func (u *Upload) keep(state oraclemarket.Status) { _ = u.Out.Keep(u.IDs(), string(state)) }

// Progress shows how many bytes are sent. It is for the field of the same name.
func (u *Upload) Progress(now oraclemarket.UploadProgress) {
	if u.sent == nil {
		if now.Resumed {
			u.Begin(now.UploadRequestID, "resuming upload request %d: %d of %d chunks are uploaded already",
				now.UploadRequestID, now.Chunks, now.TotalChunks)
		} else {
			u.Begin(now.UploadRequestID, "upload request %d", now.UploadRequestID)
		}
		u.sent = u.Out.Bar("uploading")
	}
	sent := now.SentBytes
	if now.Bytes < now.Total {
		sent = min(sent, now.Total-1) // it is all there once it is acknowledged
	}
	left, _ := now.TimeLeft() // 0 if it is not known
	done := cli.BytesProgress(sent, now.Total, now.BytesPerSecond, left)
	done.Chunks, done.TotalChunks = now.Chunks, now.TotalChunks
	u.sent.Set(cli.Event{Event: cli.Moved, IDs: u.IDs(), Progress: done})
}

// Status shows the mean progress of the data centers. It is for StatusChanged.
func (u *Upload) Status(now *oraclemarket.MachineImageUploadRequest) {
	if u.wait == nil {
		u.wait = u.Out.Bar("processing")
	}
	percent := 0
	for _, d := range now.DataCenterImageUploadRequests {
		percent += d.UploadProgress.Int()
	}
	u.wait.Set(cli.Event{
		Event: cli.Status, IDs: u.IDs(), State: string(now.StatusName), Detail: now,
		Progress: &cli.Progress{Percent: int64(percent / max(len(now.DataCenterImageUploadRequests), 1))},
	})
	u.keep(now.StatusName)
}

// Explain adds to err how to resume, where the checkpoints are in dir.
func (u *Upload) Explain(ctx context.Context, err error, dir string) error {
	_, ended := errors.AsType[*oraclemarket.StateError](err)
	const resume = "run the same command again to resume"
	switch {
	case ended, u.Out.Demo, errors.Is(err, oraclemarket.ErrInvalidArgument):
		return err
	case errors.Is(err, oraclemarket.ErrAlreadyMerged):
		return fmt.Errorf("%w; run the command without -restart to follow it", err)
	case errors.Is(err, oraclemarket.ErrSourceChanged):
		return fmt.Errorf("%w; or start over with -restart (checkpoints are in %s)", err, dir)
	case errors.Is(err, oraclemarket.ErrCheckpointInvalid):
		return fmt.Errorf("%w (checkpoints are in %s)", err, dir)
	case ctx.Err() != nil: // the next run finds out whether the last call took effect
		return cli.WithCode(fmt.Errorf("%w; the state is in %s: %s", err, dir, resume), cli.Interrupted)
	case u.id != 0 || errors.Is(err, oraclemarket.ErrAmbiguous):
		return fmt.Errorf("%w; what is uploaded is kept: %s", err, resume)
	}
	return err
}
