package redact

import (
	"slices"
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

// matcher finds patterns in a text. It reads each byte of the text once,
// however many patterns there are.
type matcher struct {
	starts   map[uint32][]string // patterns by their first four bytes
	filter   [1 << 10]uint64     // a bit for each hash of a key of starts: most bytes need no lookup
	begins   map[string]bool     // the first one to three bytes of patterns
	shortest int                 // bytes of the shortest pattern
	spaces   bool                // there are patterns with a space
}

func newMatcher(secrets []string) *matcher {
	m := &matcher{starts: map[uint32][]string{}, begins: map[string]bool{}}
	for _, secret := range secrets {
		for _, pattern := range patterns(strings.TrimSpace(secret)) {
			m.add(sameAsSpace.Replace(pattern))
		}
	}
	return m
}

func (m *matcher) add(pattern string) {
	start := firstFour(pattern)
	if slices.Contains(m.starts[start], pattern) {
		return
	}
	m.starts[start] = append(m.starts[start], pattern)
	word, bit := filterBit(start)
	m.filter[word] |= bit
	m.spaces = m.spaces || strings.Contains(pattern, " ")
	for n := 1; n < shortest; n++ {
		m.begins[pattern[:n]] = true
	}
	if m.shortest == 0 || len(pattern) < m.shortest {
		m.shortest = len(pattern)
	}
}

func firstFour(text string) uint32 {
	return uint32(text[0]) | uint32(text[1])<<8 | uint32(text[2])<<16 | uint32(text[3])<<24
}

func filterBit(start uint32) (word, bit uint64) {
	hash := uint64(start * 0x9E3779B1 >> 16)
	return hash >> 6, 1 << (hash & 63)
}

// patterns returns the parts of secret that give it away.
func patterns(secret string) []string {
	if len(secret) < shortest {
		return nil
	}
	var parts []string
	if !isURL(secret) {
		// Keys in environment variables have their line breaks as JSON has them.
		// Some have none around the frame of PEM, which is no secret.
		lines := strings.NewReplacer(`\r`, "\n", `\n`, "\n", "\r", "\n", "-----", "\n").Replace(secret)
		for line := range strings.SplitSeq(lines, "\n") {
			if !strings.HasPrefix(line, "BEGIN ") && !strings.HasPrefix(line, "END ") {
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
	for i := 0; i+shortest <= len(text); i++ {
		start := firstFour(text[i : i+shortest])
		if word, bit := filterBit(start); m.filter[word]&bit == 0 {
			continue
		}
		for _, pattern := range m.starts[start] {
			switch {
			case strings.HasPrefix(text[i:], pattern):
				if len(pattern) >= ordinary || standsAlone(text, i, i+len(pattern)) {
					return true, end
				}
			case strings.HasPrefix(pattern, text[i:]):
				end = min(end, i)
			}
		}
	}
	for i := max(0, len(text)-shortest+1); i < end; i++ {
		if m.begins[text[i:]] {
			end = i
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
	return (!isWord(before) || !isWord(first)) && (!isWord(last) || !isWord(after))
}

func isWord(r rune) bool { return unicode.IsLetter(r) || unicode.IsDigit(r) }
