package transport

import (
	"strings"
	"unicode"
	"unicode/utf8"
)

// CheckID refuses an id that could not be one path segment.
func CheckID(pkg, field, id string) error {
	if reason := badSegment(id); reason != "" {
		return Invalid(pkg, field, "%s", reason)
	}
	return nil
}

func badSegment(s string) string {
	switch {
	case s == "":
		return "must not be empty"
	case s == "." || s == "..":
		return "must not be a dot segment"
	case strings.ContainsAny(s, `/\`):
		return "must not contain a slash"
	case !utf8.ValidString(s):
		return "must be valid UTF-8"
	case strings.ContainsFunc(s, unicode.IsControl):
		return "must not contain control characters"
	}
	return ""
}

// CheckHeader refuses a header value that could end the header early: CR, LF
// and NUL, and any other control character net/http would refuse.
func CheckHeader(pkg, field, value string) error {
	for i := range len(value) {
		if c := value[i]; (c < ' ' && c != '\t') || c == 0x7f {
			return Invalid(pkg, field, "must not contain control characters (found %q at byte %d)", c, i)
		}
	}
	return nil
}
