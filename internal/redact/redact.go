// Package redact keeps secrets out of the texts that an SDK shows: messages of
// a service, bodies, headers, errors of a library.
//
// A [Set] finds the secrets of a call in a text, however the text spells them,
// and hides a text that repeats one as a whole. A [Secret] holds a value that
// no formatting shows. [Line] and [PageText] make foreign text readable; a text
// is searched before it is made readable, because that may change a secret so
// that it is no longer found.
package redact

import (
	"slices"
	"sync"
)

// Redacted replaces a secret.
const Redacted = "REDACTED"

// Hidden replaces a text that repeats a secret.
const Hidden = "(not shown: it repeats a secret)"

// Set knows the secrets of one call. A nil Set knows none. A Set is safe for
// concurrent use, and prints without its secrets.
//
// A text repeats a secret if it contains the secret, as it is or encoded:
// percent-encoded, with the backslash escapes of JSON and Go, with HTML
// entities, or in base64. Up to four encodings may be nested, in any order;
// base64 counts as two. So does a text of which [Line] and [PageText] make one
// that repeats it, encoded once at most. Letter case matters, but not in hex
// digits, and a plus sign, a tab and a line break are the same as a space.
//
// Not every secret can be searched for, or messages would vanish at random:
//
//   - White space around a secret is no part of it.
//   - One shorter than 4 bytes is ignored.
//   - One shorter than 8 bytes counts only where no letter or digit adjoins it,
//     so that "port" does not hide a "report".
//   - Of one with several lines, each line of 16 bytes or more counts, whatever
//     separates them. The first and last line of PEM, which are no secret, do
//     not.
//   - Of a line longer than 64 bytes, each 32 bytes count.
//   - A URL counts only as a whole: its host and path may be shown. Add the
//     credentials in it as secrets of their own.
type Set struct {
	matcher func() *matcher // a func, so that no print shows what is in it
}

// New returns the Set of secrets.
func New(secrets ...string) *Set {
	secrets = slices.Clone(secrets)
	// Most calls succeed and search nothing.
	return &Set{matcher: sync.OnceValue(func() *matcher { return newMatcher(secrets) })}
}

// Contains reports whether text repeats a secret.
func (s *Set) Contains(text string) bool {
	found, _ := s.search(text, false)
	return found
}

// Text returns text, or [Hidden] if it repeats a secret.
func (s *Set) Text(text string) string {
	if s.Contains(text) {
		return Hidden
	}
	return text
}

// Body returns body, or [Hidden] if it repeats a secret. If cut is set, body is
// the start of something longer: an end that could be the beginning of a secret
// is dropped.
func (s *Set) Body(body []byte, cut bool) string {
	text := string(body)
	found, end := s.search(text, cut)
	if found {
		return Hidden
	}
	return text[:end]
}

// search reports whether text repeats a secret and, if it is cut, where an end
// starts that could be the beginning of one.
func (s *Set) search(text string, cut bool) (found bool, end int) {
	if s == nil || s.matcher == nil || text == "" {
		return false, len(text)
	}
	m := s.matcher()
	if len(m.starts) == 0 {
		return false, len(text)
	}
	search := search{matcher: m, end: len(text), seen: map[seenText]int{}}
	return search.finds(newLayer(text, cut), deepest), search.end
}
