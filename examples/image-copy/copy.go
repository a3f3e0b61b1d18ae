package main

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"sync"
	"text/tabwriter"
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

// copyAll copies to all tenants at once and says what became of it.
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
			p.out.Line("job %s: image %s to tenant %s", t.id, p.image, t.tenant)
			p.out.Event(map[string]any{"event": "job", "jobId": t.id, "imageId": p.image, "tenantId": t.tenant})
			t.bar = p.bars.Percent(t.tenant)
		}
	}
	events := make(chan *imagereplicator.Job)
	printed := make(chan struct{})
	go func() {
		defer close(printed)
		for job := range events {
			p.out.Event(map[string]any{"event": "status", "job": job})
			for _, t := range transfers {
				if t.id == job.ID {
					t.bar.Set(job.CopyProgress, string(job.Status), 0)
				}
			}
		}
	}()
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
			events <- job
		}
	})
	close(events)
	<-printed

	advice := ""
	if ctx.Err() != nil {
		advice = p.interrupted(ctx, transfers)
	}
	p.bars.Wait()
	p.out.W = p.stdout // from here on below the bars
	return p.summary(transfers, advice)
}

// interrupted cancels what is under way, if that is wanted, and says how to go on.
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
				t.err = errors.New("interrupted, and asked to be canceled")
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
	case p.builtIn():
		return "\nthe built-in service ends with this program"
	default:
		return "\nthe service goes on without this program; to follow it:" + commands.String()
	}
}

func (t *transfer) underWay() bool { return t.id != "" && (t.last == nil || !t.last.Status.Terminal()) }

// summary prints the table at the end. Its error counts what failed.
func (p *program) summary(transfers []*transfer, advice string) error {
	var text, reasons strings.Builder
	table := tabwriter.NewWriter(&text, 0, 0, 2, ' ', 0)
	_, _ = fmt.Fprintln(table, "TENANT\tREGION\tJOB\tSTATUS\tIMAGE")
	failed := 0
	for _, t := range transfers {
		status, region, image := "not created", "", ""
		if t.last != nil {
			status, region, image = string(t.last.Status), t.last.DestinationRegionID, t.last.DestinationImageID
		} else if t.id != "" {
			status = "not seen"
		}
		_, _ = fmt.Fprintf(table, "%s\t%s\t%s\t%s\t%s\n", t.tenant, orDash(region), orDash(t.id), status, orDash(image))
		result := map[string]any{"event": "result", "tenantId": t.tenant, "jobId": t.id, "status": status, "destinationImageId": image}
		if t.err != nil {
			failed++
			_, _ = fmt.Fprintf(&reasons, "\n  %s: %v", t.tenant, t.err)
			result["error"] = t.err.Error()
		}
		p.out.Event(result)
	}
	_ = table.Flush()
	p.out.Line("%s", strings.TrimSuffix(text.String(), "\n"))
	if p.builtIn() {
		p.out.Line("this was the built-in service: nothing was copied")
	}
	if failed == 0 {
		return nil
	}
	return fmt.Errorf("%d of %d copies not done:%s%s", failed, len(transfers), reasons.String(), advice)
}

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
