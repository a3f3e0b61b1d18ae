package cli

import (
	"fmt"
	"io"
	"os"
	"sync/atomic"
	"time"

	"github.com/vbauerster/mpb/v8"
	"github.com/vbauerster/mpb/v8/cwriter"
	"github.com/vbauerster/mpb/v8/decor"
)

// Bars shows how far things are: as bars on a terminal, as a line now and then
// elsewhere. Everything else printed meanwhile goes through it as a writer.
type Bars struct {
	out      io.Writer
	progress *mpb.Progress // nil where there is no terminal
}

// NewBars shows on w, or nowhere when silent.
func NewBars(w io.Writer, silent bool) *Bars {
	b := &Bars{out: w}
	if silent {
		b.out = io.Discard
	} else if f, ok := w.(*os.File); ok && cwriter.IsTerminal(int(f.Fd())) {
		b.progress = mpb.New(mpb.WithOutput(w), mpb.WithWidth(80))
	}
	return b
}

// Write prints above the bars.
func (b *Bars) Write(p []byte) (int, error) {
	if b.progress != nil {
		return b.progress.Write(p)
	}
	return b.out.Write(p)
}

// Wait ends the bars; those that are not complete stay as they are.
func (b *Bars) Wait() {
	if b.progress != nil {
		b.progress.Shutdown()
	}
}

// Bar is one of them.
type Bar struct {
	bars  *Bars
	name  string
	total int64
	bytes bool
	bar   *mpb.Bar

	last    time.Time
	percent int64
	text    string
	drawn   atomic.Value // text, for the goroutine that draws
}

// Bytes adds a bar that counts bytes, with rate and time left.
func (b *Bars) Bytes(name string, total, already int64) *Bar {
	bar := &Bar{bars: b, name: name, total: total, bytes: true}
	if b.progress != nil {
		bar.bar = b.progress.AddBar(total,
			mpb.PrependDecorators(decor.Name(name+" "), decor.CountersKibiByte("% .1f / % .1f")),
			mpb.AppendDecorators(decor.Percentage(decor.WCSyncSpace), decor.Name(" "),
				decor.AverageSpeed(decor.SizeB1024(0), "% .1f"), decor.Name(" left "), decor.AverageETA(decor.ET_STYLE_GO)))
		bar.bar.SetCurrent(already)
		bar.bar.SetRefill(already)
		bar.bar.DecoratorAverageAdjust(time.Now())
	}
	return bar
}

// Percent adds a bar from 0 to 100 with a word beside it.
func (b *Bars) Percent(name string) *Bar {
	bar := &Bar{bars: b, name: name, total: 100, percent: -1}
	if b.progress != nil {
		bar.bar = b.progress.AddBar(100,
			mpb.PrependDecorators(decor.Name(name+" ", decor.WCSyncSpaceR)),
			mpb.AppendDecorators(decor.Percentage(decor.WCSyncSpace), decor.Name(" "),
				decor.Any(func(decor.Statistics) string {
					text, _ := bar.drawn.Load().(string)
					return text
				})))
	}
	return bar
}

// Set moves the bar. Where there is no terminal it prints a line when the word
// changed, and about bytes once a second and at the end.
func (b *Bar) Set(done int64, text string, rate float64) {
	changed := text != b.text || !b.bytes && done != b.percent
	b.text, b.percent = text, done
	b.drawn.Store(text)
	switch {
	case b.bar != nil:
		b.bar.SetCurrent(done)
	case b.bytes:
		if now := time.Now(); now.Sub(b.last) >= time.Second || done == b.total {
			b.last = now
			_, _ = fmt.Fprintf(b.bars.out, "%s: %s\n", b.name, bytesLine(done, b.total, rate))
		}
	case changed:
		_, _ = fmt.Fprintf(b.bars.out, "%s: %3d%% %s\n", b.name, done, text)
	}
}

func bytesLine(done, total int64, rate float64) string {
	line := fmt.Sprintf("%3d%% %s of %s", done*100/max(total, 1), Size(done), Size(total))
	if rate > 0 && done < total {
		left := time.Duration(float64(total-done) / rate * float64(time.Second)).Round(time.Second)
		line += fmt.Sprintf(", %s/s, %s left", Size(int64(rate)), left)
	} else if rate > 0 {
		line += fmt.Sprintf(", %s/s", Size(int64(rate)))
	}
	return line
}

// Size is a number of bytes for people.
func Size(n int64) string {
	switch {
	case n >= 1<<30:
		return fmt.Sprintf("%.1f GiB", float64(n)/(1<<30))
	case n >= 1<<20:
		return fmt.Sprintf("%.1f MiB", float64(n)/(1<<20))
	case n >= 1<<10:
		return fmt.Sprintf("%.1f KiB", float64(n)/(1<<10))
	default:
		return fmt.Sprintf("%d B", n)
	}
}
