package main

import (
	"context"
	"path/filepath"

	"github.com/imagejobs/imagejobs-go/examples/internal/cli"
	"github.com/imagejobs/imagejobs-go/oraclemarket"
)

func (p *program) request() *oraclemarket.ImageUpload {
	req := &oraclemarket.ImageUpload{
		Application: p.application, Version: p.version, OperatingSystem: p.os, OverwriteStorageFile: p.overwrite,
		FileName: filepath.Base(p.image.name), File: p.image, Size: p.image.size,
		ChunkSize: int64(p.chunkSize), Concurrency: p.concurrency,
		Progress: p.shown.Progress, StatusChanged: p.shown.Status, NoWait: p.noWait,
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
	p.shown.Begin(ack.EntityID, "upload request %d", ack.EntityID)
	var last *oraclemarket.MachineImageUploadRequest
	for now, err := range p.client.MachineImages.Watch(ctx, ack.EntityID) {
		if err != nil {
			return nil, err
		}
		last = now
		p.shown.Status(now)
		if p.noWait && !now.StatusName.Terminal() {
			break
		}
	}
	return last, nil
}

// explain adds how to resume after a failure.
func (p *program) explain(ctx context.Context, err error) error {
	if p.whole {
		return err
	}
	return p.shown.Explain(ctx, err, p.checkpointDir)
}
