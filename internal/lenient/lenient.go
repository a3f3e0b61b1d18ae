// Package lenient decodes JSON scalars that the services spell in more than
// one way: an id as number or string, a time as text, number or nothing.
//
// The types are for the wire structs inside the client packages. None of them
// touches its value for null, which is how encoding/json treats absent.
package lenient

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"strconv"
	"strings"
	"time"
	"unicode/utf8"
)

// Int is an integer: a number, a decimal string, or a percentage like "100%".
// An empty string is zero.
type Int int64

// UnmarshalJSON implements json.Unmarshaler.
func (i *Int) UnmarshalJSON(data []byte) error {
	text, ok, err := scalar(data)
	if err != nil || !ok {
		return err
	}
	text = bytes.TrimSpace(bytes.TrimSuffix(bytes.TrimSpace(text), []byte("%")))
	if len(text) == 0 {
		*i = 0
		return nil
	}
	n, err := parseInt(string(text))
	if err != nil {
		return err
	}
	*i = Int(n)
	return nil
}

func parseInt(text string) (int64, error) {
	if n, err := strconv.ParseInt(text, 10, 64); err == nil {
		return n, nil
	}
	// 1.7e9 and 12.0 are integers too; a fraction is cut off.
	// ParseFloat takes more, Go's own spellings and "inf", that nobody means.
	f, err := strconv.ParseFloat(text, 64)
	if err != nil || strings.Trim(text, "0123456789+-.eE") != "" || f < -1<<62 || f > 1<<62 {
		return 0, fmt.Errorf("%q is not an integer", clip(strings.Clone(text))) // or all texts would be copied to the heap
	}
	return int64(f), nil
}

// String is a string, or a number or boolean kept as its text.
type String string

// UnmarshalJSON implements json.Unmarshaler.
func (s *String) UnmarshalJSON(data []byte) error {
	text, ok, err := scalar(data)
	if err != nil || !ok {
		return err
	}
	*s = String(text)
	return nil
}

// Bool is true or false, 1 or 0, or either as a string.
type Bool bool

// UnmarshalJSON implements json.Unmarshaler.
func (b *Bool) UnmarshalJSON(data []byte) error {
	text, ok, err := scalar(data)
	if err != nil || !ok {
		return err
	}
	switch strings.ToLower(strings.TrimSpace(string(text))) {
	case "true", "1":
		*b = true
	case "false", "0", "":
		*b = false
	default:
		return fmt.Errorf("%q is not a boolean", clip(string(text)))
	}
	return nil
}

// Time is a time: ISO 8601, an HTTP date, or Unix seconds as number or string.
// Zero means none was given. A value that is no time known is none too: a date
// in a new form must not hide the status beside it.
type Time struct{ time.Time }

// UnmarshalJSON implements json.Unmarshaler.
func (t *Time) UnmarshalJSON(data []byte) error {
	text, ok, err := scalar(data)
	if err == nil && !ok {
		return nil
	}
	t.Time = ParseTime(string(text)) // "" after an error
	return nil
}

// ParseTime is the time that text gives, in UTC, or zero. The years 1 to 9999
// are known, since no others can be written as JSON again.
func ParseTime(text string) time.Time {
	t := parseTime(text)
	if year := t.Year(); year < 1 || year > 9999 {
		return time.Time{}
	}
	return t
}

func parseTime(text string) time.Time {
	text = strings.TrimSpace(text)
	if text == "" {
		return time.Time{}
	}
	if !strings.Contains(text, ":") { // all dates have one, no number has
		if seconds, err := parseInt(text); err == nil {
			if seconds <= 0 {
				return time.Time{}
			}
			return time.Unix(seconds, 0).UTC()
		}
	}
	for _, layout := range []string{time.RFC3339Nano, "2006-01-02T15:04:05.999999999Z0700", "2006-01-02T15:04:05.999999999", time.DateTime} {
		if t, err := time.Parse(layout, text); err == nil {
			return t.UTC()
		}
	}
	if t, err := http.ParseTime(text); err == nil {
		return t.UTC()
	}
	return time.Time{}
}

// Map is an object, or an empty array where a service has no entries to send.
type Map[V any] map[string]V

// UnmarshalJSON implements json.Unmarshaler.
func (m *Map[V]) UnmarshalJSON(data []byte) error {
	trimmed := bytes.TrimSpace(data)
	if string(trimmed) == "null" {
		return nil
	}
	if len(trimmed) > 0 && trimmed[0] == '[' {
		var list []json.RawMessage
		if err := json.Unmarshal(data, &list); err != nil {
			return err
		}
		if len(list) > 0 {
			return fmt.Errorf("an object was expected, not an array of %d", len(list))
		}
		*m = nil
		return nil
	}
	return json.Unmarshal(data, (*map[string]V)(m))
}

// scalar is the text of a JSON string, number or boolean; ok is false for null.
// It may be part of data. A status has dozens of these, so the usual string
// costs no memory here.
func scalar(data []byte) (text []byte, ok bool, err error) {
	switch {
	case len(data) == 0:
		return nil, false, errors.New("no value")
	case string(data) == "null":
		return nil, false, nil
	case isPlain(data):
		return data[1 : len(data)-1], true, nil
	case data[0] == '"':
		var s string
		err = json.Unmarshal(data, &s)
		return []byte(s), err == nil, err
	case data[0] == '{' || data[0] == '[':
		return nil, false, fmt.Errorf("a string or number was expected, not %q", clip(string(data)))
	default:
		return data, true, nil
	}
}

// isPlain tells whether data is a JSON string that stands for the bytes between
// its quotes.
func isPlain(data []byte) bool {
	if len(data) < 2 || data[0] != '"' || data[len(data)-1] != '"' {
		return false
	}
	for _, c := range data[1 : len(data)-1] {
		if c < ' ' || c == '"' || c == '\\' || c >= utf8.RuneSelf {
			return false
		}
	}
	return true
}

func clip(text string) string {
	const most = 40
	if len(text) > most {
		return text[:most] + "…"
	}
	return text
}
