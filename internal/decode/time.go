package decode

import (
	"net/http"
	"strings"
	"time"
)

// ParseTime returns the time that text means, in UTC: ISO 8601, an HTTP date,
// or Unix seconds. It is zero for anything else, and outside the years 1 to
// 9999, which alone can be written as JSON again.
func ParseTime(text string) time.Time {
	t := parseTime(strings.TrimSpace(text)).UTC()
	if year := t.Year(); year < 1 || year > 9999 {
		return time.Time{}
	}
	return t
}

func parseTime(text string) time.Time {
	if !strings.Contains(text, ":") { // all dates have one, no number has
		if seconds := parseInt([]byte(text)); seconds > 0 {
			return time.Unix(seconds, 0)
		}
		return time.Time{}
	}
	for _, layout := range []string{time.RFC3339Nano, "2006-01-02T15:04:05.999999999Z0700", "2006-01-02T15:04:05.999999999", time.DateTime} {
		if t, err := time.Parse(layout, text); err == nil {
			return t
		}
	}
	t, err := http.ParseTime(text)
	if err != nil {
		return time.Time{}
	}
	return t
}
