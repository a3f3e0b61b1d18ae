package main

import (
	"fmt"
	"math"
	"os"
	"path/filepath"
	"slices"
	"strings"
)

// report has the findings of one section.
type report struct {
	text  strings.Builder
	plots map[string]string // SVG by name
}

func newReport(title string) *report {
	r := &report{plots: map[string]string{}}
	r.add("## %s", title)
	return r
}

// add adds a paragraph.
func (r *report) add(format string, args ...any) {
	fmt.Fprintf(&r.text, format+"\n\n", args...)
}

// table adds a Markdown table; the first row is its head.
func (r *report) table(rows [][]string) {
	for i, row := range rows {
		fmt.Fprintf(&r.text, "| %s |\n", strings.Join(row, " | "))
		if i == 0 {
			r.text.WriteString("|" + strings.Repeat(" --- |", len(row)) + "\n")
		}
	}
	r.text.WriteString("\n")
}

func (r *report) write(dir, name string) error {
	if err := os.MkdirAll(dir, 0o755); err != nil {
		return err
	}
	if err := os.WriteFile(filepath.Join(dir, name+".md"), []byte(r.text.String()), 0o644); err != nil {
		return err
	}
	for plot, svg := range r.plots {
		if err := os.WriteFile(filepath.Join(dir, plot+".svg"), []byte(svg), 0o644); err != nil {
			return err
		}
	}
	return nil
}

func median[T int64 | float64](values []T) T {
	if len(values) == 0 {
		return 0
	}
	sorted := slices.Sorted(slices.Values(values))
	return sorted[len(sorted)/2]
}

// bar is one bar of a bar chart.
type bar struct {
	label string
	value float64
	ours  bool
}

const (
	ink   = "#333"
	ours  = "#2b6cb0"
	other = "#a0aec0"
	font  = `font-family="sans-serif" font-size="12"`
)

// bars draws horizontal bars with their values.
func bars(title, unit string, list []bar) string {
	const left, width, height = 250, 360, 22
	top := 0.0
	for _, b := range list {
		top = max(top, b.value)
	}
	var s strings.Builder
	fmt.Fprintf(&s, `<svg xmlns="http://www.w3.org/2000/svg" width="%d" height="%d" %s><rect width="100%%" height="100%%" fill="white"/>`,
		left+width+110, 40+height*len(list), font)
	fmt.Fprintf(&s, "\n"+`<text x="10" y="20" fill="%s" font-weight="bold">%s</text>`, ink, title)
	for i, b := range list {
		y, fill := 34+i*height, other
		if b.ours {
			fill = ours
		}
		fmt.Fprintf(&s, "\n"+`<text x="%d" y="%d" fill="%s" text-anchor="end">%s</text>`, left-8, y+14, ink, b.label)
		fmt.Fprintf(&s, `<rect x="%d" y="%d" width="%.0f" height="%d" fill="%s"/>`, left, y, width*b.value/top, height-5, fill)
		fmt.Fprintf(&s, `<text x="%.0f" y="%d" fill="%s">%.4g %s</text>`, left+6+width*b.value/top, y+14, ink, b.value, unit)
	}
	return s.String() + "\n</svg>\n"
}

// series is one line of a line chart.
type series struct {
	label string
	x, y  []float64
	ours  bool
}

// lines draws lines with a linear y axis from 0 and, with logX, a logarithmic x axis.
func lines(title, xLabel, yLabel string, logX bool, list []series) string {
	const left, top, width, height = 70, 40, 480, 240
	scale := func(x float64) float64 {
		if logX {
			return math.Log2(x)
		}
		return x
	}
	minX, maxX, maxY := math.Inf(1), math.Inf(-1), 0.0
	for _, l := range list {
		for i := range l.x {
			minX, maxX, maxY = min(minX, scale(l.x[i])), max(maxX, scale(l.x[i])), max(maxY, l.y[i])
		}
	}
	at := func(x, y float64) (float64, float64) {
		return left + width*(scale(x)-minX)/(maxX-minX), top + height*(1-y/maxY)
	}
	var s strings.Builder
	fmt.Fprintf(&s, `<svg xmlns="http://www.w3.org/2000/svg" width="%d" height="%d" %s><rect width="100%%" height="100%%" fill="white"/>`,
		left+width+150, top+height+50, font)
	fmt.Fprintf(&s, "\n"+`<text x="10" y="20" fill="%s" font-weight="bold">%s</text>`, ink, title)
	fmt.Fprintf(&s, `<path d="M%d %dV%dH%d" fill="none" stroke="%s"/>`, left, top, top+height, left+width, ink)
	for i := range 5 {
		y := maxY * float64(i) / 4
		_, py := at(list[0].x[0], y)
		fmt.Fprintf(&s, `<text x="%d" y="%.0f" fill="%s" text-anchor="end">%.3g</text>`, left-6, py+4, ink, y)
	}
	ticks := list[0].x
	if len(ticks) > 12 {
		ticks = []float64{minX, (minX + maxX) / 2, maxX}
	}
	for _, x := range ticks {
		px, _ := at(x, 0)
		fmt.Fprintf(&s, `<text x="%.0f" y="%d" fill="%s" text-anchor="middle">%.3g</text>`, px, top+height+16, ink, x)
	}
	fmt.Fprintf(&s, `<text x="%d" y="%d" fill="%s" text-anchor="middle">%s</text>`, left+width/2, top+height+36, ink, xLabel)
	fmt.Fprintf(&s, `<text x="14" y="%d" fill="%s" transform="rotate(-90 14 %d)" text-anchor="middle">%s</text>`, top+height/2, ink, top+height/2, yLabel)
	for n, l := range list {
		color, points := other, make([]string, len(l.x))
		if l.ours {
			color = ours
		}
		for i := range l.x {
			px, py := at(l.x[i], l.y[i])
			points[i] = fmt.Sprintf("%.1f,%.1f", px, py)
		}
		fmt.Fprintf(&s, "\n"+`<polyline points="%s" fill="none" stroke="%s" stroke-width="2"/>`, strings.Join(points, " "), color)
		fmt.Fprintf(&s, `<rect x="%d" y="%d" width="12" height="3" fill="%s"/><text x="%d" y="%d" fill="%s">%s</text>`,
			left+width+10, top+n*18+5, color, left+width+28, top+n*18+10, ink, l.label)
	}
	return s.String() + "\n</svg>\n"
}
