package decode

import (
	"strings"

	"github.com/go-json-experiment/json/jsontext"
)

// Text is the text of anything, for messages to people in an undocumented form:
// a string, the text of a number or of true, the JSON of an object, the texts
// of a list joined by "; ". null, false and what is empty are no text. Only a
// [Decoder] reads it.
type Text string

func readText(dec *jsontext.Decoder, p *Text) error {
	text, err := textOf(dec)
	*p = Text(text)
	return err
}

func textOf(dec *jsontext.Decoder) (string, error) {
	if dec.PeekKind() == jsontext.KindBeginArray {
		return textsOf(dec)
	}
	kind, text, err := scalar(dec)
	switch {
	case kind == jsontext.KindNull, kind == jsontext.KindFalse:
		return "", err
	case kind == jsontext.KindBeginObject && isBlank(text):
		return "", err
	default:
		return valid(text), err
	}
}

func textsOf(dec *jsontext.Decoder) (string, error) {
	if _, err := dec.ReadToken(); err != nil {
		return "", err
	}
	var texts []string
	for dec.PeekKind() != jsontext.KindEndArray {
		text, err := textOf(dec)
		if err != nil {
			return "", err
		}
		if text != "" {
			texts = append(texts, text)
		}
	}
	_, err := dec.ReadToken()
	return strings.Join(texts, "; "), err
}

// Flag is a boolean in any of its spellings, which may also be missing, or have
// a text in its place: `"error": "no such image"`. Only a [Decoder] reads it.
type Flag string

// What a Flag is unless it is a text. A blank string is False; null and an
// empty list or object are Unset.
const (
	Unset Flag = ""
	False Flag = "false"
	True  Flag = "true"
)

// Text returns the text in place of the boolean, or "".
func (f Flag) Text() string {
	if f == False || f == True {
		return ""
	}
	return string(f)
}

func readFlag(dec *jsontext.Decoder, p *Flag) error {
	switch dec.PeekKind() {
	case jsontext.KindNull, jsontext.KindBeginObject, jsontext.KindBeginArray:
		text, err := textOf(dec)
		*p = Flag(text)
		return err
	default:
	}
	_, raw, err := scalar(dec)
	switch value, ok := parseBool(raw); {
	case !ok:
		*p = Flag(valid(raw))
	case value:
		*p = True
	default:
		*p = False
	}
	return err
}

func valid(text []byte) string { return strings.ToValidUTF8(string(text), "\ufffd") }
