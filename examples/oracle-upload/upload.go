package main

import (
	"context"
	"path/filepath"

	"github.com/imagejobs/imagejobs-go/examples/internal/cli"
	"github.com/imagejobs/imagejobs-go/oraclemarket"
)

func (p *program) request() *oraclemarket.ImageUpload {
	req := p.upload.Request(p.shown)
	req.FileName, req.File, req.Size = filepath.Base(p.image.name), p.image, p.image.size
	return req
}

func (p *program) send(ctx context.Context) (*oraclemarket.MachineImageUploadRequest, error) {
	req := p.request()
	if err := p.upload.Discard(ctx, p.client, req); err != nil {
		return nil, err
	}
	switch {
	case p.whole:
		return p.sendWhole(ctx, req)
	case p.file == "":
		return p.client.MachineImages.Upload(ctx, req)
	default:
		return p.client.MachineImages.UploadFile(ctx, p.file, req)
	}
}

func (p *program) sendWhole(ctx context.Context, req *oraclemarket.ImageUpload) (*oraclemarket.MachineImageUploadRequest, error) {
	sum, err := p.image.md5(ctx)
	if err != nil {
		return nil, err
	}
	p.out.Line("uploading %s, %s, in one request", req.FileName, cli.FormatSize(req.Size))
	ack, err := p.client.MachineImages.Create(ctx, &oraclemarket.CreateMachineImageRequest{
		Application: req.Application, Version: req.Version, OperatingSystem: req.OperatingSystem,
		OverwriteStorageFile: req.OverwriteStorageFile,
		FileName:             req.FileName, File: req.File, Size: req.Size, MD5: sum,
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
		if p.upload.NoWait && !now.StatusName.Terminal() {
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
	return p.shown.Explain(ctx, err, p.upload.CheckpointDir)
}
