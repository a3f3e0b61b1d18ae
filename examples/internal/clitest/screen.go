// Package clitest is what the tests of the examples share: a terminal, with a pty
// and what one would see on it, and golden files.
package clitest

import (
	"strconv"
	"strings"
)

// screen is what a terminal shows. It knows the few control sequences that the
// examples use, and wraps long lines as xterm does.
type screen struct {
	columns, height int

	rows     [][]rune
	row, col int
	pending  string   // the start of a control sequence
	wrapped  []string // rows that went on in the next one
}

func (s *screen) write(text string) {
	text = s.pending + text
	s.pending = ""
	for i, r := range text {
		if r != '\x1b' && s.pending == "" {
			s.put(r)
			continue
		}
		s.pending += text[i : i+len(string(r))]
		if len(s.pending) > 2 && (r >= '@' && r <= '~') {
			s.control(strings.TrimLeft(s.pending[2:len(s.pending)-1], "?"), r)
			s.pending = ""
		}
	}
}

func (s *screen) put(r rune) {
	for len(s.rows) <= s.row {
		s.rows = append(s.rows, nil)
	}
	switch r {
	case '\r':
		s.col = 0
	case '\n':
		s.row++
	case '\b':
		s.col = max(s.col-1, 0)
	default:
		if s.col == s.columns {
			s.wrapped = append(s.wrapped, string(s.rows[s.row]))
			s.row, s.col = s.row+1, 0
			s.put(r)
			return
		}
		for len(s.rows[s.row]) <= s.col {
			s.rows[s.row] = append(s.rows[s.row], ' ')
		}
		s.rows[s.row][s.col] = r
		s.col++
	}
}

func (s *screen) control(argument string, final rune) {
	switch final {
	case 'A': // cursor up, not beyond the top of the screen
		n, err := strconv.Atoi(argument)
		if err != nil {
			n = 1
		}
		s.row = max(s.row-n, len(s.rows)-s.height, 0)
	case 'J': // erase to the end of the screen
		s.erase()
		s.rows = s.rows[:min(len(s.rows), s.row+1)]
	case 'K': // erase to the end of the line
		s.erase()
	}
}

func (s *screen) erase() {
	if s.row < len(s.rows) {
		s.rows[s.row] = s.rows[s.row][:min(len(s.rows[s.row]), s.col)]
	}
}

func (s *screen) String() string {
	var text strings.Builder
	for _, row := range s.rows {
		text.WriteString(strings.TrimRight(string(row), " ") + "\n")
	}
	return strings.TrimRight(text.String(), "\n") + "\n"
}
