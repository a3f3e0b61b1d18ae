package cli

import (
	"io"
	"os"
	"sync/atomic"
	"time"

	"github.com/vbauerster/mpb/v8"
	"github.com/vbauerster/mpb/v8/cwriter"
	"github.com/vbauerster/mpb/v8/decor"
)

// narrowest is the least width of a terminal that gets bars.
const narrowest = 20

// showsBars reports whether w is a terminal on which bars can move and are wanted.
func showsBars(w io.Writer) bool {
	f, ok := w.(*os.File)
	if !ok || !cwriter.IsTerminal(int(f.Fd())) {
		return false
	}
	term, ci := os.Getenv("TERM"), os.Getenv("CI")
	if term == "" || term == "dumb" || os.Getenv("NO_COLOR") != "" || ci != "" && ci != "false" {
		return false
	}
	width, _, err := cwriter.GetSize(int(f.Fd()))
	return err == nil && width >= narrowest
}

// clearLine begins a line that is drawn. The cursor is not always in the first
// column: a terminal shows ^C where it stands, and going up keeps the column.
const clearLine = "\r\x1b[K"

// Bar shows how far one thing is: as a bar on a terminal, as lines elsewhere, as
// events in JSON.
type Bar struct {
	out   *Output
	name  string
	place int // from the top, whatever bar is drawn first

	bar   *mpb.Bar
	drawn atomic.Pointer[Event] // for the goroutine that draws
	line  string                // the newest, printed or not
	last  time.Time             // when one was printed
}

// Bar adds a bar.
func (o *Output) Bar(name string) *Bar {
	o.mu.Lock()
	defer o.mu.Unlock()
	o.places++
	return &Bar{out: o, name: name, place: o.places}
}

// linePause is the time between two lines about bytes.
const linePause = 5 * time.Second

// Set moves the bar to e.Progress. Without a terminal it prints a line when the
// line changed; about bytes that is only now and then and at the end.
func (b *Bar) Set(e Event) {
	o := b.out
	o.mu.Lock()
	defer o.mu.Unlock()
	line := plainLine(b.name, &e)
	changed := line != b.line
	b.line = line
	switch {
	case o.bars && !o.finished:
		b.draw(&e)
	case e.Progress.Total > 0 && e.Progress.Bytes < e.Progress.Total && time.Since(b.last) < linePause:
		o.latest = line
	case changed || o.JSON:
		b.last = time.Now()
		e.Message = line
		o.emit(&e)
	}
}

func (b *Bar) draw(e *Event) {
	b.drawn.Store(e)
	if b.bar != nil {
		return
	}
	if b.out.progress == nil {
		b.out.progress = mpb.New(mpb.WithOutput(b.out.w))
	}
	b.bar = b.out.progress.MustAdd(0, mpb.BarFillerFunc(func(w io.Writer, stat decor.Statistics) error {
		// One column stays free: some terminals wrap when the last one is used.
		_, err := io.WriteString(w, clearLine+barLine(b.name, b.drawn.Load(), stat.AvailableWidth-1))
		return err
	}), mpb.BarFillerTrim(), mpb.BarPriority(b.place))
	b.out.drawn = append(b.out.drawn, b)
}

// finish ends the bars, so that what follows is printed below them. Those that
// are not complete are removed. The caller holds mu.
func (o *Output) finish() {
	if o.finished || o.progress == nil {
		return
	}
	o.finished = true
	for _, b := range o.drawn {
		b.bar.Abort(b.drawn.Load().Progress.Percent < 100)
	}
	o.progress.Wait()
	_, _ = io.WriteString(o.w, clearLine)
}
