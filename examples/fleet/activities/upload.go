package activities

import (
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"time"

	"go.temporal.io/sdk/activity"

	"github.com/imagejobs/imagejobs-go/examples/fleet/workflows"
	"github.com/imagejobs/imagejobs-go/oraclemarket"
)

type uploading = keeper[workflows.UploadProgress]

// UploadImage uploads an image and has it merged, or with InitiateOnly begins an
// upload in parts. What an earlier attempt has sent, on whatever worker, is not
// sent again.
func (a *Activities) UploadImage(ctx context.Context, task workflows.UploadTask) (*workflows.UploadProgress, error) {
	return keep(ctx, a, task.Progress, func(ctx context.Context, k *uploading) error {
		client, err := a.Oracle(ctx)
		if err != nil {
			return err
		}
		source, missing := a.open(ctx, task.Input)
		if missing == nil {
			defer func() { _ = source.Close() }() // only read
		} else if len(k.get().Checkpoint) == 0 {
			return missing
		}
		if now := k.get(); len(now.Checkpoint) == 0 && now.UploadRequestID == 0 && !task.Repeat {
			if err := unfinished(ctx, client, task.Input); err != nil {
				return err
			}
		}
		req := request(task.Input, k)
		if source != nil {
			req.File, req.Size = source, source.Size()
		}
		if task.InitiateOnly {
			return initiate(ctx, client, req, source, k)
		}
		if path := a.path(task.Input.Source); path != "" && source != nil {
			_, err = client.MachineImages.UploadFile(ctx, path, req)
		} else {
			_, err = client.MachineImages.Upload(ctx, req)
		}
		if missing != nil && errors.Is(err, oraclemarket.ErrInvalidArgument) {
			return missing // and it is still needed
		}
		return err
	})
}

// unfinished returns an error if the service has an unfinished upload of the
// image that was begun lately. That is one of this workflow whose heartbeats are
// lost, as they are when an activity is reset or a workflow is terminated and
// started again, or one of somebody else.
func unfinished(ctx context.Context, client *oraclemarket.Client, in workflows.UploadImageInput) error {
	const clocks = 2 * time.Minute // may differ by that
	since := activity.GetInfo(ctx).ScheduledTime.Add(-clocks)
	for r, err := range client.MachineImages.All(ctx, &oraclemarket.ListMachineImagesOptions{
		Statuses: []oraclemarket.Status{oraclemarket.StatusInitiated},
		OrderBy:  oraclemarket.OrderByLastUpdateDate, SortOrder: oraclemarket.SortDescending,
	}) {
		switch {
		case err != nil:
			return err
		case !r.LastModifiedDate.IsZero() && r.LastModifiedDate.Before(since):
			return nil
		case r.Application == in.Application && r.Version == in.Version &&
			r.OperatingSystem == in.OperatingSystem && r.FileName == in.Name():
			return fmt.Errorf("upload request %d is an unfinished upload of this image: %w", r.UploadRequestID, oraclemarket.ErrAmbiguous)
		}
	}
	return nil
}

// request returns the upload of an image whose state is in the heartbeat.
func request(in workflows.UploadImageInput, k *uploading) *oraclemarket.ImageUpload {
	return &oraclemarket.ImageUpload{
		Application: in.Application, Version: in.Version, OperatingSystem: in.OperatingSystem, FileName: in.Name(),
		OverwriteStorageFile: in.OverwriteStorageFile,
		ChunkSize:            in.ChunkSize, Concurrency: in.Concurrency, BytesPerSecond: in.BytesPerSecond,
		Checkpoints: checkpoints{k}, NoWait: true,
		Progress: func(now oraclemarket.UploadProgress) {
			k.set(func(p *workflows.UploadProgress) {
				p.UploadRequestID, p.Bytes, p.Total, p.Chunks, p.TotalChunks = now.UploadRequestID, now.Bytes, now.Total, now.Chunks, now.TotalChunks
			})
		},
	}
}

// checkpoints keeps the state of an upload in the heartbeats of its activity.
type checkpoints struct{ k *uploading }

// Load implements oraclemarket.CheckpointStore.
func (c checkpoints) Load(context.Context, string) ([]byte, error) {
	if state := c.k.get().Checkpoint; len(state) > 0 {
		return state, nil
	}
	return nil, fs.ErrNotExist
}

// Save implements oraclemarket.CheckpointStore.
func (c checkpoints) Save(ctx context.Context, _ string, state []byte) error {
	return c.k.save(ctx, func(p *workflows.UploadProgress) { p.Checkpoint = state })
}

// Delete implements oraclemarket.CheckpointStore. The state stays: a worker that
// is lost before the server knows that the activity is complete would otherwise
// have the image uploaded again.
func (c checkpoints) Delete(context.Context, string) error { return nil }

// initiate begins an upload and ends it as soon as there is an upload request:
// Upload looks for one whose response was lost, also by an attempt before.
func initiate(ctx context.Context, client *oraclemarket.Client, req *oraclemarket.ImageUpload, source Source, k *uploading) error {
	if source == nil {
		return badSource("cannot be opened any more")
	}
	version, err := source.Version()
	if err != nil {
		return err
	}
	req.ChunkSize = chunkSize(req.ChunkSize, req.Size)
	k.set(func(p *workflows.UploadProgress) { p.ChunkSize, p.Version, p.Total = req.ChunkSize, version, req.Size })
	if now := k.get(); now.UploadRequestID != 0 && len(now.Checkpoint) == 0 { // adopted
		k.set(func(p *workflows.UploadProgress) { p.TotalChunks = int((req.Size-1)/req.ChunkSize) + 1 })
		return nil
	}
	begun, stop := context.WithCancel(ctx)
	defer stop()
	progress := req.Progress
	req.Progress = func(now oraclemarket.UploadProgress) {
		progress(now)
		stop()
	}
	_, err = client.MachineImages.Upload(begun, req)
	if ctx.Err() == nil && begun.Err() != nil && errors.Is(err, context.Canceled) {
		return nil
	}
	return err
}

// chunkSize returns the size of chunks that Upload would choose.
func chunkSize(wanted, size int64) int64 {
	const mib, chunks = 1 << 20, 64
	return cmp.Or(wanted, min(max(((size-1)/chunks/mib+1)*mib, 16*mib), 64*mib))
}

// UploadPart uploads some chunks of an upload request, and returns what
// FinishUpload needs.
func (a *Activities) UploadPart(ctx context.Context, task workflows.UploadTask) (json.RawMessage, error) {
	plan := task.Progress
	var part *oraclemarket.UploadedRange
	_, err := keep(ctx, a, workflows.UploadProgress{UploadRequestID: plan.UploadRequestID}, func(ctx context.Context, k *uploading) error {
		client, err := a.Oracle(ctx)
		if err != nil {
			return err
		}
		source, err := a.open(ctx, task.Input)
		if err != nil {
			return err
		}
		defer func() { _ = source.Close() }() // only read
		same := func() error { return unchanged(source, plan.UploadRequestID, plan.Total, plan.Version) }
		if err := same(); err != nil {
			return err
		}
		req := request(task.Input, k)
		req.File, req.Size, req.ChunkSize = source, plan.Total, plan.ChunkSize
		part, err = client.MachineImages.UploadRange(ctx, req,
			oraclemarket.ChunkRange{UploadRequestID: plan.UploadRequestID, First: task.First, Count: task.Count})
		return cmp.Or(err, same())
	})
	if err != nil {
		return nil, err
	}
	return json.Marshal(part)
}

// FinishUpload has the parts merged, if there are any, and waits for the upload
// request: each attempt looks once.
func (a *Activities) FinishUpload(ctx context.Context, task workflows.UploadTask) (*workflows.UploadImageResult, error) {
	result := &workflows.UploadImageResult{UploadRequestID: task.Progress.UploadRequestID}
	task.Progress.Checkpoint = nil // it is not that of the merge
	_, err := keep(ctx, a, task.Progress, func(ctx context.Context, k *uploading) error {
		client, err := a.Oracle(ctx)
		if err != nil {
			return err
		}
		if len(task.Parts) > 0 && !k.get().Merged {
			if err := merge(ctx, client, task, k); err != nil {
				return err
			}
		}
		for now, err := range client.MachineImages.Watch(ctx, result.UploadRequestID) {
			if err != nil {
				return err
			}
			result.Status, result.ImageFilePath = string(now.StatusName), now.ImageFilePath
			if !now.StatusName.Terminal() {
				return pending(ctx, "upload request %d is %s", now.UploadRequestID, now.StatusName)
			}
		}
		return nil
	})
	if err != nil {
		return nil, err
	}
	return result, nil
}

func merge(ctx context.Context, client *oraclemarket.Client, task workflows.UploadTask, k *uploading) error {
	parts := make([]oraclemarket.UploadedRange, len(task.Parts))
	for i, part := range task.Parts {
		if err := json.Unmarshal(part, &parts[i]); err != nil {
			return fmt.Errorf("part %d: %w", i, err)
		}
	}
	req := request(task.Input, k)
	req.ChunkSize = 0 // the parts have it
	if _, err := client.MachineImages.MergeRanges(ctx, req, parts); err != nil {
		return err
	}
	return k.save(ctx, func(p *workflows.UploadProgress) { p.Merged = true })
}

// DiscardUpload deletes what an upload left, and returns what it does not
// delete, empty if nothing.
func (a *Activities) DiscardUpload(ctx context.Context, task workflows.UploadTask) (left string, err error) {
	id := task.Progress.UploadRequestID
	_, err = keep(ctx, a, task.Progress, func(ctx context.Context, k *uploading) error {
		if len(task.Progress.Checkpoint) == 0 {
			if id != 0 { // another program's, whatever a person thought
				left = fmt.Sprintf("upload request %d, which was adopted", id)
			}
			return nil
		}
		client, err := a.Oracle(ctx)
		if err != nil {
			return err
		}
		err = client.MachineImages.DiscardUpload(ctx, request(task.Input, k))
		if errors.Is(err, oraclemarket.ErrAlreadyMerged) {
			left, err = fmt.Sprintf("upload request %d, which is merged already", id), nil
		}
		return err
	})
	return left, err
}
