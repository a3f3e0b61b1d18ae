package main

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"sync"
	"time"

	"github.com/imagejobs/imagejobs-go/examples/internal/cli"
	"github.com/imagejobs/imagejobs-go/imagereplicator"
)

// transfer is the copy to one tenant.
type transfer struct {
	tenant string
	id     string               // of the job, empty until there is one
	last   *imagereplicator.Job // nil until it was seen
	err    error
	bar    *cli.Bar
}

// copyAll copies to all tenants at once and prints the results.
func (p *program) copyAll(ctx context.Context) error {
	transfers := make([]*transfer, len(p.tenants))
	for i, tenant := range p.tenants {
		transfers[i] = &transfer{tenant: tenant}
	}
	p.out.Line("copying image %s", p.image)
	atOnce(transfers, func(t *transfer) {
		t.id, t.err = p.client.Jobs.Create(ctx, &imagereplicator.CreateJobRequest{ImageID: p.image, DestinationTenantID: t.tenant})
	})
	for _, t := range transfers {
		if t.id != "" {
			p.out.Emit(cli.Event{Event: cli.Started, IDs: t.ids()}, "job %s\n  copies to tenant %s", t.id, t.tenant)
			t.bar = p.out.Bar(t.tenant)
		}
	}
	_ = p.out.Keep(all(transfers), "") // the last call reports a file that cannot be written
	atOnce(transfers, func(t *transfer) {
		if t.err != nil {
			return
		}
		for job, err := range p.client.Jobs.Watch(ctx, t.id) {
			if err != nil {
				t.err = err
				return
			}
			t.last = job
			t.bar.Set(cli.Event{
				Event: cli.Status, IDs: t.ids(), State: string(job.Status), Detail: job,
				Progress: &cli.Progress{Percent: job.CopyProgress},
			})
		}
	})
	advice := ""
	if ctx.Err() != nil {
		advice = p.interrupted(ctx, transfers)
	}
	p.out.Finish()
	return p.summary(ctx, transfers, advice)
}

// interrupted cancels what is under way, if that is wanted, and returns how to
// follow it.
func (p *program) interrupted(ctx context.Context, transfers []*transfer) string {
	if p.cancel {
		ctx, stop := context.WithTimeout(context.WithoutCancel(ctx), 800*time.Millisecond)
		defer stop()
		atOnce(transfers, func(t *transfer) {
			if !t.underWay() {
				return
			}
			if err := p.client.Jobs.Cancel(ctx, t.id); err != nil {
				t.err = fmt.Errorf("interrupted, and not canceled: %w", err)
			} else {
				t.err = errors.New("interrupted, and the cancellation requested")
			}
		})
	}
	var commands strings.Builder
	for _, t := range transfers {
		if t.underWay() {
			_, _ = fmt.Fprintf(&commands, "\n  image-copy -job %s -watch", t.id)
			if errors.Is(t.err, context.Canceled) {
				t.err = errors.New("interrupted")
			}
		}
	}
	switch {
	case commands.Len() == 0:
		return ""
	case p.out.Demo:
		return "\nthe built-in service ends with this program"
	default:
		return "\nthe service continues without this program; to follow it:" + commands.String()
	}
}

func (t *transfer) underWay() bool { return t.id != "" && (t.last == nil || !t.last.Status.Terminal()) }

func (t *transfer) ids() cli.IDs {
	ids := cli.IDs{"tenantId": t.tenant}
	if t.id != "" {
		ids["jobId"] = t.id
	}
	if t.last != nil && t.last.DestinationImageID != "" {
		ids["imageId"] = t.last.DestinationImageID
	}
	return ids
}

func all(transfers []*transfer) cli.IDs {
	jobs := make([]cli.IDs, len(transfers))
	for i, t := range transfers {
		jobs[i] = t.ids()
	}
	return cli.IDs{"copies": jobs}
}

func (t *transfer) status() string {
	switch {
	case t.last != nil:
		return string(t.last.Status)
	case t.id != "":
		return "not seen"
	default:
		return "not created"
	}
}

// summary prints the table at the end, of less than 80 columns. Its error counts
// what failed.
func (p *program) summary(ctx context.Context, transfers []*transfer, advice string) error {
	var text strings.Builder
	const row = "%-32s  %-6s  %s\n"
	_, _ = fmt.Fprintf(&text, row, "TENANT", "REGION", "STATUS")
	var failed []error
	for _, t := range transfers {
		region, image := "", ""
		if t.last != nil {
			region, image = t.last.DestinationRegionID, t.last.DestinationImageID
		}
		_, _ = fmt.Fprintf(&text, row, t.tenant, orDash(region), t.status())
		_, _ = fmt.Fprintf(&text, "  job    %s\n  image  %s\n", orDash(t.id), orDash(image))
		event := cli.Event{Event: cli.Result, IDs: t.ids(), State: t.status()}
		if t.err != nil {
			failed = append(failed, fmt.Errorf("  %s: %w", t.tenant, t.err))
			event.Error = p.out.Failure(ctx, t.err)
		}
		p.out.Event(event)
	}
	p.out.Changed("table", "%s", strings.TrimSuffix(text.String(), "\n"))
	if err := p.out.Keep(all(transfers), ""); err != nil && len(failed) == 0 {
		return err
	}
	if len(failed) == 0 {
		return nil
	}
	err := &copiesError{failed, len(transfers), advice}
	if len(failed) < len(transfers) && errors.Is(err, imagereplicator.ErrInvalidArgument) {
		return cli.WithCode(err, cli.Failed) // not found before any call
	}
	return err
}

// copiesError reports the copies that failed. Those whose outcome is unknown
// decide about the exit code.
type copiesError struct {
	failed []error
	of     int
	advice string
}

func (e *copiesError) Error() string {
	return fmt.Sprintf("%d of %d copies not done:\n%v%s", len(e.failed), e.of, errors.Join(e.failed...), e.advice)
}

// Unwrap returns the reasons.
func (e *copiesError) Unwrap() []error { return e.failed }

func orDash(text string) string {
	if text == "" {
		return "-"
	}
	return text
}

func atOnce(transfers []*transfer, do func(*transfer)) {
	var all sync.WaitGroup
	for _, t := range transfers {
		all.Go(func() { do(t) })
	}
	all.Wait()
}
