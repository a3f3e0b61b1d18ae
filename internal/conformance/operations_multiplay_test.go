package conformance

import (
	"context"

	"github.com/imagejobs/imagejobs-go/multiplay"
)

func source() multiplay.Source {
	return multiplay.S3Source{AccessKey: multiplay.NewSecret(s3Key), SecretKey: multiplay.NewSecret(s3Key), Bucket: "bucket"}
}

func multiplayOperations() []*operation {
	release := game(func(ctx context.Context, c mc) (*multiplay.ReleaseResult, error) {
		return c.Release(ctx, &multiplay.ReleaseRequest{ImageID: 1, MachineID: 2, Description: "x", Source: source()})
	})
	resumed := game(func(ctx context.Context, c mc) (*multiplay.ReleaseResult, error) {
		return c.Release(ctx, &multiplay.ReleaseRequest{ImageID: 1, Resume: multiplay.ReleaseIDs{ImageVersionID: 7}})
	})
	list := []*operation{
		{name: "ImageUpdates.Create", class: once, run: game(func(ctx context.Context, c mc) (*multiplay.ImageUpdateStatus, error) {
			return c.ImageUpdates.Create(ctx, &multiplay.CreateImageUpdateRequest{ImageID: 1, MachineID: 2, Description: "x", Source: source()})
		})},
		{name: "ImageUpdates.Status", class: safe, run: game(func(ctx context.Context, c mc) (*multiplay.ImageUpdateStatus, error) {
			return c.ImageUpdates.Status(ctx, 7)
		})},
		{name: "ImageUpdates.Retry", class: once, run: game(func(ctx context.Context, c mc) (*multiplay.ImageUpdateStatus, error) {
			return c.ImageUpdates.Retry(ctx, 7)
		})},
		{name: "ImageUpdates.Wait", target: "ImageUpdates.Status", class: safe, patient: true, run: game(func(ctx context.Context, c mc) (*multiplay.ImageUpdateStatus, error) {
			return c.ImageUpdates.Wait(ctx, 7)
		})},
		{name: "ImageUpdates.Watch", target: "ImageUpdates.Status", class: safe, patient: true, run: game(func(ctx context.Context, c mc) ([]*multiplay.ImageUpdateStatus, error) {
			return collect(c.ImageUpdates.Watch(ctx, 7))
		})},
		{name: "ImageDiffs.Create", class: once, run: game(func(ctx context.Context, c mc) (*multiplay.ImageDiffStatus, error) {
			return c.ImageDiffs.Create(ctx, &multiplay.CreateImageDiffRequest{ImageID: 1, MachineID: 2})
		})},
		{name: "ImageDiffs.Status", class: safe, run: game(func(ctx context.Context, c mc) (*multiplay.ImageDiffStatus, error) {
			return c.ImageDiffs.Status(ctx, 7, &multiplay.ImageDiffStatusOptions{Info: true})
		})},
		{name: "ImageDiffs.Retry", class: once, run: game(func(ctx context.Context, c mc) (*multiplay.ImageDiffStatus, error) {
			return c.ImageDiffs.Retry(ctx, 7)
		})},
		{name: "ImageDiffs.Reject", class: once, run: game(func(ctx context.Context, c mc) (*multiplay.ImageDiffRejection, error) {
			return c.ImageDiffs.Reject(ctx, 7, nil)
		})},
		{name: "ImageDiffs.Wait", target: "ImageDiffs.Status", class: safe, patient: true, run: game(func(ctx context.Context, c mc) (*multiplay.ImageDiffStatus, error) {
			return c.ImageDiffs.Wait(ctx, 7)
		})},
		{name: "ImageDiffs.Watch", target: "ImageDiffs.Status", class: safe, patient: true, run: game(func(ctx context.Context, c mc) ([]*multiplay.ImageDiffStatus, error) {
			return collect(c.ImageDiffs.Watch(ctx, 7))
		})},
		{name: "ImageVersions.Create", class: once, run: game(func(ctx context.Context, c mc) (*multiplay.ImageVersionStatus, error) {
			return c.ImageVersions.Create(ctx, &multiplay.CreateImageVersionRequest{DiffID: 7})
		})},
		{name: "ImageVersions.Status", class: safe, run: game(func(ctx context.Context, c mc) (*multiplay.ImageVersionStatus, error) {
			return c.ImageVersions.Status(ctx, 7)
		})},
		{name: "ImageVersions.Wait", target: "ImageVersions.Status", class: safe, patient: true, run: game(func(ctx context.Context, c mc) (*multiplay.ImageVersionStatus, error) {
			return c.ImageVersions.Wait(ctx, 7)
		})},
		{name: "ImageVersions.Watch", target: "ImageVersions.Status", class: safe, patient: true, run: game(func(ctx context.Context, c mc) ([]*multiplay.ImageVersionStatus, error) {
			return collect(c.ImageVersions.Watch(ctx, 7))
		})},
		{name: "ImageInstalls.List", class: safe, run: game(func(ctx context.Context, c mc) ([]multiplay.ImageInstall, error) {
			return c.ImageInstalls.List(ctx)
		})},
		{name: "ImageInstalls.Queue", class: once, run: game(func(ctx context.Context, c mc) (*multiplay.QueuedImageInstall, error) {
			return c.ImageInstalls.Queue(ctx, &multiplay.QueueImageInstallRequest{JobID: 7})
		})},
		{name: "Images.Options", class: safe, accepts: []string{nulls}, run: game(func(ctx context.Context, c mc) (any, error) {
			options, err := c.Images.Options(ctx, nil)
			if err != nil {
				return nil, err
			}
			url := options.UpdateURL.Reveal()
			options.UpdateURL = multiplay.SourceURL{} // functions cannot be compared
			return []any{url, *options}, nil
		})},
		{name: "Images.SetActive", class: once, run: game(func(ctx context.Context, c mc) (*multiplay.Image, error) {
			return c.Images.SetActive(ctx, 1, true)
		})},
		{name: "Images.RolloutStatus", class: safe, run: game(func(ctx context.Context, c mc) (*multiplay.RolloutStatus, error) {
			return c.Images.RolloutStatus(ctx, 1, nil)
		})},
		{name: "Images.WaitRollout", of: "counts", target: "Images.RolloutStatus", reuses: true, class: safe, patient: true, run: game(func(ctx context.Context, c mc) (*multiplay.RolloutStatus, error) {
			return c.Images.WaitRollout(ctx, 1, 7)
		})},
		{name: "Images.WaitRollout", of: "installs", target: "ImageInstalls.List", class: safe, patient: true, run: game(func(ctx context.Context, c mc) (*multiplay.RolloutStatus, error) {
			return c.Images.WaitRollout(ctx, 1, 7)
		})},
		{name: "Images.WatchRollout", of: "counts", target: "Images.RolloutStatus", reuses: true, class: safe, patient: true, run: game(func(ctx context.Context, c mc) ([]*multiplay.RolloutStatus, error) {
			return collect(c.Images.WatchRollout(ctx, 1, 7))
		})},
		{name: "Release", of: "update", target: "ImageUpdates.Create", class: once, patient: true, run: release},
		{name: "Release", of: "diff", target: "ImageDiffs.Create", class: once, patient: true, asks: 3, run: release},
		{name: "Release", of: "version", target: "ImageVersions.Create", class: once, patient: true, run: release},
		{name: "Release", of: "wait", target: "ImageUpdates.Status", reuses: true, class: safe, patient: true, seen: true, run: release},
		{name: "Release", of: "rollout", target: "Images.RolloutStatus", reuses: true, class: safe, patient: true, run: resumed},
	}
	for _, o := range list {
		o.pkg, o.refuses = "multiplay", true
	}
	return list
}
