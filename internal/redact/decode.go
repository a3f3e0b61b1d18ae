package redact

import (
	"encoding/hex"
	"hash/maphash"
	"html"
	"regexp"
	"strconv"
	"strings"
	"unicode/utf16"
	"unicode/utf8"
)

const (
	deepest    = 4 // nested encodings that are searched
	base64Cost = 2 // base64 counts as this many: it makes four texts of one
)

var seed = maphash.MakeSeed()

// search is the search of one text. It decodes the text in every order there
// is, which stays linear because the number of orders is bounded.
type search struct {
	*matcher
	end  int              // where the end that could be the beginning of a secret starts
	seen map[seenText]int // the depth to which a text was searched
}

// seenText is a text by its hash, and whether it is known where it comes from.
type seenText struct {
	hash uint64
	from bool
}

// finds reports whether l, or anything that it encodes, contains a secret.
func (s *search) finds(l layer, depth int) bool {
	hash := seenText{maphash.String(seed, l.text), l.from != nil}
	if searched, ok := s.seen[hash]; ok && searched >= depth {
		return false
	}
	s.seen[hash] = depth
	found, end := s.scan(l.text)
	if found {
		return true
	}
	if l.from != nil && end < len(l.text) {
		s.end = min(s.end, l.from[end])
	}
	if depth == 0 {
		return false
	}
	// A text that is made readable has new spaces. What is shown is encoded once at
	// most, and not in base64.
	if s.spaces && depth > deepest-base64Cost {
		if readable := singleSpaced(PageText(l.text)); s.finds(layer{text: readable}, depth-1) {
			return true
		}
	}
	for _, e := range escapes {
		if decoded, ok := e.decode(l); ok && s.finds(decoded, depth-1) {
			return true
		}
	}
	if depth < base64Cost {
		return false
	}
	// Whatever is in front of it, one digit in four starts a group.
	for skip := range 4 {
		decoded := decodeBase64(l, skip, s.shortest)
		if decoded.text == "" {
			return false
		}
		if s.finds(decoded, depth-base64Cost) {
			return true
		}
	}
	return false
}

// layer is a text after some decoding.
type layer struct {
	text string
	from []int // where in a cut body each byte began; nil if the body is whole
}

func newLayer(text string, cut bool) layer {
	l := layer{text: text}
	if cut {
		l.from = make([]int, len(text))
		for i := range l.from {
			l.from[i] = i
		}
	}
	return l
}

// escape is an encoding that replaces some characters.
type escape struct {
	mark byte // what each escape begins with
	// one returns what the escape at the start of text, which is mark, means, and
	// its length; 0 if it is none.
	one func(text string) (string, int)
	// begun matches an escape that a cut went through.
	begun *regexp.Regexp
}

const longestEscape = len("&CounterClockwiseContourIntegral;")

var escapes = []escape{
	{'%', percent, regexp.MustCompile(`^%[[:xdigit:]]?$`)},
	{'\\', backslash, regexp.MustCompile(`^\\(x[[:xdigit:]]?|u[[:xdigit:]]{0,3}|U[[:xdigit:]]{0,7}|[0-3]?[0-7]?|` +
		`u[dD][89abAB][[:xdigit:]]{2}(\\(u[[:xdigit:]]{0,3})?)?)$`)},
	{'&', entity, regexp.MustCompile(`^&#?[[:alnum:]]*$`)},
	// The same to a matcher, but not to base64.
	{'+', func(string) (string, int) { return " ", 1 }, regexp.MustCompile(`^$`)},
}

// decode returns l with its escapes decoded, and whether there are any.
func (e escape) decode(l layer) (layer, bool) {
	if strings.IndexByte(l.text, e.mark) < 0 {
		return layer{}, false
	}
	var text strings.Builder
	text.Grow(len(l.text))
	from := l.noFrom()
	found := false
	for i := 0; i < len(l.text); {
		rest := l.text[i:]
		meaning, n := "", 0
		if rest[0] == e.mark {
			meaning, n = e.one(rest)
		}
		switch {
		case n > 0:
			text.WriteString(meaning)
			for range len(meaning) {
				from = l.appendFrom(from, i, i+1)
			}
			found = true
		case l.from != nil && len(rest) < longestEscape && e.begun.MatchString(rest):
			// What is in front of a partial escape is the end that counts.
			return layer{text.String(), from}, true
		default:
			n = 1 + strings.IndexByte(rest[1:], e.mark)
			if n == 0 {
				n = len(rest)
			}
			text.WriteString(rest[:n])
			from = l.appendFrom(from, i, i+n)
		}
		i += n
	}
	return layer{text.String(), from}, found
}

func (l layer) noFrom() []int {
	if l.from == nil {
		return nil
	}
	return make([]int, 0, len(l.from))
}

func (l layer) appendFrom(from []int, start, end int) []int {
	if l.from == nil {
		return nil
	}
	return append(from, l.from[start:end]...)
}

func percent(text string) (string, int) {
	if len(text) < 3 {
		return "", 0
	}
	b, err := hex.DecodeString(text[1:3])
	if err != nil {
		return "", 0
	}
	return string(b), 3
}

func backslash(text string) (string, int) {
	if len(text) < 2 {
		return "", 0
	}
	if strings.IndexByte(`"'/`, text[1]) >= 0 {
		return text[1:2], 2
	}
	r, multibyte, tail, err := strconv.UnquoteChar(text, 0)
	if err != nil {
		return surrogates(text)
	}
	n := len(text) - len(tail)
	if !multibyte {
		return string([]byte{byte(r & 0xff)}), n
	}
	return string(r), n
}

// surrogates decodes a character beyond U+FFFF as JSON has it.
func surrogates(text string) (string, int) {
	const length = len(`\uD83D\uDD11`)
	if len(text) < length || text[:2] != `\u` || text[6:8] != `\u` {
		return "", 0
	}
	high, err1 := strconv.ParseUint(text[2:6], 16, 16)
	low, err2 := strconv.ParseUint(text[8:length], 16, 16)
	r := utf16.DecodeRune(rune(high), rune(low))
	if err1 != nil || err2 != nil || r == utf8.RuneError {
		return "", 0
	}
	return string(r), length
}

func entity(text string) (string, int) {
	n := 1
	for n < len(text) && (isAlphanumeric(text[n]) || n == 1 && text[n] == '#') {
		n++
	}
	if n == len(text) { // begun, or nothing
		return "", 0
	}
	if text[n] == ';' {
		n++
	}
	meaning := html.UnescapeString(text[:n])
	if meaning == text[:n] {
		return "", 0
	}
	return meaning, n
}

func isAlphanumeric(c byte) bool {
	return '0' <= c && c <= '9' || 'A' <= c && c <= 'Z' || 'a' <= c && c <= 'z'
}

// decodeBase64 returns what the runs of base64 digits in l mean that can hold
// shortest bytes, without the first skip digits of each run.
func decodeBase64(l layer, skip, shortest int) layer {
	var text []byte
	from := l.noFrom()
	start, digits, group, bits := 0, 0, 0, 0 // of the run
	for i, last := 0, 0; i <= len(l.text); i++ {
		value, c := -1, byte(0)
		if i < len(l.text) {
			c = l.text[i]
			value = base64Digit(c)
		}
		switch {
		case value >= 0:
			digits++
			if digits <= skip {
				break
			}
			group, bits = (group<<6|value)&0xffff, bits+6
			if bits >= 8 {
				bits -= 8
				text = append(text, byte(group>>bits&0xff))
				from = l.appendFrom(from, last, last+1)
			}
			last = i
		case digits > 0 && (c == '\r' || c == '\n'): // a line of more
		default:
			switch cut := l.from != nil && i == len(l.text); {
			case cut:
			case digits*6 < shortest*8:
				text, from = text[:start], from[:min(start, len(from))]
			case len(text) > start:
				text = append(text, 0) // keeps the runs apart
				from = l.appendFrom(from, i, i+1)
			}
			start, digits, bits = len(text), 0, 0
		}
	}
	return layer{string(text), from}
}

// base64Digit returns the value of c in either alphabet, or -1.
func base64Digit(c byte) int {
	switch {
	case 'A' <= c && c <= 'Z':
		return int(c - 'A')
	case 'a' <= c && c <= 'z':
		return int(c-'a') + 26
	case '0' <= c && c <= '9':
		return int(c-'0') + 52
	case c == '+' || c == '-':
		return 62
	case c == '/' || c == '_':
		return 63
	}
	return -1
}
