// Package decode decodes the JSON of services that spell one thing in more than
// one way: an id as number or string, a time as text, number or nothing, an
// empty object as an empty list.
//
// What describes a record forgives: a value that cannot be read leaves the zero
// value and never hides the rest of the record. Whatever must be there, an id
// or a state, is for the caller to check, since it is zero where it could not
// be read. What holds records does not forgive: a list with elements is no
// object, and the other way round.
//
// Decoded types carry plain `json:"name"` tags and need no methods, so that
// encoding/json writes and reads them again.
package decode

import (
	"bytes"
	"cmp"
	"errors"
	"fmt"
	"slices"

	"github.com/go-json-experiment/json"
	"github.com/go-json-experiment/json/jsontext"
)

// Decoder decodes the responses of one service. It is safe for concurrent use.
type Decoder struct {
	documented []json.Options // each one set, joined once: no call builds options
	forgiving  []json.Options
	spaces     bool
}

// An Option adds what one service does to what all of them do.
type Option func(*settings)

type settings struct {
	enums  []*json.Unmarshalers
	texts  bool
	spaces bool
}

// SpacesInNames reads a space in the name of an object's member as an
// underscore: "source image_id" is "source_image_id".
func SpacesInNames() Option { return func(s *settings) { s.spaces = true } }

// TextOfAnything keeps other JSON values in a string field as [Text] does: the
// JSON of an object, the elements of a list. Without it both leave the field
// empty, so that no id is made of them.
func TextOfAnything() Option { return func(s *settings) { s.texts = true } }

// Enum decodes T, a string type whose values the service spells freely.
// canonical returns the constant that a text means, or the text as a T. A
// number counts as its text; any other value leaves T empty.
func Enum[T ~string](canonical func(string) T) Option {
	// The library's own way for strings, which keeps those it saw last.
	plain := []json.Options{json.WithUnmarshalers(nil)}
	enum := json.UnmarshalFromFunc(func(dec *jsontext.Decoder, p *T) error {
		*p = ""
		if dec.PeekKind() == jsontext.KindString {
			err := json.UnmarshalDecode(dec, p, plain...)
			*p = canonical(string(*p))
			return err
		}
		kind, text, err := scalar(dec)
		if kind == jsontext.KindNumber {
			*p = canonical(string(text))
		}
		return err
	})
	return func(s *settings) { s.enums = append(s.enums, enum) }
}

// New returns a Decoder.
func New(opts ...Option) *Decoder {
	var s settings
	for _, opt := range opts {
		opt(&s)
	}
	text := json.UnmarshalFromFunc(plainString)
	if s.texts {
		text = json.UnmarshalFromFunc(anyString)
	}
	values := json.JoinUnmarshalers(append(s.enums, text, json.UnmarshalFromFunc(readInt), json.UnmarshalFromFunc(readInt64),
		json.UnmarshalFromFunc(readBool), json.UnmarshalFromFunc(readTime), json.UnmarshalFromFunc(readFlag), json.UnmarshalFromFunc(readText))...)
	common := json.JoinOptions(
		json.MatchCaseInsensitiveNames(true),
		jsontext.AllowDuplicateNames(true),
		jsontext.AllowInvalidUTF8(true),
	)
	return &Decoder{
		documented: []json.Options{json.JoinOptions(common, json.WithUnmarshalers(values), json.RejectUnknownMembers(s.spaces))},
		forgiving: []json.Options{json.JoinOptions(common,
			json.WithUnmarshalers(json.JoinUnmarshalers(values, json.UnmarshalFromFunc(emptyForms))))},
		spaces: s.spaces,
	}
}

// Unmarshal decodes data, which is one JSON value and perhaps space around it,
// into what v points to.
//
//   - Names match without regard to case, underscores and dashes. Unknown names
//     are passed over; of a repeated name the last one counts. Embedded structs
//     are inlined.
//   - int and int64: a number or its text, with or without "%"; a fraction is
//     cut off. Zero for all else, also for what is out of range.
//   - bool: true, 1, "true", "1", "yes" and "on", without regard to case. False
//     for all else.
//   - string: a string, or a number or boolean as its text. Empty for all else;
//     see [TextOfAnything].
//   - [time.Time]: what [ParseTime] reads. Zero for all else.
//   - Structs, maps and slices: null, false, a blank string and an empty list or
//     object in the other's place leave the zero value, as does null for all
//     types. Other values are an error. So are all of these at the top level.
//   - A null in a list is a zero element, which is nil in a list of pointers:
//     see [WithoutNil].
//
// After an error v may hold a part of the record.
func (d *Decoder) Unmarshal(data []byte, v any) error {
	data = bytes.TrimPrefix(data, []byte("\ufeff"))
	if string(bytes.TrimSpace(data)) == "null" {
		return errors.New("null in place of a value")
	}
	// Nearly all responses are as documented, and cost one pass. What was
	// decoded of the others is decoded again, to the same.
	err := json.Unmarshal(data, v, d.documented...)
	if _, ok := errors.AsType[*json.SemanticError](err); ok {
		if d.spaces {
			data = underscored(data)
		}
		err = json.Unmarshal(data, v, d.forgiving...)
	}
	return described(err)
}

// described is err in words that name neither Go types nor values: these may
// be secrets.
func described(err error) error {
	semantic, ok := errors.AsType[*json.SemanticError](err)
	if !ok {
		return err // of the syntax, with its offset
	}
	where := "the top level"
	if semantic.JSONPointer != "" {
		where = fmt.Sprintf("%.100q", semantic.JSONPointer)
	}
	return fmt.Errorf("%w at %s (offset %d)", cmp.Or(semantic.Err, unexpected(semantic.JSONKind)), where, semantic.ByteOffset)
}

func unexpected(kind jsontext.Kind) error { return fmt.Errorf("unexpected %s", kind) }

// WithoutNil removes the nil elements of list: a service may send null for a
// record.
func WithoutNil[T any](list []*T) []*T {
	return slices.DeleteFunc(list, func(record *T) bool { return record == nil })
}
