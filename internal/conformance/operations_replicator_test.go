package conformance

import (
	"context"

	"github.com/imagejobs/imagejobs-go/imagereplicator"
)

func replicatorOperations() []*operation {
	list := []*operation{
		{name: "Jobs.Create", class: once, asks: 2, looks: true, run: jobs(func(ctx context.Context, s js) (string, error) {
			return s.Create(ctx, &imagereplicator.CreateJobRequest{ImageID: "image", DestinationTenantID: "tenant"})
		})},
		{name: "Jobs.Get", class: safe, run: jobs(func(ctx context.Context, s js) (*imagereplicator.Job, error) {
			return s.Get(ctx, "job")
		})},
		{name: "Jobs.List", class: safe, accepts: []string{"[]"}, run: jobs(func(ctx context.Context, s js) ([]*imagereplicator.Job, error) {
			return s.List(ctx)
		})},
		{name: "Jobs.Cancel", class: repeatable, content: nothing, run: jobs(func(ctx context.Context, s js) (struct{}, error) {
			return struct{}{}, s.Cancel(ctx, "job")
		})},
		{name: "Jobs.Wait", target: "Jobs.Get", class: safe, patient: true, run: jobs(func(ctx context.Context, s js) (*imagereplicator.Job, error) {
			return s.Wait(ctx, "job")
		})},
		{name: "Jobs.Watch", target: "Jobs.Get", class: safe, patient: true, run: jobs(func(ctx context.Context, s js) ([]*imagereplicator.Job, error) {
			return collect(s.Watch(ctx, "job"))
		})},
		{name: "Jobs.WaitAll", target: "Jobs.List", class: safe, patient: true, gets: true, accepts: []string{"[]"}, run: jobs(func(ctx context.Context, s js) ([]*imagereplicator.Job, error) {
			return s.WaitAll(ctx, []string{"job"})
		})},
		{name: "Jobs.WatchAll", target: "Jobs.List", class: safe, patient: true, gets: true, accepts: []string{"[]"}, run: jobs(func(ctx context.Context, s js) ([]*imagereplicator.Job, error) {
			return collect(s.WatchAll(ctx, []string{"job"}))
		})},
		{name: "Jobs.CopyToTenants", target: "Jobs.Create", class: once, asks: 2, looks: true, run: jobs(func(ctx context.Context, s js) ([]imagereplicator.CopyResult, error) {
			return s.CopyToTenants(ctx, "image", []string{"tenant"})
		})},
	}
	for _, o := range list {
		o.pkg = "imagereplicator"
	}
	return list
}
