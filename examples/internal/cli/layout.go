package cli

import (
	"fmt"
	"slices"
	"strings"
	"time"
	"unicode/utf8"
)

const (
	minBar  = 8
	minName = 8
	maxLine = 100 // columns of a bar on a wide terminal
)

// plainLine is a bar without a terminal.
func plainLine(name string, e *Event) string {
	p, name := e.Progress, strings.TrimRight(name, " ")
	if p.Total == 0 {
		return strings.TrimRight(fmt.Sprintf("%s: %3d%% %s", name, p.Percent, text(e)), " ")
	}
	parts := []string{fmt.Sprintf("%s: %3d%% %s of %s", name, p.Percent, FormatSize(p.Bytes), FormatSize(p.Total)), rate(p), left(p)}
	return strings.Join(slices.DeleteFunc(parts, func(part string) bool { return part == "" }), ", ")
}

// barLine is a bar of at most width columns. What there is no room for is left
// out, the least important first.
func barLine(name string, e *Event, width int) string {
	p := e.Progress
	width = max(min(width, maxLine), 1)
	percent := fmt.Sprintf("%3d%%", p.Percent)
	before, after := []string{name}, []string{percent, text(e)}
	if p.Total > 0 {
		// The columns do not move while the numbers change.
		before = []string{name, fmt.Sprintf("%10s of %s", FormatSize(p.Bytes), FormatSize(p.Total))}
		after = []string{percent, fmt.Sprintf("%12s", rate(p)), fmt.Sprintf("%-11s", left(p))}
	}
	for len(after) > 2 && room(before, after, width) < minBar {
		after = after[:len(after)-1]
	}
	if len(before) > 1 && room(before, after, width) < minBar {
		before = before[:1]
	}
	if spare := room(before, after, width); spare < minBar {
		// No bar: what there is of the name beside the numbers.
		before[0] = truncate(name, max(utf8.RuneCountInString(name)+spare+len("[]"), minName))
	}
	if n := room(before, after, width); n >= minBar {
		filled := int(p.Percent) * n / 100
		before = append(before, "["+strings.Repeat("=", filled)+strings.Repeat(" ", n-filled)+"]")
	}
	return truncate(strings.TrimRight(strings.Join(append(before, after...), " "), " "), width)
}

// room returns how many columns are left between the brackets of a bar.
func room(before, after []string, width int) int {
	for _, part := range slices.Concat(before, after) {
		width -= utf8.RuneCountInString(part) + 1
	}
	return width - len("[]")
}

func truncate(line string, width int) string {
	if utf8.RuneCountInString(line) <= width {
		return line
	}
	return string([]rune(line)[:max(width, 1)-1]) + "…"
}

func text(e *Event) string {
	if e.Message != "" {
		return e.Message
	}
	return e.State
}

func rate(p *Progress) string {
	if p.BytesPerSecond <= 0 {
		return ""
	}
	return FormatSize(int64(p.BytesPerSecond)) + "/s"
}

func left(p *Progress) string {
	if p.SecondsLeft <= 0 {
		return ""
	}
	return time.Duration(p.SecondsLeft*float64(time.Second)).Round(time.Second).String() + " left"
}
