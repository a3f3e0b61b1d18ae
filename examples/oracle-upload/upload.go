package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"

	"github.com/imagejobs/imagejobs-go/examples/internal/cli"
	"github.com/imagejobs/imagejobs-go/oraclemarket"
)

func (p *program) upload(ctx context.Context) (*oraclemarket.MachineImageUploadRequest, error) {
	if p.whole {
		return p.uploadWhole(ctx)
	}
	req := &oraclemarket.ImageUpload{
		Application: p.application, Version: p.version, OperatingSystem: p.os, OverwriteStorageFile: &p.overwrite,
		ChunkSize: p.chunkSize, Concurrency: p.concurrency,
		Progress: p.progress, StatusChanged: p.status,
	}
	if !p.BuiltIn() { // the built-in service forgets all uploads with this process
		req.Checkpoints = oraclemarket.FileCheckpoints(p.checkpointDir)
	}
	p.out.Line("uploading %s", filepath.Base(p.file))
	return p.client.MachineImages.UploadFile(ctx, p.file, req)
}

func (p *program) uploadWhole(ctx context.Context) (*oraclemarket.MachineImageUploadRequest, error) {
	f, err := os.Open(p.file)
	if err != nil {
		return nil, err
	}
	defer func() { _ = f.Close() }()
	info, err := f.Stat()
	if err != nil {
		return nil, err
	}
	sum, err := fileMD5(ctx, p.file)
	if err != nil {
		return nil, err
	}
	p.out.Line("uploading %s in one request", cli.Size(info.Size()))
	ack, err := p.client.MachineImages.Create(ctx, &oraclemarket.CreateMachineImageRequest{
		Application: p.application, Version: p.version, OperatingSystem: p.os, OverwriteStorageFile: &p.overwrite,
		FileName: filepath.Base(p.file), File: f, Size: info.Size(), MD5: sum,
	})
	if err != nil {
		return nil, err
	}
	p.begin(ack.EntityID, false)
	var last *oraclemarket.MachineImageUploadRequest
	for now, err := range p.client.MachineImages.Watch(ctx, ack.EntityID) {
		if err != nil {
			return nil, err
		}
		last = now
		p.status(now)
	}
	return last, nil
}

func (p *program) begin(id int64, resumed bool) {
	p.id = id
	verb := "upload request"
	if resumed {
		verb = "going on with upload request"
	}
	p.out.Line("%s %d", verb, id)
	p.out.Event(map[string]any{"event": "upload-request", "uploadRequestId": id, "resumed": resumed})
}

func (p *program) progress(now oraclemarket.UploadProgress) {
	if p.bar == nil {
		p.begin(now.UploadRequestID, now.Resumed)
		if now.Resumed {
			p.out.Line("%d of %d chunks are there already", now.Chunks, now.TotalChunks)
		}
		p.bar = p.bars.Bytes("uploading", now.Total, now.Bytes)
	}
	p.bar.Set(now.Bytes, "", now.BytesPerSecond)
	p.out.Event(map[string]any{
		"event": "progress", "bytes": now.Bytes, "total": now.Total,
		"chunks": now.Chunks, "totalChunks": now.TotalChunks, "bytesPerSecond": now.BytesPerSecond,
	})
}

func (p *program) status(now *oraclemarket.MachineImageUploadRequest) {
	parts := []string{"status: " + string(now.StatusName)}
	for _, d := range now.DataCenterImageUploadRequests {
		parts = append(parts, fmt.Sprintf("%s %d%%", d.DataCenterName, d.UploadProgress.Int()))
	}
	p.out.Line("%s", strings.Join(parts, ", "))
	p.out.Event(map[string]any{"event": "status", "status": now.StatusName, "request": now})
}

// explain says how to go on after a failure.
func (p *program) explain(ctx context.Context, err error) error {
	switch {
	case p.BuiltIn() || p.whole || errors.Is(err, oraclemarket.ErrInvalidArgument):
	case errors.Is(err, oraclemarket.ErrSourceChanged), errors.Is(err, oraclemarket.ErrCheckpointInvalid):
		return fmt.Errorf("%w (checkpoints are in %s)", err, p.checkpointDir)
	case ctx.Err() != nil:
		return fmt.Errorf("%w; the state is in %s: run the same command again to go on", err, p.checkpointDir)
	case (p.id != 0 || errors.Is(err, oraclemarket.ErrAmbiguous)) && !isEnded(err):
		return fmt.Errorf("%w; what is uploaded is kept: run the same command again to go on", err)
	}
	return err
}

func isEnded(err error) bool {
	_, ended := errors.AsType[*oraclemarket.StateError](err)
	return ended
}
