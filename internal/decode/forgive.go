package decode

import (
	"bytes"
	"encoding"
	"errors"
	"reflect"

	"github.com/go-json-experiment/json"
	"github.com/go-json-experiment/json/jsontext"
)

var (
	errNotEmptyList   = errors.New("a list with elements in place of an object")
	errNotEmptyObject = errors.New("an object with members in place of a list")
	errNotEmptyText   = errors.New("a text in place of an object or a list")
)

// emptyForms reads the forms of emptiness that are not those of v's type. The
// library calls it for each type that has no function of its own.
func emptyForms(dec *jsontext.Decoder, v any) error {
	switch v.(type) {
	case json.Unmarshaler, json.UnmarshalerFrom, encoding.TextUnmarshaler:
		return skip
	}
	value := reflect.ValueOf(v).Elem()
	isList := value.Kind() == reflect.Slice
	if !isList && value.Kind() != reflect.Struct && value.Kind() != reflect.Map || dec.StackDepth() == 0 {
		return skip
	}
	var notEmpty error
	switch kind := dec.PeekKind(); {
	case kind == jsontext.KindFalse:
	case kind == jsontext.KindString:
		notEmpty = errNotEmptyText
	case kind == jsontext.KindBeginArray && !isList:
		notEmpty = errNotEmptyList
	case kind == jsontext.KindBeginObject && isList:
		notEmpty = errNotEmptyObject
	default:
		return skip
	}
	text, err := dec.ReadValue()
	if err != nil {
		return err
	}
	if notEmpty != nil && len(bytes.TrimSpace(text[1:len(text)-1])) > 0 {
		return notEmpty
	}
	value.SetZero()
	return nil
}

// underscored returns data with underscores for the spaces in names.
func underscored(data []byte) []byte {
	data = bytes.Clone(data)
	dec := jsontext.NewDecoder(bytes.NewReader(data), jsontext.AllowDuplicateNames(true), jsontext.AllowInvalidUTF8(true))
	for {
		start := dec.InputOffset()
		if _, err := dec.ReadToken(); err != nil {
			return data // the end, or what Unmarshal finds as well
		}
		if kind, length := dec.StackIndex(dec.StackDepth()); kind != jsontext.KindBeginObject || length%2 == 0 {
			continue // no name
		}
		_, name, _ := bytes.Cut(data[start:dec.InputOffset()], []byte(`"`))
		for i, c := range name {
			if c == ' ' {
				name[i] = '_'
			}
		}
	}
}
