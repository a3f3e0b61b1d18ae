package decode

import (
	"bytes"
	"encoding"
	"reflect"

	"github.com/go-json-experiment/json"
	"github.com/go-json-experiment/json/jsontext"
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
	kind := dec.PeekKind()
	switch {
	case kind == jsontext.KindFalse, kind == jsontext.KindString:
	case kind == jsontext.KindBeginArray && !isList:
	case kind == jsontext.KindBeginObject && isList:
	default:
		return skip
	}
	text, err := dec.ReadValue()
	if err != nil {
		return err
	}
	if kind != jsontext.KindFalse && !isBlank(text) {
		return unexpected(kind)
	}
	value.SetZero()
	return nil
}

// isBlank reports whether a string, list or object has nothing but space in it.
func isBlank(value jsontext.Value) bool { return len(bytes.TrimSpace(value[1:len(value)-1])) == 0 }

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
