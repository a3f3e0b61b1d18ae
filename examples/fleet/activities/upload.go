package activities

import (
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"maps"
	"time"

	"go.temporal.io/sdk/activity"

	"github.com/imagejobs/imagejobs-go/examples/fleet/workflows"
	"github.com/imagejobs/imagejobs-go/oraclemarket"
)

type uploading = keeper[workflows.UploadProgress]

// UploadImage uploads an image and has it merged, or begins an upload in parts
// and uploads the first. What an earlier attempt has sent, on whatever worker, is
// not sent again.
func (a *Activities) UploadImage(ctx context.Context, task workflows.UploadTask) (*workflows.UploadProgress, error) {
	return keep(ctx, a, a.Oracle, task.Progress, func(ctx context.Context, client *oraclemarket.Client, k *uploading) error {
		source, err := a.open(ctx, task.Input)
		if err != nil { // which is not needed once the merge was requested
			_, resumed := client.MachineImages.Upload(ctx, request(task.Input, k))
			if errors.Is(resumed, oraclemarket.ErrInvalidArgument) {
				return err
			}
			return resumed
		}
		defer func() { _ = source.Close() }() // only read
		if now := k.get(); task.Part == 0 && len(now.Checkpoint) == 0 && now.UploadRequestID == 0 && !task.Repeat {
			if err := unfinished(ctx, client, task.Input); err != nil {
				return err
			}
		}
		req := request(task.Input, k)
		req.File, req.Size = source, source.Size()
		if task.Input.Parts > 1 || task.Adopted {
			return a.uploadPart(ctx, client.MachineImages, req, source, task, k)
		}
		if f, ok := source.(*file); ok {
			_, err = client.MachineImages.UploadFile(ctx, f.Name(), req)
		} else {
			_, err = client.MachineImages.Upload(ctx, req)
		}
		return err
	})
}

// UploadPart uploads another part than the first, once that has begun.
func (a *Activities) UploadPart(ctx context.Context, task workflows.UploadTask) (*workflows.UploadProgress, error) {
	return a.UploadImage(ctx, task)
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
func (c checkpoints) Load(_ context.Context, key string) ([]byte, error) {
	if state, ok := c.k.get().Checkpoint[key]; ok {
		return state, nil
	}
	return nil, fs.ErrNotExist
}

// Save implements oraclemarket.CheckpointStore.
func (c checkpoints) Save(ctx context.Context, key string, state []byte) error {
	return c.k.save(ctx, func(p *workflows.UploadProgress) {
		all := map[string][]byte{} // what there is may be on its way
		maps.Copy(all, p.Checkpoint)
		all[key] = state
		p.Checkpoint = all
	})
}

// Delete implements oraclemarket.CheckpointStore. The state stays: a worker that
// is lost before the server knows that the activity is complete would otherwise
// have the image uploaded again.
func (c checkpoints) Delete(context.Context, string) error { return nil }

// uploadPart uploads the chunks of one part. The first part makes the upload
// request, and the others send theirs to it.
func (a *Activities) uploadPart(
	ctx context.Context, images *oraclemarket.MachineImagesService, req *oraclemarket.ImageUpload,
	source Source, task workflows.UploadTask, k *uploading,
) error {
	version, err := source.Version()
	if err != nil {
		return err
	}
	if k.get().Version == "" { // this is the first attempt
		begun := workflows.UploadProgress{UploadRequestID: task.Progress.UploadRequestID, Version: version}
		if task.Part > 0 {
			begun, err = a.firstPart(ctx)
		}
		if err != nil {
			return err
		}
		k.set(func(p *workflows.UploadProgress) { p.UploadRequestID, p.Version = begun.UploadRequestID, begun.Version })
	}
	if err := unchanged(version, k.get()); err != nil {
		return err
	}
	req.ChunkSize = chunkSize(req.ChunkSize, req.Size)
	total, parts, progress := int((req.Size-1)/req.ChunkSize)+1, max(task.Input.Parts, 1), req.Progress
	req.Progress = func(now oraclemarket.UploadProgress) { // that of the part
		now.Total, now.TotalChunks = req.Size, total
		progress(now)
	}
	if k.get().UploadRequestID == 0 {
		if err := initiate(ctx, images, *req); err != nil {
			return err
		}
	}
	if err := k.send(ctx); err != nil { // the others wait for it
		return err
	}
	chunks := oraclemarket.ChunkRange{UploadRequestID: k.get().UploadRequestID, First: total * task.Part / parts}
	chunks.Count = total*(task.Part+1)/parts - chunks.First
	if chunks.Count == 0 {
		return nil // there are more parts than chunks
	}
	sent, err := images.UploadRange(ctx, req, chunks)
	if err != nil {
		return err
	}
	part, _ := json.Marshal(sent) // plain data
	k.set(func(p *workflows.UploadProgress) { p.Part = part })
	version, err = source.Version()
	return cmp.Or(err, unchanged(version, k.get()))
}

// initiate begins an upload and ends it as soon as there is an upload request:
// Upload looks for one whose response was lost, also by an attempt before.
func initiate(ctx context.Context, images *oraclemarket.MachineImagesService, req oraclemarket.ImageUpload) error {
	begun, stop := context.WithCancel(ctx)
	defer stop()
	progress := req.Progress
	req.Progress = func(now oraclemarket.UploadProgress) {
		progress(now)
		stop()
	}
	_, err := images.Upload(begun, &req)
	if ctx.Err() == nil && begun.Err() != nil && errors.Is(err, context.Canceled) {
		return nil
	}
	return err
}

// firstPart returns what the first part has begun: while it runs, that is in its
// heartbeat, and then the workflow has it.
func (a *Activities) firstPart(ctx context.Context) (p workflows.UploadProgress, err error) {
	begun, err := poll(ctx, 100*time.Millisecond, 20, func() (bool, error) {
		err := a.heartbeat(ctx, "UploadImage", &p)
		if errors.Is(err, errNoHeartbeat) {
			var now workflows.Status
			now, err = status(ctx)
			p.UploadRequestID, p.Version = now.UploadRequestID, now.Version
		}
		return p.UploadRequestID != 0 && p.Version != "", err
	})
	if err == nil && !begun {
		err = pending(ctx, "the first part has not begun")
	}
	return p, err
}

// chunkSize returns the size of chunks that Upload would choose.
func chunkSize(wanted, size int64) int64 {
	const mib, chunks = 1 << 20, 64
	return cmp.Or(wanted, min(max(((size-1)/chunks/mib+1)*mib, 16*mib), 64*mib))
}

// FinishUpload has the parts merged, if there are any, waits until the upload
// request is Completed, and returns the image's path: each attempt looks once.
func (a *Activities) FinishUpload(ctx context.Context, task workflows.UploadTask) (imageFilePath string, err error) {
	_, err = keep(ctx, a, a.Oracle, workflows.UploadProgress{}, func(ctx context.Context, client *oraclemarket.Client, k *uploading) error {
		if len(task.Parts) > 0 && !k.get().Merged {
			if err := merge(ctx, client, task, k); err != nil {
				return err
			}
		}
		for now, err := range client.MachineImages.Watch(ctx, task.Progress.UploadRequestID) {
			if err != nil {
				return err
			}
			if !now.StatusName.Terminal() {
				return pending(ctx, "upload request %d is %s", now.UploadRequestID, now.StatusName)
			}
			imageFilePath = now.ImageFilePath
		}
		return nil
	})
	return imageFilePath, err
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
	_, err = keep(ctx, a, a.Oracle, task.Progress, func(ctx context.Context, client *oraclemarket.Client, k *uploading) error {
		err := client.MachineImages.DiscardUpload(ctx, request(task.Input, k))
		if errors.Is(err, oraclemarket.ErrAlreadyMerged) {
			left, err = fmt.Sprintf("upload request %d, which is merged already", task.Progress.UploadRequestID), nil
		}
		return err
	})
	return left, err
}
