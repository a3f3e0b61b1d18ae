package redact

import (
	"strings"
	"unicode"
	"unicode/utf8"
)

const (
	shortest = 4  // bytes of a pattern
	ordinary = 8  // patterns shorter than this may be part of a word
	telling  = 16 // bytes of a line or piece that gives its secret away
	piece    = 32 // bytes of the pieces of a line twice as long or longer
)

// sameAsSpace makes equal what encodings and tidied texts make equal. It changes
// no length.
var sameAsSpace = strings.NewReplacer("+", " ", "\n", " ", "\r", " ", "\t", " ")

// matcher finds patterns in a text. It takes one look at each byte of the text,
// however many patterns there are.
type matcher struct {
	starts   map[string][]string // patterns by their first 1, 2, 3 and 4 bytes
	shortest int                 // bytes of the shortest pattern
}

func newMatcher(secrets []string) *matcher {
	m := &matcher{starts: map[string][]string{}}
	known := map[string]bool{}
	for _, secret := range secrets {
		for _, pattern := range patterns(strings.TrimSpace(secret)) {
			pattern = sameAsSpace.Replace(pattern)
			if known[pattern] {
				continue
			}
			known[pattern] = true
			for n := 1; n <= shortest; n++ {
				m.starts[pattern[:n]] = append(m.starts[pattern[:n]], pattern)
			}
			if m.shortest == 0 || len(pattern) < m.shortest {
				m.shortest = len(pattern)
			}
		}
	}
	return m
}

// patterns returns the parts of secret that give it away.
func patterns(secret string) []string {
	if len(secret) < shortest {
		return nil
	}
	var parts []string
	if !isURL(secret) {
		// Keys in environment variables have their line breaks as JSON has them.
		lines := strings.NewReplacer(`\r`, "\n", `\n`, "\n", "\r", "\n").Replace(secret)
		for line := range strings.SplitSeq(lines, "\n") {
			if !strings.HasPrefix(line, "-----") {
				parts = appendPieces(parts, line)
			}
		}
	}
	if len(parts) == 0 {
		return []string{secret}
	}
	return parts
}

func appendPieces(parts []string, line string) []string {
	for line != "" {
		part := line
		if len(line) >= 2*piece {
			part = line[:piece]
		}
		line = line[len(part):]
		if part = strings.TrimSpace(part); len(part) >= telling {
			parts = append(parts, part)
		}
	}
	return parts
}

func isURL(secret string) bool {
	scheme, _, ok := strings.Cut(secret, "://")
	return ok && !strings.ContainsFunc(scheme, func(r rune) bool { return !isWord(r) }) &&
		!strings.ContainsAny(secret, " \t\r\n")
}

// scan reports whether text contains a pattern, and where an end starts that
// could be the beginning of one.
func (m *matcher) scan(text string) (found bool, end int) {
	text = sameAsSpace.Replace(text)
	end = len(text)
	for i := range len(text) {
		rest := text[i:]
		for _, pattern := range m.starts[rest[:min(len(rest), shortest)]] {
			switch {
			case strings.HasPrefix(rest, pattern):
				if len(pattern) >= ordinary || standsAlone(text, i, i+len(pattern)) {
					return true, end
				}
			case strings.HasPrefix(pattern, rest):
				end = min(end, i)
			}
		}
	}
	return false, end
}

// standsAlone reports whether text[start:end] is no part of a longer word.
func standsAlone(text string, start, end int) bool {
	before, _ := utf8.DecodeLastRuneInString(text[:start])
	first, _ := utf8.DecodeRuneInString(text[start:end])
	last, _ := utf8.DecodeLastRuneInString(text[start:end])
	after, _ := utf8.DecodeRuneInString(text[end:])
	return !(isWord(before) && isWord(first)) && !(isWord(last) && isWord(after))
}

func isWord(r rune) bool { return unicode.IsLetter(r) || unicode.IsDigit(r) }
