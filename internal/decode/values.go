package decode

import (
	"bytes"
	"strconv"
	"strings"
	"time"

	"github.com/go-json-experiment/json/jsontext"
)

// scalar reads the next value and returns its text: of a string what it
// stands for, of anything else the JSON. The text is part of the decoder's buffer.
func scalar(dec *jsontext.Decoder) (jsontext.Kind, []byte, error) {
	value, err := dec.ReadValue()
	if err != nil {
		return jsontext.KindInvalid, nil, err
	}
	kind := value.Kind()
	if kind != jsontext.KindString {
		return kind, value, nil
	}
	if bytes.IndexByte(value, '\\') < 0 {
		return kind, value[1 : len(value)-1], nil
	}
	// The only error left is invalid UTF-8, which was replaced.
	text, _ := jsontext.AppendUnquote(nil, value)
	return kind, text, nil
}

func plainString(dec *jsontext.Decoder, p *string) error { return readString(dec, p, false) }
func anyString(dec *jsontext.Decoder, p *string) error   { return readString(dec, p, true) }

func readString(dec *jsontext.Decoder, p *string, anything bool) error {
	switch dec.PeekKind() {
	case jsontext.KindString, jsontext.KindNull:
		return skip // the library keeps the strings it saw last: polls cost no memory
	case jsontext.KindBeginObject, jsontext.KindBeginArray:
		if *p = ""; !anything {
			return dec.SkipValue()
		}
		text, err := textOf(dec)
		*p = text
		return err
	default:
		_, text, err := scalar(dec)
		*p = string(text)
		return err
	}
}

func readInt64(dec *jsontext.Decoder, p *int64) error {
	kind, text, err := scalar(dec)
	if *p = 0; kind == jsontext.KindNumber || kind == jsontext.KindString {
		*p = parseInt(text)
	}
	return err
}

func readInt(dec *jsontext.Decoder, p *int) error {
	var wide int64
	err := readInt64(dec, &wide)
	if *p = int(wide); int64(*p) != wide {
		*p = 0
	}
	return err
}

// parseInt returns 0 for what is no integer.
func parseInt(text []byte) int64 {
	text = bytes.TrimSpace(bytes.TrimSuffix(bytes.TrimSpace(text), []byte("%")))
	if n, err := strconv.ParseInt(string(text), 10, 64); err == nil {
		return n
	}
	// 1.7e9 and 12.0 are integers too. ParseFloat accepts more, such as Go's own
	// spellings and "inf", which no service means.
	f, err := strconv.ParseFloat(string(text), 64)
	if err != nil || len(bytes.Trim(text, "0123456789+-.eE")) > 0 || f < -1<<63 || f >= 1<<63 {
		return 0
	}
	return int64(f)
}

func readBool(dec *jsontext.Decoder, p *bool) error {
	_, text, err := scalar(dec)
	*p, _ = parseBool(text)
	return err
}

// parseBool reports whether text is a boolean, and which.
func parseBool(text []byte) (value, ok bool) {
	switch strings.ToLower(string(bytes.TrimSpace(text))) {
	case "true", "1", "yes", "on":
		return true, true
	case "false", "0", "no", "off", "":
		return false, true
	default:
		return false, false
	}
}

func readTime(dec *jsontext.Decoder, p *time.Time) error {
	kind, text, err := scalar(dec)
	if *p = (time.Time{}); kind == jsontext.KindNumber || kind == jsontext.KindString {
		*p = ParseTime(string(text))
	}
	return err
}
