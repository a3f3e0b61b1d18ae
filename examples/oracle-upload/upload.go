package main

import (
	"context"
	"errors"
	"fmt"
	"path/filepath"

	"github.com/imagejobs/imagejobs-go/examples/internal/cli"
	"github.com/imagejobs/imagejobs-go/oraclemarket"
)

func (p *program) request() *oraclemarket.ImageUpload {
	req := &oraclemarket.ImageUpload{
		Application: p.application, Version: p.version, OperatingSystem: p.os, OverwriteStorageFile: p.overwrite,
		FileName: filepath.Base(p.image.name), File: p.image, Size: p.image.size,
		ChunkSize: int64(p.chunkSize), Concurrency: p.concurrency,
		Progress: p.progress, StatusChanged: p.status, NoWait: p.noWait,
	}
	if !p.out.Demo { // the built-in service forgets all uploads at its end
		req.Checkpoints = oraclemarket.FileCheckpoints(p.checkpointDir)
	}
	return req
}

func (p *program) upload(ctx context.Context) (*oraclemarket.MachineImageUploadRequest, error) {
	req := p.request()
	if p.restart && req.Checkpoints != nil {
		if err := p.client.MachineImages.DiscardUpload(ctx, req); err != nil {
			return nil, err
		}
	}
	switch {
	case p.whole:
		return p.uploadWhole(ctx)
	case p.file == "":
		return p.client.MachineImages.Upload(ctx, req)
	default:
		return p.client.MachineImages.UploadFile(ctx, p.file, req)
	}
}

func (p *program) uploadWhole(ctx context.Context) (*oraclemarket.MachineImageUploadRequest, error) {
	sum, err := p.image.md5(ctx)
	if err != nil {
		return nil, err
	}
	p.out.Line("uploading %s, %s, in one request", filepath.Base(p.image.name), cli.FormatSize(p.image.size))
	ack, err := p.client.MachineImages.Create(ctx, &oraclemarket.CreateMachineImageRequest{
		Application: p.application, Version: p.version, OperatingSystem: p.os, OverwriteStorageFile: p.overwrite,
		FileName: filepath.Base(p.image.name), File: p.image, Size: p.image.size, MD5: sum,
	})
	if err != nil {
		return nil, err
	}
	p.begin(ack.EntityID, "upload request %d", ack.EntityID)
	var last *oraclemarket.MachineImageUploadRequest
	for now, err := range p.client.MachineImages.Watch(ctx, ack.EntityID) {
		if err != nil {
			return nil, err
		}
		last = now
		p.status(now)
		if p.noWait && !now.StatusName.Terminal() {
			break
		}
	}
	return last, nil
}

func (p *program) ids() cli.IDs {
	if p.id == 0 {
		return cli.IDs{}
	}
	return cli.IDs{"uploadRequestId": p.id}
}

func (p *program) begin(id int64, format string, args ...any) {
	p.id = id
	p.out.Emit(cli.Event{Event: cli.Started, IDs: p.ids()}, format, args...)
	p.keep("")
}

// keep keeps the id as soon as it is known. The last call reports whether
// the file could be written.
func (p *program) keep(state oraclemarket.Status) { _ = p.out.Keep(p.ids(), string(state)) }

func (p *program) progress(now oraclemarket.UploadProgress) {
	if p.sent == nil {
		if now.Resumed {
			p.begin(now.UploadRequestID, "resuming upload request %d: %d of %d chunks are uploaded already",
				now.UploadRequestID, now.Chunks, now.TotalChunks)
		} else {
			p.begin(now.UploadRequestID, "upload request %d", now.UploadRequestID)
		}
		p.sent = p.out.Bar("uploading")
	}
	sent := now.SentBytes
	if now.Bytes < now.Total {
		sent = min(sent, now.Total-1) // it is all there once it is acknowledged
	}
	left, _ := now.TimeLeft() // 0 if it is not known
	done := cli.BytesProgress(sent, now.Total, now.BytesPerSecond, left)
	done.Chunks, done.TotalChunks = now.Chunks, now.TotalChunks
	p.sent.Set(cli.Event{Event: cli.Moved, IDs: p.ids(), Progress: done})
}

// status shows the mean progress of the data centers.
func (p *program) status(now *oraclemarket.MachineImageUploadRequest) {
	if p.wait == nil {
		p.wait = p.out.Bar("processing")
	}
	percent := 0
	for _, d := range now.DataCenterImageUploadRequests {
		percent += d.UploadProgress.Int()
	}
	p.wait.Set(cli.Event{
		Event: cli.Status, IDs: p.ids(), State: string(now.StatusName), Detail: now,
		Progress: &cli.Progress{Percent: int64(percent / max(len(now.DataCenterImageUploadRequests), 1))},
	})
	p.keep(now.StatusName)
}

// explain adds how to resume after a failure.
func (p *program) explain(ctx context.Context, err error) error {
	_, ended := errors.AsType[*oraclemarket.StateError](err)
	const resume = "run the same command again to resume"
	switch {
	case ended, p.out.Demo, p.whole, errors.Is(err, oraclemarket.ErrInvalidArgument):
		return err
	case errors.Is(err, oraclemarket.ErrAlreadyMerged):
		return fmt.Errorf("%w; run the command without -restart to follow it", err)
	case errors.Is(err, oraclemarket.ErrSourceChanged):
		return fmt.Errorf("%w; or start over with -restart (checkpoints are in %s)", err, p.checkpointDir)
	case errors.Is(err, oraclemarket.ErrCheckpointInvalid):
		return fmt.Errorf("%w (checkpoints are in %s)", err, p.checkpointDir)
	case ctx.Err() != nil: // the next run finds out what became of the last call
		return cli.WithCode(fmt.Errorf("%w; the state is in %s: %s", err, p.checkpointDir, resume), cli.Interrupted)
	case p.id != 0 || errors.Is(err, oraclemarket.ErrAmbiguous):
		return fmt.Errorf("%w; what is uploaded is kept: %s", err, resume)
	}
	return err
}
